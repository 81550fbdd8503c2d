#!/bin/bash
# SPDX-License-Identifier: MIT
# Checkpoints that stay at a node: each has what it needs, whatever becomes of its service and of others meanwhile; one that
# cannot be restored leaves everything as it was; and they can be listed and removed.
. "$(dirname "$0")/lib.sh"
. "$(dirname "$0")/mem.sh"
need jq cc
nodes=(edge1 edge2 edge3)
lab_up

# --- a service that counts, into a volume, into its root and in its memory

on edge1 mkdir -p /var/lib/edge/data
run c --volume /var/lib/edge/data:/data -- sh -c 'n=0
	while :; do n=$((n + 1)); echo $n >>/data/log; echo $n >>/var/tmp/log; sleep 0.02; done'
id=$(jq -r .id "$tmp/record")
count() { on "$1" tail -n 1 "$2/log"; }
past() { (($(count "$1" "$2") > $3)); }                                    # NODE DIR COUNT
whole() { on "$1" cat "$2/log" | awk '$1 != NR { exit 1 } END { exit !NR }'; } # NODE DIR: no count lost or doubled
here=/var/lib/edge/services/c
await 10 past edge1 /var/lib/edge/data 20
in_node edge1 'edge-checkpoint --leave-running c'
ck=$(jq -r .id <<<"$said")
at=$(count edge1 "/var/lib/edge/checkpoints/$ck/folders/1")

# --- what was brought to a node does not lie in the service's place

in_node edge1 "edge-ship --to edge2 $ck"
is 'a snapshot is brought to another node' '0 ' "$status $told"
in_node edge1 'edge-checkpoint --leave-running c | edge-ship --to edge2'
is 'of a second one, what the first one has is not sent again' '0 0  true' "$status $told $(jq '.bytes_sent < 0.5 * .bytes_raw' <<<"$said")"
second=$(jq -r .checkpoint <<<"$said")
in_node edge1 "edge-checkpoint --remove $second; edge-checkpoint --from edge2 --remove $second"
ok 'nothing of it is in the place of a service' on edge2 sh -c "! test -e $here"
ok 'its memory is its own' on edge2 sh -c "test -d /var/lib/edge/checkpoints/$ck/memory && ! test -e /var/lib/edge/store/memory/$id"
ok 'the instance moves there' on edge1 edge-migrate --quiet c --to edge2 "${patient[@]}"
ok 'it counts on' await 5 past edge2 $here/volumes/0 $((at + 60))
ok '... and back' on edge2 edge-migrate --quiet c --to edge1 "${patient[@]}"
ok 'what it left there is removed, its memory too' on edge2 edge-stop --rm c
on edge1 edge-stop c >/dev/null
ok 'another service takes its name there' on edge2 edge-run --name c -- sleep 1000
in_node edge2 "edge-restore $ck"
like 'it is not restored beside that' "^1 edge-restore: this node: service c: another instance has the name \([0-9a-f]{16}\)$|^69 .*has the name" "$status $told"
ok '... which goes on' on edge2 sh -c "edge-stop c | grep -q '\"state\":\"stopped\"'"
stop edge2 c
in_node edge2 "EDGE_FAULT=tardy edge-restore $ck"
is 'it is restored after all of that, however long who serves its pages takes to come' '0  "edge2"' "$status $told $(jq -c .node <<<"$said")"
is 'with an epoch that the instance has not had' 3 "$(jq .epoch <<<"$said")"
ok 'it counts on from where it was taken' await 5 past edge2 $here/volumes/0 $((at + 20))
ok 'its volume is as it was' whole edge2 $here/volumes/0
ok 'its root is as it was' whole edge2 $here/upper/var/tmp
is 'what was brought is used up, and its memory is in the store' "$id" \
	"$(on edge2 sh -c 'ls /var/lib/edge/checkpoints /var/lib/edge/store/memory | grep -v -e : -e "^$"')"
on edge2 edge-stop c >/dev/null
in_node edge1 "edge-ship --to edge2 $ck"
for d in volumes/0 upper; do on edge2 find $here/$d -type f -exec sha256sum {} +; done >"$tmp/before"
in_node edge2 "CRIU_FAULT=6 edge-restore $ck"
like 'criu fails where the instance has stopped' '^[1-9][0-9]* edge-restore: ' "$status $told"
for d in volumes/0 upper; do on edge2 find $here/$d -type f -exec sha256sum {} +; done >"$tmp/after"
ok '... its files are as they were' cmp "$tmp/before" "$tmp/after"
is '... and so is it' stopped "$(on edge2 edge-run --list | jq -r .state)"
on edge2 edge-checkpoint --remove "$ck" >/dev/null
ok 'what is left elsewhere of the instance is removed' on edge1 edge-stop --rm c
is 'which the registry does not care about' "edge2" "$(jq -r .node "$EDGE_LAB_DIR/registry/service/$id.json")"
stop edge2 c
is 'nothing is left there' '' "$(remains edge2 c)"

