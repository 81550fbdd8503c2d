#!/bin/bash
# SPDX-License-Identifier: MIT
# Runs the tests: tests/run.sh [FILE|PATTERN]... (a pattern is a part of a test's path; without any: all of them)
# Installs what is missing first (Debian packages; a CRIU that works on this kernel), then builds.
#
# B: the build folder (default build). JOBS: tests at a time (default one more than processors, as most of a test is waiting; tests/rules.yml says which stay alone).
# TEST_SECONDS: of patience with one test (default 900). MOVES: how often the moved services go there and back.
# EDGE_STRICT: 1 makes a skipped test a failed one; so it is for root, who has all that the tests need.
# A test may then only be skipped for what a kernel lacks: its reason begins with "kernel:".
# What tests have left behind in the end (processes, labs, mounts, files, cgroups) is named, and is a failure. What a run that was
# killed has left is taken away by the next one.
set -euo pipefail

self=$(readlink -f "$0")
top=${self%/tests/run.sh}
export B=${B:-build}
work=''

say() { printf 'run.sh: %s\n' "$*" >&2; }

# --- one test, as prove starts it

filter() { # NAME: TAP from stdin to stdout; failures also to stderr, as prove shows nothing of what they say
	perl -ne '
		BEGIN { $| = 1; $name = shift }
		if ($ENV{EDGE_STRICT} && /#\s*skip/i && !/#\s*skip\S*\s+kernel:/i) {
			s/^1\.\.0\s*#/1..1\nnot ok 1 #/;
			s/^ok/not ok/;
			s/#\s*(?=skip)/- /i;
		}
		print;
		$failed = /^not ok/m if /^(not )?ok|^1\.\./;
		print STDERR "$name: $_" if $failed || /^Bail out/;' "$1"
}

one() { # FILE: ends when the test has cleaned up, whatever ends it
	local pid out rc=0
	exec 7<"$RUN_LOCK"
	flock -s 7
	exec 6> >(exec 7>&-; filter "${1#"$B/"}")
	out=$!
	timeout --kill-after=60 "${TEST_SECONDS:-900}" "$1" </dev/null >&6 6>&- 7>&- &
	pid=$!
	exec 6>&-
	trap 'kill -TERM "$pid" 2>/dev/null || true' INT TERM HUP
	while kill -0 "$pid" 2>/dev/null; do
		rc=0
		wait "$pid" || rc=$?
	done
	trap '' INT TERM HUP
	((rc != 124)) || say "$1: not done after ${TEST_SECONDS:-900} s"
	# Whoever still holds its output now is something that it left behind.
	for _ in {1..100}; do
		kill -0 "$out" 2>/dev/null || return $rc
		sleep 0.05
	done
	say "$1: left a process behind that holds its output"
	kill "$out" || true
	return 1
}

# --- all of them

tests() { # [PATTERN]...: as paths from the top
	local all p t found
	# The longest first: in the end nothing is to wait for one of them.
	mapfile -t all < <(
		printf '%s\n' tests/cmd/*.t tests/move/*.t tests/unit/*_test.c |
			grep -v '\*' | sed -E "s|^(tests/unit/.*)\.c$|$B/\1|" |
			awk '{ print !/model|faults_|recover|rescue|postcopy|hot\.t|offload|swarm|stateful|keep|layer|(assign|gap)_test/, $0 }' | sort -s -n -k 1,1 | cut -d ' ' -f 2-
	)
	(($#)) || { printf '%s\n' "${all[@]}"; return; }
	for p in "$@"; do
		p=${p#./}
		found=''
		for t in "${all[@]}"; do
			if [[ $t == *"${p%.c}"* ]]; then echo "$t"; found=1; fi
		done
		[[ -n $found ]] || { say "$p: no such test"; return 64; }
	done
}

await() { # PID of prove
	local pid=$1 rc=0 caught=0
	trap 'caught=130' INT
	trap 'caught=143' TERM HUP
	while kill -0 "$pid" 2>/dev/null; do
		rc=0
		wait "$pid" || rc=$?
		((caught == 0)) || { kill -TERM -- "-$pid"; kill -CONT -- "-$pid"; } 2>/dev/null || true
	done
	trap - INT TERM HUP
	return $((caught ? caught : rc))
}

clean_up() {
	local rc=$?
	set +e
	# Those that were interrupted are still tidying up.
	trap '' INT TERM HUP
	[[ -n $work ]] || return 0
	exec 7<"$work/lock"
	flock -x -w 120 7 || say 'some tests do not end'
	exec 7<&-
	unset EDGE_TESTS TMPDIR # so that what we start from here on is not taken for a test's
	leftovers >"$work/left"
	if [[ -s $work/left ]]; then
		sed 's/^/run.sh: left over: /' "$work/left" >&2
		((rc != 0)) || rc=1
	fi
	take_away
	rm -rf --one-file-system "$work"
	exit $rc
}

# --- what is left over

take_away() { # what leftovers has named, and nothing of others
	local kind name
	lab_traces | sed 's/^lab \([^:]*\):.*/\1/' | sort -u | while read -r name; do LAB=$name "$top/examples/lab/lab" down; done
	while read -r kind name; do
		case $kind in
		process) kill -KILL "${name%%:*}" 2>/dev/null ;;
		mount:) umount -l "$name" ;;
		cgroup:) rmdir "$name" 2>/dev/null ;;
		esac
	done <"$work/left"
}

