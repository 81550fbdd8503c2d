# shellcheck shell=bash disable=SC2016,SC2154 # what is quoted so is for scripts on the nodes; lib.sh sets the rest
# SPDX-License-Identifier: MIT
# The fault matrix: a move is stopped at one of its journal's steps, at one end; something is broken there; it goes on. After
# that, and recovery at both nodes at once, exactly one instance runs, its data and its client's connection are whole, and
# nothing is left of the move.
. "$(dirname "${BASH_SOURCE[0]}")/lib.sh"
need perl curl

service=counter
here=edge1 there=edge2 # where it runs, and where it is to go
serve=''               # edge-serve's path on the nodes
deadline=15            # seconds for which a move is tried again
far=''                 # not empty: the move is ordered from elsewhere
way=()                 # options of each move
filter=''              # of the next cell: what tests/tools/frames.pl does to the frames

matrix_up() {
	nodes=(edge1 edge2)
	lab_up --disk 1G
	serve=$(on edge1 sh -c 'command -v edge-serve')
	cp "$tools/frames.pl" "$tools/strike.pl" "$tmp"
	counter memory
}

# --- what a cell is made of

held() { # NODE STEP: the move stands at this step
	find_root "$1" && [[ -e $root/run/edge/held-$2 ]]
}
release() { # NODE STEP
	! find_root "$1" || rm -f "$root/run/edge/held-$2" 2>/dev/null
}
processes() { # NODE WHO: their pids there
	case $2 in
	session) on "$1" sh -c 'for p in $(pgrep -x sshd); do tr "\0" " " </proc/$p/cmdline | grep -q "^sshd: root" && echo $p; done' ;;
	*) on "$1" pgrep -x "$2"; [[ $2 != edge-serve ]] || on "$1" pgrep -x "real-$2" ;; # by `instead`
	esac
}
signal() { # NODE WHO SIGNAL: nothing happens to a process that ended meanwhile
	local pids
	pids=$(processes "$1" "$2" | tr '\n' ' ')
	# shellcheck disable=SC2086
	[[ ! $pids ]] || on "$1" sh -c 'date +%s.%6N; kill "$@" 2>/dev/null' sh "-$3" $pids >"$tmp/struck"
}

wake() { # PID: those who wait for it and stood still, too
	local p
	kill -CONT "$1" 2>/dev/null
	for p in $(pgrep -P "$1"); do wake "$p"; done
}

fault() { # FAULT NODE
	local node=$2 who
	case $1 in
	none) ;;
	kill:*) signal "$node" "${1#kill:}" KILL ;;
	term:*) signal "$node" "${1#term:}" TERM ;;
	stop:*) signal "$node" "${1#stop:}" STOP; release "$at" "$step"; sleep 5; signal "$node" "${1#stop:}" CONT; wake "$mover" ;;
	strike:*) # once criu is at work on the service itself
		IFS=: read -r _ sign who after <<<"$1"
		on "$node" perl "$tmp/strike.pl" "$service" "$sign" "$who" "$after" >"$tmp/struck" 2>&1 &
		striker=$!
		await 5 grep -q ready "$tmp/struck"
		release "$at" "$step"
		wait "$striker"
		[[ $sign != STOP ]] || { sleep 5; signal "$node" "$who" CONT; wake "$mover"; }
		;;
	cut:*) "$lab" cut "$node" ;;
	full) on "$node" sh -c 'fallocate -l $(($(stat -f -c "%a*%S" /var/lib/edge))) /var/lib/edge/fill' 2>/dev/null ;;
	power:*) power_off "$node" ;;
	esac
}
after_fault() { # FAULT NODE: when the move has gone on
	case $1 in
	cut:never) ;;
	cut:*) sleep "${1#cut:}"; "$lab" heal "$2" ;;
	full) await 30 move_over; on "$2" rm -f /var/lib/edge/fill ;;
	power:late) await 60 move_over; power_on "$2" ;;
	power:*) sleep "${1#power:}"; power_on "$2" ;;
	esac
}
# The last packets of a node that dies do not go out.
power_off() { "$lab" cut "$1"; "$lab" kill "$1"; } # NODE
power_on() { "$lab" heal "$1"; "$lab" boot "$1"; } # NODE
move_over() { ! kill -0 "$mover" 2>/dev/null; }

# --- what must be true afterwards

# What is asked again and again starts no process: on a busy machine each one costs more than the question.