# --- a restore that fails changes nothing

in_node edge1 "edge-restore $ck"
ok 'a snapshot is restored where it was taken' await 5 past edge1 /var/lib/edge/data $((at + 30))
on edge1 sh -c 'echo new >/var/lib/edge/data/new; mkdir -p /var/lib/edge/data/d/e; truncate -s 300000 /var/lib/edge/data/d/e/f
	ln /var/lib/edge/data/new /var/lib/edge/data/d/link; chmod 640 /var/lib/edge/data/d/e/f'
on edge1 edge-stop c >/dev/null
state() { # NODE DIR: names, owners, modes, times and content
	on "$1" sh -c 'cd "$1" && find . -printf "%p %y %U:%G %m %s %T@ %n\n" | sort && find . -type f -exec sha256sum {} + | sort' sh "$2"
}
fails() { # TITLE NODE COMMAND DIR...: each folder is the same afterwards
	local title=$1 node=$2 command=$3 d
	shift 3
	for d in "$@"; do state "$node" "$d"; done >"$tmp/before"
	in_node "$node" "$command"
	like "$title: it fails" '^[1-9][0-9]* edge-restore: ' "$status $told"
	for d in "$@"; do state "$node" "$d"; done >"$tmp/after"
	ok "$title: the files are as they were" cmp "$tmp/before" "$tmp/after" || diff "$tmp/before" "$tmp/after" | sed 's/^/# /'
}
fails 'CRIU fails' edge1 "CRIU_FAULT=6 edge-restore $ck" /var/lib/edge/data $here/upper
is 'CRIU fails: the registry knows that it does not run' stopped "$(jq -r .state "$EDGE_LAB_DIR/registry/service/$id.json")"
on edge3 ip addr add "$addr/24" dev br0
fails 'the address is taken' edge1 "edge-restore $ck" /var/lib/edge/data $here/upper
on edge3 ip addr del "$addr/24" dev br0
in_node edge1 "edge-ship --to edge3 $ck"
fails 'CRIU fails at another node' edge3 "CRIU_FAULT=6 edge-restore $ck" /var/lib/edge/checkpoints/"$ck"/folders/{0,1}
ok '... where no service is left' on edge3 sh -c "! test -e $here"
in_node edge3 "edge-restore $ck"
is 'it can be restored there still' 0 "$status"
ok 'it counts on there' await 5 past edge3 $here/volumes/0 $((at + 20))
stop edge3 c
in_node edge1 "edge-ship --to edge2 $ck; edge-ship --to edge3 $ck"
in_host "edge-restore --on edge2 $ck & edge-restore --on edge3 $ck & wait"
is 'of two nodes that restore it at once, one does' 'running 1' "$(jq -r .state <<<"$said") $(grep -c . <<<"$told")" ||
	sed 's/^/# /' <<<"$told"
like 'the other one says why' "instance $id of service c runs on node edge|another node has restored its instance|in use by another machine" "$told"
winner=$(jq -r .node <<<"$said")
is 'the registry knows which' "$winner running" "$(jq -r '.node + " " + .state' "$EDGE_LAB_DIR/registry/service/$id.json")"
stop "$winner" c
in_node edge1 "edge-checkpoint --from edge2 --remove $ck; edge-checkpoint --from edge3 --remove $ck"
in_node edge1 "edge-restore $ck"
is 'and where it was taken' 0 "$status"
ok 'it counts on here' await 5 past edge1 /var/lib/edge/data $((at + 20))
ok 'its volume is as it was in the snapshot' whole edge1 /var/lib/edge/data
ok '... with nothing newer' on edge1 sh -c '! test -e /var/lib/edge/data/new && ! test -e /var/lib/edge/data/d'
stop edge1 c

# --- who may look

