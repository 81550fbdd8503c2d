#!/bin/bash
# SPDX-License-Identifier: MIT
# memcached, with its threads, under a client that stays connected.
. "$(dirname "$0")/lib.sh"
need memcached perl
lab_up
run memcached --port 11211 --user nobody -- memcached -l 0.0.0.0 -p 11211 -m 64 -t 4
await 5 bash -c "</dev/tcp/$addr/11211"
client memcached perl "$tools/memcached-client.pl" "$addr" 11211
ready memcached
there_and_back memcached
client_end memcached
is 'the client lost nothing' 'ready
data equal
no reply lost or doubled' "$answer"
is 'nothing is left where the service was' '' "$(remains edge2 memcached)"
finish
