#!/bin/bash
# SPDX-License-Identifier: MIT
# shellcheck disable=SC2016 # what is quoted so is for scripts on the nodes
# Recovery as people see it: what is refused while a move is under way, what --status, --recover and --force say and do.
. "$(dirname "$0")/lib.sh"
need perl curl jq
nodes=(edge1 edge2 edge3)
lab_up --disk 1G
serve=$(on edge1 sh -c 'command -v edge-serve')
# A part of it, to be run alone: PARTS="busy stop" and the like.
PARTS=${PARTS:-busy signals outcome idle recover resume destination clock stopped snapshot force fence}

# --- a move that stands at one of its steps until `go_on`

hold() { # NODE STEP
	on "$1" sh -c 'mkdir -p /run/edge && : >"/run/edge/hold-$1"' sh "$2"
	held_node=$1 held_step=$2
}
go_on() { on "$held_node" sh -c 'rm -f /run/edge/hold-* /run/edge/held-*'; }
begin() { # [OPTION...]: edge-migrate counter --to edge2, at edge1, as far as the step that is held
	on edge1 env EDGE_FAULT=hold edge-migrate counter --to edge2 "${patient[@]}" "$@" >"$tmp/moved" 2>"$tmp/err" &
	mover=$!
	[[ ! $held_node ]] || await 20 on "$held_node" test -e "/run/edge/held-$held_step"
}
held_node='' held_step=''
end() { # waits for it: its exit status and message into `said`
	local rc=0
	wait "$mover" || rc=$?
	said="$rc $(<"$tmp/err")"
	held_node=''
}
says() { # NODE COMMAND...: exit status and all that it says into `said`
	local rc=0
	said=$(on "$@" 2>&1) || rc=$?
	said="$rc $said"
}
records() { # NODE OPTION...: what the records of moves say
	on "$1" edge-migrate "${@:2}" 2>&1 | tee -a "$tmp/records" | jq -c '[.node,.from,.to,.step,.state,.recovery,.why]'
}
is_at() { # NODE: the service runs there, and only there
	local other
	for other in "${nodes[@]}"; do
		[[ $(state "$other") == $([[ $other == "$1" ]] && echo running || echo none) ]] || return 1
	done
	curl -sf -m 8 "http://$addr:8080/peek"
}
state() { # NODE: running, frozen or none
	on "$1" sh -c '
		f=/var/lib/edge/services/counter/service.json
		pid=$(sed -n "s/.*\"pid\":\([0-9]*\).*/\1/p" "$f" 2>/dev/null)
		grep -q "\"moved\":true" "$f" 2>/dev/null && pid=
		if [ -z "$pid" ] || [ "$pid" = 0 ] || ! [ -d "/proc/$pid" ]; then echo none
		elif grep -qx 1 "$(find /sys/fs/cgroup -path "*/edge/counter/cgroup.freeze" | head -n 1)"; then echo frozen
		else echo running; fi'
}
left_now() { # NODE: of a move, in the end
	remains_now "$1" counter
	local n
	for n in edge1 edge2; do on "$n" sh -c 'ls /var/lib/edge/journal 2>/dev/null; ps -eo comm= | grep -e edge-migrate -e edge-guard'; done
}
clean_end() { # NODE that does not run it: nothing is left of a move
	is '... and nothing is left of the move' '' "$(lasting left_now "$1")"
}
kill_all() { # NODE...: who has to do with the move there, in this order
	for n; do
		on "$n" sh -c 'for p in edge-migrate edge-guard edge-serve real-edge-serve; do pgrep -x $p; done | xargs -r kill -KILL'
		on "$n" sh -c 'rm -f /run/edge/hold-* /run/edge/held-*'
	done
}
received() { # bytes that came to edge2 over its wire
	on edge2 cat /sys/class/net/uplink/statistics/rx_bytes
}
back() { move counter edge2 edge1; }
back_and_forth() { move counter edge1 edge2 && back; }

counter memory

