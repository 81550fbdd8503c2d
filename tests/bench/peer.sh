# SPDX-License-Identifier: MIT
# shellcheck shell=bash
# Common part of with-runc, with-podman and with-docker: how a service is moved without edgetools. `move` runs them
# inside the nodes of its lab (edge1 to edge2, the client on edge3), with one of these verbs:
#
#   prepare         on edge1, then on edge2: whatever can be made ready ahead of a move
#   start MB RATE   on edge1: memsrv with so much memory, written at RATE MB/s
#   ready MB RATE   on edge2: what depends on the service but not on its state
#   move            on edge1: prints "total_ms=N bytes_sent=N" and the times of its phases
#   arrive          on edge2, over ssh: the last step of a move
#   stop            on both: ends the service of one run
#   clear           on both: removes whatever the other verbs made
#   addr            the service's address, as seen by the client
set -euo pipefail
export PATH=$PATH:/usr/sbin:/sbin:/usr/local/lib/edge-criu/usr/sbin
SELF=$(readlink -f "$0")
BENCH=${SELF%/bin/*}
HERE=/var/lib/edge/bench/${SELF##*/}
PORT=7000
mkdir -p "$HERE"

# Over a connection that was opened before the move: a handshake costs 0.3 s.
remote() {
	ssh -F "$BENCH/ssh_config" "$@"
}

now_us() {
	echo "${EPOCHREALTIME/[.,]/}"
}

# Copies folders to edge2 and prints how many bytes went out.
send() {
	rsync -a --stats -e "ssh -F $BENCH/ssh_config" "$@" "edge2:$HERE/" |
		sed -n 's/^Total bytes sent: //p' | tr -d ,
}

# The clock of a move: `lap NAME` ends a phase, `report BYTES` the whole.
BEGAN=$(now_us)
LAST=$BEGAN
PHASES=

lap() {
	local now
	now=$(now_us)
	PHASES+=" $1_ms=$(((now - LAST + 500) / 1000))"
	LAST=$now
}

report() {
	echo "total_ms=$(((LAST - BEGAN + 500) / 1000)) bytes_sent=$1$PHASES"
}

# A failing criu explains itself in its log only.
fail() {
	echo "${SELF##*/}: $1" >&2
	[[ ! -e ${2:-} ]] || grep Error "$2" | grep -v RLIMIT_NOFILE | head -n 5 >&2
	exit 1
}

# An image of memsrv. Two imports would give two ids, and a checkpoint knows its image by id: so edge1's is copied.
image() {
	if [[ $(hostname) == edge1 ]]; then
		tar -C "$BENCH/bin" -c memsrv | engine import - "$IMAGE"
		engine save -o "$HERE/image.tar" "$IMAGE"
	else
		remote edge1 cat "$HERE/image.tar" | engine load
	fi >"$HERE/log" 2>&1 || fail "cannot make the image: $(<"$HERE/log")"
}

# Containers behind a node are reached by the client through that node.
route_via() {
	remote edge3 ip route replace "$ADDR/32" via "$(getent hosts "$1" | cut -d' ' -f1)"
}

# Lets the client talk to the container, also on a connection that was under way before it came here: without the
# first rule the server's next packet looks like the beginning of something new, is masqueraded, and the client hangs.
admit() {
	iptables -w -t nat -I POSTROUTING -s "$ADDR" -p tcp --sport "$PORT" -j ACCEPT
	iptables -w -I FORWARD -d "$ADDR" -j ACCEPT
	iptables -w -I FORWARD -s "$ADDR" -j ACCEPT
	echo 1 >/proc/sys/net/ipv4/ip_forward
}

unadmit() {
	iptables -w -t nat -D POSTROUTING -s "$ADDR" -p tcp --sport "$PORT" -j ACCEPT || :
	iptables -w -D FORWARD -d "$ADDR" -j ACCEPT || :
	iptables -w -D FORWARD -s "$ADDR" -j ACCEPT || :
} 2>/dev/null

# wait_for SECONDS COMMAND...
wait_for() {
	local i
	for ((i = 0; i < $1 * 20; i++)); do
		! "${@:2}" >/dev/null 2>&1 || return 0
		sleep 0.05
	done
	fail "not there after $1 s: ${*:2}"
}

verb() {
	case ${1:-} in
	prepare | start | ready | move | arrive | stop | clear | addr) "do_$1" "${@:2}" ;;
	*) fail "unknown verb: ${1:-}" ;;
	esac
}
