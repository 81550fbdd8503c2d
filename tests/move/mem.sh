# shellcheck shell=bash disable=SC2034,SC2154
# SPDX-License-Identifier: MIT
# A service whose every answer can be checked (tests/bench/memsrv.c) and its client, for tests that source lib.sh.

# A static one, and never one with sanitizers: their terabytes of mappings are nothing to be moved.
memsrv() { # PATH
	cc -std=gnu11 -D_GNU_SOURCE -O2 -I. -static -pthread -o "$1" tests/bench/memsrv.c
}
mem_root() { # a root directory with memsrv alone
	mkdir -p "$tmp/root"/{dev,etc,proc}
	echo 'root:x:0:0:root:/:/bin/sh' >"$tmp/root/etc/passwd"
	memsrv "$tmp/root/memsrv"
}
mem_run() { # NAME [OPTION...]: starts one on edge1
	local name=$1
	shift
	run "$name" --port 7000 --root "$tmp/root" "$@" -- /memsrv --mem 8 --write 0.5
	await 10 "$B/tests/bench/gapclient" --dead 500 "$addr" 7000 ping
}
gap_start() { # a client on one connection, until gap_end
	"$B/tests/bench/gapclient" --interval 10 --dead 60000 --duration 500 "$addr" 7000 >"$tmp/gap" 2>&1 &
	client_pid[gap]=$!
}
gap=''
gap_end() { # into `gap`, what the client lost: nothing, on its first connection, to the same process
	kill -TERM "${client_pid[gap]}"
	wait "${client_pid[gap]}"
	unset 'client_pid[gap]'
	gap=$(jq -c '[.lost, .duplicated, .stepped_back, .reconnects, .boot_ids]' "$tmp/gap" 2>/dev/null || cat "$tmp/gap")
}
moment() { # TITLE COMMAND...: of a few tries one is enough, as others may use the machine, too
	local title=$1 i
	shift
	for ((i = 0; i < 4 && $(jq '.longest_gap_ms | floor' "$tmp/gap") >= 1000; i++)); do
		gap_start
		sleep 0.5
		"$@" || { gap_end; ok "$title" false; return; }
		sleep 0.5
		gap_end
	done
	ok "$title" test "$gap" = '[0,0,0,0,1]' -a "$(jq '.longest_gap_ms | floor' "$tmp/gap")" -lt 1000
}
answers() { "$B/tests/bench/gapclient" --dead 3000 "$addr" 7000 check; }

# A command line in a node's shell: its standard output into `said`, its messages into `told`, the statuses of its last
# pipe into `status`.
said='' told='' status=''
in_node() { # NODE COMMANDS
	on "$1" bash -c "$2
		echo \"\${PIPESTATUS[@]}\" >$tmp/status" >"$tmp/said" 2>"$tmp/told" </dev/null
	gather
}
in_host() { # COMMANDS: the same on this machine, a third one
	PATH=$EDGE_BIN:$PATH timeout 60 bash -c "$1
		echo \"\${PIPESTATUS[@]}\" >$tmp/status" >"$tmp/said" 2>"$tmp/told" </dev/null
	gather
}
gather() {
	said=$(<"$tmp/said")
	told=$(<"$tmp/told")
	status=$(<"$tmp/status")
}
