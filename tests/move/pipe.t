#!/bin/bash
# SPDX-License-Identifier: MIT
# edge-checkpoint, edge-ship and edge-restore as programs in a pipe: what they do, and that a pipe that breaks at any joint
# leaves the service where it was, with its connections.
. "$(dirname "$0")/lib.sh"
. "$(dirname "$0")/mem.sh"
need jq cc
nodes=(edge1 edge2 edge3)
lab_up
mem_root
mem_run m
gap_start
id=$(jq -r .id "$tmp/record")

# --- the way it is meant

in_node edge1 'edge-checkpoint m | edge-ship --to edge2 | edge-restore'
is 'a pipe moves a service' '0 0 0' "$status"
is 'it says nothing else' '' "$told"
is 'its record comes from the destination' "[\"service\",\"$id\",\"edge2\",\"running\",1,\"edge1\"]" \
	"$(jq -c '[.kind, .id, .node, .state, .epoch, .restored.from]' <<<"$said")"
is 'the registry knows' '["edge2","running",1]' \
	"$(jq -c '[.node, .state, .epoch]' "$EDGE_LAB_DIR/registry/service/$id.json")"
is 'nothing is left at the source' '' "$(remains edge1 m)"

in_host 'edge-checkpoint --from edge2 m | tee >(cat >&2) | edge-ship --to edge1 | tee >(cat >&2) | edge-restore'
is 'a third machine moves it back' '0 0 0 0 0' "$status"
like 'a checkpoint says where it is and that it is held' '"kind":"checkpoint".*"from":"edge2".*"held":true' "$told"
like 'a shipment says how much was there already' '"kind":"shipment".*"to":"edge1".*"held":true.*"bytes_there":' "$told"
is 'most was there already' true "$(grep shipment <<<"$told" | jq '.bytes_there > 0.7 * .bytes_raw')"
is 'its record names both nodes' '["edge1","edge2",2]' "$(jq -c '[.node, .restored.from, .epoch]' <<<"$said")"
is 'nothing is left there' '' "$(remains edge2 m)"

records='{"kind":"node","name":"far",  "extra":[1]}
{"kind":"move","action":"stay","service":"m","why":"it is well here"}
{"kind":"move","action":"migrate","service":"m","from":"edge1","to":"edge2"}
{"kind":"latency","from":"edge1","to":"edge2","rtt_ms":{"p50":2.0}}'
in_host "edge-checkpoint - <<<'$records' | edge-ship | edge-restore"
is 'a plan is carried out' '0 0 0' "$status"
is 'what is not theirs, they pass on as it is' "$(sed -n '1,2p;4p' <<<"$records")" "$(sed -n '1,2p;4p' <<<"$said")"
is 'and in order' '["service","edge2"]' "$(sed -n 3p <<<"$said" | jq -c '[.kind, .node]')"
in_node edge3 'edge-checkpoint --from edge2 --to edge1 m | edge-ship | edge-restore'
is 'so does any node' '0 0 0 ["edge1",4]' "$status $(jq -c '[.node, .epoch]' <<<"$said")"

# --- what breaks it

goes_on='edge-checkpoint: service m: could not be handed over: it goes on here'
in_node edge1 'edge-checkpoint m | edge-ship --to nowhere | edge-restore'
is 'an unknown destination' '75 1 0' "$status"
is 'who cannot ship says why, and the holder goes on' "edge-ship: node nowhere: not in the registry
$goes_on" "$(sort -r <<<"$told")"
in_host 'edge-checkpoint --from edge1 m | edge-ship --to nowhere | edge-restore'
is 'an unknown destination, seen from elsewhere' '75 1 0' "$status"
is 'each says it once' "edge-ship: node nowhere: not in the registry
$goes_on" "$(sort -r <<<"$told")"
in_node edge1 'edge-checkpoint m | edge-ship --to ssh://127.0.0.1:9 | edge-restore'
is 'a destination that cannot be reached' '75 1 0' "$status"

