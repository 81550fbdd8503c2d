#!/bin/bash
# SPDX-License-Identifier: MIT
# The fault matrix at a move's destination.
. "$(dirname "$0")/faults.sh"
matrix_up

for step in ${STEPS:-begun restoring running}; do
	for what in kill:edge-serve kill:edge-keeper kill:criu kill:session cut:1 full; do
		cell "$step" destination "$what"
	done
done
# Who gives the restored service its pages: before the commit the move has failed, after it the service has.
cell restoring destination kill:edge-pages stays
cell restoring destination stop:edge-pages
cell filling destination kill:edge-pages dies
for what in kill:edge-serve kill:edge-keeper kill:session cut:1 full; do
	cell filling destination "$what" moves
done
# In the middle of criu's work; and what waits for seconds, where it matters.
for ms in 0 10 25; do
	cell restoring destination "strike:KILL:criu:$ms"
	cell restoring destination "strike:KILL:edge-serve:$ms"
done
# The first of them alone: those that it made live on, and have its socket.
for ms in 0 5 15; do
	cell restoring destination "strike:KILL:first-criu:$ms"
done
cell restoring destination strike:STOP:criu:0
for what in edge-serve edge-keeper session; do
	cell restoring destination "stop:$what"
done
cell running destination stop:edge-serve
deadline=4
cell begun destination cut:10
cell restoring destination cut:never
anew
cell running destination cut:never
counter_kept 'through all of it, no answer was lost or doubled'
finish
