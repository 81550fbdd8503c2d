#!/bin/bash
# SPDX-License-Identifier: MIT
# A service that writes memory faster than the link brings it over is told so, and what becomes of it is --on-hot's word.
. "$(dirname "$0")/lib.sh"
need perl jq
lab_up
on edge1 mkdir -p /var/lib/edge/app
cp "$tools/hot.pl" "$tmp"
on edge1 cp "$tmp/hot.pl" /var/lib/edge/app
run hot --volume /var/lib/edge/app:/app -- perl /app/hot.pl 3
await 20 on edge1 grep -q . /var/lib/edge/services/hot/log
# All else of it is at both nodes before the link is slow.
ok 'a service moves, and back' eval 'move hot edge1 edge2 --max-pause 1000 && move hot edge2 edge1 --max-pause 1000'
"$lab" link edge2 --rate 20
rounds() { on "$1" tail -n 1 /var/lib/edge/services/hot/log; }
goes_on() { # NODE
	local before
	before=$(rounds "$1")
	ok '... and it goes on' await 20 eval "((\$(rounds $1) > ${before:-0}))"
}
told='^edge-migrate: service hot: writes [0-9]+ MB/s of memory, and [0-9]+ MB/s get through \(--on-hot'
moved() { jq -c '.moved | [.throttled > 0, has("late")]' "$tmp/moved"; }
figures() { jq -r '.moved | "# writes \(.dirty_bps) bytes/s, \(.link_bps) get through; \(.rounds) rounds, frozen \(.frozen_ms) of \(.total_ms) ms, \(.late // "")"' "$tmp/moved"; }
there() { # WAY WANTED
	ok "$1: it moves" move hot edge1 edge2 --on-hot "$1" || sed 's/^/# /' "$tmp/err"
	like '... it is told to be hot' "$told $1\\)" "$(<"$tmp/err")"
	is '... which its record says' "$2" "$(moved)"
	figures
	goes_on edge2
}
back() {
	"$lab" link edge2
	ok '... and back, on a better link' move hot edge2 edge1 --max-pause 1000
	"$lab" link edge2 --rate 20
}

move hot edge1 edge2 --on-hot abort
is 'abort: it does not move' 75 $?
like '... and is told why' 'service hot: writes [0-9]+ MB/s of memory, and [0-9]+ MB/s get through: it goes on here' "$(<"$tmp/err")"
goes_on edge1
there post-copy '[false,true]'
back
there throttle '[true,false]'
back
# shellcheck disable=SC2016
weights() { on edge1 sh -c 'cd /sys/fs/cgroup && cat cpu/edge-aside-*/cpu.shares edge-aside-*/cpu.weight' 2>/dev/null; }
after_others() { [[ $(weights) == 102 || $(weights) == 10 ]]; } # of 1024, of 100
{ await 20 after_others && : >"$tmp/after-others"; } &
there wait '[false,false]'
ok '... while memory is copied what runs here comes first' test -e "$tmp/after-others"
is '... of which nothing is left' '' "$(weights)"
finish
