#!/bin/bash
# SPDX-License-Identifier: MIT
# The fault matrix at a move's source: at each step of its journal there, everything that can die or stand still.
. "$(dirname "$0")/faults.sh"
matrix_up

for step in ${STEPS:-begun frozen go handed-over}; do
	for what in none kill:edge-migrate term:edge-migrate kill:edge-guard kill:edge-keeper kill:criu stop:edge-migrate \
		cut:1 cut:never full; do
		cell "$step" source "$what"
	done
done
counter_kept 'through all of it, no answer was lost or doubled'
finish
