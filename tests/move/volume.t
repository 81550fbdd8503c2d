#!/bin/bash
# SPDX-License-Identifier: MIT
# Files: a shell loop that writes into a volume, and files of every kind in the volume and in the service's own layer.
. "$(dirname "$0")/lib.sh"
tool files
lab_up
vol=/var/lib/edge/vol
on edge1 mkdir -p $vol/kinds $vol/bin /var/lib/edge/linked
cp "$built/files" "$tmp"
on edge1 cp "$tmp/files" $vol/bin
on edge1 $vol/bin/files make $vol/kinds
# shellcheck disable=SC2016 # for the service's shell
# /var/run is a link in most roots
run loop --volume $vol:/data --volume /var/lib/edge/linked:/var/run/linked -- sh -c '
	mkdir /srv/kinds && /data/bin/files make /srv/kinds && rm /etc/debian_version /etc/issue && mkdir /etc/issue
	exec 3>>/data/held
	i=0
	while [ ! -e /data/stop ]; do
		i=$((i + 1))
		echo $i >>/data/lines
		echo $i >&3
		echo $i >>/srv/lines
		echo $i >>/var/run/linked/lines
		sleep 0.005
	done
	touch /data/stopped
	sleep 1000'
await 10 on edge1 test -s $vol/lines
describe() { # NODE
	inside "$1" loop sh -c '/data/bin/files describe /data/kinds; /data/bin/files describe /srv/kinds
		ls -d /etc/debian_version /etc/issue/. 2>&1'
}
want=$(describe edge1)
ok 'there is something to compare' test "$(wc -l <<<"$want")" -gt 30
kept() { is "files of all kinds are at $1 as they were" "$want" "$(describe "$1")"; }
there_and_back loop kept
inside edge1 loop touch /data/stop
ok 'the loop goes on until it is told to stop' await 10 inside edge1 loop test -e /data/stopped
for f in /data/lines /data/held /srv/lines /run/linked/lines; do
	inside edge1 loop cat $f >"$tmp/lines"
	n=$(wc -l <"$tmp/lines")
	ok "$f has each of $n numbers once" cmp "$tmp/lines" <(seq "$n")
done
ok 'and there are many' test "$n" -gt 50
is 'nothing is left where the service was' '' "$(remains edge2 loop)"
finish
