# shellcheck shell=bash disable=SC2154
# SPDX-License-Identifier: MIT
# Part of `lab`: how a node is made, started and stopped, and what it does as its own first process.

# --- cgroups: each node sees a tree of its own, in every hierarchy that this machine has

cgroup_mounts() { # lines "MOUNTPOINT TYPE OPTIONS", outermost first
	local where type opts
	while read -r _ where type opts _; do
		if [[ $type == cgroup || $type == cgroup2 ]]; then echo "$where $type $opts"; fi
	done </proc/mounts
}

cgroup_enter() { # NODE: makes its cgroups and joins them
	local where type c level
	while read -r where type _; do
		for level in "$where/$cgroup" "$where/$cgroup/$1"; do
			mkdir -p "$level"
			for c in cpuset.cpus cpuset.mems; do # empty in a new v1 cpuset, which then takes nobody
				if [[ $type == cgroup && -e $level/$c ]]; then cat "$level/../$c" >"$level/$c"; fi
			done
			if [[ $type == cgroup2 ]]; then cgroup_delegate "$level/.."; fi
		done
		echo "$BASHPID" >"$where/$cgroup/$1/cgroup.procs"
	done < <(cgroup_mounts)
}

cgroup_delegate() { # FOLDER: to its children, all controllers that services use
	local c
	for c in cpu memory pids cpuset io; do
		echo "+$c" 2>/dev/null >"$1/cgroup.subtree_control" || true
	done
}

cgroup_weigh() { # NODE TIMES, of what each of them has at first
	local where
	while read -r where _; do
		where+=/$cgroup/$1
		if [[ -e $where/cpu.shares ]]; then echo $((1024 * $2)) >"$where/cpu.shares"; fi
		if [[ -e $where/cpu.weight ]]; then echo $((100 * $2)) >"$where/cpu.weight"; fi
	done < <(cgroup_mounts)
}

