#!/bin/bash
# SPDX-License-Identifier: MIT
# edge-run and edge-stop: what a service gets, what is refused, and that nothing is left over.
bin=$(realpath "${EDGE_BIN:-$(dirname "$0")/../../build/bin}")
if [ "$(id -u)" != 0 ]; then
	echo "1..0 # SKIP needs root"
	exit 0
fi
if [ -z "$RUN_T_TOP" ]; then # a machine of its own: network, mounts and processes
	RUN_T_TOP=$(mktemp -d "${TMPDIR:-/tmp}/run_t.XXXXXX")
	export RUN_T_TOP
	unshare --net --mount --pid --fork --kill-child --mount-proc --propagation private "$0" "$@"
	status=$?
	for dir in $(awk '$(NF-2) ~ /^cgroup2?$/ { print $5 }' /proc/self/mountinfo); do
		rmdir "$dir"/edge/"${RUN_T_TOP##*.}"-* "$dir"/edge 2>/dev/null
	done
	rm -rf "$RUN_T_TOP"
	exit $status
fi

export EDGE_ROOT=$RUN_T_TOP/node PATH=$bin:$PATH
top=$RUN_T_TOP t=${RUN_T_TOP##*.}- # names are unique, as cgroups are shared with the machine
mkdir -p "$EDGE_ROOT/etc/edge" "$top/data" "$top/secret"
echo '{"name":"edge1","bridge":"br0"}' >"$EDGE_ROOT/etc/edge/node.json"
echo '{"small":{"cpu":0.25,"mem":"64M"}}' >"$EDGE_ROOT/etc/edge/profiles.json"
ip link set lo up
ip link add br0 type bridge
ip addr add 10.88.0.1/24 dev br0
ip link set br0 up

count=0 failed=0
ok() { # STATUS NAME
	count=$((count + 1))
	if [ "$1" = 0 ]; then echo "ok $count - $2"; else echo "not ok $count - $2"; failed=1; fi
}
is() { # GOT WANT NAME
	[ "$1" = "$2" ]
	ok $? "$3" || true
	[ "$1" = "$2" ] || { echo "#  got: $1"; echo "# want: $2"; }
}
field() { sed -n "s/.*\"$1\":\"\\{0,1\\}\\([^\",}]*\\).*/\\1/p"; }
log() { cat "$EDGE_ROOT/var/lib/edge/services/$t$1/log"; }
await() { for _ in $(seq 400); do eval "$1" >/dev/null 2>&1 && return; sleep 0.05; done; return 1; }
# What a run says on stderr, and its exit status.
refusal() { local text; text=$("$@" 2>&1 >/dev/null </dev/null); echo "$? $text"; }
# The output of a command run as a service of that name.
ask() { # NAME OPTION... -- COMMAND...
	local name=$1
	shift
	edge-run --name "$t$name" "$@" >/dev/null && await "[ -e '$EDGE_ROOT/var/lib/edge/services/$t$name/exit' ]"
	log "$name"
	edge-stop --rm "$t$name" >/dev/null
}

# --- a record, and the network behind it
rec=$(edge-run --name "${t}web" --addr 10.88.0.201 --port 80 --port 443 --profile small -- sleep 1000)
id=$(field id <<<"$rec")
is "$rec" '{"kind":"service","id":"'"$id"'","name":"'"$t"'web","engine":"process","type":"stateful","addr":"10.88.0.201","ports":[80,443],"profile":{"cpu":0.25,"mem_bytes":67108864},"epoch":0,"node":"edge1","state":"running","log":"'"$EDGE_ROOT/var/lib/edge/services/${t}web/log"'"}' \
	"a started service is told in a record"
is "$(cat "$EDGE_ROOT/var/lib/edge/registry/service/$id.json")" "$rec" "the record is in the registry"
ping -c 1 -W 2 10.88.0.201 >/dev/null
ok $? "its address answers"
is "$(refusal edge-run --name "${t}web" -- true)" "69 edge-run: service ${t}web: already running" "a name is used once"
is "$(refusal edge-run --name "${t}two" --addr 10.88.0.201 -- true)" \
	"69 edge-run: service ${t}two: address 10.88.0.201: already in use" "an address is used once"
is "$(refusal edge-run --name "${t}two" --addr 10.88.0.1 -- true)" \
	"69 edge-run: service ${t}two: address 10.88.0.1: already in use" "... also the node's own"

is "$(edge-run --list)" "$rec" "all services of the node are listed"
is "$(refusal edge-run --list x)" "64 edge-run: --list: takes no operand (see edge-run --help)" "... without operands"

# --- what it finds inside
is "$(ask a -- sh -c 'echo $$; hostname; ls /root /home /etc/ssh /run /sys /var/lib/edge; ls /proc/self/fd | wc -l; id -u')" \
	"1
${t}a
/etc/ssh:

/home:

/root:

/run:
lock

/sys:

/var/lib/edge:
4
0" "it is process 1 of its own machine, and does not see what is the node's"
is "$(ask a --env COLOUR=red -- env | sort)" "COLOUR=red
EDGE_SERVICE=${t}a
HOME=/root
LANG=C.UTF-8
PATH=/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin
TERM=dumb" "its environment is clean"
is "$(ask a -- grep -E '^(CapEff|CapBnd|NoNewPrivs)' /proc/self/status | tr -d '\t')" "CapEff:00000000a00425fb
CapBnd:00000000a00425fb
NoNewPrivs:1" "its capabilities are cut"
is "$(ask a --user nobody -- sh -c 'id -un; grep CapEff /proc/self/status | tr -d "\t"')" "nobody
CapEff:0000000000000000" "it runs as the user asked for"
is "$(ask a --user 4711:4712 -- sh -c 'id -u; id -g; id -G')" "4711
4712
4712" "... or by number"
is "$(ask a --volume "$top/data:/srv/deep/data" -- sh -c 'echo hello >/srv/deep/data/x; echo gone >/etc/x; cat /etc/x')" gone \
	"it can write"
is "$(cat "$top/data/x" 2>&1; ls /etc/x /srv/deep 2>/dev/null)" hello "... to its volume and to itself, not to the node"
ln -s / "$top/secret/link"
is "$(ask a --root "$top/secret" --volume "$top/data:/link/etc" -- nosuch 2>&1; ls -d "$top/secret/etc" 2>&1)" \
	"edge-run: service ${t}a: cannot run nosuch: No such file or directory
cat: $EDGE_ROOT/var/lib/edge/services/${t}a/log: No such file or directory
edge-stop: service ${t}a: no such service on this node
ls: cannot access '$top/secret/etc': No such file or directory" "a link cannot lead a volume out of the root"
ln -s "$top/data" "$top/datalink"
mkdir "$top/x"
at() { # PATH [VOLUME]...: where a volume on it is mounted, or why it is not
	local message
	if message=$(edge-run --name "${t}at" --volume "$top/datalink:$1" ${2:+--volume "$top/x:$2"} -- sleep 1000 2>&1 >/dev/null); then
		sed -n 's/.*"host":"\([^"]*\)","path":"\([^"]*\)".*/\1 \2/p' "$EDGE_ROOT/var/lib/edge/services/${t}at/service.json" | tr -d '\n'
		grep -o " $(sed -n 's/.*"path":"\([^"]*\)".*/\1/p' "$EDGE_ROOT/var/lib/edge/services/${t}at/service.json") " \
			"/proc/$(field pid <"$EDGE_ROOT/var/lib/edge/services/${t}at/service.json")/mountinfo" | head -n 1
		edge-stop --grace 0 --rm "${t}at" >/dev/null
	else
		echo "$message"
	fi
}
is "$(at /var/run/deep/in)" "$top/data /run/deep/in /run/deep/in " "a volume is where the links of its path lead, on the node and inside"
is "$(at /run/../mnt)" "edge-run: service: path: /run/../mnt: not a plain absolute path (see edge-run --help)" "... without .."
is "$(at //srv//a/./b/)" "$top/data /srv/a/b /srv/a/b " "... without what says nothing"
is "$(at /./)" "edge-run: service ${t}at: volume /./: cannot be the root" "it is not the root"
is "$(at /proc/x)" "edge-run: service ${t}at: volume /proc/x: cannot be in /proc" "... nor in /proc"
is "$(at /etc/passwd)" "edge-run: service ${t}at: volume /etc/passwd: /etc/passwd is not a folder" "... nor on a file"
is "$(at /run/a /var/run)" "edge-run: service ${t}at: volume /run: hides the one on /run/a" "... nor below another one that comes later"
mem=$(awk '$(NF-2) == "cgroup" && $NF ~ /memory/ { print $5 "/edge" }' /proc/self/mountinfo)
if [ -n "$mem" ]; then
	is "$(cat "$mem/${t}web/memory.limit_in_bytes")" 67108864 "its profile limits it"
else
	is "$(cat /sys/fs/cgroup/edge/"${t}web"/memory.max)" 67108864 "its profile limits it"
fi

# --- refusals, each in one line
is "$(refusal edge-run --name x -- nosuch)" "69 edge-run: service x: cannot run nosuch: No such file or directory" "no such command"
is "$(refusal edge-run --name x --user nosuch -- true)" "69 edge-run: service x: user nosuch: not in the service's /etc/passwd" "no such user"
is "$(refusal edge-run --name x --root /nosuch -- true)" "69 edge-run: root /nosuch: no such folder" "no such root"
is "$(refusal edge-run --name x --volume /nosuch:/a -- true)" "69 edge-run: service x: volume /nosuch: No such file or directory" "no such volume"
is "$(refusal edge-run --name x --volume /tmp:a -- true)" "64 edge-run: volume /tmp:a: not of the form /HOSTDIR:/PATH (see edge-run --help)" "no volume"
is "$(refusal edge-run --name x --volume /tmp:/a/../b -- true)" "64 edge-run: service: path: /a/../b: not a plain absolute path (see edge-run --help)" "no plain path"
is "$(refusal edge-run --name ../x -- true)" "64 edge-run: name ../x: not letters, digits, '.', '_' or '-' (see edge-run --help)" "no name"
is "$(refusal edge-run -- true)" "64 edge-run: --name is missing (see edge-run --help)" "name missing"
is "$(refusal edge-run --name x)" "64 edge-run: no command given (see edge-run --help)" "no command"
is "$(refusal edge-run --name x --port 99999 -- true)" "64 edge-run: port 99999: not a port (see edge-run --help)" "no port"
is "$(refusal edge-run --name x --addr 1.2.3 -- true)" "64 edge-run: service x: address 1.2.3: not an IP address (see edge-run --help)" "no address"
is "$(refusal edge-run --name x --addr 10.99.0.7 -- true)" \
	"69 edge-run: service x: address 10.99.0.7: not in the network of bridge br0, which has 10.88.0.1/24" "no address of the bridge's network"
is "$(refusal edge-run --name x --addr 10.99.0.7/16 -- true)" \
	"69 edge-run: service x: address 10.99.0.7: not in the network of bridge br0, which has 10.88.0.1/24" "... whatever network is claimed for it"
is "$(refusal edge-run --name x --addr fd99::7 -- true)" \
	"69 edge-run: service x: address fd99::7: bridge br0 has no address of that kind" "... of either family"
is "$(refusal edge-run --name x --profile large -- true)" \
	"64 edge-run: profile large: not in $EDGE_ROOT/etc/edge/profiles.json (see edge-run --help)" "no such profile"
is "$(refusal edge-run --name x --profile cpu=much -- true)" "64 edge-run: profile cpu=much: not cpu=CORES,mem=BYTES (see edge-run --help)" "no profile"
is "$(refusal edge-run --name x --bundle "$top/data")" \
	"69 edge-run: service x: bundle $top/data: no config.json" "no bundle"
is "$(refusal edge-run --name x --registry other://x -- true)" "64 edge-run: registry other://x: not of the form dir:/path, etcd://host:port/prefix or ldap://host/base" "no registry"
is "$(refusal edge-stop "${t}foo")" "69 edge-stop: service ${t}foo: no such service on this node" "no such service"
sed -i s/br0/br9/ "$EDGE_ROOT/etc/edge/node.json"
is "$(refusal edge-run --name x --addr 10.88.0.7 -- true)" "69 edge-run: service x: node edge1: no bridge br9 for services" "no bridge"
sed -i s/br9/br0/ "$EDGE_ROOT/etc/edge/node.json"
is "$(ls "$EDGE_ROOT/var/lib/edge/services" "$EDGE_ROOT/run/edge/netns")" "$EDGE_ROOT/run/edge/netns:
${t}web

$EDGE_ROOT/var/lib/edge/services:
${t}web" "... and they leave nothing behind"

# --- the end of a service
edge-run --name "${t}short" --addr 10.88.0.202 -- sh -c 'echo bye; exit 3' >/dev/null
await "[ ! -e '$EDGE_ROOT/run/edge/netns/${t}short' ]"
ok $? "what ends by itself gives back its network"
is "$(log short) $(field status <"$EDGE_ROOT/var/lib/edge/services/${t}short/exit")" "bye 3" "... its output and its status stay"
is "$(refusal edge-run --name "${t}short" -- true)" \
	"69 edge-run: service ${t}short: exists and is exited (edge-stop --rm ${t}short removes it)" "... and its files, until removed"
edge-run --name "${t}polite" -- sh -c 'trap "echo asked; exit 0" TERM; echo up; while :; do sleep 0.05; done' >/dev/null
await 'log polite | grep -q up'
is "$(edge-stop "${t}polite" | field state)" stopped "a service is stopped"
await 'grep -q asked <(log polite)'
is "$(log polite)" "up
asked" "... after it was asked to"
is "$(edge-stop "${t}polite" | field state)" stopped "... twice, if one likes"
start=$(date +%s%N)
edge-run --name "${t}deaf" -- sh -c 'trap "" TERM; while :; do sleep 0.05; done' >/dev/null
edge-stop --grace 0.3 "${t}deaf" >/dev/null
ok $? "what does not listen is killed"
[ $((($(date +%s%N) - start) / 1000000)) -lt 5000 ]
ok $? "... after the grace it was given"

# --- an instance that runs elsewhere, as the registry knows
id=$(edge-run --name "${t}two" -- sleep 1000 | field id)
entry=$EDGE_ROOT/var/lib/edge/registry/service/$id.json
sed -i 's/"epoch":0,"node":"edge1"/"epoch":3,"node":"edge2"/' "$entry"
newer=$(cat "$entry")
is "$(edge-stop "${t}two" | field state)" moved "what is left here of an instance that runs elsewhere is stopped"
is "$(edge-stop --rm "${t}two" | field state) $(cat "$entry")" "moved $newer" "... and removed, and its entry in the registry stays"
id=$(edge-run --name "${t}two" -- sleep 1000 | field id)
entry2=$EDGE_ROOT/var/lib/edge/registry/service/$id.json
sed -i 's/"epoch":0,"node":"edge1"/"epoch":3,"node":"edge2"/' "$entry2"
edge-stop --rm "${t}two" >/dev/null
is "$? $(field epoch <"$entry2")" "0 3" "... also when both are asked for at once"
rm "$entry" "$entry2"

# --- records
spec='{"name":"'"$t"'rec","addr":"10.88.0.203","argv":["sleep","1000"],"profile":{"mem_bytes":33554432}}'
out=$(printf '%s\n' '{"kind":"node",  "name":"n1"}' '{"kind":"move","action":"start","service":"x","to":"edge1","service_spec":'"$spec"'}' \
	'{"kind":"move","action":"migrate","service":"x"}' | edge-run -)
is "$(sed -n 1p <<<"$out")" '{"kind":"node",  "name":"n1"}' "edge-run - passes on what is not its own, unchanged"
is "$(sed -n 2p <<<"$out" | field name)" "${t}rec" "... starts what a plan wants started"
is "$(sed -n 3p <<<"$out")" '{"kind":"move","action":"migrate","service":"x"}' "... in order"
is "$(printf '%s\n' '{"kind":"move","action":"start","service":"x"}' | edge-run - 2>&1; echo $?)" \
	"edge-run: service x: the record to start it has no service_spec
1" "... says what it cannot start"
is "$(printf '%s\n' '{"kind":"node"}' '{"kind":' | edge-run - 2>&1 >/dev/null | cut -d: -f1-3; echo "${PIPESTATUS[1]}")" \
	"edge-run: stdin: line 2
65" "... and where its input is broken"
out=$(printf '%s\n' '{"kind":"move","action":"terminate","service":"'"$t"'rec","from":"edge1"}' \
	'{"kind":"move","action":"stay"}' '{"kind":"move","action":"stop","service":"'"$t"'web","from":"edge1"}' | edge-stop -)
is "$(field state <<<"$out" | tr '\n' ' ')$(sed -n 2p <<<"$out")" 'stopped stopped {"kind":"move","action":"stay"}' \
	"edge-stop - stops what a plan wants stopped, and passes on the rest"
is "$(ls "$EDGE_ROOT/var/lib/edge/services" | tr '\n' ' ')" "${t}deaf ${t}polite ${t}short ${t}web " "... terminated ones are removed"

# --- bundles
if command -v runc >/dev/null; then
	mkdir "$top/bundle"
	(cd "$top/bundle" && runc spec && sed -i 's/"sh"/"sh","-c","echo $A; trap \\"exit 0\\" TERM; while :; do sleep 0.1; done"/; s/"rootfs"/"\/"/; s/"readonly": true/"readonly": false/' config.json)
	is "$(edge-run --name "${t}oci" --addr 10.88.0.204 --env A=b --volume "$top/data:/srv/data" --bundle "$top/bundle" | field engine)" runc \
		"a bundle is run by runc"
	ping -c 1 -W 2 10.88.0.204 >/dev/null
	ok $? "... at its address"
	await '[ "$(log oci)" = b ]'
	ok $? "... with its environment, its output in the log"
	pid=$(field pid <"$EDGE_ROOT/var/lib/edge/services/${t}oci/service.json")
	is "$(cat "/proc/$pid/root/srv/data/x") $(grep -c "/edge/${t}oci$" <(grep ^0: "/proc/$pid/cgroup"))" "hello 1" \
		"... with its volume, in its version 2 cgroup"
	edge-stop --rm "${t}oci" >/dev/null
	ok $? "... and stopped"
	is "$(ls "$EDGE_ROOT/run/edge/runc")" "" "... runc forgets it"
else
	for what in run address log cgroup stop forget; do ok 0 "bundle: $what # SKIP there is no runc"; done
fi

# --- nothing is left
edge-stop --rm "${t}deaf" "${t}polite" "${t}short" "${t}web" >/dev/null
ok $? "all are removed"
is "$(ls "$EDGE_ROOT/var/lib/edge/services" "$EDGE_ROOT/run/edge/netns" "$EDGE_ROOT/var/lib/edge/registry/service")" \
	"$EDGE_ROOT/run/edge/netns:

$EDGE_ROOT/var/lib/edge/registry/service:

$EDGE_ROOT/var/lib/edge/services:" "no files, no networks and no records are left"
is "$(ip -br link | grep -c ^ev)" 0 "no interfaces are left"
await '! pgrep -x edge-keeper'
ok $? "no keepers are left"
is "$(find /sys/fs/cgroup -maxdepth 3 -name "$t*" 2>/dev/null)" "" "no cgroups are left"
echo "1..$count"
exit $failed
