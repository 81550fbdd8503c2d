#!/bin/bash
# SPDX-License-Identifier: MIT
# Kernel objects of many kinds, asked over one connection that stays open.
. "$(dirname "$0")/lib.sh"
tool objects
lab_up
on edge1 mkdir -p /var/lib/edge/bin
cp "$built/objects" "$tmp"
on edge1 cp "$tmp/objects" /var/lib/edge/bin
run objects --port 7000 --volume /var/lib/edge/bin:/opt/edge -- /opt/edge/objects 7000
await 5 bash -c "</dev/tcp/$addr/7000"
exec {conn}<>"/dev/tcp/$addr/7000"
checks() { # WHERE: each line of the answer is a test
	local line
	echo check >&"$conn"
	while :; do
		if ! read -r -t 10 -u "$conn" line; then
			ok "the service answers at $1" false
			return
		fi
		[[ -n $line ]] || break
		ok "$1: ${line#*ok }" test "${line%% *}" = ok
	done
}
checks 'before the moves'
there_and_back objects checks
is 'nothing is left where the service was' '' "$(remains edge2 objects)"
finish
