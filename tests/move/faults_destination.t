#!/bin/bash
# SPDX-License-Identifier: MIT
# The fault matrix at a move's destination.
. "$(dirname "$0")/faults.sh"
matrix_up

for step in ${STEPS:-begun restoring running}; do
	for what in none kill:edge-serve kill:edge-keeper kill:criu kill:session stop:edge-serve cut:1 cut:10 cut:never full; do
		cell "$step" destination "$what"
	done
done
counter_kept 'through all of it, no answer was lost or doubled'
finish
