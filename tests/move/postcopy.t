#!/bin/bash
# SPDX-License-Identifier: MIT
# shellcheck disable=SC2016 # what is quoted so is for scripts on the nodes
# A service runs at the destination before all of its memory is there: what it touches comes first, the rest meanwhile, also when
# the link breaks, or who sends it dies; and its source keeps it until the last page has arrived.
. "$(dirname "$0")/lib.sh"
. tests/move/mem.sh
need cc jq redis-server redis-cli
nodes=(edge1 edge2)
lab_up --disk 2G
serve=$(on edge1 sh -c 'command -v edge-serve')
mem_root

run mem --port 7000 --root "$tmp/root" -- /memsrv --mem 64 --write 0.5
await 10 "$B/tests/bench/gapclient" --dead 500 "$addr" 7000 ping
gap_start
ok there move mem edge1 edge2 --post-copy
cat $tmp/err; jq -c . $tmp/moved
answers
ok back move mem edge2 edge1 --post-copy
cat $tmp/err; jq -c . $tmp/moved
answers
gap_end; echo $gap
finish
