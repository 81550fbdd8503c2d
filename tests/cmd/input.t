#!/bin/bash
# SPDX-License-Identifier: MIT
# Bad input costs nothing: one line on stderr, a documented exit status, and neither node, the service, its connection
# nor the registry has changed.
# shellcheck source=tests/move/lib.sh
. "$(dirname "$0")/../move/lib.sh"
need python3 script ssh-keygen
lab_up
# shellcheck disable=SC2016 # for the service's shell
run web --port 8080 -- python3 -c '
import socket, sys
s = socket.create_server(("", 8080))
while True:
    c, _ = s.accept()
    while True:
        d = c.recv(100)
        if not d: break
        c.sendall(d)'

# --- a client whose connection lives through all of it, and what must not change

await 20 bash -c "exec 3<>/dev/tcp/$addr/8080"
exec {wire}<>"/dev/tcp/$addr/8080"
echoes() {
	local got
	echo "$1" >&"$wire"
	read -r -t 5 -u "$wire" got && [[ $got == "$1" ]]
}
state() {
	local n
	for n in edge1 edge2; do
		# shellcheck disable=SC2016 # for the node's shell
		on "$n" sh -c '
			cd /var/lib/edge && find . -path "./store/memory/*" -prune -o -path "*/work" -prune -o ! -path "*/log" -mindepth 2 \
				-printf "%p %y %s\n" | grep -v "^./store" | sort
			ls -d /run/edge/netns/* /run/edge/move-* 2>/dev/null
			find /sys/fs/cgroup -path "*/edge/*" -name cgroup.freeze -exec cat {} +
			ps -eo args= | grep -e "[e]dge-keepe" -e "[c]riu " -e "[e]dge-[a-z]* " | sort'
	done
	cat "$EDGE_LAB_DIR"/registry/*/*.json
}
settled() { # what a killed or refused program leaves to others to clear up needs a moment
	state >"$tmp/now"
	diff "$tmp/before" "$tmp/now"
}
note_state() { # when what has just ended is gone
	state >"$tmp/before"
	for _ in {1..40}; do
		sleep 0.5
		! settled >/dev/null || return 0
		mv "$tmp/now" "$tmp/before"
	done
}
line() { # STATUS PATTERN (whole line): what a program has done
	[[ $(<"$tmp/status") == "$1" ]] || { echo "status: $(<"$tmp/status"), wanted: $1"; cat "$tmp/stderr"; return 1; }
	[[ $(wc -l <"$tmp/stderr") == 1 && $(<"$tmp/stderr") =~ ^$2$ ]] || { echo "wanted: $2"; cat "$tmp/stderr"; return 1; }
	[[ ! -s $tmp/stdout ]] || { echo 'on stdout:'; cat "$tmp/stdout"; return 1; }
}
refused() { # TITLE STATUS PATTERN COMMAND...: run on edge1
	local title=$1 status=$2 pattern=$3
	shift 3
	on edge1 "$@" >"$tmp/stdout" 2>"$tmp/stderr" </dev/null
	echo $? >"$tmp/status"
	ok "$title" line "$status" "$pattern"
}
unchanged() { # TITLE
	await 5 settled
	ok "... $1" settled
	ok "... and the connection lives" echoes "still there $count"
}
note_state
ok "a service with a client" echoes hello

# --- names that nobody knows

for program in stop checkpoint; do
	refused "edge-$program: unknown service" 69 "edge-$program: service nosuch: no such service on this node" "edge-$program" nosuch
done
refused "edge-migrate: unknown service" 69 "edge-migrate: service nosuch: no such service on this node" edge-migrate nosuch --to edge2
refused "edge-migrate: unknown service elsewhere" 69 "edge-migrate: service nosuch: no such service on this node" \
	edge-migrate nosuch --from edge2 --to edge1
