#!/bin/bash
# SPDX-License-Identifier: MIT
# Rescue: services leave nodes of which more than half is in use, live, several at a time (after Tufail 2018).
#
#	rescue.sh [-n] [-p POLICY] [-l PERCENT] [-j JOBS] [NODE...]      without nodes: those of the registry
#
# POLICY: same-network-first (to the least used node of the same network, else another, else the cloud; default), or pack (to
# the most used one with room, so that others can sleep). -n: say what would be done, and do nothing.
# EDGE_LOG: the log of decisions (/var/lib/edge/decisions.ndjson): edge-place --explain SERVICE --log FILE reads it.
# EDGE_SITE: only one decides for it at a time, from whichever machine (default fleet). EDGE_LEASE: seconds that a crashed one keeps it, up to twice as long in a directory.
# EDGE_WINDOW: use counts over so many seconds (60). EDGE_COOLDOWN: who has moved stays for so many seconds (120).
# Silent when all is well. 75: something could not be done now; the next time it will be tried again. From cron, or examples/systemd:
#
#	* * * * *  /usr/local/share/edgetools/examples/rescue.sh
set -uo pipefail
PATH=$PATH:/usr/local/bin:/usr/sbin:/sbin
policy=same-network-first limit=50 jobs=4 dry=
args=("$@")
while getopts np:l:j: o; do
	case $o in
	n) dry=1 ;;
	p) policy=$OPTARG ;;
	l) limit=$OPTARG ;;
	j) jobs=$OPTARG ;;
	*) exit 64 ;;
	esac
done
shift $((OPTIND - 1))
site=${EDGE_SITE:-fleet} log=${EDGE_LOG:-/var/lib/edge/decisions.ndjson} registry=${EDGE_REGISTRY:-/var/lib/edge/registry}
[[ $dry || ${EDGE_LOCK:-} == "$site" ]] ||
	exec edge-lock --quiet --lease "${EDGE_LEASE:-60}" --wait 30 "$site" -- "$0" "${args[@]}"

nodes() { if (($#)); then printf '{"kind":"node","name":"%s"}\n' "$@"; else edge-probe --discover "$registry"; fi; }
probe() { edge-probe --services --window "${EDGE_WINDOW:-60}" -; } # fills in what the nodes say now
place() { edge-place --policy "$policy" --limit "$limit" --cooldown "${EDGE_COOLDOWN:-120}" "$@"; }
done_now() { grep -e '"moved":{' -e '"refusals":' >>"$log"; (($? < 2)); } # the rest of the stream has been read by edge-place

status=0
if [[ $dry ]]; then
	nodes "$@" | probe | place --dry-run
	exit
fi
# What a crash has left half done, first: services that stand still are not in what nodes tell of.
nodes "$@" | sed -n 's/^{"kind":"node","name":"\([^"]*\)".*/\1/p' | xargs -r -P 16 -I{} edge-migrate --recover --from {} >/dev/null || status=75
nodes "$@" | probe | place --log "$log" | edge-migrate --quiet --jobs "$jobs" - | done_now || status=75
exit $status