if [[ $PARTS == *busy* ]]; then
	hold edge1 frozen
	begin --max-freeze 0
	move_id=$(on edge1 ls /var/lib/edge/journal)
	says edge1 edge-migrate counter --to edge3
	is 'a second move is refused, and told of the first' \
		"75 edge-migrate: service counter: busy: it is being moved to edge2 ($move_id)" "$said"
	says edge1 edge-stop counter
	is '... as is edge-stop' "75 edge-stop: service counter: busy: it is being moved to edge2 ($move_id)" "$said"
	is '--status shows it at its source' '["edge1","edge1","edge2","frozen","under-way","none",null]' "$(records edge1 --status)"
	is '... and at its destination' '["edge2","edge1","edge2","begun","under-way","none",null]' "$(records edge2 --status)"
	is '--recover leaves it alone' '["edge1","edge1","edge2","frozen","under-way","none",null]' "$(records edge1 --recover)"
	go_on
	end
	is '... and it ends well' '0 ' "$said"
	ok '... at its destination' is_at edge2
	back
fi

if [[ $PARTS == *signals* ]]; then
	for step in begun frozen go handed-over; do
		for signal in INT TERM HUP; do
			hold edge1 "$step"
			begin
			on edge1 sh -c 'kill -$0 $(pgrep -x edge-migrate)' "$signal"
			sleep 0.2
			go_on
			end
			case $step in
			begun | frozen)
				is "SIG$signal at $step undoes the move" '75 edge-migrate: service counter: interrupted: it goes on here' "$said"
				ok '... and the service goes on' is_at edge1
				clean_end edge2
				;;
			*)
				is "SIG$signal at $step, when it is the destination's, ends it well" '0 ' "$said"
				ok '... and the service runs there' is_at edge2
				clean_end edge1
				back
				;;
			esac
		done
	done
	for signal in INT TERM HUP; do
		"$lab" link edge2 --rate 8
		on edge2 rm -rf /var/lib/edge/store
		before=$(received)
		held_node=''
		begin
		await 20 eval '(($(received) > before + 400000))' # its memory is on its way, and will be for a while
		on edge1 sh -c 'kill -$0 $(pgrep -x edge-migrate)' "$signal"
		end
		is "SIG$signal while memory is sent ends it" '75 edge-migrate: service counter: interrupted: it goes on here' "$said"
		"$lab" link edge2
		ok '... and the service goes on' is_at edge1
		clean_end edge2
	done
	"$lab" cut edge2
	held_node=''
	begin
	await 20 on edge1 pgrep -x edge-migrate
	sleep 1
	start=${EPOCHREALTIME/./}
	on edge1 sh -c 'kill -INT $(pgrep -x edge-migrate)'
	end
	is 'SIGINT while a host does not answer ends it' '75 edge-migrate: service counter: interrupted: it goes on here' "$said"
	ok '... and not only when it is taken for gone, after 8 s' test $(((${EPOCHREALTIME/./} - start) / 1000)) -lt 6000
	"$lab" heal edge2
	clean_end edge2
fi

if [[ $PARTS == *outcome* ]]; then
	hold edge1 go
	begin --deadline 3
	move_id=$(on edge1 ls /var/lib/edge/journal)
	"$lab" cut edge2
	go_on
	end
	is 'a link that dies at "go" leaves it frozen' "75 edge-migrate: service counter: stays frozen here until edge2 says whether \
it runs there; it is asked on (move $move_id; edge-migrate --status)" "$said"
	is '... frozen' frozen "$(state edge1)"
	is '... --status says so' '["edge1","edge1","edge2","go","interrupted","wait","the destination has to be asked"]' \
		"$(records edge1 --status)"
	says edge1 edge-stop --rm --grace 1 counter
	like '... edge-stop does not end it' '^75 edge-stop: service counter: (busy: it is being moved to edge2 |frozen: its move to edge2 waits: the destination cannot be asked \(edge-migrate --recover\)).*' "$said"
	is '... nor does --recover, as nobody can be asked' \
		'["edge1","edge1","edge2","go","interrupted","wait","the destination cannot be asked"]' "$(records edge1 --recover)"
	"$lab" heal edge2
	start=${EPOCHREALTIME/./}
	ok '... until the link is healed: then its guard lets it go on, without anybody' await 30 is_at edge1
	echo "# after $(((${EPOCHREALTIME/./} - start) / 1000)) ms"
	clean_end edge2

	# The destination runs it, and the source does not hear of it.
	instead edge2 "$serve" 'export EDGE_FAULT=hold; exec $real "$@"'
	hold edge2 running
	begin --deadline 3
	"$lab" cut edge2
	go_on
	right edge2 "$serve"
	committed() { [[ $(records edge2 --status) == *'"running","interrupted",'* ]]; }
	await 10 committed
	is 'when it is the answer that is lost, --status there says so' \
		'["edge2","edge1","edge2","running","interrupted","keep","it was committed to this node"]' "$(records edge2 --status)"
	end
	is '... it is frozen where it was' frozen "$(state edge1)"
	"$lab" heal edge2
	ok '... until the link is healed' await 30 is_at edge2
	clean_end edge1
	back