refused "a name over two lines" 69 "edge-stop: service a b: no such service on this node" edge-stop $'a\nb'
refused "a name that is a path" 69 "edge-stop: service ../registry: no such service on this node" edge-stop ../registry
missing='node nowhere: not in the registry'
refused "edge-run: unknown node" 69 "edge-run: $missing" edge-run --on nowhere --name x -- true
refused "edge-stop: unknown node" 69 "edge-stop: $missing" edge-stop --on nowhere web
refused "edge-migrate: unknown node" 69 "edge-migrate: $missing" edge-migrate web --to nowhere
refused "edge-migrate: unknown source" 69 "edge-migrate: $missing" edge-migrate web --from nowhere --to edge2
refused "edge-checkpoint: unknown source" 69 "edge-checkpoint: $missing" edge-checkpoint web --from nowhere
refused "edge-restore: unknown node" 69 "edge-restore: $missing" edge-restore --on nowhere 00112233445566778899aabbccddeeff
refused "edge-restore: unknown checkpoint" 69 'edge-restore: this node: checkpoint 00112233445566778899aabbccddeeff: not on this node' \
	edge-restore 00112233445566778899aabbccddeeff
refused "edge-ship: unknown checkpoint" 69 'edge-ship: checkpoint 00112233445566778899aabbccddeeff: not on this node' \
	edge-ship --to edge2 00112233445566778899aabbccddeeff
refused "edge-ship: a checkpoint that is a path" 65 'edge-ship: checkpoint: not an id: ../../etc' edge-ship --to edge2 ../../etc
refused "edge-migrate: to where it is" 64 'edge-migrate: service web: is on node edge1 already' edge-migrate web --to edge1
unchanged "unknown names change nothing"

# --- options

refused "no service" 64 'edge-stop: no service named \(see edge-stop --help\)' edge-stop
refused "no service to move" 64 'edge-migrate: no service named .*' edge-migrate --to edge2
refused "no destination" 64 'edge-migrate: --to is missing .*' edge-migrate web
refused "an argument is missing" 64 'edge-migrate: --to: argument missing: NODE .*' edge-migrate web --to
refused "an argument too many" 64 'edge-migrate: --dry-run: takes no argument .*' edge-migrate web --to edge2 --dry-run=yes
refused "not a number" 64 'edge-stop: --grace: not a number: soon .*' edge-stop --grace soon web
refused "a negative number" 64 'edge-stop: --grace: not a number: -1 .*' edge-stop --grace=-1 web
refused "a number out of bounds" 64 'edge-stop: --grace: more than 3600 seconds: 1e\+06 .*' edge-stop --grace 1000000 web
refused "not one of the words" 64 'edge-run: --type: not one of stateful\|stateless: heavy .*' edge-run --type heavy --name x -- true
refused "not a whole number" 64 'edge-checkpoint: --hold: not a whole number: 1.5 .*' edge-checkpoint --hold 1.5 web
refused "a hold out of bounds" 64 'edge-checkpoint: --hold: more than 86400 seconds: 4294967297 .*' edge-checkpoint --hold 4294967297 web
refused "a process and a service" 64 'edge-checkpoint: --pid: takes no service .*' edge-checkpoint --pid 1 web
refused "an operand for edge-serve" 64 'edge-serve: web: takes no operands .*' edge-serve web
refused "an address that nobody could reach" 69 "edge-run: service x: address 10.9.9.9: not in the network of bridge br0, which has $subnet.1/24" \
	edge-run --name x --addr 10.9.9.9 -- true
refused "... also at another node" 69 "edge-run: service x: address 10.9.9.9: not in the network of bridge br0, which has $subnet.2/24" \
	edge-run --on edge2 --name x --addr 10.9.9.9 -- true
