#!/bin/bash
# SPDX-License-Identifier: MIT
# redis-server under a pipelining client that stays connected.
. "$(dirname "$0")/lib.sh"
need redis-server perl
lab_up
run redis --port 6379 -- redis-server --bind 0.0.0.0 --protected-mode no --enable-debug-command yes --save ''
await 5 bash -c "</dev/tcp/$addr/6379"
client redis perl "$tools/redis-client.pl" "$addr" 6379 8
ready redis
there_and_back redis
is 'it has its own host name' redis "$(inside edge1 redis hostname)"
for kind in uts ipc time; do
	of=$(inside edge1 redis readlink "/proc/1/ns/$kind")
	ok "... and a namespace of its own: $kind" test "$of" -a "$of" != "$(on edge1 readlink "/proc/self/ns/$kind")"
done
client_end redis
is 'the client lost nothing' 'ready
data equal
no reply lost or doubled' "$answer"
is 'nothing is left where the service was' '' "$(remains edge2 redis)"
finish
