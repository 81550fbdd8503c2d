#!/bin/bash
# SPDX-License-Identifier: MIT
# Offloads the services of a compose file to faster machines nearby, as tasks of a Docker Swarm (after Georgiou 2018), and takes
# them home when those machines are gone. One run is one round: deploy what does not run, find and measure the machines, score
# them, place, invite, move.
#
#	swarm-offload.sh [-n] [-w SEC] COMPOSE-FILE [SOURCE]
#
# SOURCE says which machines offer themselves, as edge-probe --discover takes it: ldap://SERVER/BASE, dir:PATH, etcd://..., or a
# file of node records; without it: the registry. -n: say what would be done, and do nothing. SEC: what services have used over
# that time (default 60).
# EDGE_LOG: the log of decisions (/var/lib/edge/decisions.ndjson): edge-place --explain SERVICE --log FILE reads it.
# EDGE_SITE: only one decides for it at a time, from whichever machine (default fleet). EDGE_LEASE: seconds that a crashed one keeps it, up to twice as long in a directory.
# EDGE_COOLDOWN: who has moved stays for so many seconds (300).
# Silent when all is well. 75: something could not be done now; the next time it will be tried again. From cron, or examples/systemd:
#
#	* * * * *  /usr/local/share/edgetools/examples/swarm-offload.sh /etc/edge/compose.yaml ldap://directory.example.org/ou=volos,dc=example,dc=org
set -uo pipefail
PATH=$PATH:/usr/local/bin:/usr/sbin:/sbin
dry='' window=60
args=("$@")
while getopts nw: o; do
	case $o in
	n) dry=1 ;;
	w) window=$OPTARG ;;
	*) exit 64 ;;
	esac
done
shift $((OPTIND - 1))
(($# == 1 || $# == 2)) || { sed -n '3,6s/^# \{0,1\}//p' "$0" >&2; exit 64; }
site=${EDGE_SITE:-fleet} log=${EDGE_LOG:-/var/lib/edge/decisions.ndjson}
file=$1 source=${2:-${EDGE_REGISTRY:-/var/lib/edge/registry}}
[[ $dry || ${EDGE_LOCK:-} == "$site" ]] ||
	exec edge-lock --quiet --lease "${EDGE_LEASE:-60}" --wait "${EDGE_WAIT:-30}" "$site" -- "$0" "${args[@]}"

say() { printf 'swarm-offload: %s\n' "$*" >&2; }
setting() { jq -r --arg m "$1" '.[$m] // empty' /etc/edge/node.json 2>/dev/null; } # MEMBER
here=$(setting name)
here=${here:-$(hostname)}
fleet=$(setting member)

# --- what is known, as records

members() { # a fresh look at them is better than what the directory says
	edge-invite --list | jq -r --arg self "$here" 'select(.inviter == $self and .state == "joined") | .node'
}
wanted() { # what does not run yet would run here
	edge-run --engine swarm --file "$file" --emit 2>/dev/null |
		jq -c --arg self "$here" --argjson there "$(edge-run --list | jq -sc 'map(.name)')" \
			'select(.name | IN($there[]) | not) | .node = $self | .state = "running"'
}
world() { # of two records of a thing the last one counts
	local names
	edge-probe --discover "$source" | jq -c --arg self "$here" 'select(.kind == "node" and .name != $self)'
	edge-probe --services --window "$window"
	[[ ! $dry ]] || wanted
	mapfile -t names < <(members)
	((${#names[@]} == 0)) || edge-probe --services --window "$window" "${names[@]}" || say 'what does not answer is taken to be as it was'
}
# Five pings each, a lost one counting as a second; who does not answer has its reason in the score.
scored() { { edge-latency --count 5 --lost-as 1000 2>/dev/null || :; } | edge-score --model offload --prune; }
place() { edge-place --policy greedy --fleet "${fleet:-$here}" --cooldown "${EDGE_COOLDOWN:-300}" "$@"; }
done_now() { grep -e '"moved":{' -e '"kind":"member"' -e '"action":"stay"' >>"$log"; (($? < 2)); }

# --- those whose machine is gone; one that has only ended is started again by Docker in the meantime

lost() { edge-run --list | jq -r 'select(.engine == "swarm" and .state == "exited") | .name'; }
bring_home() {
	local name
	[[ -n $(lost) ]] || return 0
	sleep 5
	for name in $(lost); do
		say "service $name: does not run where it was; it comes home"
		edge-migrate --quiet --to "$here" -- "$name" | done_now || status=75
	done
}

# --- one round

status=0
if [[ $dry ]]; then
	world | scored | place --dry-run
	exit
fi
bring_home
edge-run --engine swarm --file "$file" >/dev/null || exit
world | scored | place --log "$log" | edge-invite | edge-migrate --quiet - | done_now || status=75
exit $status
