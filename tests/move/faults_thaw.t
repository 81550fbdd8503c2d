#!/bin/bash
# SPDX-License-Identifier: MIT
# How long a frozen service waits when what moves it is killed: from the kill until its client has an answer.
. "$(dirname "$0")/faults.sh"
matrix_up
waits() { # LIMIT(ms) STEP END FAULT [WANTED]: until one does, of a few: others may use the machine, too
	local i ms best=99999 limit=$1
	shift
	for ((i = 0; i < 8 && best > limit; i++)); do
		client times perl "$tools/http-client.pl" times "$addr" 8080 /peek
		cell "$1" "$2" "$3" "${4:-}"
		client_end times
		ms=$(awk -v at="$(grep -o '^[0-9]*\.[0-9]*' "$tmp/struck")" '/^[0-9.]+$/ && $1 > at { printf "%d", ($1 - at) * 1000; exit }' "$tmp/times.out")
		echo "# $3: answered after $ms ms"
		((${ms:-99999} >= best)) || best=$ms
	done
	ok "after $3 the client waits for at most $limit ms" test "$best" -le $limit
}
waits 200 restoring destination kill:edge-migrate@source stays
# criu's end lets it run at once; what it says before its network is there is said again by TCP, 200 ms later.
waits 350 frozen source strike:KILL:criu:0 survives
waits 200 restoring destination kill:edge-serve@destination
waits 200 restoring destination kill:session@destination
finish
