#!/bin/bash
# SPDX-License-Identifier: MIT
# edge-probe --services: what runs here, ours and others', and what it uses, beside what `docker stats` says.
# shellcheck source=tests/move/lib.sh
. "$(dirname "$0")/../move/lib.sh"
need dockerd podman runc jq curl redis-server
nodes=(edge1 edge2)

# A machine of its own (a lab's node) with a daemon in it; its images are a shell and what that needs.
rootfs() { # a tar of it on stdout
	local f
	mkdir -p "$tmp/rootfs"/{bin,proc,sys,dev,tmp,etc}
	for f in /bin/sh /bin/sleep /usr/bin/redis-server $(ldd /bin/sh /bin/sleep /usr/bin/redis-server | grep -o '/[^ ]*' | grep -v ':$'); do
		mkdir -p "$tmp/rootfs${f%/*}"
		cp -L "$f" "$tmp/rootfs$f"
	done
	tar -C "$tmp/rootfs" -c .
}
lab_up
rootfs >"$tmp/rootfs.tar"
cat >"$tmp/engines.sh" <<'END'
docker() { /usr/bin/docker -H unix:///run/docker.sock "$@"; }
export CONTAINERS_STORAGE_CONF=/run/podman/storage.conf CONTAINERS_CONF=/run/podman/containers.conf HOME=/run/podman
END
cat >"$tmp/start.sh" <<'END'
set -e
. "$1/engines.sh"
mkdir -p /opt/containerd /run/podman
mount -t tmpfs tmpfs /opt/containerd
setsid dockerd -H unix:///run/docker.sock --data-root /var/lib/edge/docker --exec-root /run/docker-exec --pidfile /run/docker.pid \
	--bip 172.29.78.1/24 --storage-driver vfs --iptables=false </dev/null >"$1/dockerd.log" 2>&1 &
mount -t tmpfs tmpfs /var/lib/cni 2>/dev/null || true
cat >/run/podman/storage.conf <<S
[storage]
driver = "vfs"
graphroot = "/var/lib/edge/podman"
runroot = "/run/podman/run"
S
cat >/run/podman/containers.conf <<S
[containers]
default_ulimits = ["nofile=1024:1024", "nproc=1000:1000"]
[engine]
runtime = "runc"
cgroup_manager = "cgroupfs"
events_logger = "file"
S
for i in $(seq 300); do docker version >/dev/null 2>&1 && break; sleep 0.2; done
burn='while :; do :; done'
docker import - burn:1 <"$1/rootfs.tar" >/dev/null
docker run -d --name Burner --cpus 0.3 burn:1 sh -c "$burn" >/dev/null
docker run -d --name store burn:1 redis-server --bind 0.0.0.0 --protected-mode no --save '' >/dev/null
docker run -d --name host.net --network host burn:1 sleep 1000 >/dev/null
podman import -q - burn:1 <"$1/rootfs.tar" >/dev/null
podman run -d --name pod.burner --cpus 0.2 --network none burn:1 sh -c "$burn" >/dev/null
mkdir -p /run/bundle
cd /run/bundle
ln -s "$1/rootfs" rootfs
runc spec
jq '.process.terminal=false | .process.args=["sh","-c","'"$burn"'"] | .process.rlimits=[] | .root.path="'"$1"'/rootfs"
	| .linux.resources.cpu={quota:20000,period:100000} | .linux.cgroupsPath="/plain"' config.json >c && mv c config.json
runc run -d plain </dev/null >/dev/null 2>&1
END
if ! on edge1 bash "$tmp/start.sh" "$tmp" >"$tmp/start.log" 2>&1; then
	sed 's/^/# /' "$tmp/start.log"; tail -5 "$tmp/dockerd.log" | sed 's/^/# /'
	ok "engines start" false
	finish
fi
run web --port 8080 -- python3 -m http.server 8080
probe() { # OPTION...: into $tmp/records
	on edge1 bash -c '. "$1/engines.sh"; shift; exec edge-probe "$@"' - "$tmp" "$@" >"$tmp/records" 2>"$tmp/err"
}
of() { jq -r "select(.name == \"$1\") | $2" "$tmp/records"; } # NAME FILTER
between() { awk -v x="$1" -v a="$2" -v b="$3" 'BEGIN { exit !(x != "" && x >= a && x <= b) }' || { echo "$1: not between $2 and $3"; false; }; }

ok "services are told" probe --services
ok "... in records as their schema says" tests/schema/check <"$tmp/records"
is "... the node first" node "$(head -1 "$tmp/records" | jq -r .kind)"
all='docker Burner
docker host.net
docker store
podman pod.burner
process web
runc plain'
services() { jq -r 'select(.kind == "service") | .engine + " " + .name' "$tmp/records" | sort; }
is "... then ours and those of all engines" "$all" "$(services)"
is "... the version of Docker's daemon, too" "$(on edge1 /usr/bin/docker -H unix:///run/docker.sock version -f '{{.Server.Version}}')" "$(of edge1 .versions.docker)"
is "nothing is told of the network of a container that shares its node's" null "$(of host.net .usage.net_bps)"
is "... and 0 of one that has none" 0 "$(of pod.burner .usage.net_bps)"

# What is loaded late comes along, too; each library by the name by which it is looked for.
on edge1 sh -c 'mount -n -t tmpfs tmpfs "$1"; for l in /usr/lib/*/libjq.so.1 /usr/lib/*/libonig.so.5 /usr/lib/*/libcurl.so.4; do
	l=$(realpath "$l"); mount -n --bind /dev/null "$l"; echo "$l"; done' - "$EDGE_BIN" >"$tmp/hidden"
on edge2 edge-probe --bootstrap --services --timeout 100 edge1 >"$tmp/records" 2>"$tmp/err"
is "Docker's are told of a node that has neither our programs nor their libraries" "$(grep ^docker <<<"$all")" "$(services | grep ^docker)"
is "... the version of Docker's daemon, too" true "$(of edge1 '.versions.docker != null')"
is "... and that is all" "" "$(<"$tmp/err")"
xargs -a "$tmp/hidden" -n 1 "$lab" exec edge1 umount -n
on edge1 umount -n "$EDGE_BIN"

# The engines' own counters, of which docker stats and podman stats make their figures: each time before and after we look, as on a
# busy machine every one of these takes its time. What we say of the time between must then lie between theirs.
docker_counts() { # of the container and of all processors, in ns
	on edge1 curl -s --unix-socket /run/docker.sock "http://docker/containers/Burner/stats?stream=false&one-shot=true" |
		jq -r '"\(.cpu_stats.cpu_usage.total_usage) \(.cpu_stats.system_cpu_usage)"'
}
podman_counts() { on edge1 bash -c '. "$1/engines.sh"; podman stats --no-stream --format "{{.CPUNano}} {{.SystemNano}}" pod.burner' - "$tmp"; }
look() { # into $tmp/docker and $tmp/podman two lines each
	podman_counts >>"$tmp/podman"
	docker_counts >>"$tmp/docker"
	probe --services --window 200
	docker_counts >>"$tmp/docker"
	podman_counts >>"$tmp/podman"
}
bounds() { # COUNTS CORES: the least and the most that a part of the machine can have been used
	awk -v c="$2" '{ used[NR] = $1; all[NR] = $2 * c }
		END { print (used[3] - used[2]) / (all[4] - all[1]) - 0.01, (used[4] - used[1]) / (all[3] - all[2]) + 0.01 }' "$1"
}
sleep 3
on edge1 rm -f /run/edge/samples-services.json # its own window begins with the first look, too
look
sleep 10
look
cores=$(of edge1 .cpu.cores)
read -r docker_least docker_most < <(bounds "$tmp/docker" 1)
read -r podman_least podman_most < <(bounds "$tmp/podman" "$cores")
burner=$(of Burner .usage.cpu) pod=$(of pod.burner .usage.cpu)
echo "# of all cores: Docker's container $burner, by Docker $docker_least to $docker_most; podman's $pod, by podman $podman_least to $podman_most"
ok "a second look has a window of some seconds" between "$(of Burner .usage.window_s)" 3 200
ok "processor time is what docker stats reckons with" between "$burner" "$docker_least" "$docker_most"
ok "... and podman stats" between "$pod" "$podman_least" "$podman_most"
ok "... runc's, too" between "$(of plain .usage.cpu)" 0.01 "$(awk -v c="$cores" 'BEGIN { print 0.2 / c + 0.05 }')"
ok "... and ours sleeps" between "$(of web .usage.cpu)" 0 0.05
ok "memory is told" between "$(of web .usage.mem_bytes)" 1000000 200000000

on edge1 curl -s -o /dev/null "http://$addr:8080/etc/services"
for _ in 1 2 3 4 5 6 7 8; do on edge1 curl -s -o "$tmp/libc" "http://$addr:8080/$(on edge1 sh -c 'ldd /bin/sh | grep -o "/[^ ]*libc[^ ]*"')"; done
probe --services --window 600
ok "what the service has sent is counted" between "$(of web '.usage.tx_bps * .usage.window_s')" "$((7 * $(stat -Lc %s "$tmp/libc")))" 1e9
ok "... and received" between "$(of web '.usage.rx_bps * .usage.window_s')" 100 1e9
ok "... and both together" between "$(of web '.usage.net_bps - .usage.rx_bps - .usage.tx_bps')" -2 2

# --- their users, too

store=$(on edge1 /usr/bin/docker -H unix:///run/docker.sock inspect -f '{{.NetworkSettings.IPAddress}}' store)
await 10 on edge1 redis-cli -h "$store" ping
on edge1 timeout 100 redis-cli -h "$store" -r 10000 -i 0.05 ping >/dev/null &
pinger=$!
on edge1 timeout 50 edge-latency --watch --every 2 --windows 1 store host.net >"$tmp/records" 2>"$tmp/err"
is "a container that Docker has started is watched, one that shares its node's network is not" "1 store edge1 172.29.78.1" \
	"$? $(jq -r '"\(.service) \(.node) \(.addr)"' "$tmp/records")"
like "... and the reasons are told, also that one without a cgroup of version 2 of its own is looked at" "^(edge-latency: service store: looking at its sockets once a window: no cgroup of version 2
)?edge-latency: service host.net: cannot be watched: shares its node's network, where its connections cannot be told from others'$" "$(<"$tmp/err")"
on edge1 bash -c 'kill $(pidof redis-cli)'
wait "$pinger" 2>/dev/null

on edge1 bash -c ". $tmp/engines.sh; docker rm -f Burner host.net store; podman rm -f -t 0 pod.burner; runc kill plain KILL; sleep 0.3; runc delete plain" >"$tmp/out" 2>&1
probe --services
is "ended containers are not told" "edge1 web" "$(jq -r .name "$tmp/records" | tr '\n' ' ' | sed 's/ $//')"
on edge1 sh -c 'kill $(cat /run/docker.pid); for i in $(seq 50); do [ -e /run/docker.pid ] || break; sleep 0.1; done'
on edge1 touch /run/docker.sock
probe --services --verbose
like "a daemon that does not answer is told, and the rest comes all the same" "edge-probe: services of docker: absent: docker: " "$(cat "$tmp/err")"
is "... all of it" "edge1 web" "$(jq -r .name "$tmp/records" | tr '\n' ' ' | sed 's/ $//')"
finish