find_state() { # NODE: into `state`: running, frozen, none, down, or a stray that the node knows nothing of
	local json='' pid='' group procs=''
	state=down
	find_root "$1" || return 0
	{ read -r -d '' json <"$root/var/lib/edge/services/$service/service.json"; } 2>/dev/null
	[[ $json == *'"moved":true'* || ! $json =~ \"pid\":([1-9][0-9]*) ]] || pid=${BASH_REMATCH[1]}
	for group in "$root"/sys/fs/cgroup/{,*/}edge/"$service"; do [[ ! -e $group/cgroup.freeze ]] || break; done
	if [[ ! $pid || ! -d $root/proc/$pid ]]; then
		{ read -r procs <"$group/cgroup.procs"; } 2>/dev/null
		state=${procs:+stray}
		state=${state:-none}
	elif [[ $(<"$group/cgroup.freeze") == 1 ]]; then state=frozen
	else state=running; fi
}
find_states() { # into `now`: where it was, and where it was to go
	find_state "$here"
	now=$state
	find_state "$there"
	now+=" $state"
}
state() { local root state; find_state "$1"; echo "$state"; } # NODE
states() { local root state now; find_states; echo "$now"; }
journal_empty() { # NODE
	find_root "$1" && [[ ! $(compgen -G "$root/var/lib/edge/journal/*") ]]
}
# shellcheck disable=SC2120
recover() { # [OPTION]...: at both nodes, at once
	on edge1 edge-migrate --recover "$@" >>"$tmp/recovered" 2>&1 &
	local first=$!
	on edge2 edge-migrate --recover "$@" >>"$tmp/recovered" 2>&1
	wait "$first"
	return 0
}
traces() { # NODE OTHER: of the move, at either end, and of the service where it is not
	remains "$1" "$service"
	lasting traces_now "$2"
}
traces_now() { # NODE
	on "$1" sh -c 'ls -d /var/lib/edge/checkpoints/* /var/lib/edge/journal/* /run/edge/move-* /run/edge/held-* 2>/dev/null
		ps -eo comm= | grep -e ^criu -e edge-migrate -e edge-guard -e edge-serve; nft list tables 2>/dev/null; true'
}
answers() { curl -sf -m 8 "http://$addr:8080/peek" >/dev/null; }
connected() { # the client's own connection
	local was
	was=$(stat -c %s "$tmp/$service.out") # it dies by saying so
	kill -0 "${client_pid[$service]}" 2>/dev/null && ((was < 20))
}

# The move begins; it stands at a step when the cell goes on.
begin_cell() { # END STEP
	local env=() options=(--deadline "$deadline" "${way[@]}")
	: >"$tmp/recovered"
	case $what in
	cut:* | stop:* | strike:STOP:* | power:*) options+=(--max-freeze 4000) ;;
	*) options+=("${patient[@]}") ;;
	esac
	if [[ $1 == source ]]; then
		env=(EDGE_FAULT=hold)
		[[ ! $filter ]] || instead "$there" "$serve" "exec perl $tmp/frames.pl '$filter' /run/edge/filtered \$real"
	else
		instead "$there" "$serve" "export EDGE_FAULT=hold; exec ${filter:+perl $tmp/frames.pl '$filter' /run/edge/filtered} \$real \"\$@\""
	fi
	[[ ! $step ]] || on "$at" sh -c 'mkdir -p /run/edge && : >"/run/edge/hold-$1"' sh "$step"
	if [[ ${far:-} ]]; then
		timeout 60 "$EDGE_BIN/edge-migrate" "$service" --from "$here" --to "$there" "${options[@]}" >"$tmp/moved" 2>"$tmp/err" &
	else
		on "$here" env "${env[@]}" edge-migrate "$service" --to "$there" "${options[@]}" >"$tmp/moved" 2>"$tmp/err" &
	fi
	mover=$!
	[[ $step ]] || return 0
	await 20 held "$at" "$step" && return
	ok "$end, $step, $what: the move comes to this step" false
	sed 's/^/# /' "$tmp/err"
}

