#!/bin/bash
# SPDX-License-Identifier: MIT
# shellcheck disable=SC2016 # what is quoted so is for scripts on the nodes
# A service runs at the destination before all of its memory is there: what it touches comes first, the rest meanwhile, also when
# the link breaks, or who sends it dies; and its source keeps it until the last page has arrived.
. "$(dirname "$0")/lib.sh"
. tests/move/mem.sh
need cc jq redis-server perl
nodes=(edge1 edge2)
lab_up --disk 2G
serve=$(on edge1 sh -c 'command -v edge-serve')
mem_root

state() { # NODE: running, frozen or none
	on "$1" sh -c '
		pid=$(sed -n "s/.*\"pid\":\([0-9]*\).*/\1/p" /var/lib/edge/services/mem/service.json 2>/dev/null)
		grep -q "\"moved\":true" /var/lib/edge/services/mem/service.json 2>/dev/null && pid=
		group=$(find /sys/fs/cgroup -path "*/edge/mem/cgroup.freeze" | head -n 1)
		if [ -z "$pid" ] || ! [ -d "/proc/$pid" ]; then echo none
		elif grep -qx 1 "$group"; then echo frozen
		else echo running; fi'
}
states() { echo "$(state edge1) $(state edge2)"; }
over() { [[ $(states) == 'none running' ]]; }
idle() { [[ ! $(on edge1 ls /var/lib/edge/journal; on edge2 ls /var/lib/edge/journal) ]]; }
whole() { # TITLE: every page is what was written to it last
	is "$1" 0 "$("$B/tests/bench/gapclient" --dead 60000 "$addr" 7000 check | jq -r .value)"
}
status_of() { on "$1" edge-migrate --status mem | jq -c '[.step,.recovery,.why]'; }
# Without marks of what was written nothing is copied before, so that all is late. The move stands still when nothing has come but
# what was asked for, until go_on.
late() { # NAME
	on edge1 sh -c 'mkdir -p /run/edge && : >/run/edge/hold-paging'
	on edge1 env EDGE_FAULT=hold edge-migrate "$1" --to edge2 --post-copy --tracking digest "${patient[@]}" >"$tmp/moved" 2>"$tmp/err" &
	mover=$!
	await 20 on edge1 test -e /run/edge/held-paging
}
begin() {
	run mem --port 7000 --root "$tmp/root" -- /memsrv --mem 16 --write 0.5
	await 10 "$B/tests/bench/gapclient" --dead 500 "$addr" 7000 ping
	gap_start
	late mem
}
go_on() { on edge1 rm -f /run/edge/held-paging; }
end() { # TITLE
	ok "$1" await 30 over
	whole '... all pages are as they were'
	gap_end
	is '... its client has noticed nothing' '[0,0,0,0,1]' "$gap"
	await 20 idle
	is '... and nothing is left at the source' '' "$(remains edge1 mem)"
	stop edge2 mem
}

run mem --port 7000 --root "$tmp/root" -- /memsrv --mem 64 --write 1
await 10 "$B/tests/bench/gapclient" --dead 500 "$addr" 7000 ping
gap_start
for way in 'edge1 edge2' 'edge2 edge1'; do
	read -r from to <<<"$way"
	ok "a service moves from $from to $to" move mem "$from" "$to" --post-copy
	is '... some of its memory comes after it' '["lazy",true,1]' \
		"$(jq -c '.moved | [.restore, .late.pages > 0, .late.connected]' "$tmp/moved")"
	jq -r '.moved | "# frozen \(.frozen_ms) ms, \(.late)"' "$tmp/moved"
	whole '... as it was'
done
gap_end
is 'its client has noticed nothing' '[0,0,0,0,1]' "$gap"
is 'nothing is left where it was' '' "$(remains edge2 mem)"
stop edge1 mem

run redis --port 6379 -- redis-server --bind 0.0.0.0 --protected-mode no --enable-debug-command yes --save ''
await 5 bash -c "</dev/tcp/$addr/6379"
client redis perl "$tools/redis-client.pl" "$addr" 6379 8
ready redis
ok 'redis moves' move redis edge1 edge2 --post-copy --tracking digest
jq -r '.moved | "# frozen \(.frozen_ms) ms, \(.late)"' "$tmp/moved"
sleep 0.3
client_end redis
is '... and its client has lost nothing' $'ready\ndata equal\nno reply lost or doubled' "$answer"
stop edge2 redis
stop edge1 redis

on edge1 mkdir -p /var/lib/edge/app
cp "$tools/guards.pl" "$tmp"
on edge1 cp "$tmp/guards.pl" /var/lib/edge/app
wanted=''
guarded() { # TITLE
	local line=none
	echo guard >&"$conn"
	read -r -t 20 -u "$conn" line
	wanted+="${wanted:+ }zero guard x"
	is "$1" "$wanted" "$line"
}
run guards --port 7000 --volume /var/lib/edge/app:/app -- perl /app/guards.pl 7000
await 10 bash -c "</dev/tcp/$addr/7000"
exec {conn}<>"/dev/tcp/$addr/7000"
guarded 'a program puts guards over pages, and takes one away'
late guards
guarded '... over pages that are still to come: none comes instead'
go_on
ok '... and that is the end of the move' wait $mover
guarded '... nor later'
exec {conn}>&-
stop edge2 guards

"$lab" link edge1 --rate 20
begin
ok 'it answers while its memory is at the source' "$B/tests/bench/gapclient" --dead 5000 "$addr" 7000 ping
is '... where it stands still' 'frozen running' "$(states)"
is '... as both nodes say' '["paging","none",null] ["running","keep","the rest of its memory is coming from the source"]' \
	"$(status_of edge1) $(status_of edge2)"
"$lab" cut edge1
go_on
sleep 2
is 'the link is cut: it waits' 'frozen running' "$(states)"
"$lab" heal edge1
sleep 0.5
on edge2 pkill -x edge-serve
ok '... and goes on when it is there again, and when its sessions have ended' wait $mover
ok '... over new ones' test "$(jq .moved.late.connected "$tmp/moved")" -ge 2
ok '... what was waited for came first' test "$(jq .moved.late.pages_asked "$tmp/moved")" -gt 0
end '... until the last page has come'

begin
on edge1 pkill -KILL -x edge-migrate
wait $mover
go_on
end 'who moved it is killed: its guard brings the rest'

fault() { instead edge2 "$serve" "export EDGE_FAULT=$1; exec \$real \"\$@\""; }
fault lonely
begin
"$lab" cut edge1
"$lab" kill edge1
lacks() { [[ $(status_of edge2) == '["running","keep","its memory is not all here, and the source does not send it"]' ]]; }
ok 'the source dies: the destination says what lacks' await 20 lacks
ok '... and ends it when that has not come for long enough' await 20 eval '[[ $(state edge2) == none ]]'
like '... which its log tells' 'edge-keeper: service mem: ended: the server of its pages: the node that it came from has not been heard of' \
	"$(log edge2 mem)"
"$lab" heal edge1
"$lab" boot edge1
recover() { on edge2 edge-migrate --recover; on edge1 edge-migrate --recover; idle; }
ok 'the source comes back: nothing is left of the move' await 20 recover
is '... nor of the service' 'none none' "$(states)"
finish
