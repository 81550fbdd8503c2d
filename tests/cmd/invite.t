#!/bin/bash
# SPDX-License-Identifier: MIT
# edge-invite: who may invite whom, what is granted then, and what becomes of it when somebody dies, lies or leaves.
# shellcheck disable=SC2016
. "$(dirname "$0")/../move/lib.sh"
need jq perl
nodes=(edge1 edge2 edge3 edge4)
lab_up
cp "$tools/frames.pl" "$tmp"
serve=$(on edge1 sh -c 'command -v edge-serve')

# edge1 invites. Nobody knows anybody at first.
strangers() { # NODE...
	local node
	for node; do on "$node" sh -c ': >/etc/edge/authorized_keys; : >/etc/edge/known_hosts; rm -rf /var/lib/edge/grants'; done
	rm -f "$EDGE_LAB_DIR"/registry/node/*
}
here() { "$@" >"$tmp/said" 2>"$tmp/err"; }
invite() { here on edge1 edge-invite "$@"; }
key() { on edge1 edge-invite --key; }
accept() { # NODE [OPTION]...: the owner's line; the ticket to stdout
	local node=$1
	shift
	key | on "$node" edge-invite --accept-from - "$@"
}
policy() { # NODE JSON
	on "$1" sh -c 'jq -c --argjson p "$1" ".policy = \$p" /etc/edge/node.json >/tmp/n && cat /tmp/n >/etc/edge/node.json' sh "$2"
}
told() { echo "$? $(sed 's/^edge-invite: //' "$tmp/err")"; }
member() { jq -c '[.node, .inviter, .state]' "$tmp/said"; }
refused() { # TITLE CODE WHY
	invite edge2
	is "$1" "$2 node edge2: $3" "$(told)"
}

strangers edge1 edge2 edge3 edge4

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

# --- tickets for one time
strangers edge1 edge2 edge3 edge4
accept edge2 --once 600 >"$tmp/once"
accept edge3 --once 600 >"$tmp/other"
try() { # TITLE CODE WHY: the ticket of $tmp/try
	invite --ticket - <"$tmp/try"
	is "$1" "$2 $3" "$(told)"
}
not_its='node edge2: token: not one of this node for this inviter'
ok 'the ticket has a token' jq -e '.token | length == 64' "$tmp/once"
jq -c '.token = .token[1:] + "0"' "$tmp/once" >"$tmp/try"
try 'a forged token' 77 "$not_its"
jq -c '.expires = "2099-01-01T00:00:00Z"' "$tmp/once" >"$tmp/try"
try 'a token that was made to last' 77 "$not_its"
jq -c --slurpfile o "$tmp/other" '.token = $o[0].token | .nonce = $o[0].nonce | .expires = $o[0].expires' "$tmp/once" >"$tmp/try"
try 'another node'"'"'s token' 77 "$not_its"
on edge4 edge-invite --key | on edge2 edge-invite --accept-from - --once 600 >"$tmp/for4"
on edge4 edge-invite --ticket - <"$tmp/once" >/dev/null 2>"$tmp/err"
is 'another inviter with it' "edge-invite: $not_its" "$(<"$tmp/err")"
jq -c 'del(.nonce)' "$tmp/once" >"$tmp/try"
try 'half a token' 77 'node edge2: token: not whole'
jq -c 'del(.token)' "$tmp/once" >"$tmp/try"
try 'none' 77 'node edge2: a token is wanted (edge-invite --ticket)'
head -c 100 "$tmp/once" >"$tmp/try"
invite --ticket - <"$tmp/try"
like 'a ticket that is cut off' '^65 ticket stdin: ' "$(told)"
head -c 1000000 /dev/zero | tr '\0' x >"$tmp/try"
try 'a ticket of a megabyte' 65 'ticket stdin: longer than 65536 bytes'
jq -c '.host_keys = ["'"$(key | cut -d' ' -f1,2)"'"] | .addr = "'"$subnet.2"'"' "$tmp/once" >"$tmp/try"
try 'a ticket with another host key than the one that is known' 77 \
	"node edge2: host key of $subnet.2 is known already, and is another: see /etc/edge/known_hosts"
invite --ticket - <"$tmp/once"
is 'after all of these the right one is good' '0 ["edge2","edge1","joined"]' "$? $(member)"
invite --ticket - <"$tmp/once"
is 'a member may be told again' '0 ["edge2","edge1","joined"]' "$? $(member)"
on edge2 edge-invite --expire edge1 2>/dev/null
invite --ticket - <"$tmp/once"
like 'the same once more is refused' '^(69|77) node edge2: ' "$(told)"
accept edge2 --once 600 >"$tmp/again"
invite --ticket - <"$tmp/once"
is 'also when the owner wants it back' '77 node edge2: token: used already' "$(told)"
accept edge2 --once 1 >"$tmp/short"
sleep 1.2
invite --ticket - <"$tmp/short"
like 'one that is too late is refused' '^77 node edge2: token: expired at 20' "$(told)"
on edge3 edge-invite --expire
is 'who may still come is let in' 1 "$(on edge3 grep -c edge-serve /etc/edge/authorized_keys)"

# --- death, and a lost answer
strangers edge1 edge2 edge3 edge4
accept edge2 >"$tmp/t2"
accept edge3 >"$tmp/t3"
frames() { # NODE WHAT
	instead "$1" "$serve" "exec perl $tmp/frames.pl $2 /run/done \$real \"\$@\""
}
frames edge2 drop:join
on edge1 edge-invite --timeout 3 --ticket - <"$tmp/t2" >/dev/null 2>"$tmp/err" &
pid=$!
await 10 on edge2 test -e /run/done
"$lab" cut edge2 # with its power goes every word of it
"$lab" kill edge2
wait $pid
is 'a node that dies between invitation and join does not answer' '69 node edge2: no answer within 3 s' "$(told)"
"$lab" heal edge2
"$lab" boot edge2
is 'and is no member when it is back' '' "$(on edge2 edge-invite --list)$(on edge1 edge-invite --list)"
frames edge2 drop:since
invite --timeout 3 --ticket - <"$tmp/t2"
is 'one whose answer is lost is not believed to be a member' 69 $?
right edge2 "$serve"
is 'though it takes itself for one' 1 "$(on edge2 edge-invite --list | wc -l)"
invite --ticket - <"$tmp/t2"
is 'to ask again mends that' '0 ["edge2","edge1","joined"]' "$? $(member)"
invite --ticket - <"$tmp/t3"
"$lab" kill edge3
here on edge1 edge-run --name web --addr "$addr" -- sleep 1000
here on edge1 edge-migrate --deadline 1 web --to edge3
is 'a member that is dead takes no service' running "$(on edge1 edge-run --list | jq -r .state)"
invite --timeout 5 --leave edge3
like 'and cannot be left in order' '^69 (.*: )?node edge3: what runs there is not known \(edge-invite --expire lets it go all the same\)$' \
	"$? $(tail -n 1 "$tmp/err")"
invite --expire edge3
is 'but be let go' '0 edge2' "$? $(on edge1 edge-invite --list | jq -r .node)"
"$lab" boot edge3

# --- revoked while it works
here on edge1 edge-migrate web --to edge2
on edge1 edge-checkpoint --from edge2 web >"$tmp/held" 2>"$tmp/err" &
pid=$!
await 20 test -s "$tmp/held"
on edge2 edge-invite --expire edge1 2>/dev/null
ok 'what was going on for an inviter ends when its owner says so' await 10 gone $pid
wait $pid
ok 'the frozen service goes on' await 10 on edge2 sh -c 'read -r s <"$(ls -d /sys/fs/cgroup/unified/edge/web /sys/fs/cgroup/edge/web 2>/dev/null | head -n 1)/cgroup.freeze" && [ "$s" = 0 ]'
like 'each use was noted, and so was each refusal' '"call":"run","program":"edge-checkpoint"' "$(on edge2 tail -n 3 /var/lib/edge/grants/log)"
on edge2 edge-stop --rm web >/dev/null 2>&1

# --- a whole plan
strangers edge1 edge2 edge3 edge4
accept edge3 >"$tmp/t3"
accept edge2 >"$tmp/t2"
on edge1 edge-invite --ticket - <"$tmp/t2" >/dev/null
policy edge4 '{"free":false}'
accept edge4 >"$tmp/t4"
on edge1 sh -c 'while read -r t; do echo "$t" | jq -r "\"\(.addr) \(.host_keys[0])\""; done >>/etc/edge/known_hosts' < <(cat "$tmp/t3" "$tmp/t4")
here on edge1 edge-run --name web --addr "$addr" -- sleep 1000
here on edge1 edge-run --name db --addr "$subnet.61" -- sleep 1000
on edge2 edge-run --name old -- sleep 1000 >/dev/null
{
	on edge1 edge-probe | tee "$tmp/self" | jq -c '.cpu.use = 0'
	for i in 3 4; do jq -c --arg n edge$i --arg a "$subnet.$i" '.name = $n | .addr = $a | .cpu.use = 0 | del(.member)' "$tmp/self"; done
	on edge1 edge-probe --services | jq -c 'select(.kind == "service") | .needs = {node: (if .name == "web" then "edge3" else "edge4" end)}'
} >"$tmp/world"
plan() { on edge1 sh -c 'edge-place --fleet edge1 | tee /tmp/plan | edge-invite'; }
plan <"$tmp/world" >"$tmp/invited" 2>"$tmp/err"
is 'a plan that uses nodes that are no members invites them first' \
	'["invite","edge4","db","edge1"] ["migrate","edge4","db",null] ["invite","edge3","web","edge1"] ["migrate","edge3","web",null]' \
	"$(on edge1 cat /tmp/plan | jq -c 'select(.kind == "move") | [.action, .to, .service, .fleet]' | sort -t, -k3 | paste -sd' ')"
ok 'in records as their schemas say' eval 'on edge1 cat /tmp/plan | grep -v "\"kind\":\"\(node\|service\)\"" | tests/schema/check'
is 'who comes is a member, and the move goes on; who does not come turns its moves into stay' \
	'["member",null,"edge3"] ["move","migrate","edge3"] ["move","stay","edge4"] ["move","stay","edge4"]' \
	"$(jq -c 'select(.kind == "move" or .kind == "member") | [.kind, .action, .to // .node]' "$tmp/invited" | sort | paste -sd' ')"
is '... with the reason' 'node edge4: it is not free' "$(jq -r 'select(.action == "stay") | .why' "$tmp/invited" | sort -u)"
ok '... also as their schemas say' eval 'grep -v "\"kind\":\"\(node\|service\)\"" "$tmp/invited" | tests/schema/check'
is '... and for people' 'edge-invite: node edge4: it is not free' "$(<"$tmp/err")"
cat >>"$tmp/invited" <<-END
	{"kind":"move","action":"start","service":"new","to":"edge3","service_spec":{"name":"new","argv":["sleep","1000"]}}
	{"kind":"move","action":"terminate","service":"old","from":"edge2"}
	{"kind":"later"}
END
here on edge1 sh -c 'edge-invite | edge-run - | edge-migrate - | edge-stop -' <"$tmp/invited"
is 'the pipe carries out the whole plan, within what was granted' \
	'edge-stop: node edge2: service old: not one of yours
["member",null,"edge3"] ["move","stay","edge4"] ["move","stay","edge4"] ["service","web","edge3"] ["service","new","edge3"]' \
	"$(cat "$tmp/err"; jq -c 'select(.node != "edge1" and (.kind == "move" or .kind == "member" or .kind == "service")) |
		[.kind, (.action // if .kind == "service" then .name else null end), .to // .node]' "$tmp/said" |
		grep -v '"edge1"' | sort -t'"' -k2,2 -k6,6 -k4r,4 | paste -sd' ')"

# --- a node that has nothing of ours
strangers edge4
on edge1 sh -c 'mkdir -p -m 700 /run/person/.ssh; ssh-keygen -q -t ed25519 -N "" -f /run/person/.ssh/id_ed25519; cat /run/person/.ssh/id_ed25519.pub' |
	on edge4 sh -c 'cat >/etc/edge/authorized_keys; mount -n -t tmpfs tmpfs "$1"; mount -n -t tmpfs tmpfs /usr/local' sh "$EDGE_BIN"
on edge4 sed 's/ [^ ]*$//' /etc/edge/ssh_host_ed25519_key.pub | on edge1 sh -c 'sed "s/^/$1 /" >/run/person/.ssh/known_hosts' sh "$subnet.4"
on edge1 sh -c 'grep -v "^$1 " /etc/edge/known_hosts >/run/k; cat /run/k >/etc/edge/known_hosts' sh "$subnet.4"
install() { here timeout 300 "$lab" exec edge1 env HOME=/run/person edge-invite --install "ssh://root@$subnet.4"; }
policy edge4 '{}' 2>/dev/null
install
is 'the programs are brought to a node that has none, and it joins' '0 ["edge4","edge1","joined"]' "$? $(member)"
sed 's/^/# /' "$tmp/err"
here on edge1 edge-probe edge4
is 'they work there, with a criu' "0 $(on edge1 edge-probe | jq -r .criu)" "$? $(jq -r .criu "$tmp/said")"
here on edge1 edge-migrate db --to edge4
is 'a service goes there' '0 "edge4"' "$? $(jq -c .node "$tmp/said")"
here on edge1 edge-migrate db --from edge4 --to edge1
is 'and comes back' '0 "edge1"' "$? $(jq -c .node "$tmp/said")"
on edge4 sh -c 'find /usr/local/lib/edgetools -type f -newer /usr/local/bin/edge | wc -l' >"$tmp/newer"
install
is 'once more nothing is sent' "0 $(<"$tmp/newer")" \
	"$? $(on edge4 sh -c 'find /usr/local/lib/edgetools -type f -newer /usr/local/bin/edge | wc -l')"
finish