lab_traces() { # of the labs that tests have made
	local name path
	sort -u "$work/labs" | while read -r name; do
		for path in "/run/edge-lab/$name" "/var/lib/edge-lab/$name" "/sys/fs/cgroup/edge-lab-$name" \
			/sys/fs/cgroup/*/"edge-lab-$name" "/sys/class/net/el-$name"; do
			[[ ! -e $path ]] || echo "lab $name: $path"
		done
	done
}

cgroups() { find /sys/fs/cgroup -mindepth 2 -type d -path '*/edge/*' ! -path '*/edge-lab-*' 2>/dev/null | sort; }

empty_cgroups() { # that were not there before, and that no service of others, who work here at the same time, is in
	local path
	comm -13 "$work/cgroups" <(cgroups) | while read -r path; do
		if [[ -d $path && -z $(cat "$path/cgroup.procs" 2>/dev/null) ]]; then echo "cgroup: $path"; fi
	done
}

processes() {
	local f
	grep -lzxF "EDGE_TESTS=$work" /proc/[0-9]*/environ 2>/dev/null | while IFS=/ read -r _ _ f _; do
		echo "process $f: $(tr '\0' ' ' <"/proc/$f/cmdline")"
	done
}

mounts() { awk -v work="$work/" 'index($5, work) == 1 { print "mount: " $5 }' /proc/self/mountinfo; }

leftovers() { # lines; what is still on its way out has three seconds
	for _ in {1..30}; do
		{
			processes
			lab_traces
			mounts
			find "$work/tmp" -mindepth 1 -maxdepth 1 -printf 'file: %p\n'
			empty_cgroups
		} >"$work/now" 2>/dev/null
		[[ -s $work/now ]] || return 0
		sleep 0.1
	done
	cat "$work/now"
}

# A run has its folder's lock, and so has whatever it started, but for what closes all descriptors: labs and services.
own() { # FOLDER
	exec 9>"$1/owner.new"
	flock 9
	mv "$1/owner.new" "$1/owner"
}

after_killed_runs() { # what they have left is taken away
	local owner
	for owner in /tmp/edge-tests.*/owner; do
		[[ -e $owner ]] || continue
		exec 8<"$owner"
		if flock -n 8; then
			work=${owner%/owner}
			say "$work: its run was killed: what it left is taken away"
			{ processes; mounts; } >"$work/left" 2>/dev/null
			take_away
			rm -rf --one-file-system "$work"
		fi
		exec 8<&-
	done
	work=''
}

prepare() {
	"$top/examples/install-packages" build run test </dev/null >&2 || return $?
	if [[ -z ${EDGE_CRIU:-} ]]; then
		EDGE_CRIU=$("$top/examples/get-criu" </dev/null) || return $?
		export EDGE_CRIU
	fi
}

main() {
	local chosen
	cd "$top"
	export LC_ALL=C.UTF-8 EDGE_STRICT=${EDGE_STRICT:-$((EUID == 0))}
	export PATH=$PATH:/usr/local/sbin:/usr/sbin:/sbin
	chosen=$(tests "$@") || exit $?
	if [[ $EUID == 0 ]]; then
		prepare || exit $?
	else
		say 'not root: nothing is installed, and what needs root is skipped'
	fi
	make -s -j"$(nproc)" B="$B" all units </dev/null || exit 70
	EDGE_BIN=$(readlink -f "$B")/bin
	export EDGE_BIN PATH=$EDGE_BIN:$PATH
	unset LAB EDGE_ROOT EDGE_REGISTRY # of whoever calls
	after_killed_runs || true
	work=$(mktemp -d /tmp/edge-tests.XXXXXX)
	own "$work"
	mkdir "$work/tmp"
	chmod 1777 "$work/tmp"
	chmod 755 "$work"
	touch "$work/lock" "$work/labs"
	cgroups >"$work/cgroups"
	trap clean_up EXIT
	export RUN_LOCK=$work/lock HARNESS_RULESFILE=tests/rules.yml TMPDIR=$work/tmp LAB_LOG=$work/labs EDGE_TESTS=$work
	set -m # in a process group of its own, to end all of it at once
	# shellcheck disable=SC2086 # one name a line
	prove --timer -j "${JOBS:-$(($(nproc) + 1))}" --exec "$self --one" $chosen </dev/null &
	set +m
	await $!
}

usage() { sed -n '3,/^set/s/^# \?//p' "$self"; }

case ${1:-} in
--one) one "$2" ;;
-h | --help) usage ;;
-*) say "unknown option $1 (see tests/run.sh --help)"; exit 64 ;;
*) main "$@" ;;
esac
