#!/bin/bash
# SPDX-License-Identifier: MIT
# Shows the main job: a redis-server moves from one machine to another and back, while a client on one open connection
# keeps it busy. The machines are a lab of namespaces on this one. On Debian 12 or 13, as root: examples/quickstart.sh
#
# Installs what is missing (Debian packages; a CRIU that works on this kernel, beside the system's), builds, runs, tells what
# happened, and removes all but what it installed and built, also when interrupted. Safe to run twice.
set -euo pipefail

case ${1:-} in
'') ;;
-h | --help) sed -n '3,/^set/s/^# \{0,1\}//p' "$0"; exit 0 ;;
*) echo "quickstart: $1: takes no arguments (MB=64: of data in redis; B=build: where to build)" >&2; exit 64 ;;
esac
here=$(dirname "$(readlink -f "$0")")
top=${here%/examples}
B=${B:-build}
[[ $B == /* ]] || B=$top/$B
MB=${MB:-64} # of data in redis
export LAB=quickstart EDGE_BIN=${EDGE_BIN:-$B/bin} LC_NUMERIC=C
lab=$here/lab/lab
work='' client=''

# --- telling

bold='' dim='' plain='' full='#' half='=' line='-'
looks() {
	if [[ -t 1 && -z ${NO_COLOR:-} && ${TERM:-dumb} != dumb ]]; then bold=$'\e[1m' dim=$'\e[2m' plain=$'\e[0m'; fi
	if [[ $(locale charmap 2>/dev/null) == UTF-8 ]]; then full='█' half='▄' line='─'; fi
}

begin() { printf '  %-10s ' "$1"; step=$1; }
done_() { printf '%s\n' "$*"; step=''; }

fail() { # CODE TEXT: keeps the log
	local code=$1 log
	shift
	[[ -z ${step:-} ]] || echo failed
	log=$(mktemp /tmp/edge-quickstart-log.XXXXXX)
	cp "$work/log" "$log"
	{
		printf '\nquickstart: %s\n' "$*"
		tail -n 5 "$log" | sed 's/^/    /'
		echo "quickstart: the whole log is $log"
	} >&2
	exit "$code"
}

logged() { "$@" >>"$work/log" 2>&1 </dev/null 8>&-; }

# --- the end, whatever comes

clean_up() {
	trap '' INT TERM HUP
	[[ -n $work ]] || return 0
	if [[ -n $client ]]; then kill "$client" 2>/dev/null || true; fi
	logged "$lab" down || true
	rm -rf "$work"
}

stopped() {
	trap '' INT TERM HUP
	printf '\nquickstart: interrupted; cleaning up\n' >&2
	exit "$1"
}

# --- the steps

prepare() {
	[[ $EUID == 0 ]] || { echo 'quickstart: must be run by root: sudo examples/quickstart.sh' >&2; exit 77; }
	exec 8</var/lib
	flock -n 8 || { echo 'quickstart: another one is running' >&2; exit 75; }
	work=$(mktemp -d /tmp/edge-quickstart.XXXXXX)
	: >"$work/log"
	trap clean_up EXIT
	trap 'stopped 130' INT
	trap 'stopped 143' TERM HUP
}

packages() {
	local n
	begin packages
	"$here/install-packages" build run >"$work/packages" 2>>"$work/log" 8>&- || fail $? 'packages: cannot install what is missing'
	n=$(wc -l <"$work/packages")
	if ((n == 0)); then
		done_ 'nothing is missing'
	else
		done_ "installed $(paste -sd' ' "$work/packages")"
	fi
	begin criu
	EDGE_CRIU=$("$here/get-criu" 2>>"$work/log" 8>&-) || fail $? 'criu: cannot get one that works on this kernel'
	export EDGE_CRIU
	done_ "$("$EDGE_CRIU" --version | awk '/^Version:/ { print $2 }') at $EDGE_CRIU works on kernel $(uname -r)"
}

build() { # as the owner of the checkout, so that nothing in it belongs to root afterwards
	local owner make
	owner=$(stat -c %U "$top")
	make=(make -C "$top" -j"$(nproc)" B="$B")
	begin programs
	if [[ $owner != root && $owner != UNKNOWN && $B == "$top"/* ]]; then
		if [[ -e $B ]]; then chown -R "$owner:" "$B"; fi
		make=(runuser -u "$owner" -- "${make[@]}")
	fi
	logged "${make[@]}" || fail 70 'make: failed'
	done_ "$(find "$EDGE_BIN" -name 'edge*' -type f | wc -l) built in ${EDGE_BIN#"$PWD"/}"
}

start_lab() {
	local n
	begin lab
	if [[ -e /run/edge-lab/$LAB ]]; then logged "$lab" down || fail $? 'lab: cannot remove that of a killed run'; fi
	logged "$lab" up 3 || fail $? 'lab: does not start'
	# Two wires lie between two nodes.
	for n in edge1 edge2 edge3; do logged "$lab" link $n --delay 0.25 --rate 1000 || fail $? "lab: no link to $n"; done
	done_ 'edge1, edge2 and edge3, of namespaces; links of 1 Gbit/s and 0.5 ms'
}

start_service() {
	addr=10.77.$(<"/run/edge-lab/$LAB/subnet").60
	begin service
	# Without --save it would write its memory to the disk from time to time.
	logged "$lab" exec edge1 edge-run --name redis --addr "$addr" --port 6379 -- \
		redis-server --bind 0.0.0.0 --protected-mode no --save '' || fail $? 'edge-run: redis-server does not start'
	done_ "redis-server on edge1 at $addr, $MB MB of random data"
	begin client
	mkfifo "$work/ending"
	"$lab" exec edge3 perl -e "$(<"$here/redis-counter")" "$addr" 6379 "$MB" <"$work/ending" >"$work/answers" 2>>"$work/log" 8>&- &
	client=$!
	exec 7>"$work/ending" # when this is closed, it ends
	until grep -qs ready "$work/answers"; do
		kill -0 "$client" 2>/dev/null || fail 69 'client: ended'
		sleep 0.1
	done
	done_ 'on edge3, one connection: 500 INCR and 500 SET of 1 KB a second'
}

move() { # FROM TO NUMBER
	printf '  %s%s$ edge-migrate redis --to %s%s' "$bold" "$1" "$2" "$plain"
	echo "$EPOCHREALTIME" >"$work/began$3"
	"$lab" exec "$1" edge-migrate redis --to "$2" </dev/null >"$work/moved$3" 2>>"$work/log" 7>&- 8>&- ||
		fail $? 'edge-migrate: failed'
	echo "$EPOCHREALTIME" >"$work/ended$3"
	printf '   %s(%s)%s\n' "$dim" "$(ms total_ms "$3")" "$plain"
}

end_client() {
	local rc=0
	exec 7>&-
	wait "$client" || rc=$?
	client=''
	((rc == 0)) || fail 1 'client: its connection was lost'
}

# --- what happened

# The longest time without an answer in the first column, then the answers in each 20 ms around it.
look_at() { # NUMBER
	awk -v a="$(<"$work/began$1")" -v b="$(<"$work/ended$1")" '
		/^[0-9.]+$/ && $1 >= a && $1 <= b + 0.5 { if (last && $1 - last > gap) { gap = $1 - last; at = last } last = $1 }
		/^[0-9.]+$/ { all[n++] = $1 }
		END {
			from = at + gap / 2 - 0.6
			for (i = 0; i < n; i++) if (all[i] >= from && all[i] < from + 1.2) count[int((all[i] - from) / 0.02)]++
			printf "%.0f", gap * 1000
			for (i = 0; i < 60; i++) printf " %d", count[i]
			print ""
		}' "$work/answers"
}

strip_of() { # COUNTS: full from 15 answers on, half below, a gap where there was none
	local c
	for c in "$@"; do
		if ((c == 0)); then printf ' '; elif ((c < 15)); then printf %s "$half"; else printf %s "$full"; fi
	done
}

field() { jq -r "$1" "$work/moved$2"; } # FILTER NUMBER
bytes() { field ".moved.$1" "$2" | awk '{ printf "%.1f MB", $1 / 1048576 }'; }
ms() { printf '%s ms' "$(field ".moved.$1 // 0 | round" "$2")"; }
rule() { printf '  '; printf "%.0s$line" {1..77}; echo; }

bar() { # MS LONGEST_MS: of 8 places; padded by hand, as printf counts bytes in some locales
	local i n=$((($1 * 8 + $2 / 2) / $2))
	for ((i = 8; i > 0; i--)); do
		if ((i <= n)); then printf %s "$full"; else printf ' '; fi
	done
}
row() { # TITLE CELL CELL TEXT [BAR BAR]
	printf '  %-17s %8s %8s  %8s %8s%s\n' "$1" "${5:-}" "$2" "${6:-}" "$3" "${4:+  $dim$4$plain}"
}

phases() { # of both moves
	local i all=() names=(freeze dump pages files images restore resume)
	local does=('processes stop' 'criu looks at them' 'late memory is sent' 'late files are sent' "criu's notes are sent"
		'criu makes them anew' 'packets get in again')
	mapfile -t all < <(jq -rs '.[].moved.phases | [.freeze_ms, .dump_ms, .pages_ms, .files_ms, .images_ms, .restore_ms, .resume_ms]
		| map(. // 0 | round)[]' "$work/moved1" "$work/moved2")
	max=$(printf '%s\n' 1 "${all[@]}" | sort -n | tail -n 1)
	for i in {0..6}; do
		row "   ${names[i]}" "${all[i]} ms" "${all[i + 7]} ms" "${does[i]}" "$(bar "${all[i]}" "$max")" "$(bar "${all[i + 7]}" "$max")"
	done
}

report() {
	local g1 g2 s1 s2 sum
	read -r g1 s1 <<<"$(look_at 1)"
	read -r g2 s2 <<<"$(look_at 2)"
	sum=$(tail -n 1 "$work/answers")
	echo
	printf "$bold%s$plain\n" "$(row '' 'to edge2' 'and back')"
	rule
	row 'the client waited' "$g1 ms" "$g2 ms" 'longest, for an answer'
	row 'redis stood still' "$(ms frozen_ms 1)" "$(ms frozen_ms 2)" 'partly at once:'
	phases
	row 'the whole move' "$(ms total_ms 1)" "$(ms total_ms 2)" 'the rest while it ran'
	row 'memory and files' "$(bytes bytes_raw 1)" "$(bytes bytes_raw 2)"
	row 'sent' "$(bytes bytes_sent 1)" "$(bytes bytes_sent 2)" 'what was not there yet'
	rule
	echo '  The answers that the client got, in steps of 20 ms:'
	# shellcheck disable=SC2086 # counts
	printf '    to edge2  %s\n    and back  %s\n' "$(strip_of $s1)" "$(strip_of $s2)"
	rule
	jq -r '"  \(.asked) requests on one connection: \(.asked - .answered) lost, \(.wrong) answered wrong or twice.",
		"  All \(.values) values read back at the end: " +
		if .values_wrong == 0 then "each as it was written." else "\(.values_wrong) WRONG." end' <<<"$sum"
	jq -e '.asked == .answered and .wrong == 0 and .values_wrong == 0' <<<"$sum" >/dev/null || fail 1 'redis or its client lost something'
	printf '\n  Lab and services are removed again. Your own lab: %s up 3\n' "${lab#"$PWD"/}"
}

main() {
	looks
	prepare
	printf '%sA running redis-server moves to another machine, and its client stays connected.%s\n\n' "$bold" "$plain"
	packages
	build
	start_lab
	start_service
	sleep 1
	echo
	move edge1 edge2 1
	sleep 1
	move edge2 edge1 2
	sleep 1
	end_client
	report
}

main "$@"
