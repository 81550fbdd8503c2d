#!/bin/bash
# SPDX-License-Identifier: MIT
# edge-invite: a whole plan, with nodes that are no members, and a node that has nothing of ours.
# shellcheck disable=SC2016,SC2154
. "$(dirname "$0")/invite.sh"

# --- a whole plan
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
