#!/bin/bash
# SPDX-License-Identifier: MIT
# edge-invite: who may invite whom, what is granted then, and how a member leaves.
# shellcheck disable=SC2016,SC2154
. "$(dirname "$0")/invite.sh"

# --- the owner's line, and a ticket
ok 'the owner lets an inviter come, whose public key it has' eval 'accept edge2 >"$tmp/t2"'
ok 'the ticket that is printed is as its schema says' tests/schema/check <"$tmp/t2"
is 'it has the host key, and no secret' '["edge2","edge1",1,null]' "$(jq -c '[.node, .inviter, (.host_keys | length), .token]' "$tmp/t2")"
is 'the key may start edge-serve for that name, and nothing else' \
	"restrict,command=\"edge-serve --as edge1\" $(key)" "$(on edge2 cat /etc/edge/authorized_keys)"
here on edge1 edge-probe "ssh://root@$subnet.2"
like 'before it is invited it answers nothing, not even with a host key' '^edge-probe: .*host key is unknown' "$(<"$tmp/err")"
invite --ticket - <"$tmp/t2"
is 'the node is invited by its ticket, and comes' '0 ["edge2","edge1","joined"]' "$? $(member)"
ok 'the record is as its schema says' tests/schema/check <"$tmp/said"
is 'each knows the host key of the other one' '1 1' \
	"$(on edge1 grep -c "^$subnet.2 ssh-ed25519 " /etc/edge/known_hosts) $(on edge2 grep -c "^$subnet.1 ssh-ed25519 " /etc/edge/known_hosts)"
is 'the registry knows whose it is' 'edge1' "$(jq -r .member "$EDGE_LAB_DIR/registry/node/edge2.json")"
is 'both list it' '["edge2","edge1","joined"] ["edge2","edge1","joined"]' \
	"$(for node in edge1 edge2; do on $node edge-invite --list | jq -c '[.node, .inviter, .state]'; done | paste -sd' ')"
here on edge1 ssh -F /etc/edge/ssh_config -o LogLevel=ERROR "root@$subnet.2" id
like 'no shell is had with that key' '^edge-serve: ' "$(tr -d '\0' <"$tmp/err" | tail -n 1)"
here on edge1 edge-probe edge2
is 'what was granted is done' '0 ["edge2","edge1"]' "$? $(jq -c '[.name, .member]' "$tmp/said")"
here on edge1 edge-run --on edge2 --name web --addr "$addr" -- sleep 1000
is 'a service is started, for the fleet' '0 ["edge2","edge1"]' "$? $(jq -c '[.node, .fleet]' "$tmp/said")"
here on edge2 edge-run --name own -- sleep 1000
here on edge1 edge-stop --on edge2 own
is 'what the owner runs is not the inviter'"'"'s' '77 edge-stop: node edge2: service own: not one of yours' "$? $(<"$tmp/err")"
here on edge2 edge-probe edge1
is 'the member may bring services to the inviter, and nothing else' '77 edge-probe: node edge1: edge-probe: not granted to edge2' \
	"$? $(<"$tmp/err")"
here on edge1 edge-migrate web --from edge2 --to edge1
is 'so a service comes back' '0 ["edge1",null]' "$? $(jq -c '[.node, .fleet]' "$tmp/said")"
here on edge1 edge-migrate web --to edge2
is 'and goes there' '0 ["edge2","edge1"]' "$? $(jq -c '[.node, .fleet]' "$tmp/said")"

# --- members know one another
accept edge3 | on edge1 edge-invite --ticket - >"$tmp/said"
here on edge1 edge-migrate web --from edge2 --to edge3
is 'a service goes from a member to another one' '0 ["edge3","edge1"]' "$? $(jq -c '[.node, .fleet]' "$tmp/said")"
here on edge2 edge-run --on edge3 --name other -- true
is 'members may start nothing at one another' '77 edge-run: node edge3: edge-run: not granted to edge2' "$? $(<"$tmp/err")"

# --- leaving, with a service on board
here on edge1 edge-invite --leave edge3
is 'a member leaves when its service has gone elsewhere' '0 "service"' "$? $(jq -c .kind "$tmp/said")"
like 'it runs there' '^edge[12]$' "$(jq -r .node "$tmp/said")"
at=$(jq -r .node "$tmp/said")
here on edge1 edge-probe edge3
is 'then nothing is granted any more' '77 edge-probe: node edge3: edge-probe: not granted to edge1' "$? $(<"$tmp/err")"
is 'the others have forgotten it, too' 'edge1.json 0' \
	"$(on edge2 sh -c 'cd /var/lib/edge/grants && ls *.json; grep -c edge3 /etc/edge/authorized_keys' | paste -sd' ')"
