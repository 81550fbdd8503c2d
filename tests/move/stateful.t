#!/bin/bash
# shellcheck disable=SC2016 # what is quoted so is for the nodes' shells
# SPDX-License-Identifier: MIT
# Containers of podman and Docker that move with their memory, by their engines' own checkpoints: there, to a node that has not
# their image, and back, with what they have written and their volumes; refused where they cannot be; and where they were when a move fails.
. "$(dirname "$0")/lib.sh"
. "$(dirname "$0")/engines.sh"
need dockerd podman runc busybox perl jq
lab_up
cp "$tools/counter.pl" "$tmp"
base=$(perl -e 'print +(grep { -e "$_/auto/Socket/Socket.so" && -e "$_/strict.pm" && -e "$_/IO/Select.pm" } @INC)[0]')
perl=$(readlink -f "$(command -v perl)")
WITH="$perl $base $tmp/counter.pl" "$tools/make-image" "$tmp/count.tar" count:1 \
	"\"Env\":[\"PATH=/bin:${perl%/*}\"],\"Cmd\":[\"${perl##*/}\",\"$tmp/counter.pl\",\"8080\"]"
"$tools/make-image" "$tmp/keeps.tar" keeps:1 '"Env":["PATH=/bin"],"Cmd":["sleep","1000000"],"Volumes":{"/kept":{}}'
trap 'end_engines; clean' EXIT
for node in "${nodes[@]}"; do
	daemon "$node" --experimental
	podman_up "$node"
done

ask() { timeout 20 busybox wget -q -O - "http://$addr:8080/${1:-}"; } # PATH
ask_on() { # over the open connection
	local line
	printf 'GET / HTTP/1.1\r\n\r\n' >&"$open"
	while read -r -t 60 -u "$open" line && [[ $line != $'\r' ]]; do :; done
	read -r -t 60 -u "$open" line
	echo "$line"
}
stands_at() { [[ $(ask peek) == "$1" ]]; }
engine() { # NODE ARG...
	local node=$1
	shift
	on "$node" sh -c 'PATH=/usr/bin:$PATH "$@"' sh "$engine" "$@"
}
none_at() { [[ ! $(engine "$1" ps -aq) ]]; }
moved() { # FROM TO OPTION...: with how long it took
	ok "$engine: it moves from $1 to $2${3:+ ($3)}" move count "$@" || sed 's/^/# /' "$tmp/err"
	jq -r '.moved | "# frozen \(.frozen_ms) ms (checkpoint \(.container.dump_ms), sent \(.container.ship_ms), restore \(.container.restore_ms)) of \(.total_ms) ms, \(.bytes_sent) bytes sent"' "$tmp/moved"
}
for engine in podman docker; do
	on edge1 sh -c 'PATH=/usr/bin:$PATH "$1" load -q -i "$2"' sh $engine "$tmp/count.tar" >/dev/null
	on edge1 sh -c 'mkdir -p /var/lib/edge/data && echo first >/var/lib/edge/data/file'
	run count --engine $engine --port 8080 --volume /var/lib/edge/data:/var/lib/edge/data --image count:1
	await 20 stands_at 0
	is "$engine: a container counts" '1 2' "$(ask) $(ask)"
	engine edge1 exec count busybox sh -c 'echo new >/srv/old; rm -r /etc/group /var/lib/app; mkdir /var/lib/app; echo mine >/var/lib/app/own
		echo second >>/var/lib/edge/data/file'
	exec {open}<>"/dev/tcp/$addr/8080"
	await 10 on edge1 sh -c 'nsenter --net=/run/edge/netns/count ss -tnH state established | grep -q .'
	is '... over a connection that stays' 3 "$(ask_on)"
	if [[ $engine == podman ]]; then
		moved edge1 edge2
		ok '... which its record says as its schema says' tests/schema/check <"$tmp/moved"
		is '... and counts on from there, over the same connection' 4 "$(ask_on)"
	else
		ok "$engine: with an open connection it is not moved" test "$(move count edge1 edge2; echo $?)" = 69
		is '... for a reason' \
			'edge-migrate: service count: engine docker: does not keep its 1 open connection (--tcp-close gives them up)' "$(<"$tmp/err")"
		moved edge1 edge2 --tcp-close
		is '... and counts on from there' 4 "$(ask)"
	fi
	exec {open}>&-
	is '... where its engine has it' 'count/' "$(engine edge2 ps --format '{{.Names}}')/$(engine edge1 ps -a --format '{{.Names}}')"
	is '... with the files that it has written, and without those that it has removed' 'new /var/lib/app: own' \
		"$(engine edge2 exec count busybox sh -c 'cat /srv/old; ls /etc/group /var/lib/app 2>/dev/null' | paste -sd' ')"
	is '... and its volume' 'first second' "$(engine edge2 exec count busybox cat /var/lib/edge/data/file | paste -sd' ')"
	engine edge2 exec count busybox sh -c 'echo third >>/var/lib/edge/data/file'
	moved edge2 edge1
	is '... and counts on' 5 "$(ask)"
	is '... and finds its volume where it was' 'first second third' "$(on edge1 cat /var/lib/edge/data/file | paste -sd' ')"
	program=$(on edge2 sh -c 'command -v "$1"' sh $engine)
	instead edge2 "$program" 'case "$*" in *restore*|*--checkpoint*) echo "not today" >&2; exit 1 ;; esac; exec $real "$@"'
	ok "$engine: that cannot restore it there" test "$(move count edge1 edge2; echo $?)" = 69
	is '... says why' "edge-migrate: node edge2: service count: $engine: not today" "$(<"$tmp/err")"
	is '... and it counts on where it was' 6 "$(ask)"
	right edge2 "$program"
	is '... with nothing left there' '' "$(engine edge2 ps -aq)$(remains edge2 count)"
	if [[ $engine == podman ]]; then # the guard is the same for both
		on edge1 sh -c 'mkdir -p /run/edge && : >/run/edge/hold-go
			EDGE_FAULT=hold edge-migrate count --to edge2 --max-freeze 60000 & pid=$!
			for i in $(seq 1200); do [ ! -e /run/edge/held-go ] || break; sleep 0.05; done; kill -9 $pid; rm /run/edge/held-go' >"$tmp/held" 2>&1
		ok "$engine: when who moves it is killed at its last word, it goes on where it was" await 40 stands_at 6
		ok '... and the other node ends it' await 40 none_at edge2
		is '... and leaves nothing' '' "$(remains edge2 count)"
	fi
	stop edge1 count
	on edge1 sh -c 'PATH=/usr/bin:$PATH "$1" load -q -i "$2"' sh $engine "$tmp/keeps.tar" >/dev/null
	run keeps --engine $engine --image keeps:1
	ok "$engine: whose image asks for a volume is not moved without it" test "$(move keeps edge1 edge2; echo $?)" = 69
	is '... which is said' "edge-migrate: service keeps: engine $engine: /kept is a volume that its engine has made: cannot be moved \
(--volume gives it a folder)" "$(<"$tmp/err")"
	stop edge1 keeps
	run keeps --engine $engine --image keeps:1 --volume /var/lib/edge/data:/kept
	ok '... and with a folder for it could be' on edge1 edge-migrate keeps --to edge2 --dry-run
	stop edge1 keeps
done
finish
