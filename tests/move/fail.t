#!/bin/bash
# SPDX-License-Identifier: MIT
# shellcheck disable=SC2016 # what is quoted so is for scripts on the nodes
# Moves that fail in the middle: one clear error, the service goes on at its source, and nothing is left at either end.
. "$(dirname "$0")/lib.sh"
need perl curl
lab_up --disk 1G
criu=$(criu_of edge2)

further() { (($(curl -sf -m 5 "http://$addr:8080/peek") > $1)); }
goes_on() { # the client is answered
	local was
	was=$(curl -sf -m 5 "http://$addr:8080/peek") && await 5 further "$was"
}
left_here() { # what a failed move must not leave at the source
	on edge1 sh -c 'ls -d /var/lib/edge/checkpoints/* /var/lib/edge/journal/* /run/edge/move-* 2>/dev/null
		ps -eo comm= | grep -e ^criu -e edge-migrate; nft list tables 2>/dev/null; true'
}
fails() { # TITLE STATUS ERROR (a pattern) [VAR=VALUE...]: of a move to edge2
	local rc=0 title=$1 want="($2) edge-migrate: $3"
	shift 3
	on edge1 env "$@" edge-migrate counter --to edge2 "${patient[@]}" >"$tmp/moved" 2>"$tmp/err" || rc=$?
	like "$title: the error says it" "^($want)$" "$rc $(<"$tmp/err")"
	is '... in one line, without a record' '1 0' "$(wc -l <"$tmp/err") $(wc -l <"$tmp/moved")"
	is '... nothing is left at either end' '' \
		"$(remains edge2 counter; on edge2 ls /var/lib/edge/services 2>/dev/null; lasting left_here)"
	ok '... and the service goes on' goes_on
}

if [[ $(cat /proc/sys/kernel/io_uring_disabled 2>/dev/null) == 0 ]]; then
	counter uring
	fails 'criu cannot dump an io_uring' 69 'service counter: criu: dump: .*FDs.*'
	counter_kept
	stop edge1 counter
else
	ok 'criu cannot dump an io_uring # skip kernel: it has none' true
fi

counter memory
fails 'criu fails early in its dump' 69 'service counter: criu: dump: .*' CRIU_FAULT=1
fails 'criu fails in the middle of its dump' 69 'service counter: criu: dump: .*' CRIU_FAULT=5
instead edge2 "$criu" '[ "$1" != swrk ] || export CRIU_FAULT=6; exec $real "$@"'
fails 'criu fails at the end of its restore' 69 'node edge2: service counter: criu: restore: .*'
right edge2 "$criu"
instead edge2 "$criu" '[ "$1" != swrk ] || exit 1; exec $real "$@"'
fails 'criu ends before its restore' 74 'node edge2: service counter: criu: .*'
right edge2 "$criu"
on edge2 rm -rf /var/lib/edge/store
instead edge2 "$criu" '[ "$1" != swrk ] || fallocate -l $(($(stat -f -c "%a*%S" /var/lib/edge))) /var/lib/edge/fill
	exec $real "$@"'
fails "the destination's disk is full in the middle" '7[14]' 'node edge2: .*No space left on device'
on edge2 rm -f /var/lib/edge/fill
right edge2 "$criu"
fails 'a page is damaged on the wire' 65 '.*' EDGE_FAULT=flip-page
there_and_back counter
counter_kept 'through all of it, the service lost neither a request nor its connection'
is 'nothing is left where the service was' '' "$(remains edge2 counter)"
finish