modes() { # NODE: folders of its state, and what in them is not for root alone
	on "$1" sh -c 'cd /var/lib/edge && stat -c "%n %a %U" . services checkpoints store store/memory journal; stat -c "%a %U" checkpoints/*
		find checkpoints -name "*.json" ! -perm 600'
}
like 'only root looks into the state of services' '^\. 755 root
services 700 root
checkpoints 700 root
store 700 root
store/memory 700 root
journal 700 root(
700 root)*$' "$(modes edge1)"
on edge1 chmod 755 /var/lib/edge/services /var/lib/edge/checkpoints
run c -- sleep 1000
in_node edge1 'edge-checkpoint --leave-running c | jq -r .id | xargs edge-checkpoint --remove'
is 'folders that were open to others are closed' '700 700' "$(on edge1 sh -c 'stat -c %a /var/lib/edge/services /var/lib/edge/checkpoints | xargs')"
on edge1 chown nobody /var/lib/edge/checkpoints
in_node edge1 'edge-checkpoint --leave-running c'
like 'one of somebody else is not used' '^77 edge-checkpoint: /var/lib/edge/checkpoints: belongs to user [0-9]+$' "$status $told"
on edge1 chown root /var/lib/edge/checkpoints
stop edge1 c

# --- listed and removed

listed() { # NODE: id, service, instance, origin, node, held, state and why
	on "$1" edge-checkpoint --list >"$tmp/list" 2>&1
	jq -c 'select(.disk_bytes > 0 and (.since | startswith("20"))) | [.service, .from, .node, .held, .state, .why // ""]' "$tmp/list"
}
is 'a snapshot is listed where it was taken' '["c","edge1","edge1",false,"kept",""]' "$(listed edge1)"
is 'with its ids' "$ck $id" "$(jq -r '.id + " " + .instance' "$tmp/list")"
in_node edge1 "edge-ship --to edge2 $ck"
is 'what was brought is listed there, also from elsewhere' '["c","edge1","edge2",false,"sealed",""]' \
	"$(on edge1 edge-checkpoint --list --from edge2 | jq -c '[.service, .from, .node, .held, .state, .why // ""]')"
ok 'the records are as their schema says' sh -c "tests/schema/check <$tmp/list"
in_host "edge-checkpoint --from edge2 --remove $ck"
is 'it is removed from elsewhere' "0  $ck removed" "$status $told $(jq -r '.id + " " + .state' <<<"$said")"
is 'then nothing lies there' '' "$(listed edge2; remains edge2 c)"
in_node edge2 "edge-checkpoint --remove $ck"
is 'nor can it be removed again' "69 edge-checkpoint: checkpoint $ck: not on this node" "$status $told"
in_node edge2 'edge-checkpoint --remove ../../services'
is 'only checkpoints are removed' '65 edge-checkpoint: checkpoint: not an id: ../../services' "$status $told"

mem_root
mem_run m
on edge1 bash -c "edge-checkpoint --hold 30 m | edge-ship --to edge2" >"$tmp/shipment" 2>"$tmp/holder" &
holder=$!
await 20 test -s "$tmp/shipment"
held=$(jq -r .checkpoint "$tmp/shipment")
is 'a frozen service waits for its own' '["c","edge1","edge1",false,"kept",""]
["m","edge1","edge1",true,"held",""]' "$(listed edge1 | sort)"
in_node edge1 "edge-checkpoint --remove $held"
is 'that is not removed' "75 edge-checkpoint: checkpoint $held: in use: a program holds, ships or restores it" "$status $told"
is 'what was brought for it is sealed' '["m","edge1","edge2",true,"sealed",""]' "$(listed edge2)"
on edge2 cp -a "/var/lib/edge/checkpoints/$held" /var/lib/edge/kept
on edge1 cp -a "/var/lib/edge/checkpoints/$held" /var/lib/edge/kept
in_node edge2 "edge-restore <$tmp/shipment"
is 'it is restored' 0 "$status"
ok 'its holder ends' await 5 gone "$holder"
on edge2 mv /var/lib/edge/kept "/var/lib/edge/checkpoints/$held"
on edge1 mv /var/lib/edge/kept "/var/lib/edge/checkpoints/$held"
on edge2 mkdir /var/lib/edge/checkpoints/00112233445566778899aabbccddeeff
is 'what nobody can use any more is told as such' \
	'["m","edge1","edge2",true,"over","its holder does not wait for it any more"]
[null,null,"edge2",null,"over","it was never finished"]' \
	"$(listed edge2; jq -c 'select(.disk_bytes == 0) | [.service, .from, .node, .held, .state, .why]' "$tmp/list")"
is 'where it was taken, too' '["m","edge1","edge1",true,"over","its holder is gone"]' "$(listed edge1 | grep over)"
for node in edge1 edge2; do
	in_node $node 'edge-checkpoint --list | jq -r "select(.state == \"over\").id" | xargs -r edge-checkpoint --remove'
	is "... and removed on $node" '0 0 0' "$status"
done
is 'nothing is left there' '' "$(listed edge2)"
stop edge2 m
is 'and only the snapshot here' "$ck" "$(on edge1 ls /var/lib/edge/checkpoints)"
finish
