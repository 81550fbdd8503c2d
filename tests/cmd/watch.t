#!/bin/bash
# SPDX-License-Identifier: MIT
# edge-latency --watch sees the round trips of a redis-server's clients as the kernel does: of connections that were open
# before and that come later, over IPv4 and IPv6, attached and by polling, and at the new node after a move.
# shellcheck source=tests/move/lib.sh
. "$(dirname "$0")/../move/lib.sh"
need jq perl python3 redis-server ss
nodes=(edge1 edge2 edge3 edge4)
lab_up
"$lab" link edge3 --delay 10
"$lab" link edge4 --delay 40
k=$(printf %x "${subnet##*.}")

cat >"$tmp/pings.pl" <<'E2'
# PING to redis over and over: pings.pl ADDRESS SECONDS; without a pause, so that no acknowledgement has to wait for the next.
use strict; use warnings; use IO::Socket::IP; use Time::HiRes qw(time);
my ($addr, $seconds) = @ARGV;
my $s = IO::Socket::IP->new(PeerAddr => $addr, PeerPort => 6379) or die "$addr: $@";
my $end = time + $seconds;
while (time < $end) { print $s "PING\r\n"; $s->flush; <$s> // die }
E2
pings() { # NODE ADDRESS SECONDS
	on "$1" perl "$tmp/pings.pl" "$2" "$3"
}
watch() { # NODE ARGUMENT...: records into $tmp/records
	on "$1" timeout 50 edge-latency --watch "${@:2}" >"$tmp/records" 2>"$tmp/err"
	echo $? >"$tmp/status"
}
field() { # FILTER [ADDRESS]: of the last record of a client
	jq -rs --arg a "${2:-}" "map(select(\$a == \"\" or .addr == \$a)) | last | $1" "$tmp/records"
}
near() { # PERCENT WANTED HAVE
	echo "wanted $2, have $3"
	awk -v p="$1" -v a="$2" -v b="$3" 'BEGIN { exit !(a > 0 && b >= a * (1 - p / 100) && b <= a * (1 + p / 100)) }'
}
# shellcheck disable=SC2016
rtt_by_ss() { # NODE CLIENT: the smoothed round trip in ms
	inside "$1" redis ss -Htin state established dst "$2" | grep -o ' rtt:[0-9.]*' | cut -d: -f2
}

run redis --port 6379 -- redis-server --bind '* -::*' --protected-mode no --save ''
inside edge1 redis ip addr add "fd77:0:0:$k::60/64" dev eth0 nodad
await 10 on edge1 redis-cli -h "$addr" ping

# --- a connection that is open before

coproc early { on edge3 perl -e '
	use IO::Socket::IP; $| = 1; $SIG{ALRM} = sub { exit 1 }; alarm 300;
	my $s = IO::Socket::IP->new(PeerAddr => shift, PeerPort => 6379) or die;
	do { for (1 .. 50) { print $s "PING\r\n"; $s->flush; <$s> } print "ready\n" } while <STDIN>' "$addr"; }
read -r -t 20 -u "${early[0]}" word
is "a client is connected" ready "${word:-}"
sleep 0.5 # its last acknowledgement is on its way
watch edge1 --every 0.5 --windows 1
ss_rtt=$(rtt_by_ss edge1 "$subnet.3")
is "a connection from before is seen, although it is silent" "$subnet.3 1 1 bpf redis edge1" \
	"$(field '"\(.addr) \(.count) \(.connections) \(.by) \(.service) \(.node)"')"
ok "... with the round trip that ss says" near 5 "$ss_rtt" "$(field .rtt_ms.p50)"
is "... and nothing else is said" "0 " "$(<"$tmp/status") $(<"$tmp/err")"
watch edge1 --every 0.5 --windows 1 --poll redis
is "the same by polling" "$subnet.3 poll" "$(field '"\(.addr) \(.by)"')"
ok "... with that round trip" near 5 "$ss_rtt" "$(field .rtt_ms.p50)"

# --- connections that come while it watches

watch edge1 --every 8 --windows 1 &
watcher=$!
sleep 1.5
pings edge4 "$addr" 2 &
pinger=$!
pings edge2 "fd77:0:0:$k::60" 2
wait "$pinger" "$watcher"
is "three clients, IPv6 among them" "$subnet.3 $subnet.4 fd77:0:0:$k::2" "$(jq -r .addr "$tmp/records" | sort | paste -sd' ')"
ok "80 ms to one" near 25 81 "$(field .rtt_ms.p50 "$subnet.4")"
ok "... the smallest, too" near 5 80.5 "$(field .rtt_ms.min "$subnet.4")"
ok "less than 2 ms to another" test "$(field '.rtt_ms.p95 < 2' "fd77:0:0:$k::2")" = true
ok "... with a measurement for most of its requests" test "$(field '.count > 200' "fd77:0:0:$k::2")" = true
is "... closed again" 0 "$(field .connections "fd77:0:0:$k::2")"
# +PONG and its line end are 7 bytes, PING with its own 6.
is "... and as many bytes as there were answers to requests" true \
	"$(field '(.sent_bytes / 7 - .received_bytes / 6 | fabs) <= 1' "fd77:0:0:$k::2")"
is "a histogram of as many as were counted" true "$(jq -s 'all(.count == ([.rtt_bins[][1]] | add))' "$tmp/records")"
is "the silent one has not been heard of again" 1 "$(field .count "$subnet.3")"

for _ in 1 2 3; do # where the machine stands still for a moment, the smoothed round trip shows it for a while
	watch edge1 --every 2 --windows 2 --poll &
	watcher=$!
	pings edge4 "$addr" 5 &
	pinger=$!
	sleep 3.2
	ss_rtt=$(rtt_by_ss edge1 "$subnet.4")
	wait "$watcher" "$pinger"
	! near 5 "$ss_rtt" "$(field .rtt_ms.p50 "$subnet.4")" >/dev/null || break
done
ok "by polling: as ss says" near 5 "$ss_rtt" "$(field .rtt_ms.p50 "$subnet.4")"
is "... the window's bytes" true "$(field '.received_bytes > 60 and .received_bytes < 6 * 80' "$subnet.4")"

# --- where the kernel's side cannot be attached
on edge1 unshare -m sh -c 'for m in $(grep -o " /sys/fs/cgroup/*[^ ]* cgroup2 " /proc/mounts | cut -d" " -f2); do umount -l "$m" 2>/dev/null; done; exec "$@"' - \
	timeout 50 edge-latency --watch --every 0.5 --windows 1 redis >"$tmp/records" 2>"$tmp/err"
like "without a cgroup of version 2 it looks at sockets, and says so" '^edge-latency: service redis: looking at its sockets once a window: .* poll$' \
	"$(<"$tmp/err") $(field .by "$subnet.3")"

# --- lost segments

"$lab" link edge4 --delay 10
pings edge4 "$addr" 7 &
pinger=$!
linked() { [[ $(rtt_by_ss edge1 "$subnet.4") ]]; }
await 10 linked
"$lab" link edge4 --delay 10 --loss 10
watch edge1 --every 5 --windows 1
wait "$pinger"
is "retransmissions are counted" true "$(field '.retransmits > 0' "$subnet.4")"
"$lab" link edge4 --delay 40

# --- over a move: the same words on both nodes, before the service is at the second

on edge2 timeout 120 edge-latency --watch --every 1 redis >"$tmp/records" 2>"$tmp/notes" &
watcher=$!
sleep 1
ok "the service moves" move redis edge1 edge2
echo >&"${early[1]}"
pings edge4 "$addr" 3
both() { [[ $(jq -r .addr "$tmp/records" | sort -u | wc -l) == 2 ]]; }
await 30 both
on edge2 bash -c 'kill $(pidof edge-latency)'
wait "$watcher" 2>/dev/null
is "the watcher at the new node has waited for it" "edge-latency: service redis: no such service on this node" "$(grep -v Terminated "$tmp/notes")"
is "... and sees the connection that came along, and the new one" "$subnet.3 $subnet.4 edge2" \
	"$(jq -r .addr "$tmp/records" | sort -u | paste -sd' ') $(field .node)"
ok "... with its delay" near 25 81 "$(field .rtt_ms.p50 "$subnet.4")"

# --- what is wrong

watch edge2 --every 0.01
is "a window that is none" "64 edge-latency: every 0.01: not between 0.1 and 86400 seconds (see edge-latency --help)" "$(<"$tmp/status") $(<"$tmp/err")"
cat >"$tmp/unbpf.py" <<'E2'
# unbpf.py COMMAND...: runs it without the system call bpf(2), as the filters of container engines and of systemd do.
import ctypes, os, struct, sys
number = {"x86_64": 321, "aarch64": 280}[os.uname().machine]
# The call's number; if it is that one, EPERM; all others are allowed.
code = b"".join(struct.pack("HBBI", *i) for i in [(0x20, 0, 0, 0), (0x15, 0, 1, number), (0x06, 0, 0, 0x50001), (0x06, 0, 0, 0x7fff0000)])
code = ctypes.create_string_buffer(code)
filter = ctypes.create_string_buffer(struct.pack("@HP", 4, ctypes.addressof(code)))
libc = ctypes.CDLL(None)
assert not libc.prctl(38, 1, 0, 0, 0) and not libc.prctl(22, 2, filter, 0, 0) # PR_SET_NO_NEW_PRIVS, PR_SET_SECCOMP
os.execvp(sys.argv[1], sys.argv[1:])
E2
on edge2 python3 "$tmp/unbpf.py" timeout 20 edge-latency --watch --every 0.2 --windows 1 redis >"$tmp/records" 2>"$tmp/err"
like "no permission for the kernel's side alone: it looks at sockets, and says so" \
	'^0 edge-latency: service redis: looking at its sockets once a window: .*: Operation not permitted$' "$? $(<"$tmp/err")"
is "... and sees the connection that is still open" "$subnet.3 poll" "$(field '"\(.addr) \(.by)"' "$subnet.3")"
on edge2 setpriv --bounding-set=-sys_admin timeout 20 edge-latency --watch --every 0.2 --windows 1 redis >"$tmp/records" 2>"$tmp/err"
like "no permission: exit status 1, one line" '^1 edge-latency: service redis: cannot be watched: .*: Operation not permitted$' "$? $(<"$tmp/err")"
[[ -z ${early[1]:-} ]] || eval "exec ${early[1]}>&-"
finish
