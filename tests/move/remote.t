#!/bin/bash
# SPDX-License-Identifier: MIT
# From a third machine: this one, outside of the lab, which reaches the nodes over ssh.
# shellcheck disable=SC2016
. "$(dirname "$0")/lib.sh"
need jq
lab_up
PATH=$EDGE_BIN:$PATH
here() { "$@" >"$tmp/said" 2>"$tmp/err"; }
ok 'a service is started on a node' here edge-run --on edge1 --name far --addr "$addr" -- sleep 1000
is 'its record comes back' '["service","far","edge1","running"]' "$(jq -c '[.kind, .name, .node, .state]' "$tmp/said")"
here edge-run --on edge1 --name far -- sleep 1000
is 'an error comes back once, with its status' "69 edge-run: service far: already running" "$? $(<"$tmp/err")"
ok 'a dry run moves nothing' here edge-migrate far --from edge1 --to edge2 --dry-run
is 'and says what it would do' '["move","migrate","edge1","edge2"]' "$(jq -c '[.kind, .action, .from, .to]' "$tmp/said")"
ok 'it moves' here edge-migrate far --from edge1 --to edge2
is 'the registry knows where it is' '["edge2",1,"running"]' \
	"$(jq -c '[.node, .epoch, .state]' "${EDGE_REGISTRY#dir:}/service/$(jq -r .id "$tmp/said").json")"
plan='{"kind":"node","name":"x"}
{"kind":"move","action":"stay","service":"far"}
{"kind":"move","action":"migrate","service":"far","from":"edge2","to":"edge1"}
{"kind":"later"}'
here edge-migrate - <<<"$plan"
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
here edge-migrate far --from nowhere --to edge2
is 'a node that nobody knows' "69 edge-migrate: node nowhere: not in the registry" "$? $(<"$tmp/err")"
finish
