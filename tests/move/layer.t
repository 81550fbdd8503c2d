#!/bin/bash
# SPDX-License-Identifier: MIT
# A root of its own is a layer named by its digest, brought to a node once; files of / that differ there are refused, or
# brought along.
# shellcheck disable=SC2016
. "$(dirname "$0")/lib.sh"
need jq perl
nodes=(edge1 edge2 edge3)
lab_up
root=/var/lib/edge/myroot
make_root() {
	on edge1 bash -c '
		set -e
		mkdir -p '$root'/{proc,dev,sys,tmp,etc,bin}
		for f in /bin/sh /bin/sleep $(ldd /bin/sh /bin/sleep | grep -o "/[^ ]*" | grep -v ":$"); do
			mkdir -p "'$root'${f%/*}"
			cp -L "$f" "'$root'$f"
		done
		head -c 3000000 /dev/urandom >'$root'/ballast'
}
sent() { jq .moved.bytes_sent "$tmp/moved"; }
ok 'a root is made' make_root
run one --root $root -- /bin/sh -c 'n=0; while sleep 0.1; do n=$((n + 1)); echo $n >>/n; done'
sleep 0.5
ok 'it moves to a node that lacks its root' move one edge1 edge2
ok '... which is brought there' test "$(sent)" -gt 3000000
ok 'it moves back' move one edge2 edge1
ok '... to the root that it came from' test "$(sent)" -lt 1000000
is 'which it still uses' "$root" "$(on edge1 jq -r .root /var/lib/edge/services/one/service.json)"
before=$(on edge1 tail -n 1 /var/lib/edge/services/one/upper/n)
counts() { (($(on edge1 tail -n 1 /var/lib/edge/services/one/upper/n) > before)); }
ok 'it counts on' await 5 counts
on edge1 edge-run --name two --root $root -- /bin/sh -c 'while sleep 1; do :; done' >/dev/null
ok 'another service with that root' move two edge1 edge2
ok '... finds it there' test "$(sent)" -lt 1000000
is 'the node keeps it once' 1 "$(on edge2 sh -c 'ls /var/lib/edge/store/layers | wc -l')"
on edge2 sh -c 'cd /var/lib/edge/store/layers && set -- * && touch "$1.part" && rm "$1/ballast"'
ok 'a layer whose transfer was broken off' move one edge1 edge2
ok '... is made whole' test "$(sent)" -gt 2900000
is '... for good' '' "$(on edge2 sh -c 'ls /var/lib/edge/store/layers | grep part')"

# --- files of /
on edge1 edge-run --name base --addr "$subnet.61" -- perl -e '$SIG{TERM} = sub { exit }; while (1) { sleep 1 }' >/dev/null
perl=$(on edge1 sh -c 'readlink -f "$(command -v perl)"')
on edge2 sh -c "cp $perl /run/perl && echo >>/run/perl && mount --bind /run/perl $perl"
is 'a file that differs there is refused by name' "69 edge-migrate: node edge2: refuses: base: $perl: differs from the source's" \
	"$(move base edge1 edge2; echo "$? $(<"$tmp/err")")"
is 'the service goes on' running "$(on edge1 edge-migrate base --to edge3 --dry-run | jq -r '"running"')"
ok 'with --ship-base it is brought along' on edge1 bash -c "edge-migrate base --to edge2 --ship-base ${patient[*]} >$tmp/moved"
is '... into the service alone' "$(on edge1 sha256sum "$perl" | cut -d' ' -f1)" \
	"$(inside edge2 base sha256sum "$perl" | cut -d' ' -f1)"
ok 'and moves on with it' move base edge2 edge3
ok 'and back to where it began' move base edge3 edge1
on edge1 edge-run --name pipe -- perl -e '$SIG{TERM} = sub { exit }; while (1) { sleep 1 }' >/dev/null
is 'a pipe is refused, too' "75 1 0" \
	"$(on edge1 bash -c 'edge-checkpoint pipe 2>/dev/null | edge-ship --to edge2 2>/dev/null | edge-restore
		echo "${PIPESTATUS[@]}"')"
is '... or brings the file along' "edge2" \
	"$(on edge1 bash -c 'edge-checkpoint pipe | edge-ship --ship-base --to edge2 | edge-restore' | jq -r .node)"
is '... into the service' "$(on edge1 sha256sum "$perl" | cut -d' ' -f1)" \
	"$(inside edge2 pipe sha256sum "$perl" | cut -d' ' -f1)"
finish
