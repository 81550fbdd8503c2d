#!/bin/bash
# SPDX-License-Identifier: MIT
# examples/swarm-offload.sh: a compose file in, machines from an LDAP directory, the busy service on the faster one by a single
# round; rounds that change nothing, that meet an owner who says no, and after the machine has died.
# shellcheck disable=SC2016,SC2154
. "$(dirname "$0")/swarm.sh"
need slapd slapadd
lab_up
for node in "${nodes[@]}"; do on "$node" sh -c ': >/etc/edge/authorized_keys; rm -rf /var/lib/edge/grants'; done
cp examples/swarm-offload.sh "$tmp"
daemons
service_images

# --- a directory of the city, with a machine that is faster, and one that is slower than this one
ok 'machines offer themselves in a directory' directory edge1 "$(entry edge2 16 9000)" "$(entry edge3 16 1)"
cat >"$tmp/compose.yaml" <<'END'
name: app
services:
  busy:
    image: busy:1
    command: ["sh", "-c", "httpd -p 8080 -h /srv; trap exit TERM; while :; do :; done"]
    ports: ["8080:8080"]
    cpus: 0.5
  fixed:
    image: busy:1
    deploy: {placement: {constraints: ["node.hostname == edge1"]}}
END
offload() { # OPTION...
	on edge1 env EDGE_WAIT=0 bash "$tmp/swarm-offload.sh" "$@" "$tmp/compose.yaml" "$city" >"$tmp/said" 2>"$tmp/err"
}
where() { on edge1 edge-run --list | jq -c '[.name, .node, .state]' | paste -sd' '; }
home='["app-busy","edge1","running"] ["app-fixed","edge1","running"]'
away='["app-busy","edge2","running"] ["app-fixed","edge1","running"]'

# --- rounds
offload
is 'a machine whose owner does not let itself be invited gets nothing' "75 $home" "$? $(where)"
like '... which is said' 'node edge2: ' "$(<"$tmp/err")"
on edge1 edge-invite --key | on edge2 edge-invite --accept-from - >/dev/null
offload -n
like 'what would be done can be asked' '^0 app-busy +edge1 -> edge2: .*, 1 moves' "$? $(grep -v 'invited first' "$tmp/said")"
sed 's/^/# /' "$tmp/err"
is '... and is not done' "$home" "$(where)"
client prober perl "$tools/either.pl" "$(at edge1):8080" "$(at edge2):8080"
ready prober
offload
is 'in one round the busy service goes to the faster machine, and what must stay stays' "0 $away" "$? $(where)"
is '... without a word' '' "$(cat "$tmp/said" "$tmp/err")"
client_end prober
is '... and without a moment in which nobody answered' 'ready
always answered' "$answer"
is 'the decision and what came of it are in the log' '["migrate","app-busy","edge2"] ["member","edge2"] ["service","app-busy","edge2"]' \
	"$(on edge1 jq -c 'if .action == "migrate" then [.action, .service, .to] elif .kind == "member" then [.kind, .node] elif .kind == "service" then [.kind, .name, .node] else empty end' \
		/var/lib/edge/decisions.ndjson | tail -n 3 | paste -sd' ')"
like '... and can be explained' 'edge2' "$(on edge1 edge-place --explain app-busy --log /var/lib/edge/decisions.ndjson)"
offload
is 'the next round changes nothing' "0 $away" "$? $(where)"
on edge2 sh -c 'edge-lock fleet -- sleep 1000 >/dev/null 2>&1 & echo $! >/run/holder'
await 20 eval 'on edge2 edge-lock --list | grep -q fleet'
offload
is 'while another machine is at it, a round does not begin' '75 ' "$? $(<"$tmp/err")"
on edge2 sh -c 'kill "$(cat /run/holder)"'
await 20 eval '[[ -z $(on edge2 edge-lock --list) ]]'

# --- the machine dies
"$lab" kill edge2
lost() { [[ $(where) == *'"app-busy","edge2","exited"'* ]]; }
ok 'that a machine is gone is seen' await 60 lost
offload
is 'its service comes home with the next round' "$home" "$(where)"
like '... which says so' 'swarm-offload: service app-busy: does not run where it was; it comes home' "$(<"$tmp/err")"
ok '... and answers' await 20 answers edge1
finish
