#!/bin/bash
# SPDX-License-Identifier: MIT
# The fault matrix of post-copy: the service is the destination's before all of its memory is there, and needs both nodes until it
# is. What dies of our programs, or of the link, is made good; what dies with a node is lost, and never runs twice.
. "$(dirname "$0")/faults.sh"
# shellcheck disable=SC2034 # for faults.sh
way=(--post-copy)
matrix_up

cell frozen source kill:edge-migrate stays
cell go source kill:edge-migrate
cell paging source kill:edge-migrate moves
cell paging source kill:session moves
cell paging source cut:3 moves
cell paging source term:edge-migrate moves
cell running destination kill:edge-serve moves
# It runs there, and the source, which has said "go", has not heard of it: what lacks is brought all the same.
cell running destination kill:edge-migrate@source moves
deadline=4
cell running destination cut:10 moves
deadline=15
anew
cell paging source kill:edge-pages@destination dies

# The source still has it as it was frozen; but what it has done since is lost, so that only a person can want it back.
follow() { :; }
cell paging source power:0.5@destination waits
ok '... and goes on where it was when it is forced to' on "$here" edge-migrate --recover --force counter
recover
is '... only there' 'running none' "$(states)"
ok '... it answers' answers
no_guard() { [[ ! $(processes "$here" edge-guard) ]]; }
await 15 no_guard # it looks again every 10 s
is '... and nothing is left of the move' '' "$(traces "$there" "$here")"
finish
