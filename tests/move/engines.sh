# shellcheck shell=bash disable=SC2016,SC2154 # what is quoted so is for the nodes' shells; lib.sh sets the rest
# SPDX-License-Identifier: MIT
# Docker's daemon and podman in the nodes of a lab, each node with its own; behind lib.sh.

# Debian's own daemon and client, whatever else the PATH may hold.
start_docker() { # NODE OPTION...: with options of the daemon
	on "$1" sh -c 'mkdir -p /var/lib/edge/docker /opt/containerd && mount -n -t tmpfs docker /opt/containerd
		setsid dockerd -H unix:///run/docker.sock --data-root /var/lib/edge/docker --exec-root /run/docker-exec \
			--pidfile /run/docker.pid --storage-driver overlay2 "$@" </dev/null >/run/dockerd.log 2>&1 &' sh "${@:2}"
}
await_docker() { # NODE
	await 60 on "$1" /usr/bin/docker version || on "$1" cat /run/dockerd.log | sed 's/^/# /'
}
end_docker() { # NODE
	on "$1" sh -c '/usr/bin/docker ps -aq | xargs -r /usr/bin/docker rm -f
		kill "$(cat /run/docker.pid)" && for i in $(seq 100); do [ -e /run/docker.pid ] || break; sleep 0.1; done
		umount -n /opt/containerd' >/dev/null 2>&1
}
daemon() { # NODE OPTION...: without a network of its own
	start_docker "$1" --bridge none --iptables=false "${@:2}"
	await_docker "$1"
}
podman_up() { # NODE: without a daemon it needs but a place for what it keeps; and less than it would take of this machine's limits
	on "$1" sh -c 'mount -n -t tmpfs podman /etc/containers && cd /etc/containers &&
		echo "{\"default\":[{\"type\":\"insecureAcceptAnything\"}]}" >policy.json &&
		printf "[storage]\ndriver = \"overlay\"\ngraphroot = \"/var/lib/edge/podman\"\nrunroot = \"/run/podman/run\"\n" >storage.conf &&
		printf "[containers]\ndefault_ulimits = [\"nofile=1024:1024\", \"nproc=1000:1000\"]\n[engine]\nruntime = \"runc\"\ncgroup_manager = \"cgroupfs\"\nevents_logger = \"file\"\ntmp_dir = \"/run/podman/tmp\"\n" >containers.conf'
}
end_engines() {
	local node
	for node in "${nodes[@]}"; do
		on "$node" sh -c '[ ! -e /etc/containers/storage.conf ] || podman rm -af -t 0' >/dev/null 2>&1
		end_docker "$node"
	done
}