refused "two services to checkpoint" 64 'edge-checkpoint: one service, or - .*' edge-checkpoint web web
refused "not a node's URL" 64 'edge-migrate: ssh://: not of the form ssh://\[user@\]host\[:port\]' edge-migrate web --to ssh://
refused "an option as a host" 64 'edge-migrate: ssh://-oProxyCommand=x: not of the form .*' edge-migrate web --to ssh://-oProxyCommand=x
refused "not a registry" 64 'edge-migrate: registry x:y: not of the form dir:/path, etcd://host:port/prefix or ldap://host/base' env EDGE_REGISTRY=x:y edge-migrate web --to edge2
refused "no such program" 64 'edge: frob: no such program .*' edge frob
unchanged "wrong options change nothing"

# --- the way to another node

ssh-keygen -q -t ed25519 -N '' -f "$tmp/key"
ssh-keygen -q -t ed25519 -N secret -f "$tmp/locked"
sed "s|^\(edge2[^ ]*\) .*|\1 $(cut -d' ' -f1,2 "$tmp/key.pub")|" "$EDGE_LAB_DIR/host/known_hosts" >"$tmp/changed"
: >"$tmp/empty"
unreachable() { # TITLE STATUS PATTERN VARIABLE=VALUE NODE
	refused "$1" "$2" "edge-migrate: node $5: $3" env "$4" edge-migrate web --to "$5"
}
unreachable "a key that is refused" 77 "key refused: user root, key $tmp/key.*" EDGE_IDENTITY="$tmp/key" edge2
unreachable "a key with a passphrase" 77 "key refused: .*" EDGE_IDENTITY="$tmp/locked" edge2
unreachable "a key that is not there" 77 "cannot read key $tmp/none: No such file or directory" EDGE_IDENTITY="$tmp/none" edge2
unreachable "a host key that has changed" 77 "host key has changed: it is now SHA256:.{43}" EDGE_KNOWN_HOSTS="$tmp/changed" edge2
unreachable "a host key that is unknown" 77 "host key is unknown: SHA256:.{43}" EDGE_KNOWN_HOSTS="$tmp/empty" edge2
unreachable "no known hosts" 77 "cannot check the host key: $tmp/none: No such file or directory" EDGE_KNOWN_HOSTS="$tmp/none" edge2
refused "nobody listens" 69 "edge-migrate: node $subnet.2: cannot connect: Connection refused" edge-migrate web --to "ssh://$subnet.2:1"
echo '{"kind":"node","name":"odd"}' >"$EDGE_LAB_DIR/registry/node/odd.json"
refused "a node without an address" 65 'edge-migrate: node odd: its record in the registry has no usable address' edge-migrate web --to odd
echo '{"kind":"node",' >"$EDGE_LAB_DIR/registry/node/odd.json"
refused "a node whose record is broken" 65 'edge-migrate: node odd: .*' edge-migrate web --to odd
rm "$EDGE_LAB_DIR/registry/node/odd.json"
on edge2 edge-run --name web -- sleep 1000 >/dev/null
on edge1 edge-migrate web --to edge2 >"$tmp/stay" 2>"$tmp/stderr"
echo $? >"$tmp/status"
: >"$tmp/stdout"
ok "a destination that refuses" line 69 'edge-migrate: node edge2: refuses: instance: another instance has the name web \([0-9a-f]{16}\)'
like "... says so in a record, too" '^\{"kind":"move","action":"stay".*"refusals":\[\{"check":"instance"' "$(<"$tmp/stay")"
on edge2 edge-stop --rm --grace 0 web >/dev/null
unchanged "a move that cannot begin changes nothing"

# --- records