fi

if [[ $PARTS == *idle* ]]; then
	# The link of its source dies when its destination is getting what is meant for the service, and the switches have learnt that.
	addr=$subnet.61
	run mute --port 8080 --volume /var/lib/edge/app:/app -- perl /app/counter.pl 8080
	await 5 bash -c "</dev/tcp/$addr/8080"
	exec {idle}<>"/dev/tcp/$addr/8080"
	instead edge2 "$serve" 'export EDGE_FAULT=hold; exec $real "$@"'
	on edge2 sh -c 'mkdir -p /run/edge && : >/run/edge/hold-restoring'
	on edge1 edge-migrate mute --to edge2 --max-freeze 1000 --deadline 3 >"$tmp/moved" 2>"$tmp/err" &
	mover=$!
	await 20 on edge2 test -e /run/edge/held-restoring
	"$lab" cut edge1
	ok 'a link that dies in the freeze: it goes on, with nobody to hear it' \
		await 10 on edge1 sh -c 'grep -qx 0 "$(find /sys/fs/cgroup -path "*/edge/mute/cgroup.freeze" | head -n 1)"'
	kill_all edge2
	wait "$mover"
	right edge2 "$serve"
	"$lab" heal edge1
	sleep 0.5
	printf 'GET /peek HTTP/1.1\r\nHost: mute\r\n\r\n' >&"$idle"
	line=''
	ok '... and on a connection that had been idle it is found again' read -r -t 10 -u "$idle" line
	like '... and answers' '^HTTP/1.1 200' "$line"
	exec {idle}>&-
	on edge1 edge-migrate --recover >/dev/null 2>&1
	on edge2 edge-migrate --recover >/dev/null 2>&1
	stop edge1 mute
	is '... and nothing is left of it' '' "$(remains edge2 mute)"
	addr=$subnet.60
fi

if [[ $PARTS == *recover* ]]; then
	# Everybody dies, at both ends.
	instead edge2 "$serve" 'export EDGE_FAULT=hold; exec $real "$@"'
	hold edge2 running
	begin
	kill_all edge1 edge2
	right edge2 "$serve"
	end
	is 'when all have died, --status tells at the source' \
		'["edge1","edge1","edge2","go","interrupted","wait","the destination has to be asked"]' "$(records edge1 --status)"
	is '... and at the destination' \
		'["edge2","edge1","edge2","running","interrupted","keep","it was committed to this node"]' "$(records edge2 --status)"
	is '... and from a third node' \
		'["edge1","edge1","edge2","go","interrupted","wait","the destination has to be asked"]' "$(records edge3 --status --from edge1)"
	is '... which can bring it to an end' \
		'["edge1","edge1","edge2","go","recovered","retire","it was committed to the destination"]' \
		"$(records edge3 --recover --from edge1)"
	ok '... then it runs once' is_at edge2
	for n in edge1 edge2 edge1 edge2; do
		says "$n" edge-migrate --recover
		is "... and there is nothing more to do at $n" '0 ' "$said"
	done
	clean_end edge1
	back

	hold edge1 go
	begin
	kill_all edge1 edge2
	go_on
	end
	on edge2 edge-migrate --recover >>"$tmp/records" &
	recovering=$!
	on edge1 edge-migrate --recover >>"$tmp/records"
	wait "$recovering"
	ok '--recover at both nodes at once lets it go on' is_at edge1
	clean_end edge2