in_node edge1 'edge-checkpoint --hold 1 m | cat'
is 'nobody takes it in time' '75 0' "$status"
is 'the holder says so' 'edge-checkpoint: service m: nobody took it in time: it goes on here' "$told"
in_node edge1 'edge-checkpoint m | head -n 1'
is 'its reader goes away' '75 0' "$status"
is 'the holder says that, too' 'edge-checkpoint: service m: nobody reads its record any more: it goes on here' "$told"
in_host 'edge-checkpoint --from edge1 m | head -n 1'
is 'its reader goes away at another machine' '74 0' "$status"
is 'the program there says it' 'edge-checkpoint: cannot write: Broken pipe' "$told"
in_node edge1 'edge-checkpoint m | edge-ship --to edge2 | head -n 1'
is 'the last of a pipe goes away' '75 74 0' "$status"

for signal in INT TERM HUP; do
	in_node edge1 "edge-checkpoint m >$tmp/held & pid=\$!
		until [[ -s $tmp/held ]]; do sleep 0.05; done
		kill -$signal \$pid
		wait \$pid
		(exit \$?)"
	is "SIG$signal thaws it" '75 edge-checkpoint: service m: interrupted: it goes on here' "$status $told"
	rm -f "$tmp/held"
done
PATH=$EDGE_BIN:$PATH edge-checkpoint --from edge1 m >"$tmp/held" &
pid=$!
await 10 test -s "$tmp/held"
kill "$pid"
wait "$pid"
ok 'so does the end of the program that asked for it from elsewhere' await 5 answers

# Three stages in three places, to get in between.
broken() { # TITLE EDGE-RESTORE-COMMAND PATTERN
	in_node edge2 "$2 <$tmp/shipment"
	is "$1: it is not restored" 1 "$status"
	like "$1: one says why" "$3" "$told"
	is "$1: in one line" 1 "$(wc -l <<<"$told")"
}
ship() { # HOLD-SECONDS: leaves a holder in the background
	on edge1 bash -c "edge-checkpoint --hold $1 m | edge-ship --to edge2" >"$tmp/shipment" 2>"$tmp/holder" &
	holder=$!
	await 20 eval '[[ -s $tmp/shipment ]] || gone "$holder"'
}
let_go() { # TITLE: the holder has heard of it
	ok "$1: the holder ends" await 5 gone "$holder"
	is "$1: it goes on at the source" "$goes_on" "$(<"$tmp/holder")"
	rm -f "$tmp/shipment"
}
ship 30
broken 'CRIU fails' "CRIU_FAULT=6 edge-restore" '^edge-restore: .*criu: restore: '
let_go 'CRIU fails'
ship 30
on edge3 ip addr add "$addr/24" dev br0
broken 'the address is taken' edge-restore "^edge-restore: .*address $addr: in use by another machine\$"
on edge3 ip addr del "$addr/24" dev br0
let_go 'the address is taken'
ship 30
on edge2 sh -c 'fallocate -l $(($(df --output=avail -B1 /var/lib/edge | tail -n 1) - 100000)) /var/lib/edge/ballast
	dd if=/dev/zero bs=4096 oflag=append conv=notrunc of=/var/lib/edge/ballast' 2>/dev/null
broken 'the disk is full' edge-restore 'No space left on device'
on edge2 rm /var/lib/edge/ballast
let_go 'the disk is full'
ship 30
in_node edge2 "edge-restore <$tmp/shipment & edge-restore <$tmp/shipment; a=\$?; wait \$!; echo \$((a + \$?)) >$tmp/sum"
is 'of two that restore it, one does' '1 1' "$(<"$tmp/sum") $(wc -l <<<"$said")"
ok '... and the holder has heard of it' await 5 gone "$holder"
rm -f "$tmp/shipment"
in_node edge2 'edge-checkpoint m | edge-ship --to edge1 | edge-restore'
for _ in 1 2 3; do # once it has got so far before the holder gives up
	ship 3
	[[ ! -s $tmp/shipment ]] || break
done
ok 'a holder gives up while it is under way' await 10 gone "$holder"
broken 'nobody waits for it' edge-restore '^edge-restore: .*checkpoint [0-9a-f]*: not on this node$'

ok 'after all of that the service answers, and its memory is whole' answers
gap_end
is 'its client lost nothing, on one connection' '[0,0,0,0,1]' "$gap"
ok 'nor did it wait for much longer than it was held' jq -e '.longest_gap_ms < 15000' "$tmp/gap"
is 'nothing is left at the destination' '' "$(remains edge2 m)"
left() { remains_now edge1 m | grep -v -e netns/m -e cgroup -e services/m -e ' ev' -e edge-keepe; }
is 'nothing but the service is left at the source' '' "$(lasting left)"
finish
