# shellcheck shell=bash disable=SC2016,SC2154 # what is quoted so is for scripts on the nodes; lib.sh sets the rest
# SPDX-License-Identifier: MIT
# The fault matrix: a move is stopped at one of its journal's steps, at one end; something is broken there; it goes on. After
# that, and recovery at both nodes at once, exactly one instance runs, its data and its client's connection are whole, and
# nothing is left of the move.
. "$(dirname "${BASH_SOURCE[0]}")/lib.sh"
need perl curl

here=edge1 there=edge2 # where the counter runs, and where it is to go
serve=''               # edge-serve's path on the nodes

matrix_up() {
	nodes=(edge1 edge2)
	lab_up --disk 1G
	serve=$(on edge1 sh -c 'command -v edge-serve')
	counter memory
}

# --- what a cell is made of

held() { # NODE STEP: the move stands at this step
	on "$1" test -e "/run/edge/held-$2"
}
release() { # NODE STEP
	on "$1" rm -f "/run/edge/held-$2" 2>/dev/null
}
processes() { # NODE WHO: their pids there
	case $2 in
	session) on "$1" sh -c 'for p in $(pgrep -x sshd); do tr "\0" " " </proc/$p/cmdline | grep -q "^sshd: root" && echo $p; done' ;;
	*) on "$1" pgrep -x "$2"; [[ $2 != edge-serve ]] || on "$1" pgrep -x "real-$2" ;; # by `instead`
	esac
}
signal() { # NODE WHO SIGNAL
	local pids
	pids=$(processes "$1" "$2" | tr '\n' ' ')
	# shellcheck disable=SC2086
	[[ ! $pids ]] || on "$1" kill "-$3" $pids
}

wake() { # PID: those who wait for it and stood still, too
	local p
	kill -CONT "$1" 2>/dev/null
	for p in $(pgrep -P "$1"); do wake "$p"; done
}

fault() { # FAULT NODE
	local node=$2
	case $1 in
	none) ;;
	kill:*) signal "$node" "${1#kill:}" KILL ;;
	term:*) signal "$node" "${1#term:}" TERM ;;
	stop:*) signal "$node" "${1#stop:}" STOP; release "$node" "$step"; sleep 5; signal "$node" "${1#stop:}" CONT; wake "$mover" ;;
	cut:*) "$lab" cut "$node" ;;
	full) on "$node" sh -c 'fallocate -l $(($(stat -f -c "%a*%S" /var/lib/edge))) /var/lib/edge/fill' 2>/dev/null ;;
	power) "$lab" kill "$node" ;;
	esac
}
after_fault() { # FAULT NODE: when the move has gone on
	case $1 in
	cut:never) ;;
	cut:*) sleep "${1#cut:}"; "$lab" heal "$2" ;;
	full) await 30 move_over; on "$2" rm -f /var/lib/edge/fill ;;
	power) await 60 move_over; "$lab" boot "$2" ;;
	esac
}
move_over() { ! kill -0 "$mover" 2>/dev/null; }

# --- what must be true afterwards

state() { # NODE: running, frozen or none
	on "$1" sh -c '
		pid=$(sed -n "s/.*\"pid\":\([0-9]*\).*/\1/p" /var/lib/edge/services/counter/service.json 2>/dev/null)
		grep -q "\"moved\":true" /var/lib/edge/services/counter/service.json 2>/dev/null && pid=
		if [ -z "$pid" ] || [ "$pid" = 0 ] || ! [ -d "/proc/$pid" ]; then echo none
		elif grep -qx 1 "$(find /sys/fs/cgroup -path "*/edge/counter/cgroup.freeze" | head -n 1)"; then echo frozen
		else echo running; fi' 2>/dev/null || echo down
}
recover() { # at both nodes, at once
	on edge1 edge-migrate --recover >>"$tmp/recovered" 2>&1 &
	local first=$!
	on edge2 edge-migrate --recover >>"$tmp/recovered" 2>&1
	wait "$first"
	return 0
}
traces() { # of the move, at either end, and of the service where it is not
	remains "$1" counter
	on "$2" sh -c 'ls -d /var/lib/edge/checkpoints/* /var/lib/edge/journal/* /run/edge/move-* /run/edge/held-* 2>/dev/null
		ps -eo comm= | grep -e ^criu -e edge-migrate -e edge-guard -e edge-serve; nft list tables 2>/dev/null; true'
}
answers() { curl -sf -m 8 "http://$addr:8080/peek" >/dev/null; }
connected() { # the client's own connection
	local was
	was=$(stat -c %s "$tmp/counter.out") # it dies by saying so
	kill -0 "${client_pid[counter]}" && ((was < 20))
}