fi

epoch() { # NODE: what the registry says, and that node
	on "$1" sh -c 'jq -c "[.node,.epoch]" "${EDGE_REGISTRY#dir:}"/service/*.json; jq -c .epoch /var/lib/edge/services/counter/service.json'
}
session() { on edge2 cat /run/edge/service-counter.lock; } # its pid at the destination
gone_there() { [[ $(state edge1) == running && $(state edge2) == none && ! $(on edge2 ls /var/lib/edge/journal) ]]; }
unanswered() { # the address, as edge3 sees it
	on edge3 ip neigh flush all
	on edge3 curl -s -m 2 "http://$addr:8080/peek"
	[[ $(on edge3 ip neigh show "$addr") == *@(FAILED|INCOMPLETE)* ]]
}
if [[ $PARTS == *force* ]]; then
	before=$(epoch edge1 | tail -n 1)
	hold edge1 go
	begin --deadline 1
	"$lab" kill edge2
	go_on
	end
	is 'when the destination has lost power, --recover waits for it' \
		'["edge1","edge1","edge2","go","interrupted","wait","the destination cannot be asked"]' "$(records edge1 --recover)"
	is '... and --force does not' \
		'["edge1","edge1","edge2","go","recovered","thaw","forced: the registry keeps the destination from running it"]' \
		"$(records edge1 --recover --force)"
	now=$(epoch edge1)
	is '... under an epoch that the destination cannot have' "[\"edge1\",$((before + 2))]
$((before + 2))" "$now"
	"$lab" boot edge2
	echo "# $(records edge2 --recover)"
	ok '... and when that is back it stays so' is_at edge1
	is '... in the registry, too' "$now" "$(epoch edge1)"
	clean_end edge2

	# It was told to run it, stood still, and wakes too late.
	hold edge1 go
	begin --deadline 1
	pid=$(session)
	on edge2 kill -STOP "$pid"
	go_on
	sleep 0.3
	"$lab" cut edge2
	kill_all edge1
	end
	is 'when the destination stands still, --force takes the move' \
		'["edge1","edge1","edge2","go","recovered","thaw","forced: the registry keeps the destination from running it"]' \
		"$(records edge1 --recover --force)"
	on edge2 kill -CONT "$pid"
	ok '... and it does not run there when that wakes' await 20 gone_there
	"$lab" heal edge2
	on edge2 edge-migrate --recover >>"$tmp/records"
	ok '... it runs here' await 20 is_at edge1
	clean_end edge2
fi

# --- taken up where it stopped: on a slow link, nearly nothing is sent twice

fill() { # WHAT MB: so much that does not compress, in memory or in a file of the volume
	on edge1 mkdir -p /var/lib/edge/vol
	on edge1 rm -f /var/lib/edge/vol/data
	[[ $1 == memory ]] || on edge1 dd if=/dev/urandom of=/var/lib/edge/vol/data bs=1M count="$2" status=none
	on edge1 edge-run --name big --volume /var/lib/edge/vol:/vol -- perl -e '
		my $x;
		open(my $f, "<", "/dev/urandom"); read($f, $x, $ARGV[1] << 20) if $ARGV[0] eq "memory";
		open(my $r, ">", "/ready"); close $r;
		sleep 1 while 1' "$1" "$2" >/dev/null
	await 20 on edge1 test -e /var/lib/edge/services/big/upper/ready || echo "# it does not get ready"
}
send() {
	on edge1 edge-migrate big --to edge2 "${patient[@]}" >"$tmp/moved" 2>"$tmp/err" &
	mover=$!
}
few() { # BEFORE MB
	local all=$(($(received) - $1))
	echo "$all bytes"
	((all < $2 * 1048576 * 115 / 100))
}
if [[ $PARTS == *resume* ]]; then
	for what in memory files; do
		mb=60
		[[ $what == files ]] || mb=100
		for how in cut kill; do
			fill "$what" "$mb"
			"$lab" link edge2 --rate 40
			before=$(received)
			send
			sleep $((mb / 8)) # in which the half of it goes over
			if [[ $how == cut ]]; then
				"$lab" cut edge2
				sleep 3
				"$lab" heal edge2
				"$lab" link edge2 --rate 40
			else
				kill_all edge2 edge1
				wait "$mover"
				send
			fi
			end
			like "$what, $how: the move is taken up" '^0 ' "$said"
			ok '... and next to nothing is sent twice' few "$before" "$mb"
			sed 's/^/# /' "$tmp/out"
			"$lab" link edge2
			on edge2 edge-stop --rm --grace 0 big >/dev/null
			on edge1 edge-stop --rm --grace 0 big >/dev/null
		done
	done
