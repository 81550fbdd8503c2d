# shellcheck shell=bash disable=SC2016,SC2034,SC2154 # what is quoted so is for the nodes' shells; lib.sh sets the rest
# SPDX-License-Identifier: MIT
# What the tests of edge-invite share: a lab in which nobody knows anybody, and edge1 invites.
. "$(dirname "${BASH_SOURCE[0]}")/../move/lib.sh"
need jq perl
nodes=(edge1 edge2 edge3 edge4)
lab_up
cp "$tools/frames.pl" "$tmp"
serve=$(on edge1 sh -c 'command -v edge-serve')

# edge1 invites. Nobody knows anybody at first.
strangers() { # NODE...
	local node
	for node; do on "$node" sh -c ': >/etc/edge/authorized_keys; : >/etc/edge/known_hosts; rm -rf /var/lib/edge/grants'; done
	for node; do rm -f "$EDGE_LAB_DIR/registry/node/$node.json"; done
}
here() { "$@" >"$tmp/said" 2>"$tmp/err"; }
invite() { here on edge1 edge-invite "$@"; }
key() { on edge1 edge-invite --key; }
accept() { # NODE [OPTION]...: the owner's line; the ticket to stdout
	local node=$1
	shift
	key | on "$node" edge-invite --accept-from - "$@"
}
policy() { # NODE JSON
	on "$1" sh -c 'jq -c --argjson p "$1" ".policy = \$p" /etc/edge/node.json >/tmp/n && cat /tmp/n >/etc/edge/node.json' sh "$2"
}
told() { echo "$? $(sed 's/^edge-invite: //' "$tmp/err")"; }
member() { jq -c '[.node, .inviter, .state]' "$tmp/said"; }
refused() { # TITLE CODE WHY
	invite edge2
	is "$1" "$2 node edge2: $3" "$(told)"
}

strangers "${nodes[@]}"