# One cell: what is broken while the move stands at a step of that end's journal ("" none), and at which end (default: the
# same), and how it may end: by default with the service at one of the two nodes.
cell() { # STEP END FAULT[@END] [stays|moves|dies|waits|survives]
	local end=$2 what=$3 wanted=${4:-} at=$here node mover striker begun took now state root before=$failed
	step=$1 failed=0
	[[ $end == source ]] || at=$there
	node=$at
	case $what in
	*@source) node=$here ;;
	*@destination) node=$there ;;
	esac
	begin_cell "$end"
	begun=${EPOCHREALTIME/./}
	fault "${what%@*}" "$node"
	[[ $what == power:* && $node == "$at" ]] || release "$at" "$step"
	after_fault "${what%@*}" "$node"
	await 60 move_over
	wait "$mover" 2>/dev/null
	[[ $end == source && ! $filter ]] || right "$there" "$serve" 2>/dev/null # a booted node has none
	[[ $what != cut:never* ]] || "$lab" heal "$node"
	on "$at" rm -f "/run/edge/hold-$step"
	recover
	await 20 settled
	[[ $wanted != dies ]] || await 20 eval 'find_states; [[ $now == "none none" ]]'
	took=$(((${EPOCHREALTIME/./} - begun) / 1000))
	find_states
	verdict "$end${step:+, $step}, $what" "$now" "$wanted"
	echo "# $now after $took ms; $(tr '\n' ' ' <"$tmp/err" | cut -c 1-160)"
	if ((failed)); then
		clean_slate
	else
		failed=$before
		follow "$now"
	fi
}
clean_slate() { # after a bad cell, which is to be no burden for the next one: tells what stands there, and begins anew
	local node
	for node in edge1 edge2; do
		on "$node" sh -c 'ps -eo pid,ppid,stat,wchan:30,comm; grep step /var/lib/edge/journal/*' 2>&1 | sed "s/^/# $node: /"
		power_off "$node"
		power_on "$node"
		on "$node" sh -c 'rm -rf /var/lib/edge/journal/* /var/lib/edge/checkpoints/* /var/lib/edge/fill "/var/lib/edge/services/$1"' sh "$service"
	done
	drop_service
	here=edge1 there=edge2
	counter memory
}
settled() { # nothing of the move is under way any more
	local root now state
	find_states
	case $now in
	'running none' | 'none running' | 'none none') journal_empty edge1 && journal_empty edge2 ;;
	'frozen none') [[ $wanted == waits ]] ;;
	*) false ;;
	esac
}

verdict() { # TITLE STATES WANTED
	case $3 in
	stays) is "$1: it goes on where it was" 'running none' "$2" ;;
	moves) is "$1: it runs at the destination" 'none running' "$2" ;;
	dies) is "$1: it died with its node" 'none none' "$2" ;;
	waits) is "$1: it stays frozen" 'frozen none' "$2" ;;
	survives) # if criu, which was killed, was not just putting code into it or reading its sockets: nothing can hold it then
		if [[ $2 == 'none none' ]]; then like "$1: it died, which is told" 'did not survive' "$(<"$tmp/err")"
		else like "$1: exactly one runs" '^(running none|none running)$' "$2"; fi ;;
	*) like "$1: exactly one runs" '^(running none|none running)$' "$2" ;;
	esac || sed 's/^/# /' "$tmp/recovered"
	[[ $2 == *running* ]] || return 0
	# A session whose link died ends when it misses the other end, and half a minute later if it was between two calls.
	[[ $what != cut:* && $what != power:* ]] || await 45 no_sessions
	ok '... it answers' answers
	if [[ $3 != survives ]] || connected; then ok '... on the connection that was open' connected
	else echo '# its connection was lost with criu, which had its sockets'; fi
	if [[ $2 == running* ]]; then is '... and nothing is left of the move' '' "$(traces "$there" "$here")"
	else is '... and nothing is left of the move' '' "$(traces "$here" "$there")"; fi
}
no_sessions() { [[ ! $(processes edge1 edge-serve; processes edge2 edge-serve) ]]; }

# The next cell begins where the service is; one that died with its node is started again.
follow() { # STATES
	local node
	connected && case $1 in
	'running none') return ;;
	'none running') node=$here here=$there there=$node ; return ;;
	esac
	drop_service
	here=edge1 there=edge2
	counter memory
}
anew() { # with each cut TCP waits longer for the next one's end
	counter_kept 'until now, no answer was lost or doubled'
	drop_service
	here=edge1 there=edge2
	counter memory
}
drop_service() { # what is left of it, and its client
	local node fd=${client_fd[$service]}
	for node in edge1 edge2; do
		on "$node" edge-migrate --recover --force >/dev/null 2>&1
		on "$node" edge-stop --rm --grace 1 "$service" >/dev/null 2>&1
	done
	[[ ${client_pid[$service]:-} ]] || return 0
	exec {fd}>&-
	kill "${client_pid[$service]}" 2>/dev/null
	wait "${client_pid[$service]}" 2>/dev/null
	unset "client_pid[$service]"
	rm -f "$tmp/$service.in"
}
