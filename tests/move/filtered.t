#!/bin/bash
# SPDX-License-Identifier: MIT
# A service that filters its own system calls, as sandboxed programs do: nobody who is filtered himself may look at it.
. "$(dirname "$0")/lib.sh"
need perl jq runc
lab_up
on edge1 mkdir -p /var/lib/edge/app
cp "$tools/counter.pl" "$tools/filtered.pl" "$tmp"
on edge1 cp "$tmp/counter.pl" "$tmp/filtered.pl" /var/lib/edge/app
command=(perl /app/filtered.pl perl /app/counter.pl 8080)

filters() { # NODE
	inside "$1" counter sed -n 's/^Seccomp:\s*//p' /proc/1/status
}
goes_on() { # TITLE
	await 5 bash -c "</dev/tcp/$addr/8080"
	client counter perl "$tools/http-client.pl" count "$addr" 8080 /
	ready counter
	is "$1: it filters" 2 "$(filters edge1)"
	there_and_back counter
	is '... and does so still' 2 "$(filters edge1)"
	counter_kept
	stop edge1 counter
}

run counter --port 8080 --volume /var/lib/edge/app:/app -- "${command[@]}"
goes_on 'engine process'

bundle "${command[@]}"
run counter --port 8080 --volume /var/lib/edge/app:/app --bundle "$bundle"
goes_on 'engine runc'

# A process that is not ours.
pid=$(on edge1 sh -c 'cd /; setsid perl /var/lib/edge/app/filtered.pl sleep 1000 </dev/null >/dev/null 2>&1 & echo $!')
await 5 on edge1 grep -qx sleep "/proc/$pid/comm"
ok 'edge-checkpoint --pid' on edge1 sh -c 'edge-checkpoint --pid "$1"' sh "$pid"
on edge1 kill "$pid"
finish
