# shellcheck shell=bash disable=SC2016,SC2034,SC2154 # what is quoted so is for the nodes' shells; lib.sh sets the rest
# SPDX-License-Identifier: MIT
# What the tests of Docker Swarm share: a lab of three nodes that do not know one another, each with a daemon of its own, of
# which edge1 is to be the manager.
. "$(dirname "${BASH_SOURCE[0]}")/lib.sh"
. "$(dirname "${BASH_SOURCE[0]}")/engines.sh"
need dockerd busybox perl jq
nodes=(edge1 edge2 edge3)

docker() { # NODE ARG...: Debian's own client, whatever else the PATH may hold
	on "$1" /usr/bin/docker "${@:2}"
}
daemons() { # [OPTION]...: at all nodes
	local node
	for node in "${nodes[@]}"; do start_docker "$node" "$@"; done
	for node in "${nodes[@]}"; do await_docker "$node"; done
}
end_node() { # NODE
	docker "$1" swarm leave --force >/dev/null 2>&1
	end_docker "$1"
}
end_daemons() {
	local node pids=()
	for node in "${nodes[@]}"; do
		end_node "$node" &
		pids+=($!)
	done
	wait "${pids[@]}" # and for no client
}
trap 'end_daemons; clean' EXIT
at() { echo "$subnet.${1#edge}"; } # NODE: its address

# --- machines that offer themselves in an LDAP directory

city=ldap://127.0.0.1:1389/ou=Volos,dc=example,dc=org
entry() { # NODE CORES SCORE
	cat <<END

dn: cn=$1,ou=Volos,dc=example,dc=org
objectClass: edgeDevice
edgeAddress: $(at "$1")
edgeCpuCores: $2
edgeCpuScore: $3
edgeMemoryBytes: 8589934592
edgeMemoryAvailableBytes: 8589934592
edgeEngine: swarm
edgeEngine: process
edgeCriu: $("$(examples/get-criu)" --version | sed -n 's/^Version: //p')
edgeArchitecture: $(uname -m)
END
}
directory() { # NODE ENTRY...: served there, at $city
	local core
	core=$(find /etc/ldap/schema /etc/openldap/schema /usr/share -name core.schema 2>/dev/null | head -n 1)
	mkdir "$tmp/ldap"
	cp examples/edge.schema "$tmp"
	cat >"$tmp/slapd.conf" <<END
include $core
include $tmp/edge.schema
modulepath /usr/lib/ldap
moduleload back_mdb
pidfile /run/slapd.pid
database mdb
suffix "dc=example,dc=org"
directory $tmp/ldap
access to * by * read
END
	{
		printf 'dn: dc=example,dc=org\nobjectClass: organization\nobjectClass: dcObject\no: example\ndc: example\n\n'
		printf 'dn: ou=Volos,dc=example,dc=org\nobjectClass: organizationalUnit\nou: Volos\n'
		printf '%s\n' "${@:2}"
	} >"$tmp/all.ldif"
	slapadd -f "$tmp/slapd.conf" -l "$tmp/all.ldif" && on "$1" slapd -f "$tmp/slapd.conf" -h ldap://127.0.0.1:1389
}

# --- membership

strangers() {
	local node
	for node in "${nodes[@]}"; do
		on "$node" sh -c ': >/etc/edge/authorized_keys; : >/etc/edge/known_hosts; rm -rf /var/lib/edge/grants'
	done
}
invite() { # NODE...: asked for the first time
	local node tickets=()
	for node; do
		on edge1 edge-invite --key | on "$node" edge-invite --accept-from - >"$tmp/ticket-$node"
		tickets+=(--ticket "$tmp/ticket-$node")
	done
	on edge1 edge-invite "${tickets[@]}" >"$tmp/said" 2>"$tmp/err"
}
service_images() { # an image that tells when it answers, and ends at once when it is told to
	"$tools/make-image" "$tmp/busy.tar" busy:1 \
		'"Env":["PATH=/bin"],"Cmd":["sh","-c","trap exit TERM; httpd -p 8080 -h /srv; sleep 1000000 & wait"],"Healthcheck":{"Test":["CMD","wget","-q","-O","/dev/null","http://127.0.0.1:8080/old"],"Interval":200000000}'
	on edge1 sh -c "mkdir -p /var/lib/edge/app && cp $tmp/busy.tar /var/lib/edge/app" >/dev/null
	docker edge1 load -q -i /var/lib/edge/app/busy.tar >/dev/null
}
answers() { # NODE [PATH]
	[[ $(timeout 10 busybox wget -q -O - "http://$(at "$1"):8080/${2:-old}") == old ]]
}
silent() { ! answers "$1"; }
tasks() { # SERVICE: the nodes where it runs, by their labels
	local id
	for id in $(docker edge1 service ps --no-trunc --filter desired-state=running --format '{{.Node}}' "$1" 2>/dev/null); do
		docker edge1 node inspect --format '{{.Spec.Labels.edge}}' "$id"
	done
}
