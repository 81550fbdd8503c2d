#!/bin/bash
# SPDX-License-Identifier: MIT
# shellcheck disable=SC2016 # what is quoted so is for the nodes' shells
# examples/rescue.sh: the scenarios of Tufail 2018, section 5.7, and a loop that is killed at random and never loses a service.
# Nodes are lab3 and vrone (edge1, edge2: one network), lab4 (edge3: another) and mec (edge4: the cloud). What they have to do
# beside the services is real work, `yes >/dev/null`; each sees in /proc/stat what that uses, of two cores.
# LOOPS: how often it is killed (default 5).
. "$(dirname "$0")/lib.sh"
need jq perl
LOOPS=${LOOPS:-5}
nodes=(edge1 edge2 edge3 edge4)
meter=''
end_all() {
	[[ -z $meter ]] || kill "$meter" 2>/dev/null
	clean
}
trap end_all EXIT
lab_up

# --- nodes that see their own load

cat >"$tmp/meter.pl" <<'END'
# A line for /proc/stat for each node: what its `yes` would use of two cores if nothing else ran on this machine (what it ran, and what it
# waited for a processor), and a twentieth more, as a core's whole half is not over the half. What else nodes do here is this machine's noise.
use strict; use warnings; use Time::HiRes qw(time sleep);
my ($dir, $lab, @nodes) = @ARGV;
my %ran;
sub first_line { open(my $h, '<', $_[0]) or return ''; return scalar(<$h>) // '' }
sub used { # seconds
	my ($node) = @_;
	my $sum = 0;
	for (glob("/sys/fs/cgroup/cpuacct/edge-lab-$lab/$node/init/cgroup.procs /sys/fs/cgroup/edge-lab-$lab/$node/init/cgroup.procs")) {
		open(my $h, '<', $_) or next;
		for my $pid (map { /(\d+)/ } <$h>) {
			next if first_line("/proc/$pid/comm") ne "yes\n";
			$ran{$node}{$pid} = ($1 + $2) / 1e9 if first_line("/proc/$pid/schedstat") =~ /^(\d+) (\d+)/;
		}
	}
	$sum += 1.05 * $_ for values %{ $ran{$node} };
	return $sum;
}
my $began = time;
my %at = map { open(my $h, '>', "$dir/stat-$_") or die; ($_ => [$h, used($_)]) } @nodes;
while (1) {
	for (@nodes) {
		my $all = 200 * (time - $began) + 1e6;
		my $busy = 100 * (used($_) - $at{$_}[1]);
		sysseek($at{$_}[0], 0, 0);
		syswrite($at{$_}[0], sprintf("cpu  %012d 0 0 %012d 0 0 0 0 0 0\n", $busy, $all - $busy));
	}
	sleep 0.2;
}
END
perl "$tmp/meter.pl" "$tmp" "$LAB" "${nodes[@]}" &
meter=$!
await 10 test -s "$tmp/stat-edge4"
place_of() { # NODE NETWORK ROLE
	on "$1" sed -i 's/"network":"[^"]*"/"network":"'"$2"'","role":"'"$3"'"/' /etc/edge/node.json
	over "$1" /proc/stat "$tmp/stat-$1"
}
place_of edge1 a edge
place_of edge2 a edge
place_of edge3 b edge
place_of edge4 c cloud
cp examples/rescue.sh "$tmp"

# --- services, each with a client that stays connected

cp "$tools/counter.pl" "$tmp"
app() { # NAME NODE NUMBER CORES
	on "$2" edge-run --name "$1" --addr "$subnet.$((60 + $3))" --port 8080 --profile "cpu=$4" --volume /var/lib/edge/app:/app -- \
		perl /app/counter.pl 8080 >/dev/null || echo "Bail out! service $1 does not start"
	await 10 bash -c "</dev/tcp/$subnet.$((60 + $3))/8080"
	client "$1" perl "$tools/http-client.pl" count "$subnet.$((60 + $3))" 8080 /
	ready "$1"
}
kept() { # NAME
	client_end "$1"
	is "... and $1 lost neither a request nor its connection" "ready
no answer lost or doubled" "$(grep -v ^count <<<"$answer")"
}
reserve() { # NODE CORES: of a service that is there already, and idle
	free "$1"
	on "$1" edge-run --name "of-$1" --profile "cpu=$2" -- sleep 100000 >/dev/null
}
free() { # NODE
	on "$1" edge-stop --rm --grace 0 "of-$1" >/dev/null 2>&1
}
busy() { # NODE: what the document does
	on "$1" sh -c 'yes >/dev/null 2>&1 & echo $! >/run/yes.pid'
}
idle() { # NODE
	on "$1" sh -c 'kill $(cat /run/yes.pid)'
}
for n in "${nodes[@]}"; do
	on "$n" mkdir -p /var/lib/edge/app
	on "$n" cp "$tmp/counter.pl" /var/lib/edge/app/
	on "$n" edge-probe >/dev/null # the first one measures processors
done

where() { # "app-1:edge2 ...": all that run, by what the nodes say
	for n in "${nodes[@]}"; do
		on "$n" edge-run --list 2>/dev/null | jq -r 'select(.state == "running" and (.name | startswith("app"))) | "\(.name):\(.node)"'
	done | sort | paste -sd' '
}
status=0
rescue() { # OPTION...: the cloud does it
	status=0
	on edge4 env EDGE_WINDOW=2 EDGE_COOLDOWN=0 EDGE_LEASE=3 EDGE_LOG=/var/lib/edge/log.ndjson bash "$tmp/rescue.sh" "$@" >"$tmp/out" 2>"$tmp/err" || status=$?
}
moves_to() { # TITLE WANTED OPTION...: a new load shows when it has lasted for a while; on a busy machine a move may have to be tried again
	local title=$1 wanted=$2 end=$((SECONDS + 90))
	shift 2
	while rescue "$@"; [[ $(where) != "$wanted" ]] && ((SECONDS < end)); do sleep 0.5; done
	is "$title" "$wanted" "$(where)" && return
	on edge4 edge-probe -s --window 2 "${nodes[@]}" | jq -c '[.name, .cpu.use, .usage, .profile]' | cat "$tmp/err" - | sed 's/^/# /'
}

# --- algorithm I

reserve edge2 0.72
reserve edge3 0.72
for i in 1 2 3; do app app-$i edge1 $i 0.16; done
sleep 3 # what starting them took is over
rescue
is 'under the limit nothing is done, and nothing said' '0 app-1:edge1 app-2:edge1 app-3:edge1' "$status $(where)$(<"$tmp/err")$(<"$tmp/out")"
busy edge1
moves_to 'scenario I: to the same network, another, the cloud' 'app-1:edge2 app-2:edge3 app-3:edge4'
on edge4 edge-place --explain app-1 --log /var/lib/edge/log.ndjson | sed 's/^/# /'
like 'why is told later' '^20[^ ]* same-network-first: migrate edge1 -> edge2: edge1 has too little: processors.*
\* edge2 .*moved from edge1 to edge2 at 20' "$(on edge4 edge-place --explain app-1 --log /var/lib/edge/log.ndjson)"
rescue
is 'the same again does nothing' '0 app-1:edge2 app-2:edge3 app-3:edge4' "$status $(where)$(<"$tmp/err")"
idle edge1
reserve edge1 0.88
free edge2
free edge3
busy edge3
moves_to 'scenario II: of the other network, as no node of its own is left' 'app-1:edge2 app-2:edge2 app-3:edge4'
idle edge3
reserve edge3 0.88
busy edge2
moves_to 'scenario III: only the cloud is left' 'app-1:edge4 app-2:edge4 app-3:edge4'
idle edge2
for i in 3 2 1; do # each client has the ends of those before it
	kept app-$i
	stop edge4 app-$i
done

# --- algorithm II: the most used that has room

free edge1
reserve edge3 0.72
for i in 1 2; do app app-$i edge1 $i 0.16; done
sleep 3
busy edge1
on edge4 env EDGE_WINDOW=2 bash "$tmp/rescue.sh" -n -p pack >"$tmp/would" 2>&1
moves_to 'algorithm II: the most used with room, then the next' 'app-1:edge3 app-2:edge2' -p pack
is 'what is only asked moves nothing' '' "$(grep -v -e '->' -e services -e stays -e 'becomes idle' "$tmp/would")"

# --- the loop is killed

idle edge1
free edge3
strike() { # a moment after the beginning; sometimes the program alone, sometimes all that it has started
	local job ms=$((RANDOM % 2500))
	on edge4 env EDGE_WINDOW=1 EDGE_COOLDOWN=0 EDGE_LEASE=3 bash -c 'echo $$ >/run/loop.pid; exec bash "$@"' - "$tmp/rescue.sh" -p "$1" >/dev/null 2>&1 &
	job=$!
	sleep "$((ms / 1000)).$(printf %03d $((ms % 1000)))"
	on edge4 sh -c 'p=$(cat /run/loop.pid); c=$(pgrep -P $p); kill -KILL $p; [ $1 = 0 ] || for g in $c; do kill -KILL -- -$g; done' sh \
		$((RANDOM % 2)) 2>/dev/null
	wait $job 2>/dev/null
}
one_each() { [[ $(where) =~ ^app-1:edge[1-4]\ app-2:edge[1-4]$ ]]; }
finished() { # nothing is interrupted, and both run at one node
	rescue -l 100
	[[ $status == 0 ]] && one_each
}
lost=0
for ((i = 0; i < LOOPS; i++)); do
	at=$(where)
	at=${at%% *}
	at=${at#*:}
	busy "$at"
	strike "$( ((i % 2)) && echo pack || echo same-network-first)"
	idle "$at"
	if ! await 60 finished; then
		echo "# after $((i + 1)): $(where) $status $(<"$tmp/err")"
		lost=1
		break
	fi
done
is "a loop that was killed $LOOPS times has lost no service" 0 $lost
kept app-2
kept app-1
is 'what it said is as the schemas say' '' "$(on edge4 cat /var/lib/edge/log.ndjson | tests/schema/check 2>&1)"
finish
