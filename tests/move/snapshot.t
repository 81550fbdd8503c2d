#!/bin/bash
# SPDX-License-Identifier: MIT
# edge-checkpoint --leave-running: the service goes on, and its state of that moment, files included, can be restored when
# it is gone, here or elsewhere, whatever it did meanwhile.
. "$(dirname "$0")/lib.sh"
. "$(dirname "$0")/mem.sh"
need jq cc
nodes=(edge1 edge2 edge3)
lab_up

# --- a service that counts, into its volume and into its root

on edge1 mkdir -p /var/lib/edge/data
run c --volume /var/lib/edge/data:/data -- sh -c 'n=0
	while :; do n=$((n + 1)); echo $n >>/data/log; echo $n >>/var/tmp/log; echo $n; sleep 0.02; done'
id=$(jq -r .id "$tmp/record")
count() { on "$1" tail -n 1 "$2/log"; }
past() { (($(count "$1" "$2") > $3)); }                                    # NODE DIR COUNT
whole() { on "$1" cat "$2/log" | awk '$1 != NR { exit 1 } END { exit !NR }'; } # NODE DIR: no count lost or doubled
overlay=/var/lib/edge/services/c/upper/var/tmp

await 10 past edge1 /var/lib/edge/data 20
in_node edge1 'edge-checkpoint --leave-running c'
is 'a snapshot is taken' '0  ["checkpoint","c","edge1",false]' \
	"$status $told $(jq -c '[.kind, .service, .from, .held]' <<<"$said")"
like 'its record says how large it is and how long it took' '"bytes":[0-9]+,"dump_ms":[0-9.]+}$' "$said"
ck=$(jq -r .id <<<"$said")
at=$(count edge1 "/var/lib/edge/checkpoints/$ck/folders/1")
ok 'the service goes on' await 5 past edge1 /var/lib/edge/data $((at + 30))
is 'its files in the snapshot do not' "$at $at" \
	"$(count edge1 "/var/lib/edge/checkpoints/$ck/folders/1") $(count edge1 "/var/lib/edge/checkpoints/$ck/folders/0/var/tmp")"
in_node edge1 'edge-restore '"$ck"
is 'it is not restored beside itself' "69 edge-restore: this node: service c: runs here already" "$status $told"
in_node edge1 "edge-ship --to edge2 $ck | edge-restore"
is 'nor elsewhere while it runs' '0 1' "$status"
is 'and it says where' "edge-restore: checkpoint $ck: instance $id of service c runs on node edge1" "$told"

on edge1 edge-migrate --quiet c --to edge3 "${patient[@]}" >"$tmp/moved" 2>&1 || sed 's/^/# /' "$tmp/moved"
ok 'it moves on' await 5 past edge3 /var/lib/edge/services/c/volumes/0 $((at + 60))
on edge1 edge-stop --rm c >/dev/null
on edge3 edge-stop --rm c >/dev/null
in_node edge1 "edge-ship --to edge2 $ck | edge-restore"
is 'when it is gone, it is restored elsewhere' '0 0' "$status"
is 'its record says from what' "[\"$id\",\"edge2\",\"$ck\"]" "$(jq -c '[.id, .node, .restored.checkpoint]' <<<"$said")"
ok 'it counts on' await 5 past edge2 /var/lib/edge/services/c/volumes/0 $((at + 20))
ok 'its volume is as it was' whole edge2 /var/lib/edge/services/c/volumes/0
ok 'its root is as it was' whole edge2 $overlay
stop edge2 c
is 'what was shipped is used up' '' "$(remains edge2 c)"

for i in 1 2; do
	in_node edge1 "edge-restore $ck"
	is "it is restored where it was taken, time $i" '0  "edge1"' "$status $told $(jq -c .node <<<"$said")"
	ok "it counts on, time $i" await 5 past edge1 /var/lib/edge/data $((at + 20))
	ok "its volume is as it was, time $i" whole edge1 /var/lib/edge/data
	ok "its root is as it was, time $i" whole edge1 $overlay
	stop edge1 c
done

# --- connections

mem_root
mem_run m
gap_start
sleep 0.5
in_node edge1 'edge-checkpoint --leave-running m'
is 'a service with a client' '0' "$status"
sleep 0.5
gap_end
is 'its client lost nothing' '[0,0,0,0,1]' "$gap"
on edge1 rm -r "/var/lib/edge/checkpoints/$(jq -r .id <<<"$said")"
again() { on edge1 sh -c 'id=$(edge-checkpoint --leave-running m | jq -r .id) && [ "$id" ] && edge-checkpoint --remove "$id"' >/dev/null; }
moment 'and waited for a moment only' again
ok 'its memory is whole' answers
stop edge1 m

# --- damage

dir=/var/lib/edge/checkpoints/$ck
damaged() { # TITLE COMMANDS: what they do to the checkpoint is noticed
	on edge1 sh -c "cp -a $dir $dir.whole && cd $dir && $2"
	in_node edge1 "edge-ship --to edge2 $ck"
	is "$1: it is not shipped" '65 1' "$status $(wc -l <<<"$told")" || echo "# $told"
	in_node edge1 "edge-restore $ck"
	is "$1: it is not restored" '65 1' "$status $(wc -l <<<"$told")" || echo "# $told"
	on edge1 sh -c "rm -rf $dir && mv $dir.whole $dir"
}
damaged 'the record of a checkpoint is cut short' 'truncate -s 100 checkpoint.json'
damaged 'a list of pages is cut short' 'truncate -s 20 pagemap-1.img'
damaged 'an image is gone' 'rm inventory.img'
damaged 'an image of a process is gone' 'rm core-1.img'
damaged 'the index of its memory is cut short' 'truncate -s 100 memory/index'
damaged 'its memory is gone' 'rm -r memory'
# shellcheck disable=SC2016 # for perl
damaged 'a page is damaged' 'perl -e "open F, \"+<\", \$ARGV[0]; sysseek F, 0, 3; syswrite F, 42" $(ls memory/*.0 | head -n 1)'
damaged 'the copies of its folders are gone' 'rm -r folders'
damaged 'a file in a folder is damaged' 'echo x >>folders/1/log'
in_node edge1 "edge-restore $ck"
is 'the whole one can be restored still' 0 "$status"
stop edge1 c
is 'nothing is left at the destination' '' "$(remains edge2 c)"
left() { remains_now edge1 c | grep -v -x "$dir"; }
is 'nothing but the snapshot is left where it was taken' '' "$(lasting left)"
finish
