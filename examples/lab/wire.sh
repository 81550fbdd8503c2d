# shellcheck shell=bash disable=SC2154
# SPDX-License-Identifier: MIT
# Part of `lab`: the wires between the nodes and the switch. Settings belong to the wire and outlive the node's power:
# $dir/NODE/link holds "DELAY_MS JITTER_MS RATE_MBIT LOSS_PCT" when there is anything to emulate, $dir/NODE/cut exists
# while it is cut. `plug` makes the switch as these files say.

plug() { # NODE
	local node=$1 port=$1 pid
	pid=$(pid_of "$dir/$node/pid") || return 0
	if has_netem; then
		netem "$node" "$node" in_switch
		netem "$node" uplink nsenter --net="/proc/$pid/ns/net"
	elif [[ ! -e $dir/$node/link ]]; then
		wire_stop "$node"
	elif pid=$(pid_of "$dir/$node/wire"); then
		kill -HUP "$pid"
	else
		wire_start "$node"
	fi
	if [[ -e $dir/$node/wire ]]; then
		in_switch ip link set "$node" nomaster
		port=${node}b
	fi
	if [[ -e $dir/$node/cut ]]; then
		in_switch ip link set "$port" nomaster
	else
		in_switch ip link set "$port" master sw up
	fi
}

# --- by the kernel, where it has netem

has_netem() { # tried once per lab; EDGE_WIRE asks for our own emulator
	if [[ ! -e $dir/netem ]]; then
		if [[ -z ${EDGE_WIRE:-} ]] && in_switch tc qdisc add dev lo root netem delay 1ms 2>/dev/null; then
			in_switch tc qdisc del dev lo root
			echo yes >"$dir/netem"
		else
			echo no >"$dir/netem"
		fi
	fi
	[[ $(<"$dir/netem") == yes ]]
}

netem() { # NODE IFACE COMMAND...: on what leaves by this interface, with a command that enters its namespace
	local node=$1 iface=$2 delay jitter rate loss limit
	shift 2
	if [[ ! -e $dir/$node/link ]]; then
		"$@" tc qdisc del dev "$iface" root 2>/dev/null || true
		return 0
	fi
	read -r delay jitter rate loss <"$dir/$node/link"
	# What is under way, and 10 ms in front of the rate.
	limit=$(awk -v r="$rate" -v d="$delay" 'BEGIN { n = r * 1e3 / 8 / 1514 * (d + 10); print int(r == 0 ? 1e6 : n < 1e3 ? 1e3 : n) }')
	"$@" tc qdisc replace dev "$iface" root netem limit "$limit" delay "${delay}ms" "${jitter}ms" rate "${rate}mbit" loss "$loss%"
}

# --- by our own emulator

wire_program() {
	local p bin
	bin=$(cut -d: -f1 "$dir/path")
	for p in "${EDGE_WIRE:-}" "${bin%/bin}/examples/lab/edge-wire" "$here/../../build/examples/lab/edge-wire" "$here/edge-wire"; do
		if [[ -x $p ]]; then echo "$p"; return 0; fi
	done
	die 69 "edge-wire: not built: run make, or name it in EDGE_WIRE"
}

wire_start() { # NODE: the emulator between the node's end and a pair whose other end is the switch's port
	local node=$1 program
	program=$(wire_program)
	in_switch ip link add "${node}w" up type veth peer name "${node}b"
	(
		trap '' HUP # of new settings before it listens: it reads them then
		close_inherited
		exec setsid nsenter --net="/proc/$(pid_of "$dir/switch.pid")/ns/net" "$program" "$node" "${node}w" "$dir/$node/link"
	) </dev/null >"$dir/$node/wire.log" 2>&1 &
	remember "$dir/$node/wire" $!
	disown
}

wire_stop() { # NODE
	[[ -e $dir/$1/wire ]] || return 0
	end "$dir/$1/wire"
	if pid_of "$dir/switch.pid" >/dev/null; then in_switch ip link del "${1}w" 2>/dev/null || true; fi
}

link() { # NODE [--delay MS] [--jitter MS] [--rate MBIT] [--loss PCT]
	local node=$1 delay=0 jitter=0 rate=0 loss=0
	shift
	while (($#)); do
		[[ ${2:-} =~ ^[0-9]+(\.[0-9]+)?$ ]] || bad_usage
		case $1 in
		--delay) delay=$2 ;;
		--jitter) jitter=$2 ;;
		--rate) rate=$2 ;;
		--loss) loss=$2 ;;
		*) bad_usage ;;
		esac
		shift 2
	done
	if [[ "$delay$jitter$rate$loss" =~ ^[0.]+$ ]]; then
		rm -f "$dir/$node/link"
	else
		echo "$delay $jitter $rate $loss" >"$dir/$node/link.new"
		mv "$dir/$node/link.new" "$dir/$node/link"
	fi
	plug "$node"
}