fi

# --- a destination that changes after its check: one line, and the service goes on

fails() { # TITLE MESSAGE (a pattern, with the exit status): of a move to edge2 that stands at "begun"
	end
	like "$1: the error says it" "^$2\$" "$said"
	is '... in one line' 1 "$(wc -l <"$tmp/err")"
	ok '... and the service goes on' is_at edge1
	clean_end edge2
}
if [[ $PARTS == *destination* ]]; then
	hold edge1 begun
	begin
	on edge2 sh -c 'fallocate -l $(($(stat -f -c "%a*%S" /var/lib/edge))) /var/lib/edge/fill' 2>/dev/null
	go_on
	fails 'its disk is full' '7[14] edge-migrate: node edge2: .*No space left on device.*'
	on edge2 rm -f /var/lib/edge/fill

	criu=$(on edge2 sh -c 'readlink -f "$(command -v criu || echo /usr/local/lib/edge-criu/usr/sbin/criu)"')
	hold edge1 begun
	begin
	instead edge2 "$criu" 'if [ "$1" = --version ]; then echo "Version: 4.3"; else exec $real "$@"; fi'
	go_on
	fails 'another CRIU was installed' '75 edge-migrate: node edge2: criu: is version 4.3 now, and was [0-9.]+ when it was checked'
	right edge2 "$criu"

	hold edge1 begun
	begin
	on edge2 sh -c 'mv /etc/edge/authorized_keys /etc/edge/keys; : >/etc/edge/authorized_keys'
	for p in $(on edge2 sh -c 'for p in $(pgrep -x sshd); do tr "\0" " " </proc/$p/cmdline | grep -q "^sshd: root" && echo $p; done'); do on edge2 kill -KILL "$p"; done
	go_on
	end
	is 'its key was taken away: that is not tried again and again' "77 edge-migrate: node edge2: connection lost: closed by the \
other side; tries again in 0.2 s
edge-migrate: node edge2: key refused: user root, key /etc/edge/key" "$said"
	on edge2 sh -c 'mv /etc/edge/keys /etc/edge/authorized_keys'
	ok '... and the service goes on' is_at edge1
	clean_end edge2

	# Not enough memory for what sshd starts there.
	on edge2 sh -c 'm=/sys/fs/cgroup/memory; [ -d $m ] || m=/sys/fs/cgroup
		mkdir $m/small && { echo 5M >$m/small/memory.limit_in_bytes || echo 5M >$m/small/memory.max; } 2>/dev/null
		for p in $(pgrep -x sshd); do echo $p >$m/small/cgroup.procs; done'
	held_node=''
	begin --deadline 3
	end
	like 'it has no memory for the move: the last line says how it ended' \
		'^69 (.*tries again in [0-9.]+ s.)*edge-migrate: node edge2: (connection lost|cannot connect)[^;]*$' "$said"
	ok '... and the service goes on' is_at edge1
	"$lab" kill edge2 # its sshd may be dead, too
	"$lab" boot edge2
	on edge2 edge-migrate --recover >/dev/null
	clean_end edge2
fi

# --- the destination's clock is set by a day between check and commit

