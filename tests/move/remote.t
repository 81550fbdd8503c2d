#!/bin/bash
# SPDX-License-Identifier: MIT
# From a third machine: this one, outside of the lab, which reaches the nodes over ssh.
# shellcheck disable=SC2016
. "$(dirname "$0")/lib.sh"
need jq
nodes=(edge1 edge2 edge3)
lab_up
PATH=$EDGE_BIN:$PATH
here() { "$@" >"$tmp/said" 2>"$tmp/err"; }
ok 'a service is started on a node' here edge-run --on edge1 --name far --addr "$addr" -- sleep 1000
is 'its record comes back' '["service","far","edge1","running"]' "$(jq -c '[.kind, .name, .node, .state]' "$tmp/said")"
here edge-run --on edge1 --name far -- sleep 1000
is 'an error comes back once, with its status' "69 edge-run: service far: already running" "$? $(<"$tmp/err")"
ok 'a dry run moves nothing' here edge-migrate far --from edge1 --to edge2 --dry-run
is 'and says what it would do' '["move","migrate","edge1","edge2"]' "$(jq -c '[.kind, .action, .from, .to]' "$tmp/said")"
ok 'it moves' here edge-migrate far --from edge1 --to edge2 "${patient[@]}"
is 'the registry knows where it is' '["edge2",1,"running"]' \
	"$(jq -c '[.node, .epoch, .state]' "${EDGE_REGISTRY#dir:}/service/$(jq -r .id "$tmp/said").json")"
plan='{"kind":"node","name":"x"}
{"kind":"move","action":"stay","service":"far"}
{"kind":"move","action":"migrate","service":"far","from":"edge2","to":"edge1"}
{"kind":"later"}'
here edge-migrate "${patient[@]}" - <<<"$plan"
is 'a plan is carried out, and the rest of it passed on in order' \
	'0 "node" "move" ["service","edge1"] "later"' \
	"$? $(jq -c 'if .kind == "service" then [.kind, .node] else .kind end' "$tmp/said" | tr '\n' ' ' | sed 's/ $//')"
here bash -c 'edge-checkpoint far --from edge1 | edge-ship --to edge2 | edge-restore'
is 'a pipe from here moves it, too' '0 ["edge2",3]' "$? $(jq -c '[.node, .epoch]' "$tmp/said")"
ok 'the name is free where it was' here edge-run --on edge1 --name far -- sleep 1000
here edge-stop --on edge1 --rm far
ok 'it stops' here edge-stop --on edge2 --rm far
here edge-stop --on edge2 far
is 'and is not known any more' "69 edge-stop: service far: no such service on this node" "$? $(<"$tmp/err")"

# --- what goes over: folders of there, and every option as it was given
on edge1 mkdir -p /var/lib/edge/data
ok 'options go over' here edge-run --on "ssh://root@$subnet.1" --name far --addr "$addr" --port 80 --volume /var/lib/edge/data:/data \
	--env 'A=b "c" $d' --profile cpu=0.5,mem=64M --user 65534:65534 -- sh -c 'echo "$A" "$(id -u)"; exec sleep 1000' x 'y z'
id=$(jq -r .id "$tmp/said")
await 5 on edge1 test -s /var/lib/edge/services/far/log
is 'as they are' 'b "c" $d 65534' "$(log edge1 far)"
is 'all of them' '["10.77.'"${subnet##*.}"'.60",[80],{"cpu":0.5,"mem_bytes":67108864},"edge1"]' \
	"$(jq -c '[.addr, .ports, .profile, .node]' "$tmp/said")"
here edge-run --on edge1 --name other --root /nowhere -- true
is 'a folder is looked for there' "69 edge-run: service other: root /nowhere: No such file or directory" "$? $(<"$tmp/err")"
here edge-run --on edge1 --name other --root etc -- true
is 'and must be named in full' "64 edge-run: root etc: not an absolute path (see edge-run --help)" "$? $(<"$tmp/err")"

# --- plans
plan='{"kind":"move","action":"migrate","service":"far","from":"edge1","to":"edge2"}'
here edge-migrate --dry-run - <<<"$plan
{\"kind\":\"move\",\"action\":\"migrate\",\"service\":\"none\",\"from\":\"edge1\",\"to\":\"edge2\"}
{\"kind\":\"node\"}"
is 'one part of a plan fails, the rest is carried out' '1 ["move","migrate"] ["node",null]' \
	"$? $(jq -c '[.kind, .action]' "$tmp/said" | tr '\n' ' ' | sed 's/ $//')"
is 'and says so once' 'edge-migrate: service none: no such service on this node' "$(<"$tmp/err")"
is 'a dry run changes nothing' 'running ' "$(on edge1 jq -r '"running"' /var/lib/edge/services/far/service.json) $(remains edge2 far)"
on edge3 ip addr add "$addr/24" dev br0
here edge-migrate --from edge1 --to edge2 far
is 'a refusal travels' "69 [\"stay\",\"address\"]" "$? $(jq -c '[.action, .refusals[0].check]' "$tmp/said")"
on edge3 ip addr del "$addr/24" dev br0
here edge-migrate "${patient[@]}" - <<<"$plan"
is 'the plan itself' '0 ["edge2","running",1]' "$? $(jq -c '[.node, .state, .epoch]' "$tmp/said")"
here edge-stop --on edge1 far
is 'who stops it where it was hears of that' \
	'69 edge-stop: service far: has moved away (edge-stop --rm far removes what it left); it is on node edge2 (--on edge2)' "$? $(<"$tmp/err")"
is 'and the registry is not touched' running "$(jq -r .state "$EDGE_LAB_DIR/registry/service/$id.json")"
here edge-stop --on edge1 --rm far
is 'what it left can be removed' '0 "moved"' "$? $(jq -c .state "$tmp/said")"
here edge-migrate --from edge1 --to edge3 far
is 'whoever looks for it where it never was hears where it is' \
	'69 edge-migrate: service far: no such service on this node; it is on node edge2 (--from edge2)' "$? $(<"$tmp/err")"

# --- an end in the middle: the program there ends, too
edge-checkpoint --from edge2 far >"$tmp/held" 2>/dev/null &
pid=$!
await 10 test -s "$tmp/held"
kill "$pid"
wait "$pid" 2>/dev/null
ok 'an interrupted holder lets go' await 5 here edge-migrate --dry-run --from edge2 --to edge1 far
ok 'it stops' here edge-stop --on edge2 --rm far
is 'nothing is left' '' "$(remains edge1 far)$(remains edge2 far)"
ok 'not in the registry either' test ! -e "$EDGE_LAB_DIR/registry/service/$id.json"
here edge-migrate far --from nowhere --to edge2
is 'a node that nobody knows' "69 edge-migrate: node nowhere: not in the registry" "$? $(<"$tmp/err")"
finish
