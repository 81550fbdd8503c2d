#!/bin/bash
# SPDX-License-Identifier: MIT
# edge-invite: tickets that are good for one time: forged, altered, another's, cut off, too large, used, too late.
# shellcheck disable=SC2016,SC2154
. "$(dirname "$0")/invite.sh"

# --- tickets for one time
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
finish
