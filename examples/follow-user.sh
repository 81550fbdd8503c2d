#!/bin/bash
# SPDX-License-Identifier: MIT
# Follow the user: what the kernel sees of users' round trips is watched for a while, and a service whose users' path has become
# slow goes, live, to the node that is nearest to them. For the services of this machine: it runs on each node.
#
#	follow-user.sh [-n] [-b MS] [-e SEC] [-g FILE] [NODE...]      without nodes: those of the registry
#
# MS: the median round trip that is too slow (default 50). SEC: how long to watch (10). FILE: where addresses are, as in
# edge-latency(1), for users who do not answer pings. -n: say what would be done, and do nothing.
# EDGE_LOG: the log of decisions (/var/lib/edge/decisions.ndjson): edge-place --explain SERVICE --log FILE reads it.
# EDGE_SITE: only one decides for it at a time, from whichever machine (default fleet). EDGE_LEASE: seconds that a crashed one keeps it, up to twice as long in a directory.
# Silent when all is well. 75: something could not be done now; the next time it will be tried again. From cron, or examples/systemd:
#
#	* * * * *  /usr/local/share/edgetools/examples/follow-user.sh
set -uo pipefail
PATH=$PATH:/usr/local/bin:/usr/sbin:/sbin
bound=50 every=10 geo=() dry=
args=("$@")
while getopts nb:e:g: o; do
	case $o in
	n) dry=1 ;;
	b) bound=$OPTARG ;;
	e) every=$OPTARG ;;
	g) geo=(--geo "$OPTARG") ;;
	*) exit 64 ;;
	esac
done
shift $((OPTIND - 1))
site=${EDGE_SITE:-fleet} log=${EDGE_LOG:-/var/lib/edge/decisions.ndjson} registry=${EDGE_REGISTRY:-/var/lib/edge/registry}

if [[ ${EDGE_LOCK:-} == "$site" ]]; then
	users=$(cat)
else # watching needs no lock, and takes time
	users=$(edge-latency --watch --every "$every" --windows 1 --bound "$bound" "${geo[@]}" |
		jq -cs '[.[] | select(.kind == "group").service] as $slow | .[] | select(.kind == "user" and (.service | IN($slow[])))') || exit 75
	[[ $users ]] || exit 0
	[[ $dry ]] || exec edge-lock --quiet --lease "${EDGE_LEASE:-60}" --wait 30 "$site" -- "$0" "${args[@]}" <<<"$users"
fi

nodes() { if (($#)); then printf '{"kind":"node","name":"%s"}\n' "$@"; else edge-probe --discover "$registry"; fi; }
known=$(nodes "$@") || exit 75
mapfile -t via < <(jq -r '"--via", .name' <<<"$known")
mapfile -t addrs < <(jq -rs 'map(.addr) | unique[]' <<<"$users")
# Who they are, how far from each node, what the nodes have, and what runs here.
records() {
	echo "$users"
	edge-latency --count 3 "${via[@]}" -- "${addrs[@]}" 2>/dev/null # users need not answer: then it is estimated
	edge-probe - <<<"$known"
	edge-probe --services
}
place() { edge-place --weights load=0 --margin 20 "$@"; } # only users count
done_now() { grep -e '"moved":{' -e '"refusals":' >>"$log"; (($? < 2)); } # the rest of the stream has been read by edge-place

status=0
if [[ $dry ]]; then
	records | place --dry-run
	exit
fi
edge-migrate --recover >/dev/null || status=75
records | place --log "$log" | edge-migrate --quiet --jobs 4 - | done_now || status=75
exit $status
