# shellcheck shell=bash disable=SC2016 # what is quoted so is for the nodes' shells
# SPDX-License-Identifier: MIT
# What the tests of moves share: a lab of their own, services in it, clients that stay connected, and TAP.
# A node sees EDGE_BIN's folder and $tmp of this machine. MOVES: how often each service goes there and back (default 1). B, EDGE_BIN: where the programs were built.
set -u
cd "$(dirname "${BASH_SOURCE[0]}")/../.." || exit 1
if [[ $EUID != 0 ]]; then echo '1..0 # skip the lab needs root'; exit 0; fi
B=${B:-build}
[[ $B == /* ]] || B=$PWD/$B
export EDGE_BIN=${EDGE_BIN:-$B/bin}
export LAB=mv$((BASHPID % 1000000))
MOVES=${MOVES:-1}
lab=$PWD/examples/lab/lab
tools=$PWD/tests/tools
built=$B/tests/tools
tmp=$(mktemp -d "${TMPDIR:-/tmp}/edge-move.XXXXXX")
mkfifo "$tmp/never" # nothing ever comes from it: a way to wait that starts no process
exec {never}<>"$tmp/never"
count=0 failed=0
starting=''
nodes=(edge1 edge2)
declare -A client_pid=() client_fd=()

# --- the end, whatever comes

clean() {
	local name
	trap '' HUP INT TERM # a second signal must not end the tidying up
	if [[ $starting ]] && kill "$starting" 2>/dev/null; then wait "$starting"; fi
	for name in "${!client_pid[@]}"; do kill "${client_pid[$name]}" 2>/dev/null; done
	"$lab" down >/dev/null 2>&1
	rm -rf "$tmp"
}
trap clean EXIT
trap 'exit 129' HUP
trap 'exit 130' INT
trap 'exit 143' TERM

# --- TAP

ok() { # TITLE COMMAND...
	local title=$1
	count=$((count + 1))
	shift
	if "$@" >"$tmp/out" 2>&1; then
		echo "ok $count - $title"
		return 0
	fi
	echo "not ok $count - $title"
	sed 's/^/# /' "$tmp/out"
	failed=1
	return 1
}
is() { # TITLE WANTED HAVE
	ok "$1" test "$3" = "$2" && return
	diff <(echo "$2") <(echo "$3") | sed -n 's/^</# wanted:/p;s/^>/# have:  /p'
	return 1
}
like() { # TITLE PATTERN (bash, extended) HAVE
	local matches=1
	[[ $3 =~ $2 ]] && matches=0
	ok "$1" test $matches = 0 || printf '# wanted: %s\n# have:   %s\n' "$2" "$3"
}
finish() {
	echo "1..$count"
	exit "$failed"
}
tool() { # NAME: builds a program of tests/tools if need be
	[[ -x $built/$1 ]] || make -s B="$B" "$built/$1" >&2
}
need() { # PROGRAM...: what the test is about
	local p
	for p in "$@"; do
		command -v "$p" >/dev/null && continue
		echo "1..0 # skip $p is not installed"
		exit 0
	done
}
answer=''
ready() { # NAME: waits until the client says so
	await 20 said "$1" ready || sed 's/^/# /' "$tmp/$1.out"
}
await() { # SECONDS COMMAND...: until it succeeds; a machine under load gets three times as long
	local end=$((SECONDS + 3 * $1))
	shift
	until "$@" >/dev/null 2>&1; do
		((SECONDS < end)) || return 1
		read -r -t 0.05 -u "$never"
	done
	return 0
}

# --- the lab

lab_up() { # OPTION...
	# Behind a wait a signal is heeded at once, and not when the lab is up.
	timeout 150 "$lab" up ${#nodes[@]} --share "$tmp" "$@" >/dev/null &
	starting=$!
	if ! wait $starting; then echo 'Bail out! no lab'; exit 1; fi
	starting=''
	eval "$("$lab" env)"
	subnet=10.77.$(<"$EDGE_LAB_DIR/subnet")
	addr=$subnet.60
}
on() { # NODE COMMAND...
	timeout 120 "$lab" exec "$@"
}
find_root() { # NODE: into `root`, its files as they are seen from here; false while it is down
	read -r root _ 2>/dev/null <"$EDGE_LAB_DIR/$1/pid" || return 1
	root=/proc/$root/root
	[[ -d $root/run ]]
}
run() { # NAME OPTION... -- COMMAND...: starts a service on edge1, at $addr
	local name=$1
	shift
	if ! on edge1 edge-run --name "$name" --addr "$addr" "$@" >"$tmp/record" 2>"$tmp/err"; then
		sed 's/^/# /' "$tmp/err"
		echo "Bail out! service $name does not start"
		exit 1
	fi
}
bundle() { # COMMAND...: makes $bundle at edge1, an OCI bundle over that node's own files
	on edge1 sh -c 'mkdir -p "$0" && cd "$0" && rm -f config.json && runc spec && jq ".process.args = \$ARGS.positional |
		.process.terminal = false | .root = {path: \"/\", readonly: false}" --args "$@" <config.json >adapted &&
		mv adapted config.json' "$bundle" "$@"
}
bundle=/var/lib/edge/bundle
log() { # NODE NAME
	on "$1" cat "/var/lib/edge/services/$2/log"
}
inside() { # NODE NAME COMMAND...: in the service's namespaces
	local node=$1 pid
	pid=$(on "$1" sed -n 's/.*"pid":\([0-9]*\).*/\1/p' "/var/lib/edge/services/$2/service.json")
	shift 2
	on "$node" nsenter -t "$pid" -m -u -i -n -p -r -w -- "$@"
}
stop() { # NODE NAME
	on "$1" edge-stop --rm --grace 2 "$2" >/dev/null 2>&1
}
move() { # NAME FROM TO [OPTION...]: the record into $tmp/moved, errors into $tmp/err
	on "$2" "${move_env[@]}" edge-migrate "$1" --to "$3" "${patient[@]}" "${@:4}" >"$tmp/moved" 2>"$tmp/err"
}
move_env=()
patient=(--max-freeze 20000) # of moves that are not about time: a machine under load is slow, not broken
there_and_back() { # NAME [COMMAND run after each move]: one test a move
	local name=$1 i from to
	shift
	for ((i = 0; i < 2 * MOVES; i++)); do
		from=${nodes[i % 2]} to=${nodes[(i + 1) % 2]}
		if ok "$name moves from $from to $to" move "$name" "$from" "$to"; then
			sed -n 's/.*"frozen_ms":\([0-9.]*\),"total_ms":\([0-9.]*\),.*/# frozen \1 ms of \2 ms/p' "$tmp/moved"
		else
			sed 's/^/# /' "$tmp/err"
			return 1
		fi
		# A moment in which the clients go on with it as it is now.
		sleep 0.3
		(($# == 0)) || "$@" "$to"
	done
}

# --- clients: each stays connected until it is told to end, then checks and prints what it found

client() { # NAME COMMAND...: in the background; its stdin stays open until `client_end`
	local name=$1 fd
	shift
	mkfifo "$tmp/$name.in"
	"$@" <"$tmp/$name.in" >"$tmp/$name.out" 2>&1 &
	client_pid[$name]=$!
	exec {fd}>"$tmp/$name.in"
	client_fd[$name]=$fd
}
tell() { # NAME LINE...
	local fd=${client_fd[$1]}
	shift
	printf '%s\n' "$@" >&"$fd"
}
client_end() { # NAME [SECONDS]: what the client said into `answer`, its lines that begin with # shown
	local fd=${client_fd[$1]} pid=${client_pid[$1]}
	exec {fd}>&-
	await "${2:-60}" gone "$pid" || kill "$pid" 2>/dev/null
	wait "$pid"
	unset "client_pid[$1]"
	rm -f "$tmp/$1.in"
	grep '^#' "$tmp/$1.out"
	answer=$(grep -v '^#' "$tmp/$1.out")
}
gone() { ! kill -0 "$1"; }
said() { grep -q -e "$2" "$tmp/$1.out"; } # CLIENT PATTERN

counter() { # [WHAT]: the service "counter" with a client; counter_kept says how both fared
	on edge1 mkdir -p /var/lib/edge/app
	cp "$tools/counter.pl" "$tmp"
	on edge1 cp "$tmp/counter.pl" /var/lib/edge/app
	run counter --port 8080 --volume /var/lib/edge/app:/app -- perl /app/counter.pl 8080 "$@"
	await 5 bash -c "</dev/tcp/$addr/8080"
	client counter perl "$tools/http-client.pl" count "$addr" 8080 /
	ready counter
}
counter_kept() { # [TITLE]
	client_end counter
	is "${1:-the service lost neither a request nor its connection}" "ready
no answer lost or doubled" "$(grep -v ^count <<<"$answer")"
}

# --- a node that is not as it should be: each of these holds until `right` undoes it

instead() { # NODE FILE SCRIPT: the script in place of a program, in this node only; $real is the program
	on "$1" sh -c 'real=/var/lib/edge/real-${1##*/} fake=/var/lib/edge/fake-${1##*/}
		cp "$1" "$real" && { printf "#!/bin/sh\nreal=%s\n" "$real"; cat; } >"$fake" && chmod 755 "$fake" &&
		mount -n --bind "$fake" "$1"' sh "$2" <<<"$3"
}
over() { # NODE FILE OTHER: another file in its place
	on "$1" mount -n --bind "$3" "$2"
}
right() { # NODE FILE; a shell that is about to be the program has the script open for a moment
	on "$1" sh -c 'for i in $(seq 100); do
			umount -n "$1" 2>/dev/null && break
			grep -q " $1 " /proc/mounts || break
			sleep 0.05
		done
		! grep -q " $1 " /proc/mounts || echo "# $1 stays covered" >&2
		rm -f "/var/lib/edge/real-${1##*/}" "/var/lib/edge/fake-${1##*/}"' sh "$2"
}
criu_of() { # NODE: where the program is
	on "$1" sh -c 'readlink -f "$(command -v criu || echo /usr/local/lib/edge-criu/usr/sbin/criu)"'
}

# --- what is left on a node that does not run the service NAME and never kept it (its store of pages does not count)

lasting() { # COMMAND...: what it still says after 20 seconds; a session's last program may take a moment to end, a guard looks every 10 seconds
	local left end=$((SECONDS + 20))
	while ((SECONDS < end)); do
		left=$("$@")
		[[ $left ]] || return 0
		sleep 0.1
	done
	echo "$left"
}
remains() { lasting remains_now "$@"; } # NODE NAME: what still is there
remains_now() { # NODE NAME
	on "$1" sh -c '
		ls -d /run/edge/netns/"$1" /run/edge/move-* /var/lib/edge/checkpoints/* /var/lib/edge/journal/* 2>/dev/null
		find /sys/fs/cgroup -path "*/edge/$1" 2>/dev/null
		grep -e "/services/$1/" /proc/mounts
		ip -o link | grep -o " ev[0-9a-f]*"
		nft list tables 2>/dev/null
		ps -eo comm= | grep -e edge- -e ^criu # "real-edge-serve" is one of `instead`
		true' sh "$2" 2>&1
}
