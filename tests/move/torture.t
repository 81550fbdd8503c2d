#!/bin/bash
# SPDX-License-Identifier: MIT
# A program that does to its memory whatever can be done, and knows what every page is to hold, is moved; found by the kernel's
# marks of what was written, and by reading all of it. Both ends compare every page with what was sent, before it goes on; but not
# where runc lets it go on.
. "$(dirname "$0")/lib.sh"
need jq
tool torture
lab_up
on edge1 mkdir -p /var/lib/edge/bin
cp "$built/torture" "$tmp"
on edge1 cp "$tmp/torture" /var/lib/edge/bin
serve=$(readlink -f "$EDGE_BIN/edge-serve")
for n in "${nodes[@]}"; do instead "$n" "$serve" 'export EDGE_FAULT=compare; exec $real "$@"'; done
torture() { # OPTION... [-- COMMAND...]
	run torture --port 7000 --volume /var/lib/edge/bin:/opt/edge "$@"
	await 20 bash -c "</dev/tcp/$addr/7000"
	exec {conn}<>"/dev/tcp/$addr/7000"
}
torture -- /opt/edge/torture 7000
move_env=(env EDGE_FAULT=compare)
checks() { # WHERE
	local line=none work=
	echo check >&"$conn"
	read -r -t 60 -u "$conn" line && read -r -t 10 -u "$conn" work
	is "every page is as it was written, at $1" ok "$line"
	echo "$work"
}
ways() { # WANTED
	like '... its pages were found so' "^$1\$" "$(jq -r .moved.way "$tmp/moved")"
	jq -r '.moved | "# \(.tracking // {} | tojson)", (.round[] | "# \(.pages) pages, \(.pages_sent) sent, \(.ms) ms")' "$tmp/moved"
}
go() { # WAY FROM TO [OPTION...]
	local way=$1 from=$2 to=$3
	shift 3
	if ok "it moves from $from to $to" move torture "$from" "$to" "$@"; then
		ways "$way"
	else
		sed 's/^/# /' "$tmp/err"
	fi
	checks "$to"
}
checks edge1
for ((i = 0; i < MOVES; i++)); do
	go '(write-protect|mixed)' edge1 edge2
	go digest edge2 edge1 --tracking digest
done
go '(write-protect|mixed)' edge1 edge2 --post-copy
jq -r '.moved | "# late: \(.late)"' "$tmp/moved"

command -v runc >/dev/null || finish
exec {conn}>&-
stop edge2 torture
for n in "${nodes[@]}"; do right "$n" "$serve"; done
move_env=()
bundle /opt/edge/torture 7000
few_told() { # NODE: of the pages that were found in all rounds, by the log of runc's criu
	local told
	told=$(on "$1" sed -n 's/.*Pagemap generated: \([0-9]*\) pages.*/\1/p' /var/lib/edge/services/torture/runc.work/dump.log |
		awk '{ n += $1 } END { print n + 0 }')
	echo "$told pages"
	((told < $(jq '[.moved.round[].pages] | max' "$tmp/moved") / 4))
}
torture --bundle "$bundle"
checks edge1
for ((i = 0; i < MOVES; i++)); do
	go '(write-protect|mixed)' edge1 edge2
	is '... and put in place as they are touched' lazy "$(jq -r .moved.restore "$tmp/moved")"
	ok '... criu was told of few of them' few_told edge1
	go digest edge2 edge1 --tracking digest
done
go '(write-protect|mixed)' edge1 edge2 --post-copy
finish
