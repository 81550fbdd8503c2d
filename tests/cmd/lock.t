#!/bin/bash
# SPDX-License-Identifier: MIT
# shellcheck disable=SC2016 # what is quoted so is for other shells
# edge-lock: one at a time, whoever asks; a holder that dies, is cut off or is robbed. In a directory and in etcd.
# shellcheck source=tests/move/lib.sh
. "$(dirname "$0")/../move/lib.sh"
need etcd curl jq python3
export EDGE_ROOT=$tmp/node PATH=$EDGE_BIN:$PATH
mkdir -p "$EDGE_ROOT/etc/edge"
echo '{"name":"edge1"}' >"$EDGE_ROOT/etc/edge/node.json"
etcd='' holder='' ended=''
end_all() {
	[[ -z $etcd ]] || kill "$etcd"
	[[ -z $holder ]] || kill "$holder" 2>/dev/null
	clean
}
trap end_all EXIT

lock() { # ARG...: "STATUS OUTPUT"
	local out status=0
	out=$(edge-lock "$@" 2>&1) || status=$?
	echo "$status${out:+ $out}"
}
hold() { # OPTION... -- COMMAND...: in the background, until it has the lock
	rm -f "$tmp/held" "$tmp/end" "$tmp/told"
	edge-lock "${@:1:$#-1}" fleet -- sh -c "touch $tmp/held; ${*: -1}" >"$tmp/held.out" 2>"$tmp/held.err" &
	holder=$!
	await 10 test -e "$tmp/held"
}
let_go() { # into `ended`: "STATUS STDERR" of the one in the background
	local status=0
	wait "$holder" || status=$?
	holder=''
	ended="$status $(<"$tmp/held.err")"
}
port() { python3 -c 'import socket; s = socket.socket(); s.bind(("127.0.0.1", 0)); print(s.getsockname()[1])'; }

until_told="until test -e $tmp/end; do sleep 0.1; done"

the_same() { # KIND COMMAND-THAT-REMOVES-THE-LOCK...
	local kind=$1 i all=()
	shift
	is "$kind: a command's output and status are its own" '3 fleet' "$(lock fleet -- sh -c 'echo $EDGE_LOCK; exit 3')"
	is '... one that there is not is told' '69 edge-lock: no-such: cannot run: No such file or directory' "$(lock fleet no-such)"
	is '... and the lock is free again' '0' "$(lock --list)"
	edge-lock fleet -- edge-lock --list >"$tmp/records"
	is 'who has it is written down' '["fleet","edge1"]' "$(jq -c '[.name,.node]' "$tmp/records")"
	is '... as the schema says' '' "$(tests/schema/check 2>&1 <"$tmp/records")"
	hold "$until_told"
	like 'a second one is refused' '^75 edge-lock: lock fleet: busy: edge1 has it since 20.* \(process [0-9]+\)$' "$(lock fleet -- echo ran)"
	is '... silently if it should' '75' "$(lock --quiet fleet -- echo ran)"
	is '... but another name is free' '0 ran' "$(lock other -- echo ran)"
	(sleep 0.5; touch "$tmp/end") &
	is '... and one that waits gets it' '0 ran' "$(lock --wait 30 fleet -- echo ran)"
	let_go
	is '... after the first' '0 ' "$ended"

	echo 0 >"$tmp/n"
	for i in {1..8}; do
		edge-lock --wait 60 fleet -- sh -c "n=\$(cat $tmp/n); sleep 0.05; echo \$((n + 1)) >$tmp/n" &
		all+=($!)
	done
	wait "${all[@]}"
	is 'of eight at once each waits for its turn' 8 "$(<"$tmp/n")"

	# the command of a holder that is killed ends, too
	rm -f "$tmp/ready"
	hold --lease 2 "trap 'touch $tmp/told; exit' TERM; touch $tmp/ready; while :; do sleep 0.1; done"
	await 10 test -e "$tmp/ready"
	kill -KILL "$holder"
	let_go 2>/dev/null
	like 'a killed holder keeps it at first' '^75 ' "$(lock fleet -- true)"
	ok '... its command is told' await 10 test -e "$tmp/told"
	is '... and the next one gets it when the lease is over' '0 ran' "$(lock --wait 30 fleet -- echo ran)"

	hold --lease 8 "$until_told"
	sleep 9
	like 'a live one keeps it for longer than a lease' '^75 ' "$(lock fleet -- true)"
	touch "$tmp/end"
	let_go
	is '... to its end' '0 ' "$ended"

	rm -f "$tmp/late"
	edge-lock fleet -- sh -c "(sleep 0.5; touch $tmp/late) &"
	ok 'what a command leaves running is waited for' test -e "$tmp/late"
	is '... for a lease' '0' "$(lock --lease 2 fleet -- sh -c "trap '' TERM; sleep 60 & echo \$! >$tmp/left")"
	ok '... and then killed' eval '! kill -0 "$(<"$tmp/left")"'

	hold --lease 2 'sleep 60'
	"$@"
	let_go
	is 'who was robbed stops' '75 edge-lock: lock fleet: lost: it was not renewed in time' "$ended"
	hold 'exec sleep 60'
	kill "$holder"
	let_go
	is 'a signal reaches the command' '1 edge-lock: sh: ended by signal 15' "$ended"
	is '... and the lock is free at once' '0' "$(lock --list)"
}

