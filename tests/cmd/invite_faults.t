#!/bin/bash
# SPDX-License-Identifier: MIT
# edge-invite: what becomes of an invitation when somebody dies, when an answer is lost, and when it is taken back in the middle of work.
# shellcheck disable=SC2016,SC2154
. "$(dirname "$0")/invite.sh"

# --- death, and a lost answer
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
invite --timeout 10 --ticket - <"$tmp/t2"
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
finish
