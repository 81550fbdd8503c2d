#!/bin/bash
# SPDX-License-Identifier: MIT
# examples/follow-user.sh: a link becomes slow, and the service follows its user to the other node, on the same connection.
. "$(dirname "$0")/lib.sh"
need jq perl
lab_up
cp examples/follow-user.sh "$tmp"
echo 'cpu 0 0 0 0 0 0 0 0' >"$tmp/stat"
for n in "${nodes[@]}"; do
	on "$n" edge-probe >/dev/null # the first one measures processors
	over "$n" /proc/stat "$tmp/stat" # what else this machine does is not to count
done
status=0
follow() { # NODE OPTION...
	status=0
	on "$1" env EDGE_LEASE=5 EDGE_LOG=/var/lib/edge/log.ndjson bash "$tmp/follow-user.sh" -e 2 -b 40 "${@:2}" >"$tmp/said" 2>&1 || status=$?
}
at() { # NODE, if it runs there
	on "$1" edge-run --list | jq -r 'select(.state == "running").node'
}

counter
follow edge1
is 'users who are served well change nothing, and nothing is said' '0 edge1' "$status $(at edge1)$(<"$tmp/said")"
"$lab" link edge1 --delay 40
sleep 1
follow edge1 -n
like 'what would be done' "^counter +edge1 -> edge2: users' RTT [0-9.]+ ms, was [0-9.]+ ms" "$(<"$tmp/said")"
is '... is not done' edge1 "$(at edge1)"
for _ in 1 2 3; do # over 80 ms there and back, on a busy machine, it may stand still for longer than the script wants
	follow edge1
	[[ ! $(at edge2) ]] || break
done
is 'a path becomes slow: the service follows its user' '0 edge2' "$status $(at edge2)$(<"$tmp/said")"
follow edge2
is '... and stays there' '0 edge2' "$status $(at edge2)$(<"$tmp/said")"
like 'why is told later' "optimal: migrate edge1 -> edge2: users' RTT .*
\\* edge2 .*
  edge1 .*
  moved from edge1 to edge2 at " "$(on edge1 edge-place --explain counter --log /var/lib/edge/log.ndjson)"
counter_kept
finish