broken() { # TITLE LINE: as the second line of input, behind a record that is passed on
	local program
	for program in 'edge-run -' 'edge-stop -' 'edge-migrate - --to edge2' 'edge-checkpoint -' 'edge-ship --to edge2' edge-restore; do
		printf '%s\n%s\n' '{"kind":"node","name":"n"}' "$2" >"$tmp/in"
		on edge1 sh -c "$program <$tmp/in" >"$tmp/stdout" 2>"$tmp/stderr"
		echo $? >"$tmp/status"
		is "${program%% *}: $1: what came before is passed on" '{"kind":"node","name":"n"}' "$(<"$tmp/stdout")"
		: >"$tmp/stdout"
		ok "... and the line is named" line 65 "${program%% *}: stdin: line 2: .+"
	done
}
broken "a line that is cut off" '{"kind":"move","action":"stop","service":"web"'
broken "a line that is no object" '["move"]'
refused "a line that is nested too deep" 65 'edge-ship: stdin: line 1: .*' \
	sh -c "printf '%100s%100s\n' '' '' | sed 's/ \{100\}/{\"a\":/;s/ /{\"a\":/g' | edge-ship"
refused "bytes that are no text" 65 'edge-ship: stdin: line 1: .*' sh -c "head -c 1000 /bin/true | edge-ship"
refused "a checkpoint without an id" 1 'edge-ship: checkpoint without an id' sh -c 'echo "{\"kind\":\"checkpoint\"}" | edge-ship --to edge2'
refused "a checkpoint that goes nowhere" 1 'edge-ship: checkpoint 00112233445566778899aabbccddeeff: not on this node' \
	sh -c 'echo "{\"kind\":\"checkpoint\",\"id\":\"00112233445566778899aabbccddeeff\"}" | edge-ship'
refused "a shipment without a checkpoint" 1 'edge-restore: shipment without a checkpoint' sh -c 'echo "{\"kind\":\"shipment\"}" | edge-restore'
refused "a move without a service" 1 'edge-migrate: move without a service or a destination' \
	sh -c 'echo "{\"kind\":\"move\",\"action\":\"migrate\"}" | edge-migrate -'
refused "a stop without a service" 1 'edge-stop: move: the record to stop a service does not name it' \
	sh -c 'echo "{\"kind\":\"move\",\"action\":\"stop\"}" | edge-stop -'
refused "a checkpoint of a move without a service" 1 'edge-checkpoint: .+' \
	sh -c 'echo "{\"kind\":\"move\",\"action\":\"migrate\"}" | edge-checkpoint -'
refused "a start without a definition" 1 'edge-run: service x: the record to start it has no service_spec' \
	sh -c 'echo "{\"kind\":\"move\",\"action\":\"start\",\"service\":\"x\"}" | edge-run -'
refused "a definition that leads out of its root" 1 'edge-run: service: path: /\.\./x: not a plain absolute path' sh -c \
	'echo "{\"kind\":\"move\",\"action\":\"start\",\"service_spec\":{\"name\":\"x\",\"argv\":[\"true\"],\"volumes\":[{\"host\":\"/tmp\",\"path\":\"/../x\"}]}}" | edge-run -'
unchanged "bad records change nothing"

# --- a pipe that breaks does not leave the service frozen until the holder gives up

thaws() { # COMMAND behind the holder
	local start=$SECONDS
	on edge1 sh -c "edge-checkpoint --hold 90 web | $1" >"$tmp/stdout" 2>"$tmp/stderr"
	((SECONDS - start < 45)) || { echo "took $((SECONDS - start)) s"; cat "$tmp/stderr"; return 1; }
}
ok "a shipment that goes nowhere frees the service" thaws 'edge-ship --to nowhere'
ok "... so does a restore at a node that does not have it" thaws \
	"sed -u 's/.kind.:.checkpoint.,.id./\"kind\":\"shipment\",\"to\":\"edge2\",\"checkpoint\"/' | edge-restore"
ok "... and a reader that goes away" thaws true
unchanged "a pipe that breaks changes nothing"

# --- terminals, and output that cannot be written

for program in edge-ship edge-restore; do
	on edge1 script -qec "$program 2>$tmp/stderr" /dev/null </dev/null >"$tmp/stdout"
	is "$program on a terminal exits with 64" 64 $?
	like "... and says what it is for" "^Usage: $program .*see $program --help\$" "$(tr '\n' ' ' <"$tmp/stderr" | sed 's/ $//')"