cgroup_clear() { # NODE, or "" for the whole lab
	local where i left
	local -a dirs=()
	while read -r where _; do
		if [[ -d $where/$cgroup/$1 ]]; then dirs+=("$where/$cgroup/$1"); fi
	done < <(cgroup_mounts)
	((${#dirs[@]})) || return 0
	for ((i = 0; i < 100; i++)); do # the last zombies of a killed node leave in their own time
		find "${dirs[@]}" -depth -type d -exec rmdir {} + 2>/dev/null || true
		left=$(ls -d "${dirs[@]}" 2>/dev/null || true)
		[[ -n $left ]] || return 0
		sleep 0.05
	done
	say "cgroups left over: $left"
}

# --- making

make_keys() { # COUNT: keys of nodes and of this machine, and the files that make them known to one another
	local i n=$1 k name
	k=$(<"$dir/subnet")
	for ((i = 1; i <= n; i++)); do
		mkdir -p "$dir/edge$i/etc" "$dir/edge$i/stage"
		ssh-keygen -q -t ed25519 -N '' -C "edge$i" -f "$dir/edge$i/etc/key"
		ssh-keygen -q -t ed25519 -N '' -C "edge$i" -f "$dir/edge$i/etc/ssh_host_ed25519_key"
	done
	ssh-keygen -q -t ed25519 -N '' -C "host" -f "$dir/host/key"
	cat "$dir"/host/key.pub "$dir"/edge*/etc/key.pub >"$dir/host/authorized_keys"
	echo "127.0.0.1 localhost" >"$dir/host/hosts"
	echo "10.77.$k.254 host" >>"$dir/host/hosts"
	for ((i = 1; i <= n; i++)); do
		name=edge$i
		echo "10.77.$k.$i $name" >>"$dir/host/hosts"
		printf '%s,10.77.%s.%s,%s %s\n' "$name" "$k" "$i" "$(address6 "$k" "$i")" \
			"$(cut -d' ' -f1,2 "$dir/$name/etc/ssh_host_ed25519_key.pub")"
	done >"$dir/host/known_hosts"
}

address6() { printf 'fd77:0:0:%x::%x' "$1" "$2"; } # SUBNET NUMBER

make_node() { # NUMBER SUBNET COUNT DISK: its settings, its record, its disk
	local name=edge$1 addr=10.77.$2.$1 etc=$dir/edge$1/etc img=$disks/edge$1.img
	cp "$dir/host/known_hosts" "$dir/host/authorized_keys" "$etc"
	printf '{"name":"%s","addr":"%s","bridge":"br0","role":"edge","network":"%s","authorized_keys":"%s","host_key":"%s"}\n' \
		"$name" "$addr" "$LAB" /etc/edge/authorized_keys /etc/edge/ssh_host_ed25519_key.pub >"$etc/node.json"
	printf '{"kind":"node","name":"%s","addr":"%s","port":22,"user":"root","role":"edge","network":"%s"}\n' \
		"$name" "$addr" "$LAB" >"$dir/registry/node/$name.json"
	echo "$1" >"$dir/$name/number"
	echo "$name" >"$dir/$name/hostname"
	cat >"$etc/ssh_config" <<-END
		IdentityFile /etc/edge/key
		UserKnownHostsFile /etc/edge/known_hosts
		StrictHostKeyChecking yes
		BatchMode yes
	END
	# SHLVL: without it bash takes itself for a login by network, and reads this machine's ~/.bashrc for each command.
	cat >"$etc/sshd_config" <<-END
		HostKey /etc/edge/ssh_host_ed25519_key
		AuthorizedKeysFile /etc/edge/authorized_keys
		PidFile /run/sshd.pid
		PermitRootLogin prohibit-password
		PasswordAuthentication no
		KbdInteractiveAuthentication no
		UsePAM no
		UseDNS no
		PrintMotd no
		PrintLastLog no
		StrictModes no
		MaxStartups 200
		MaxSessions 200
		SetEnv PATH=$(<"$dir/path") EDGE_REGISTRY=dir:$dir/registry SHLVL=1
	END
	if [[ $("$(command -v sshd)" -t -f "$etc/sshd_config" -o PerSourcePenalties=no 2>&1) != *PerSourcePenalties* ]]; then
		echo "PerSourcePenalties no" >>"$etc/sshd_config" # refused keys are part of the tests
	fi
	truncate -s "$4" "$img"
	# Blocks of 4 KB also on small disks, for sparse files of terabytes; the new file is known to be zero.
	mkfs.ext4 -q -F -b 4096 -m 0 -i 65536 -E assume_storage_prezeroed=1,nodiscard "$img"
	losetup -f --show "$img" >"$dir/$name/loop"
	# As a disk is: what is flushed waits for its own writes, not for the cache of this machine. Not every filesystem can.
	losetup --direct-io=on "$(<"$dir/$name/loop")" 2>/dev/null || :
}

# --- starting and stopping

start_node() { # NODE; a line in the ready pipe tells when it serves
	hold_signals
	(
		close_inherited
		cgroup_enter "$1"
		exec setsid unshare --mount --uts --ipc --net --cgroup --pid --fork --kill-child "$self" __init "$1" "$BASHPID"
	) </dev/null >"$dir/$1/log" 2>&1 &
	remember "$dir/$1/parent" $!
	disown
	heed_signals
}

stop_node() { # NODE: at once
	local f pid
	# All its processes go with the first of its PID namespace; --kill-child does that where it is not known yet.
	if pid=$(pid_of "$dir/$1/pid"); then kill -KILL "$pid" 2>/dev/null || true; fi
	while read -r f _; do # the frozen of a v1 freezer do not die
		[[ -e $f/$cgroup/$1/freezer.state ]] || continue
		find "$f/$cgroup/$1" -depth -name freezer.state | while read -r f; do echo THAWED >"$f"; done
	done < <(cgroup_mounts)
	end "$dir/$1/parent"
	end "$dir/$1/pid"
	wire_stop "$1"
	if pid_of "$dir/switch.pid" >/dev/null; then in_switch ip link del "$1" 2>/dev/null || true; fi
	cgroup_clear "$1"
}

# --- the node's first process

node_main() { # NODE PARENT
	local node=$1 pid parent number k mounts links
	# /proc is still the machine's here, so these are pids as seen from there.
	read -r pid _ _ parent _ </proc/self/stat
	remember "$dir/$node/pid" "$pid"
	# Ended before --kill-child took hold: whoever did that may have looked for our pid before it was noted.
	[[ $parent == "$2" ]] || exit 71
	number=$(<"$dir/$node/number")
	k=$(<"$dir/subnet")
	exec 8>"$dir/ready"
	failed="$node failed" # also seen when the function has returned
	trap 'echo "$failed" >&8' EXIT
	in_switch ip link add "$node" up type veth peer name uplink netns "/proc/$pid/ns/net"
	node_network "$number" "$k"
	mounts=$(cgroup_mounts)
	links=$(find /sys/fs/cgroup -maxdepth 1 -type l -printf '%f %l\n' 2>/dev/null || true)
	node_mounts "$node"
	node_cgroups "$mounts" "$links"
	hostname "$node"
	node_serve "$node"
}

node_network() { # NUMBER SUBNET
	local v6='#'
	[[ ! -e /proc/sys/net/ipv6 ]] || v6=''
	ip -batch - <<-END
		link set lo up
		link add br0 address $(printf '02:ed:%02x:00:00:%02x' "$2" "$1") type bridge stp_state 0 forward_delay 0 mcast_snooping 0
		link set uplink master br0 up
		link set br0 up
		addr add 10.77.$2.$1/24 dev br0
		${v6}addr add $(address6 "$2" "$1")/64 dev br0 nodad
	END
}

shared_into() { # STAGE ROOT: what must stay visible below ROOT when STAGE is moved over it
	local d
	while read -r d; do
		[[ $d == "$2"/* ]] || continue
		mkdir -p "$1${d#"$2"}"
		mount -n --bind "$d" "$1${d#"$2"}"
	done < <(cat "$dir/share"; echo "$dir/registry")
}

node_mounts() { # NODE
	local node=$1 stage=$dir/$1/stage loop root
	loop=$(<"$dir/$node/loop")
	mount -n --bind "$dir/$node/etc" /etc/edge
	mount -n -o noatime "$loop" /var/lib/edge
	mount -n --bind "$dir/host/hosts" /etc/hosts
	if [[ -e /etc/hostname ]]; then mount -n --bind "$dir/$node/hostname" /etc/hostname; fi
	if grep -q '^root:!' /etc/shadow; then # sshd without PAM lets nobody in whose password is locked
		sed 's/^root:!*/root:*/' /etc/shadow >"$dir/$node/shadow"
		chmod 600 "$dir/$node/shadow"
		mount -n --bind "$dir/$node/shadow" /etc/shadow
	fi
	mount -n -t tmpfs -o mode=1777 tmpfs /dev/shm
	mount -n -t sysfs sysfs /sys
	for root in /tmp /run; do
		mount -n -t tmpfs -o "mode=$([[ $root == /tmp ]] && echo 1777 || echo 755)" tmpfs "$stage"
		shared_into "$stage" "$root"
		mount -n --move "$stage" "$root"
	done
	mkdir -p /run/sshd /run/lock
	mount -n -t proc proc /proc
}

node_cgroups() { # MOUNTS LINKS: the same places as on the machine, with this node's tree in them
	local where type opts name target o kept
	if [[ $1 != '/sys/fs/cgroup '* ]]; then mount -n -t tmpfs -o mode=755 tmpfs /sys/fs/cgroup; fi
	while read -r where type opts; do
		[[ $where == /sys/fs/cgroup* ]] || continue
		mkdir -p "$where"
		kept=''
		for o in ${opts//,/ }; do
			case $o in
			rw | ro | nosuid | nodev | noexec | relatime | seclabel | xattr | clone_children | release_agent=*) ;;
			*) kept+=,$o ;;
			esac
		done
		if [[ $type == cgroup2 ]]; then kept=''; fi
		mount -n -t "$type" ${kept:+-o "${kept#,}"} "$type" "$where"
		# A leaf of our own: controllers of v2 can be given to children only where no process is.
		mkdir -p "$where/init"
		for o in cpuset.cpus cpuset.mems; do
			if [[ $type == cgroup && -e $where/$o ]]; then cat "$where/$o" >"$where/init/$o"; fi
		done
		echo $$ >"$where/init/cgroup.procs"
		if [[ $type == cgroup2 ]]; then cgroup_delegate "$where"; fi
	done <<<"$1"
	while read -r name target; do
		if [[ -n $name && ! -e /sys/fs/cgroup/$name ]]; then ln -s "$target" "/sys/fs/cgroup/$name"; fi
	done <<<"$2"
}

node_serve() { # NODE: sshd, then reap until the power is cut
	local i
	exec </dev/null >/run/console.log 2>&1
	env -i PATH="$(grep -o 'PATH=[^ ]*' /etc/edge/sshd_config | cut -d= -f2)" \
		"$(command -v sshd)" -D -f /etc/edge/sshd_config -E /run/sshd.log 8>&- &
	sleep infinity 8>&- &
	for ((i = 0; i < 1000; i++)); do
		[[ ! -s /run/sshd.pid ]] || break
		sleep 0.01
	done
	echo "$1" >&8
	exec 8>&-
	while :; do wait || true; done
}
