#!/bin/bash
# SPDX-License-Identifier: MIT
# shellcheck disable=SC2016 # what is quoted so is for scripts on the nodes
# A service runs before its memory is all in place: it answers, can be stopped, waits when it is to go on to another node; and
# what becomes of it when that is never finished.
. "$(dirname "$0")/lib.sh"
. tests/move/mem.sh
need cc jq
nodes=(edge1 edge2)
lab_up --disk 2G
serve=$(on edge1 sh -c 'command -v edge-serve')
mem_root

fault() { # SWITCH: of what comes to edge2
	instead edge2 "$serve" "export EDGE_FAULT=$1; exec \$real \"\$@\""
}
hold() { on edge2 sh -c 'mkdir -p /run/edge && : >/run/edge/hold-filling'; } # what is not touched does not come, until go_on
held() { on edge2 test -e /run/edge/held-filling; }
go_on() { on edge2 sh -c 'rm -f /run/edge/hold-filling /run/edge/held-filling'; }
filled() { ! on edge2 sh -c 'pgrep -x edge-pages || ls /var/lib/edge/services/mem/fill' >/dev/null 2>&1; }
pages() { on edge2 pkill -KILL -x edge-pages; } # the lab's node has its own processes only
is_here() { on edge2 sh -c 'kill -0 "$(sed -n "s/.*\"pid\":\([0-9]*\).*/\1/p" /var/lib/edge/services/mem/service.json)"'; }
moved() { jq -c '[.moved.restore,.moved.restore_why]' "$tmp/moved"; }
touch_all() { # reads whatever the service's processes can read, by process_vm_readv(2)
	on edge2 perl -e '
		my $call = `uname -m` eq "x86_64\n" ? 310 : 270;
		my ($pid) = `cat /var/lib/edge/services/mem/service.json` =~ /"pid":(\d+)/;
		my ($space, $sum) = (readlink "/proc/$pid/ns/pid", 0);
		for my $p (grep { readlink "/proc/$_/ns/pid" eq $space } map { m,(\d+), } glob "/proc/[0-9]*") {
			open my $maps, "<", "/proc/$p/maps" or die;
			while (<$maps>) {
				my ($from, $to) = map { hex } /^(\w+)-(\w+) r/ or next;
				my $pages = "\0" x ($to - $from);
				my $here = pack "PQ", $pages, $to - $from;
				my $n = syscall $call, $p + 0, $here, 1, pack("QQ", $from, $to - $from), 1, 0;
				$sum += $n if $n > 0;
			}
		}
		print "$sum bytes\n";
		die if $sum < 8 << 20'
}
whole() { # TITLE: every page is what was written to it last
	is "$1" 0 "$("$B/tests/bench/gapclient" --dead 20000 "$addr" 7000 check | jq -r .value)"
}
begin() { # a service that has just come to edge2, and whose memory stays where it is
	mem_run mem
	hold
	ok "$1" move mem edge1 edge2 || sed 's/^/# /' "$tmp/err"
	await 20 held
}
end() { stop edge2 mem; stop edge1 mem; go_on; }

fault hold
mem_run mem
gap_start
hold
ok 'a service moves whose memory is not put in place' move mem edge1 edge2 || sed 's/^/# /' "$tmp/err"
is 'which its record says' '["lazy",null]' "$(moved)"
await 20 held
ok 'it runs and answers' answers
whole '... with all pages as they were, which come as they are touched'
ok 'a process gives them to it' on edge2 pgrep -x edge-pages
on edge2 edge-migrate mem --to edge1 "${patient[@]}" >"$tmp/moved" 2>"$tmp/err" &
back=$!
sleep 1
ok 'it does not go on before they are all there' kill -0 $back
is_here && ok '... and runs meanwhile' answers
go_on
ok '... and then does' wait $back || sed 's/^/# /' "$tmp/err"
ok 'nothing is left of the one that gave them' filled
gap_end
is 'its client has noticed nothing' '[0,0,0,0,1]' "$gap"
whole 'and all pages are as they were'
end

begin 'another one moves'
ok 'it is stopped at once' on edge2 edge-stop --rm --grace 1 mem
go_on
ok '... and nothing is left of it' await 5 filled
is '... nowhere' '' "$(remains edge2 mem)"
end

begin 'another one moves'
on edge2 pkill -KILL -x edge-keeper
go_on
ok 'its keeper is killed: its memory comes' await 20 filled
whole '... as it was'
end

begin 'another one moves'
ok 'all that it has is touched before any of it is put in place' touch_all
go_on
ok '... and nobody waits for more' await 20 filled
whole '... and it is as it was'
end

begin 'another one moves'
pages
ok 'what gives it its pages is killed: it ends' await 20 eval '! is_here'
tells() { [[ $(log edge2 mem) == *'edge-keeper: service mem: ended: the server of its pages was killed (signal 9)'* ]]; }
ok '... which its log tells' await 5 tells
is '... and nothing is left of it' '' "$(remains edge2 mem)"
end

right edge2 "$serve"
fault tardy
mem_run mem
on edge1 edge-migrate mem --to edge2 "${patient[@]}" >"$tmp/moved" 2>"$tmp/err" &
mover=$!
await 20 on edge2 pkill -KILL -x edge-pages
wait $mover
like 'what is to give it its pages is killed before it is there: the move comes to nothing' \
	'^69 edge-migrate: node edge2: service mem: the server of its pages (was killed \(signal 9\)|has ended)$' "$? $(<"$tmp/err")"
whole '... and it goes on where it was'
is '... and nothing is left of it' '' "$(remains edge2 mem)"
ok 'where it takes its time it is waited for' move mem edge1 edge2
whole '... and all pages are as they were'
end

right edge2 "$serve"
fault whole
mem_run mem
ok 'a kernel without userfaultfd is no hindrance' move mem edge1 edge2
is '... and is told of' '["whole","a test wants it so"]' "$(moved)"
whole '... and all pages are as they were'
end
right edge2 "$serve"
finish
