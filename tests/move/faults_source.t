#!/bin/bash
# SPDX-License-Identifier: MIT
# The fault matrix at a move's source: at each step of its journal there, everything that can die or stand still.
. "$(dirname "$0")/faults.sh"
matrix_up

for step in ${STEPS:-begun frozen go handed-over}; do
	for what in kill:edge-migrate term:edge-migrate kill:edge-guard kill:edge-keeper kill:criu cut:1 full; do
		cell "$step" source "$what"
	done
done
# In the middle of criu's work; and what waits for seconds, where it matters.
for ms in 0 5 25; do
	cell frozen source "strike:KILL:criu:$ms" survives
	cell frozen source "strike:KILL:edge-migrate:$ms"
done
cell frozen source strike:STOP:criu:4
for step in frozen go; do
	cell "$step" source stop:edge-migrate
done
cell frozen source stop:edge-guard
for what in kill:session stop:session kill:edge-serve; do # of the one who ordered it from elsewhere
	far=yes cell restoring destination "$what@source"
done
deadline=4
cell begun source cut:10
cell frozen source cut:never
cell go source cut:never
counter_kept 'through all of it, no answer was lost or doubled'
finish
