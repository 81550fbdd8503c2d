#!/bin/bash
# SPDX-License-Identifier: MIT
# The fault matrix of the wire: between sshd and edge-serve a frame of each kind is damaged, comes twice, or late. Such a move
# fails, or has been done before; the service runs once in any case.
. "$(dirname "$0")/faults.sh"
matrix_up

wire() { # WHAT [stays|moves]
	filter=$1
	on "$there" sh -c 'mkdir -p /run/edge; rm -f /run/edge/filtered'
	local to=$there
	cell '' source "$1" "${2:-}"
	ok '... and the fault was there' on "$to" test -s /run/edge/filtered
	on "$to" rm -f /run/edge/filtered
}

# control: lengths and calls; bulk: pages, and what is asked about them; images; files
for kind in hello call reply want pages synced image manifest blocks; do
	wire "flip:$kind:head"
	wire "flip:$kind:data"
done
for verb in prepare attach files arm catch restore; do
	wire "twice:$verb"
	wire "late:$verb"
done
for verb in 'go' 'done'; do
	wire "flip:$verb:data"
	wire "twice:$verb" moves
done
for kind in reply pages image blocks; do
	wire "twice:$kind"
	wire "late:$kind"
done
counter_kept 'through all of it, no answer was lost or doubled'
finish