cat >"$tmp/clock.c" <<'END'
#define _GNU_SOURCE
#include <stdio.h>
#include <stdlib.h>
#include <sys/syscall.h>
#include <sys/time.h>
#include <time.h>
#include <unistd.h>
__attribute__((constructor)) static void alone(void)
{
	unsetenv("LD_PRELOAD"); /* what edge-serve starts has no part in it */
}
static long jump(void)
{
	long s = 0;
	FILE *f = fopen("/run/edge/jump", "re");
	if (f && fscanf(f, "%ld", &s) != 1)
		s = 0;
	if (f)
		fclose(f);
	return s;
}
int clock_gettime(clockid_t id, struct timespec *t)
{
	int rc = (int)syscall(SYS_clock_gettime, id, t);
	if (!rc && (id == CLOCK_REALTIME || id == CLOCK_REALTIME_COARSE))
		t->tv_sec += jump();
	return rc;
}
time_t time(time_t *out)
{
	struct timespec t;
	clock_gettime(CLOCK_REALTIME, &t);
	return out ? *out = t.tv_sec : t.tv_sec;
}
int gettimeofday(struct timeval *restrict v, void *restrict zone)
{
	struct timespec t;
	(void)zone;
	clock_gettime(CLOCK_REALTIME, &t);
	v->tv_sec = t.tv_sec;
	v->tv_usec = t.tv_nsec / 1000;
	return 0;
}
END
came() { on "$1" sed -n 's/.*"moved_at":"\([0-9-]*\).*/\1/p' /var/lib/edge/services/counter/service.json; } # NODE: on what day, it says
if [[ $PARTS == *clock* ]]; then
	cc -shared -fPIC -o "$tmp/clock.so" "$tmp/clock.c"
	sanitizer=$(ldd "$serve" | grep -o '/[^ ]*libasan[^ ]*' || true) # wants to come first
	instead edge2 "$serve" "LD_PRELOAD='$sanitizer $tmp/clock.so' exec \$real \"\$@\""
	for day in tomorrow yesterday; do
		on edge2 rm -f /run/edge/jump
		hold edge1 frozen
		begin --max-freeze 0
		[[ $day == tomorrow ]] && seconds=86400 || seconds=-86400
		on edge2 sh -c 'echo "$1" >/run/edge/jump' sh "$seconds"
		go_on
		end
		is "the destination's clock is set to $day after its check: the move succeeds" '0 ' "$said"
		is '... by that clock' "$(date -u -d "$seconds seconds" +%F)" "$(came edge2)"
		ok '... and the service runs there' is_at edge2
		clean_end edge1
		back
	done
	right edge2 "$serve"
	on edge2 rm -f /run/edge/jump
fi

# --- a session that stands still has the service's lock

if [[ $PARTS == *stopped* ]]; then
	hold edge1 frozen
	begin --max-freeze 0
	pid=$(session)
	on edge2 kill -STOP "$pid"
	kill_all edge1
	end
	on edge1 edge-migrate --recover >>"$tmp/records"
	ok 'when the destination stands still, and the program is killed, the service goes on' await 20 is_at edge1
	is '... --status tells who stands still' \
		"[\"edge2\",\"edge1\",\"edge2\",\"begun\",\"interrupted\",\"undo\",\"held by process $pid (edge-serve), which is stopped\"]" \
		"$(records edge2 --status)"
	is '... and --recover ends it' \
		"[\"edge2\",\"edge1\",\"edge2\",\"begun\",\"recovered\",\"undo\",\"it was never committed to this node\"]" \
		"$(records edge2 --recover | sed 's/held by process [0-9]* (edge-serve), which is stopped/it was never committed to this node/')"
	clean_end edge2
	ok '... and it can be moved there' back_and_forth

	# Committed, and stopped before it runs.
	on edge2 sh -c 'mkdir -p /var/lib/edge/own && cp "$1" /var/lib/edge/own/edge-serve' sh "$serve"
	instead edge2 "$serve" 'EDGE_FAULT=hold exec /var/lib/edge/own/edge-serve "$@"'
	hold edge2 running
	begin --deadline 1
	pid=$(session)
	on edge2 kill -STOP "$pid"
	right edge2 "$serve"
	go_on
	is 'one that was committed and stands still goes on when --recover has ended who holds it' \
		"[\"edge2\",\"edge1\",\"edge2\",\"running\",\"recovered\",\"keep\"]" \
		"$(records edge2 --recover | jq -c '.[:6]')"
	end
	on edge1 edge-migrate --recover >>"$tmp/records"
	ok '... there' await 20 is_at edge2
	clean_end edge1
	on edge2 rm -r /var/lib/edge/own
	back
fi

# --- a snapshot whose restore was killed when the registry had just heard that it runs