done
on edge1 script -qec "edge-serve 2>$tmp/stderr" /dev/null </dev/null >"$tmp/stdout"
echo $? >"$tmp/status"
: >"$tmp/stdout"
ok "edge-serve on a terminal says who runs it" line 64 'edge-serve: standard input is a terminal: sshd runs this .*'
refused "help that cannot be written" 74 'edge-run: cannot write to standard output: No space left on device' sh -c 'edge-run --help >/dev/full'
refused "records that cannot be passed on" 74 'edge-ship: .*' sh -c 'echo "{\"kind\":\"node\"}" | edge-ship >/dev/full'
refused "something that is no edge program" 65 'edge-serve: caller: .*' sh -c 'printf "GET / HTTP/1.0\r\n\r\n" | edge-serve >/dev/null'

# --- checkpoints that are damaged

on edge1 edge-checkpoint --leave-running --to edge2 web >"$tmp/checkpoint" 2>"$tmp/stderr"
id=$(sed -n 's/.*"id":"\([0-9a-f]\{32\}\)".*/\1/p' "$tmp/checkpoint")
like "a snapshot to be damaged" '^[0-9a-f]{32}$' "$id"
note_state
here=/var/lib/edge/checkpoints/$id
damage() { # COMMAND in the checkpoint's folder
	on edge1 sh -c "cp -a $here /var/lib/edge/whole && cd $here && $1"
}
repair() { on edge1 sh -c "rm -rf $here && mv /var/lib/edge/whole $here"; }
kinds=(
	'a list of pages that is cut off: truncate -s -3 pagemap-1.img'
	'a list of pages that is gone: rm pagemap-1.img'
	'images that are gone: rm inventory.img'
	'an image that is cut off: truncate -s -3 core-1.img'
	'an image with a changed byte: printf X | dd of=core-1.img bs=1 seek=100 conv=notrunc 2>/dev/null'
	'a description that is cut off: truncate -s -3 checkpoint.json'
)
for kind in "${kinds[@]}"; do
	damage "${kind#*: }"
	refused "edge-ship: ${kind%%: *}" 65 "edge-ship: .*" edge-ship --to edge2 "$id"
	repair
done
unchanged "damaged checkpoints are not shipped"
exec {wire}>&-
on edge1 edge-stop --grace 0 web >/dev/null
note_state
for kind in "${kinds[@]}"; do
	damage "${kind#*: }"
	refused "edge-restore: ${kind%%: *}" 65 "edge-restore: .*" edge-restore "$id"
	repair
done
await 5 settled
ok "... damaged checkpoints are not restored" settled
like "the whole one is" '"state":"running"' "$(on edge1 edge-restore "$id" 2>&1)"

# --- what has moved away is no longer this node's

on edge1 edge-migrate web --to edge2 >/dev/null
note_state
refused "edge-stop where a service was" 69 'edge-stop: service web: has moved away \(edge-stop --rm web removes what it left\); it is on node edge2 \(--on edge2\)' edge-stop web
refused "edge-checkpoint where a service was" 69 'edge-checkpoint: service web: does not run here; it is on node edge2 \(--from edge2\)' edge-checkpoint web
refused "edge-migrate where a service was" 69 'edge-migrate: service web: does not run here; it is on node edge2 \(--from edge2\)' edge-migrate web --to edge2
await 5 settled
ok "... the registry still says where it runs" settled
on edge1 edge-run --name brief -- sh -c 'exec sleep 0.5' >/dev/null
ended() {
	on edge1 edge-run --list | grep '"name":"brief"' | grep -q '"state":"exited"'
}
await 10 ended
refused "edge-migrate of one that has ended" 69 'edge-migrate: service brief: has ended \(its log: /var/lib/edge/services/brief/log\)' \
	edge-migrate brief --to edge2
finish