# One cell: step, end (source or destination), fault; what is allowed to be lost ("host": the service died with its node).
cell() { # STEP END FAULT [ALLOWED]
	local end=$2 what=$3 allowed=${4:-} node mover begun took states env=()
	step=$1
	node=$here
	[[ $end == source ]] || node=$there
	: >"$tmp/recovered"
	if [[ $end == source ]]; then
		env=(EDGE_FAULT=hold)
	else
		instead "$there" "$serve" 'export EDGE_FAULT=hold; exec $real "$@"'
	fi
	on "$node" sh -c 'mkdir -p /run/edge && : >"/run/edge/hold-$1"' sh "$step"
	on "$here" env "${env[@]}" edge-migrate counter --to "$there" --deadline 15 >"$tmp/moved" 2>"$tmp/err" &
	mover=$!
	if ! await 20 held "$node" "$step"; then
		ok "$end, $step, $what: the move comes to this step" false
		sed 's/^/# /' "$tmp/err"
	fi
	begun=${EPOCHREALTIME/./}
	fault "$what" "$node"
	[[ $what == power ]] || release "$node" "$step"
	after_fault "$what" "$node"
	await 60 move_over
	wait "$mover"
	[[ $what == power || $end == source ]] || right "$there" "$serve"
	[[ $what != cut:never ]] || "$lab" heal "$node"
	on "$node" rm -f "/run/edge/hold-$step"
	recover
	await 20 settled
	took=$(((${EPOCHREALTIME/./} - begun) / 1000))
	states="$(state edge1) $(state edge2)"
	verdict "$end, $step, $what" "$states" "$allowed"
	echo "# $states after $took ms; $(tr '\n' ' ' <"$tmp/err" | cut -c 1-160)"
	follow "$states"
}
settled() { # nothing of the move is under way any more
	local s
	s="$(state edge1) $(state edge2)"
	[[ $s == "running none" || $s == "none running" || $s == "none none" ]] &&
		[[ ! $(on edge1 ls /var/lib/edge/journal; on edge2 ls /var/lib/edge/journal) ]]
}

verdict() { # TITLE STATES ALLOWED
	case $2 in
	'running none' | 'none running') ok "$1: exactly one runs" true ;;
	*) like "$1: ${3:+or }$3" "^(${3:-exactly one running})$" "$2" ;;
	esac
	[[ $2 == *running* ]] || return 0
	# A session whose link died between two calls ends half a minute later.
	[[ $what != cut:* ]] || await 45 no_sessions
	ok '... it answers' answers
	[[ $what == power ]] || ok '... on the connection that was open' connected
	if [[ $2 == running* ]]; then is '... and nothing is left of the move' '' "$(traces edge2 edge1)"
	else is '... and nothing is left of the move' '' "$(traces edge1 edge2)"; fi
}
no_sessions() { [[ ! $(processes edge1 edge-serve; processes edge2 edge-serve) ]]; }
# The next cell begins where the service is; one that died with its node is started again.
follow() { # STATES
	case $1 in
	'running none') here=edge1 there=edge2 ;;
	'none running') here=edge2 there=edge1 ;;
	esac
	[[ $1 == *running* && $what != power ]] && return
	local node
	for node in edge1 edge2; do
		on "$node" edge-migrate --recover --force >/dev/null 2>&1
		on "$node" edge-stop --rm --grace 1 counter >/dev/null 2>&1
	done
	exec {client_fd[counter]}>&-
	wait "${client_pid[counter]}" 2>/dev/null
	unset 'client_pid[counter]'
	rm -f "$tmp/counter.in"
	here=edge1 there=edge2
	counter memory
}