says_registry() { # what it says of the instance ID
	on edge1 sh -c 'jq -c "[.node,.state]" "${EDGE_REGISTRY#dir:}/service/$1.json"' sh "$1"
}
claims() { # as a session that restores at edge2 does
	on edge1 sh -c 'f="${EDGE_REGISTRY#dir:}/service/$1.json"; jq -c ".epoch += 1 | .node = \"edge2\" | .state = \"running\"" "$f" >"$f.new"; mv "$f.new" "$f"' sh "$1"
}
if [[ $PARTS == *snapshot* ]]; then
	instead edge2 "$serve" 'EDGE_FAULT=hold exec $real "$@"'
	on edge1 edge-run --name past -- sleep 1000000 >"$tmp/past"
	id=$(jq -r .id "$tmp/past")
	on edge1 edge-checkpoint --leave-running past >"$tmp/snapshot"
	on edge1 edge-ship --to edge2 <"$tmp/snapshot" >"$tmp/shipped"
	on edge1 edge-stop --grace 0 past >/dev/null
	for who in 'its session' 'its session and its keeper'; do
		hold edge2 restoring
		on edge1 edge-restore <"$tmp/shipped" >/dev/null 2>&1 &
		mover=$!
		await 20 on edge2 test -e /run/edge/held-restoring
		claims "$id"
		on edge2 sh -c '[ "$1" = "its session" ] || kill -KILL $(pgrep -x edge-keeper); kill -KILL $(pgrep -x real-edge-serve)' sh "$who"
		go_on
		end
		on edge2 edge-migrate --recover >>"$tmp/records"
		is "a restore whose programs are killed ($who) is not said to run" '["edge2","stopped"]' "$(says_registry "$id")"
		is '... and nothing is left of it' '' "$(on edge2 ls /var/lib/edge/journal)"
	done
	right edge2 "$serve"
	ok '... and can be done again' on edge1 edge-restore <"$tmp/shipped"
	on edge2 edge-stop --rm --grace 0 past >/dev/null
	on edge1 edge-stop --rm --grace 0 past >/dev/null
	on edge1 sh -c 'rm -rf /var/lib/edge/checkpoints/*'
fi

counter_kept

# Connections to one that runs twice may break.
if [[ $PARTS == *fence* ]]; then
	instead edge2 "$serve" 'export EDGE_FAULT=hold; exec $real "$@"'
	hold edge2 running
	begin --deadline 1
	"$lab" cut edge2
	go_on
	right edge2 "$serve"
	end
	is 'when it runs behind a link that is cut, --force lets it run twice' \
		'["edge1","edge1","edge2","go","recovered","thaw","forced: by the registry the destination has it: if that is alive, it runs there, too"]' \
		"$(records edge1 --recover --force)"
	is '... as was said' 'running running' "$(state edge1) $(state edge2)"
	"$lab" heal edge2
	is '... until the destination hears of it' \
		'["edge2","edge1","edge2","running","recovered","fence","it was forced to run elsewhere"]' "$(records edge2 --recover)"
	ok '... and ends its own' is_at edge1
	now=$(epoch edge1)
	is '... and the registry keeps the forced one' "[\"edge1\",${now##*$'\n'}]" "${now%%$'\n'*}"
	clean_end edge2
	hold edge1 frozen
	begin --max-freeze 0
	kill_all edge2 edge1
	end
	on edge1 sh -c 'f=$(ls "${EDGE_REGISTRY#dir:}"/service/*.json); jq -c ".epoch += 9 | .node = \"edge3\"" "$f" >"$f.new"; mv "$f.new" "$f"'
	is 'a node whose epoch is an old one does not thaw the service' \
		'["edge1","edge1","edge2","frozen","recovered","fence","it runs elsewhere, under a later epoch"]' "$(records edge1 --recover)"
	is '... it ends there' none "$(state edge1)"
	ok '... and nobody answers for its address' unanswered
	like '... and the registry keeps the other node' '^."edge3"' "$(epoch edge1)"
fi

touch "$tmp/records"
conform() { tests/schema/check <"$tmp/records"; }
ok 'the records are as edge-records(5) says' conform
finish
