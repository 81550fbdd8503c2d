#!/bin/bash
# SPDX-License-Identifier: MIT
# edge-checkpoint --pid: a snapshot of processes that are no service. They go on untouched, and criu can restore them when
# they have ended.
. "$(dirname "$0")/lib.sh"
. "$(dirname "$0")/mem.sh"
need jq cc
nodes=(edge1)
lab_up
addr=$subnet.1
start() { # NAME COMMAND: in the background of the node, as somebody might have started it; its pid into `pid`
	on edge1 sh -c "setsid $2 </dev/null >/dev/null 2>&1 & echo \$! >$tmp/$1.pid"
	pid=$(<"$tmp/$1.pid")
}
memsrv "$tmp/memsrv"
# Two processes with a pipe between them, the server a child of a shell.
start mem "sh -c 'sleep 1000 | cat & $tmp/memsrv --mem 16 --write 1; wait'"
await 10 answers
gap_start
sleep 0.3
cgroup=$(on edge1 cat "/proc/$pid/cgroup")

in_node edge1 "edge-checkpoint --pid $pid"
is 'a snapshot of a tree of processes' "0  [\"checkpoint\",$pid,\"edge1\",false]" \
	"$status $told $(jq -c '[.kind, .pid, .from, .held]' <<<"$said")"
like 'its record says how large it is' '"bytes":1[6-9][0-9]{6},"dump_ms":' "$said"
ck=$(jq -r .id <<<"$said")
dir=/var/lib/edge/checkpoints/$ck
sleep 0.3
gap_end
is 'its client lost nothing' '[0,0,0,0,1]' "$gap"
again() { on edge1 sh -c 'id=$(edge-checkpoint --pid "$1" | jq -r .id) && [ "$id" ] && rm -r "/var/lib/edge/checkpoints/$id"' sh "$pid"; }
moment 'and waited for a moment only' again
is 'it is in the cgroups where it was' "$cgroup" "$(on edge1 cat "/proc/$pid/cgroup")"
left() { remains_now edge1 mem | grep -v -x "$dir"; }
is 'nothing but the snapshot is left' '' "$(lasting left)"

in_node edge1 "edge-ship --to edge1 $ck"
is 'it is not shipped as if it were a service' "69 edge-ship: checkpoint $ck: is of processes that are no service: criu restores it (see edge-checkpoint(8))" \
	"$status $told"
in_node edge1 "edge-restore $ck"
is 'nor restored as one' 69 "$status"

all=$(on edge1 ps -o pid= -s "$pid" | tr -d '\n')
# shellcheck disable=SC2086 # several
on edge1 kill -KILL $all 2>/dev/null
not() { ! "$@"; }
await 5 not answers
in_node edge1 "criu restore -d --shell-job --tcp-close -D $dir -o restore.log"
is 'criu restores it' 0 "$status"
ok 'its memory is whole' answers
is 'all of its processes are there' "$all" "$(on edge1 ps -o pid= -s "$pid" | tr -d '\n')"
# shellcheck disable=SC2086
on edge1 kill -KILL $all 2>/dev/null
on edge1 rm -r "$dir"

# --- what is refused

refused() { # TITLE ARGUMENTS STATUS PATTERN
	in_node edge1 "edge-checkpoint --pid $2"
	is "$1: it is refused" "$3" "$status"
	like "$1: it says why" "$4" "$told"
}
refused 'no such process' 999999 69 '^edge-checkpoint: process 999999: no such process$'
refused 'its own shell' "\$\$" 64 '^edge-checkpoint: process [0-9]*: this program is one of its children$'
start odd 'sleep 100'
for fault in 1 5; do
	in_node edge1 "CRIU_FAULT=$fault edge-checkpoint --pid $pid"
	is "criu fails ($fault)" 69 "$status"
	like 'it says why' "^edge-checkpoint: process $pid: criu: dump: " "$told"
	like 'they go on' '^[SR]' "$(on edge1 ps -o stat= -p "$pid")"
done
addr=$subnet.60
run s -- sleep 1000
refused 'a service' "\$(sed -n 's/.*\"pid\":\([0-9]*\).*/\1/p' /var/lib/edge/services/s/service.json)" 64 \
	'^edge-checkpoint: process [0-9]*: belongs to service s, which has a name$'
stop edge1 s
is 'nothing is left' '' "$(remains edge1 s)"
finish
