#!/bin/bash
# SPDX-License-Identifier: MIT
# Kernel objects of many kinds, asked over one connection that stays open.
. "$(dirname "$0")/lib.sh"
tool objects
lab_up
on edge1 mkdir -p /var/lib/edge/bin
cp "$built/objects" "$tmp"
on edge1 cp "$tmp/objects" /var/lib/edge/bin
run objects --port 7000 --volume /var/lib/edge/bin:/opt/edge -- /opt/edge/objects 7000
await 5 bash -c "</dev/tcp/$addr/7000"
exec {conn}<>"/dev/tcp/$addr/7000"
checks() { # WHERE: each line of the answer is a test
	local line
	echo check >&"$conn"
	while :; do
		if ! read -r -t 10 -u "$conn" line; then
			ok "the service answers at $1" false
			return
		fi
		[[ -n $line ]] || break
		ok "$1: ${line#*ok }" test "${line%% *}" = ok
	done
}
checks 'before the moves'
there_and_back objects checks
is 'nothing is left where the service was' '' "$(remains edge2 objects)"
exec {conn}>&-
stop edge1 objects

# One that has nothing of System V's IPC when its move begins, and then has.
cat >"$tmp/late.pl" <<'END'
use IO::Socket::INET;
open my $random, '<', '/dev/urandom' or die;
read $random, my $memory, 20e6;
my ($id, $s) = (undef, IO::Socket::INET->new(LocalPort => 8000, Listen => 9, ReuseAddr => 1)) or die;
while (my $c = $s->accept) {
	my $there = '';
	if (<$c> =~ /make/) { $id = shmget(0, 4096, 01600); shmwrite($id, 'kept', 0, 4) }
	shmread($id, $there, 0, 4) if defined $id;
	print $c "$there\n";
	close $c;
}
END
on edge1 cp "$tmp/late.pl" /var/lib/edge/bin
run late --port 8000 --volume /var/lib/edge/bin:/srv -- perl /srv/late.pl
await 10 bash -c "</dev/tcp/$addr/8000"
for n in "${nodes[@]}"; do "$lab" link "$n" --rate 100; done
ask() { # WORD
	perl -MIO::Socket::INET -e 'my $s = IO::Socket::INET->new(PeerAddr => shift, PeerPort => 8000, Timeout => 20) or exit 1;
		print $s "@ARGV\n"; print <$s>' "$addr" "$1"
}
rx() { on edge2 cat /sys/class/net/uplink/statistics/rx_bytes; }
before=$(rx)
under_way() { (($(rx) > before + 2000000)); } # of 20 MB
on edge1 edge-migrate late --to edge2 "${patient[@]}" >"$tmp/moved" 2>"$tmp/err" &
moving=$!
await 20 under_way
is 'it makes shared memory while it is on its way' kept "$(ask make)"
ok '... and moves all the same' wait "$moving" || sed 's/^/# /' "$tmp/err"
is '... and has it there' kept "$(ask look)"
ok '... and back' move late edge2 edge1
is '... and here' kept "$(ask look)"
finish