[[ $at == edge2 ]] || on edge1 edge-migrate web --to edge2 >/dev/null
here on edge2 edge-invite --leave
is 'an owner leaves, and the service goes home' '0 "edge1"' "$? $(jq -c .node "$tmp/said")"
is 'what is the owner'"'"'s stays' '["own","running"]' "$(on edge2 edge-run --list | jq -c 'select(.state == "running") | [.name, .state]')"
is 'nobody is a member' '' "$(on edge1 edge-invite --list)$(on edge2 edge-invite --list)"
on edge1 edge-stop --rm web >/dev/null
on edge2 edge-stop --rm own >/dev/null

# --- the owner's rules
policy edge2 '{"free":false}'
refused 'a node that is not free' 69 'it is not free'
policy edge2 '{"inviters":["edge9"]}'
refused 'an inviter that the owner does not name' 77 'its owner lets others invite it, not edge1'
policy edge2 '{"processes_max":1}'
invite edge2
like 'too many processes' '^69 node edge2: it has [0-9]+ processes, and 1 are too many$' "$(told)"
policy edge2 '{"load_max":0}'
invite edge2
like 'too much load' '^69 node edge2: its load is [0-9.]+ for each core, and 0.00 is too much$' "$(told)"
policy edge2 '{"verbs":["probe"]}'
invite --grant probe,run edge2
is 'a verb that the owner does not let be granted' '77 node edge2: its owner does not let run be granted' "$(told)"
policy edge2 '{"laod_max":1}'
refused 'a rule that is not known does not open the node' 65 'its policy: laod_max: no such rule'
policy edge2 '{"load_max":"1"}'
refused 'nor does one of the wrong type' 65 'its policy: load_max: not a number'
on edge2 sh -c 'cp /etc/edge/node.json /tmp/kept; echo "{" >/etc/edge/node.json'
invite edge2
like 'nor one that cannot be read' '^65 node edge2: its policy: ' "$(told)"
on edge2 sh -c 'cat /tmp/kept >/etc/edge/node.json'
is 'the record says so, too' '["member","edge2","refused"]' "$(jq -c '[.kind, .node, .state]' "$tmp/said")"
ok 'as its schema says' tests/schema/check <"$tmp/said"

policy edge2 '{"lease_s":3600,"quota":{"cpu":1.5,"mem_bytes":1e9}}'
invite --grant probe edge2
is 'what the owner offers comes back' '["probe"] 3600 {"cpu":1.5,"mem_bytes":1000000000}' \
	"$(jq -c '.verbs, (.until | fromdate) - (.since | fromdate), .quota' "$tmp/said" | paste -sd' ')"
here on edge1 edge-probe edge2
is 'only what was asked for is granted: probe' 0 $?
here on edge1 edge-run --on edge2 --name x -- true
is '... and not run, in one line' '77 edge-run: node edge2: edge-run: not granted to edge1' "$? $(<"$tmp/err")"

# --- another inviter: edge4
on edge4 edge-invite --key | on edge2 edge-invite --accept-from - | on edge4 edge-invite --ticket - >/dev/null 2>"$tmp/err"
is 'a member is not another one'"'"'s, too' 'edge-invite: node edge2: it is a member already: edge1 has invited it' "$(<"$tmp/err")"
policy edge2 '{"shared":true,"lease_s":1}'
here on edge4 edge-invite edge2
is 'unless its owner shares it' '0 ["edge2","edge4","joined"]' "$? $(member)"
sleep 1.2
here on edge4 edge-probe edge2
is 'what was granted for a time ends with it' '77 edge-probe: node edge2: edge-probe: not granted to edge4' "$? $(<"$tmp/err")"
on edge2 edge-invite --expire edge1 2>/dev/null
here on edge1 edge-probe edge2
like 'an owner ends it at once' '^77 edge-probe: node edge2: ' "$? $(<"$tmp/err")"
policy edge2 '{}'
on edge2 edge-invite --expire edge4 2>/dev/null
# --- what the programs give to one another over a connection is what lib/move/allow.c lets pass
unknown() {
	local p option
	for p in run stop checkpoint ship migrate; do
		grep -oE '(json_string\(|add_[a-z]+\(args, )"--[a-z-]+[a-z]' cmds/edge-$p.c | grep -oE -- '--[a-z-]+' | sort -u | while read -r option; do
			sed -n "/{ \"edge-$p\"/,/}/p" lib/move/allow.c | grep -qE -- "[\" ]${option}[=\" ]" || echo "edge-$p $option"
		done
	done
}
is 'every option that a program gives to one elsewhere may be given' '' "$(unknown)"
finish
