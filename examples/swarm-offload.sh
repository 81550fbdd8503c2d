#!/bin/bash
# SPDX-License-Identifier: MIT
# Offloads the services of a compose file to faster machines nearby, as tasks of a Docker Swarm, and takes them home when those
# machines are gone: swarm-offload.sh [OPTION]... COMPOSE-FILE [SOURCE]
#
# SOURCE says which machines offer themselves, as edge-probe --discover takes it: ldap://SERVER/BASE, dir:PATH, etcd://..., a
# file of node records; default: $EDGE_REGISTRY. One run is one round: deploy what does not run, find and measure the machines,
# score them (Georgiou 2018), place, invite, move. It may be run each minute, by systemd or cron: one round at a time, the next
# one goes on where a killed one stopped, and it is quiet when all is well.
#
#   --dry-run          deploy, invite and move nothing: say what would be moved, and why
#   --log FILE         add the decisions to it (NDJSON; default /var/lib/edge/offload/log.ndjson)
#   --window SEC       what services have used over that time (default 60)
#   --cooldown SEC     a service that has just moved stays (default 300)
#   --verbose          print the records of what was moved
#
# What was decided on is kept: edge-place --policy greedy --explain SERVICE </var/lib/edge/offload/world.ndjson
# Exit status: 0; 1 when some machine or service did not do as planned; 75 when another round is going on.
set -euo pipefail

self=$(readlink -f "$0")
state=${EDGE_ROOT:-}/var/lib/edge/offload
log=$state/log.ndjson
dry_run='' verbose='' window=60 cooldown=300

say() { printf 'swarm-offload: %s\n' "$*" >&2; }
usage() { sed -n '3,/^set/s/^# \{0,1\}//p' "$self"; }

# --- what is known, as records

setting() { jq -r --arg m "$1" '.[$m] // empty' "${EDGE_ROOT:-}/etc/edge/node.json" 2>/dev/null || true; } # MEMBER

members() { # of this machine's fleet; a fresh look at them is better than what the directory says
	edge-invite --list | jq -r --arg self "$here" 'select(.inviter == $self and .state == "joined") | .node'
}

wanted() { # what does not run yet would run here
	edge-run --engine swarm --file "$file" --emit 2>/dev/null |
		jq -c --arg self "$here" --argjson there "$(edge-run --list | jq -sc 'map(.name)')" \
			'select(.name | IN($there[]) | not) | .node = $self | .state = "running"'
}

# Behind each other: of two records of a thing the last one counts.
world() {
	local names
	edge-probe --discover "$source" | jq -c --arg self "$here" 'select(.kind == "node" and .name != $self)'
	edge-probe --services --window "$window"
	[[ ! $dry_run ]] || wanted
	mapfile -t names < <(members)
	((${#names[@]} == 0)) || edge-probe --services --window "$window" "${names[@]}" || say 'what does not answer is taken to be as it was'
}

# Five pings each, a lost one counting as a second.
measured() { edge-latency --count 5 --lost-as 1000 2>/dev/null || true; }
scored() { edge-score --model offload --prune; }
place() { edge-place --policy greedy --fleet "${fleet:-$here}" --cooldown "$cooldown" "$@"; }

# --- one round

lost() { edge-run --list | jq -r 'select(.engine == "swarm" and .state == "exited") | .name'; }

# Those whose node is gone. One that has only ended is started again by Docker in the meantime.
bring_home() {
	local name
	[[ -n $(lost) ]] || return 0
	sleep 5
	for name in $(lost); do
		say "service $name: does not run where it was; it comes home"
		edge-migrate --quiet --to "$here" -- "$name" || true
	done
}

carry_out() { # a plan; only what was done is told
	edge-invite | edge-migrate --quiet -
}

round() {
	local status=0
	bring_home >>"$log"
	edge-run --engine swarm --file "$file" >"$state/services"
	world | measured | scored >"$state/world.new"
	mv "$state/world.new" "$state/world.ndjson"
	place <"$state/world.ndjson" | jq -c 'select(.kind == "move" or .kind == "plan" or .kind == "node")' >"$state/plan.ndjson" || status=1
	jq -c 'select(.kind != "node") | .at = (now | todate)' "$state/plan.ndjson" >>"$log"
	carry_out <"$state/plan.ndjson" >"$state/done.ndjson" || status=1
	jq -c 'select(.kind == "member" or .kind == "service" or .action == "stay") | .at = (now | todate)' "$state/done.ndjson" >>"$log"
	[[ ! $verbose ]] || jq -c 'select(.kind == "service" or .kind == "member")' "$state/done.ndjson"
	return $status
}

main() {
	while [[ ${1:-} == --* ]]; do
		case $1 in
		--dry-run) dry_run=1 ;;
		--verbose) verbose=1 ;;
		--log) log=$2; shift ;;
		--window) window=$2; shift ;;
		--cooldown) cooldown=$2; shift ;;
		--help) usage; exit 0 ;;
		*) say "$1: no such option (see --help)"; exit 64 ;;
		esac
		shift
	done
	(($# == 1 || $# == 2)) || { usage >&2; exit 64; }
	file=$1 source=${2:-${EDGE_REGISTRY:-}}
	[[ $source ]] || { say 'no SOURCE, and no EDGE_REGISTRY'; exit 64; }
	here=$(setting name)
	here=${here:-$(hostname)}
	fleet=$(setting member)
	mkdir -p "$state"
	if [[ $dry_run ]]; then
		world | measured | scored | place --dry-run
		exit
	fi
	exec 9>"$state/lock"
	flock -n 9 || { say 'another round is going on'; exit 75; }
	round
}

main "$@"