EDGE_REGISTRY=dir:$tmp/registry the_same directory rm "$tmp/registry/lock/fleet.json"

# by its record a lock is over, as when our clock is ahead of its holder's
old() { # SECONDS: until then in a minute long ago
	echo '{"kind":"lock","name":"old","node":"edge2","pid":1,"token":"0123456789abcdef","since":"2026-01-01T00:00:00Z",
		"until":"2026-01-01T00:00:'"$1"'Z","seconds":5}' >"$tmp/old"
	mv "$tmp/old" "$tmp/registry/lock/old.json"
}
old 10
(for i in {11..60}; do sleep 0.5; [[ ! -e $tmp/dead ]] || break; old "$i"; done) &
renewing=$!
like 'a holder that lives keeps it whatever the time is' '^75 edge-lock: lock old: busy: edge2 ' \
	"$(EDGE_REGISTRY=dir:$tmp/registry lock --wait 7 old -- true)"
touch "$tmp/dead"
wait "$renewing"
is '... and that of one that does not is free after a lease' '0 ran' "$(EDGE_REGISTRY=dir:$tmp/registry lock old -- echo ran)"

# the terminal
cat >"$tmp/typist" <<'EOF'
import os, pty, sys
pid, fd = pty.fork()
if not pid:
    os.execvp(sys.argv[1], sys.argv[1:])
said = b''
while b'ready' not in said:
    said += os.read(fd, 1000)
os.write(fd, b'words\n')
try:
    while b'have' not in said or not said.endswith(b'\n'):
        said += os.read(fd, 1000)
except OSError:
    pass
status = os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1])
print(status, said.decode().replace('\r', '').split('\n')[-2])
EOF
typed() { # COMMAND...: at a terminal, where `words` are typed when it is ready; "STATUS LAST-LINE"
	EDGE_REGISTRY=dir:$tmp/registry timeout 60 python3 "$tmp/typist" "$@"
}
is 'a command reads from the terminal' '0 have words' \
	"$(typed edge-lock fleet -- sh -c 'echo ready; read line; echo "have $line"')"
is '... also one whose output goes elsewhere' '0 have words' \
	"$(typed sh -c 'edge-lock fleet -- sh -c "echo ready >&2; read line; echo have \$line" | cat')"
is 'a pager that reads what it writes has the terminal' '0 have words of it' "$(typed sh -c '
	edge-lock fleet -- sh -c "echo of it; until test -e $1/paged; do sleep 0.1; done" | {
		read -r first
		echo ready
		read -r line </dev/tty
		echo "have $line $first"
		touch "$1/paged"
	}' sh "$tmp")"

p=$(port) peer=http://127.0.0.1:$(port)
etcd --data-dir "$tmp/etcd" --listen-client-urls "http://127.0.0.1:$p" --advertise-client-urls "http://127.0.0.1:$p" \
	--listen-peer-urls "$peer" --initial-advertise-peer-urls "$peer" --initial-cluster "default=$peer" </dev/null >"$tmp/etcd.log" 2>&1 &
etcd=$!
await 10 bash -c "</dev/tcp/127.0.0.1/$p"
export EDGE_REGISTRY=etcd://127.0.0.1:$p/edge
the_same etcd curl -sS -o "$tmp/out" "http://127.0.0.1:$p/v3/kv/deleterange" -d "{\"key\":\"$(printf edge/lock/fleet | base64)\"}"
hold --lease 2 "echo \$\$ >$tmp/pid; trap 'touch $tmp/told' TERM; while :; do sleep 0.1; done"
kill -STOP "$etcd"
ok 'while the registry hangs the command is told before the lease is over' await 10 test -e "$tmp/told"
ok '... and killed when it is' await 10 eval '! kill -0 "$(<"$tmp/pid")"'
kill -CONT "$etcd"
let_go
like '... of which its holder tells' '^75 .*edge-lock: lock fleet: lost: ' "$ended"
hold --lease 2 'sleep 60'
kill "$etcd"
wait "$etcd" 2>/dev/null
etcd=''
let_go
like 'who cannot reach the registry stops before its lease is over' '^75 edge-lock: lock fleet: lost: cannot be renewed: ' "$ended"

unset EDGE_REGISTRY
is 'a name that cannot be a key' '65 edge-lock: registry: key lock/a/b: not valid' "$(lock a/b -- true)"
is 'a name alone' '64 edge-lock: no command given (see edge-lock --help)' "$(lock fleet)"
is 'a lease that nobody could renew' '64 edge-lock: --lease 1: not between 2 seconds and a day (see edge-lock --help)' "$(lock --lease 1 fleet true)"
finish
