#!/bin/bash
# SPDX-License-Identifier: MIT
# Applications from compose files and services from images: what is started, in which order, how it is looked after, and
# that nothing is left of what fails.
bin=$(realpath "${EDGE_BIN:-$(dirname "$0")/../../build/bin}")
here=$(realpath "$(dirname "$0")")
if [ "$(id -u)" != 0 ]; then
	echo "1..0 # SKIP needs root"
	exit 0
fi
if [ -z "$COMPOSE_T_TOP" ]; then # a machine of its own: network, mounts and processes
	COMPOSE_T_TOP=$(mktemp -d "${TMPDIR:-/tmp}/compose_t.XXXXXX")
	export COMPOSE_T_TOP
	unshare --net --mount --pid --fork --kill-child --mount-proc --propagation private "$0" "$@"
	status=$?
	for dir in $(awk '$(NF-2) ~ /^cgroup2?$/ { print $5 }' /proc/self/mountinfo); do
		rmdir "$dir"/edge/"${COMPOSE_T_TOP##*.}"-* "$dir"/edge 2>/dev/null
	done
	rm -rf "$COMPOSE_T_TOP"
	exit $status
fi

export EDGE_ROOT=$COMPOSE_T_TOP/node PATH=$bin:$PATH
top=$COMPOSE_T_TOP t=${COMPOSE_T_TOP##*.} # the application's name is unique, as cgroups are shared with the machine
mkdir -p "$EDGE_ROOT/etc/edge" "$top/app/etc"
echo '{"name":"edge1","bridge":"br0"}' >"$EDGE_ROOT/etc/edge/node.json"
ip link set lo up
ip link add br0 type bridge
ip addr add 10.88.0.1/24 dev br0
ip link set br0 up
cd "$top/app" || exit 1

count=0 failed=0
ok() { # STATUS NAME
	count=$((count + 1))
	if [ "$1" = 0 ]; then echo "ok $count - $2"; else echo "not ok $count - $2"; failed=1; fi
}
is() { # GOT WANT NAME
	[ "$1" = "$2" ]
	ok $? "$3" || true
	[ "$1" = "$2" ] || { echo "#  got: ${1//$'\n'/$'\n'#       }"; echo "# want: ${2//$'\n'/$'\n'#       }"; }
}
await() { for _ in $(seq 400); do eval "$1" >/dev/null 2>&1 && return; sleep 0.05; done; return 1; }
refusal() { local text; text=$("$@" 2>&1 >/dev/null </dev/null); echo "$? $text"; }
log() { cat "$EDGE_ROOT/var/lib/edge/services/$t-$1/log"; }
list() { edge-run --list | jq -r '[.name, .state, .health // empty] | join(" ")' | sed "s/^$t-//"; }
services() { ls "$EDGE_ROOT/var/lib/edge/services"; }
# The output of a command run as a service of that name.
ask() { # NAME OPTION... -- COMMAND...
	local name=$t-$1
	shift
	edge-run --name "$name" "$@" >/dev/null && await "[ -e '$EDGE_ROOT/var/lib/edge/services/$name/exit' ]"
	cat "$EDGE_ROOT/var/lib/edge/services/$name/log"
	edge-stop --rm "$name" >/dev/null
}

# --- images
"$here/../tools/make-image" busy.tar busy:1 '"Env":["PATH=/bin","COLOUR=red"],"Entrypoint":["/bin/sh","-c"],"Cmd":["echo as the image says; pwd; id -u; id -g"],"WorkingDir":"/srv/work","User":"app:staff","ExposedPorts":{"8080/tcp":{}}'
"$here/../tools/make-image" --oci layout v1 '"Cmd":["/bin/ls","/srv"],"Env":["PATH=/bin"]'
is "$(ask a --image "$top/app/busy.tar")" "as the image says
/srv/work
1000
50" "an image is run as it says: command, folder, user and group"
is "$(ask a --image ./busy.tar --user root --dir /tmp --env COLOUR=blue --env MORE=1 -- 'echo $COLOUR $MORE; pwd; id -u')" "blue 1
/tmp
0" "... or as it is told"
is "$(ask a --image oci:layout:v1)" "new" "an OCI layout: layers one over the other, with what they take away"
is "$(edge-run --name "$t-a" --image "$top/app/busy.tar" -- 'sleep 1000' | jq -c '[.engine, .ports, .image]'; edge-stop --rm "$t-a" >/dev/null)" \
	'["process",[8080],"'"$top"'/app/busy.tar"]' "its record says of which image it is, and its ports"
is "$(find "$EDGE_ROOT/var/lib/edge/store/layers" -mindepth 1 -maxdepth 1 | wc -l)" 2 "each image is in the store once"
is "$(find "$EDGE_ROOT/var/lib/edge/store/images" -mindepth 1 ! -name "*.json")" "" "... and nothing else is left of it"
is "$(refusal edge-run --name "$t-a" --image oci:layout:v2)" "65 edge-run: service $t-a: image oci:layout:v2: no image v2 for this machine" "no such tag"
is "$(refusal edge-run --name "$t-a" --image ./none.tar)" "69 edge-run: service $t-a: image ./none.tar: ./none.tar: No such file or directory" "no such image"
is "$(refusal edge-run --name "$t-a" --image -x)" "64 edge-run: service $t-a: image -x: not a name of an image" "no name of an image"
is "$(refusal edge-run --name "$t-a" --image ./busy.tar --root /)" "64 edge-run: an image brings its own files: no --root (see edge-run --help)" "an image and a root"
blob=$(find layout/blobs/sha256 -size +100k)
printf x >>"$blob"
is "$(refusal edge-run --name "$t-a" --image oci:layout:v1)" \
	"65 edge-run: service $t-a: image oci:layout:v1: sha256:$(basename "$blob"): is another one" "a blob that is not what it is called"
is "$(services)" "" "none of them leaves anything"

# --- a registry
if command -v skopeo >/dev/null && command -v docker-registry >/dev/null; then
	"$here/../tools/make-image" --oci fresh v1 '"Cmd":["/bin/echo","from a registry"],"Env":["PATH=/bin"]'
	printf 'version: 0.1\nstorage: {filesystem: {rootdirectory: %s}}\nhttp: {addr: 127.0.0.1:5000}\n' "$top/registry" >"$top/registry.yml"
	docker-registry serve "$top/registry.yml" >"$top/registry.log" 2>&1 &
	registry=$!
	await '</dev/tcp/127.0.0.1/5000'
	skopeo copy -q --dest-tls-verify=false oci:fresh:v1 docker://127.0.0.1:5000/fresh:1 2>&1 | sed 's/^/# /'
	is "$(ask a --image 127.0.0.1:5000/fresh:1)" "from a registry" "an image is fetched from its registry"
	kill $registry
	wait $registry 2>/dev/null
	is "$(ask a --image 127.0.0.1:5000/fresh:1)" "from a registry" "... once"
	text=$(refusal edge-run --name "$t-a" --image 127.0.0.1:5000/other:1)
	is "${text%%: docker:*}" "69 edge-run: service $t-a: image 127.0.0.1:5000/other:1" "... and told when it cannot be had"
else
	for what in fetch once refusal; do ok 0 "registry: $what # SKIP there is no skopeo or docker-registry"; done
fi

# --- an application
echo 'FROM_FILE=yes' >.env
printf 'A=1\nB="two words" # a comment\nexport C=${A}3\nD='"'"'$A'"'"'\n' >settings.env
echo 'hello from a file' >etc/motd
cat >compose.yaml <<END
name: $t
x-image: &busy
  image: ./busy.tar
  entrypoint: []
  user: root
services:
  web:
    <<: *busy
    command: httpd -f -p 8080 -h /srv
    ports: ["80:8080"]
    volumes: ["./etc/motd:/srv/motd:ro", "data:/var/lib/app"]
    depends_on:
      db: {condition: service_healthy}
      init: {condition: service_completed_successfully}
  init:
    <<: *busy
    command: [sh, -c, "echo \$\$A,\$\$B,\$\$C,\$\$D,\$FROM_FILE; cat /etc/hosts"]
    env_file: settings.env
    volumes: ["data:/var/lib/app"]
  db:
    <<: *busy
    command: sh -c 'sleep 0.3; touch /tmp/ready; while sleep 1; do :; done'
    healthcheck: {test: [CMD, test, -e, /tmp/ready], interval: 200ms, retries: 50}
    deploy: {resources: {limits: {cpus: "0.5", memory: 64M}}}
    x-edge: {type: stateless, latency: 20ms, needs: {arch: [amd64, arm64]}}
    tty: true
volumes: {data: }
END
is "$(edge-run -f compose.yaml 2>said | jq -r '[.name, .state, .app, .addr] | join(" ")' | sed "s/$t-//")" "init running $t 10.88.0.128
db running $t 10.88.0.129
web running $t 10.88.0.130" "an application is started, each service behind what it waits for"
is "$(<said)" "edge-run: compose.yaml:10:13: services.web.ports: 80:8080: not forwarded: clients reach port 8080 at the service's own address
edge-run: compose.yaml:11:15: services.web.volumes: ro: is not kept from writing there
edge-run: compose.yaml:26:5: services.db.tty: is not used" "... and what of the file is not used is named"
is "$(log init | grep -v localhost | sort -u)" "$(printf '%s\n' "1,two words,13,\$A,yes" "10.88.0.128	$t-init" "10.88.0.128	init" \
	"10.88.0.129	$t-db" "10.88.0.129	db" "10.88.0.130	$t-web" "10.88.0.130	web" | sort)" "each has its environment, and finds the others by name"
is "$(busybox wget -q -O - http://10.88.0.130:8080/motd)" "hello from a file" "a file is shown to a service"
is "$(cat "$EDGE_ROOT/var/lib/edge/volumes/${t}_data/seed")" "from the image" "a new volume has what the image has in its place"
is "$(list)" "db running healthy
init exited
web running" "their health is told"
is "$(edge-run --list | jq -c 'select(.name == "'"$t"'-db") | [.type, .needs, .profile]')" \
	'["stateless",{"rtt_ms":20,"arch":["x86_64","aarch64"]},{"cpu":0.5,"mem_bytes":67108864}]' "... and what they need"
before=$(edge-run --list | jq -c '[.name, .id]')
edge-run -f compose.yaml >again 2>/dev/null
is "$? $(edge-run --list | jq -c '[.name, .id]')" "0 $before" "a second time nothing changes"
is "$(jq -r '[.name, .state] | join(" ")' again | sed "s/$t-//")" "init exited
db running
web running" "... and all are told"
sed 's/64M/32M/' compose.yaml >changed.yaml
is "$(edge-run -f changed.yaml 2>&1 >/dev/null | tail -n 1)" \
	"edge-run: service $t-db: runs by another definition (edge-stop --rm -f ends it)" "one that was changed is not swapped behind your back"
edge-run --list | jq -c '[.name, .id]' | diff - <(echo "$before") >/dev/null
ok $? "... and runs on"
is "$(edge-stop -f compose.yaml | jq -r '[.name, .state] | join(" ")' | sed "s/$t-//")" "web stopped
db stopped
init stopped" "it is stopped in the other order"
edge-run -f compose.yaml >/dev/null 2>&1
is "$? $(list | grep -c "db running healthy\|web running")" "0 2" "it is started again"
edge-stop --rm -f compose.yaml >/dev/null
is "$? $(services)$(ls "$EDGE_ROOT/var/lib/edge/registry/service")" "0 " "it is removed"
edge-stop -f compose.yaml
ok $? "... twice, if one likes"
is "$(ls "$EDGE_ROOT/var/lib/edge/volumes")" "${t}_data" "its volumes stay"

# --- records only
edge-run -f compose.yaml --emit >emitted 2>/dev/null
is "$(jq -c '[.kind, .name, .state, .type, .needs.rtt_ms, .service_spec.labels]' emitted | sed "s/$t-//")" '["service","init","wanted","stateful",null,null]
["service","db","wanted","stateless",20,null]
["service","web","wanted","stateful",null,null]' "what would be started is told in records"
"$here/../schema/check" <emitted >schema 2>&1
is "$? $(<schema)" "0 " "... that have their schema"
is "$(services)" "" "... and nothing is started"
db=$(jq -r 'select(.name == "'"$t"'-db") | .id' emitted)
{
	cat emitted
	echo '{"kind":"move","action":"start","service":"'"$t"'-db","id":"'"$db"'","to":"edge1"}'
} | edge-run - >out
is "$(diff <(head -n 3 out) emitted && sed -n 4p out | jq -r '[.name, .id, .state] | join(" ")')" "$t-db $db running" \
	"edge-run - starts what a plan wants started of them"
edge-stop --rm "$t-db" >/dev/null

# --- what goes wrong
bad() { printf 'name: %s\nservices:\n%s\n' "$t" "$1" >bad.yaml; refusal edge-run -f bad.yaml; }
is "$(bad '  a: {image: ./busy.tar, comand: x}')" "65 edge-run: bad.yaml:3:26: services.a: comand: no such key" "a key that is none"
is "$(refusal edge-run -f none.yaml)" "69 edge-run: none.yaml: No such file or directory" "no such file"
is "$(refusal edge-run -f compose.yaml x)" "64 edge-run: --file takes no operand (see edge-run --help)" "an operand"
is "$(refusal edge-run --emit)" "64 edge-run: --emit and --app are for --file (see edge-run --help)" "an option without its file"
is "$(bad '  a: {image: ./busy.tar, user: root, entrypoint: [], command: sleep 1000}
  b: {image: ./busy.tar, user: root, entrypoint: [], command: nosuch, depends_on: [a]}')" \
	"69 edge-run: service $t-b: cannot run nosuch: No such file or directory" "one that cannot be started"
is "$(services)" "" "... takes those before it along"
is "$(bad '  a: {image: ./busy.tar, user: root, entrypoint: [], command: sh -c "exit 3"}
  b: {image: ./busy.tar, depends_on: {a: {condition: service_completed_successfully}}}')" \
	"69 edge-run: service $t-b: waits for $t-a: service $t-a: has ended with status 3" "one that was to do something before, and has failed"
is "$(bad '  a: {image: ./busy.tar, user: root, entrypoint: [], command: sleep 1000, healthcheck: {test: [CMD, test, -e, /no], interval: 50ms, retries: 2}}
  b: {image: ./busy.tar, depends_on: {a: {condition: service_healthy}}}')" \
	"69 edge-run: service $t-b: waits for $t-a: service $t-a: is unhealthy" "one that is never healthy"
edge-run --name "$t-a" -- sleep 1000 >/dev/null
is "$(bad '  a: {image: ./busy.tar}')" "69 edge-run: service $t-a: the name is used by one that is not of application $t" "a name that is in use"
edge-stop --rm "$t-a" >/dev/null

# --- health and restarts
cat >again.yaml <<END
name: $t
services:
  flaky:
    image: ./busy.tar
    user: root
    entrypoint: []
    command: sh -c 'echo again; test -e /srv/third && while sleep 1; do :; done; test -e /srv/second && touch /srv/third; touch /srv/second; exit 1'
    restart: on-failure:5
  twice:
    image: ./busy.tar
    user: root
    entrypoint: []
    command: sh -c 'echo again; exit 1'
    restart: on-failure:2
  well:
    image: ./busy.tar
    user: root
    entrypoint: []
    command: sh -c 'touch /tmp/well; while sleep 1; do :; done'
    healthcheck: {test: "test -e /tmp/well && wget -q -O /dev/null http://localhost:1/ || test -e /tmp/well", interval: 100ms, retries: 2}
END
edge-run -f again.yaml >/dev/null
await '[ "$(log twice | grep -c again)" = 3 ] && list | grep -q "twice exited"'
is "$? $(log twice | grep -c again)" "0 3" "what ends is started again, as often as it may"
await 'list | grep -q "flaky running" && [ "$(log flaky | grep -c again)" = 3 ]'
is "$? $(edge-run --list | jq -r 'select(.name == "'"$t"'-flaky") | .restarts')" "0 2" "... with the files that it left"
await 'list | grep -q "well running healthy"'
ok $? "one is healthy"
pid=$(jq .pid "$EDGE_ROOT/var/lib/edge/services/$t-well/service.json")
rm "/proc/$pid/root/tmp/well"
await 'list | grep -q "well running unhealthy"'
ok $? "... then it is not"
touch "/proc/$pid/root/tmp/well"
await 'list | grep -q "well running healthy"'
ok $? "... and again it is"
edge-stop "$t-flaky" >/dev/null
sleep 0.5
is "$(list | grep flaky)" "flaky stopped" "what was stopped is not started again"
edge-stop --rm -f again.yaml >/dev/null
is "$? $(services)" "0 " "all of it is removed"

# --- nothing is left
is "$(ip -br link | grep -c ^ev)" 0 "no interfaces are left"
await '! pgrep -x edge-keeper'
ok $? "no keepers are left"
is "$(find /sys/fs/cgroup -maxdepth 3 -name "$t*" 2>/dev/null)" "" "no cgroups are left"

echo "1..$count"
exit $failed
