#!/bin/bash
# SPDX-License-Identifier: MIT
# A service whose health is tested again and again, over its own lo, by processes that are not its own and do not stand still
# with it: what they connect at the wrong moment is in no move's way, and they find it well wherever it is.
. "$(dirname "$0")/lib.sh"
need jq perl curl
lab_up
cp "$tools/counter.pl" "$tmp"
on edge1 sh -c 'mkdir /var/lib/edge/app && cp "$1" /var/lib/edge/app' - "$tmp/counter.pl"
peek='for i in 1 2 3 4 5 6 7 8; do curl -s -o /dev/null http://localhost:8080/peek || exit; done'
on edge1 sh -c 'edge-place | edge-run - >/dev/null' <<END
{"kind":"node","name":"edge1"}
{"kind":"service","name":"tested","type":"stateful","argv":["perl","/srv/counter.pl","8080"],"addr":"$addr","ports":[8080],\
"volumes":[{"host":"/var/lib/edge/app","path":"/srv"}],"needs":{"node":"edge1"},"healthcheck":{"test":["sh","-c","$peek"],"interval_s":0.01}}
END
is_healthy() { [[ $(on "$1" edge-run --list | jq -r .health) == healthy ]]; }
ok 'a service is found healthy' await 20 is_healthy edge1
client tested perl "$tools/http-client.pl" count "$addr" 8080 /
ready tested
from=edge1 to=edge2
for ((i = 0; i < 2 * MOVES; i++)); do
	ok "it moves to $to" move tested "$from" "$to" || sed 's/^/# /' "$tmp/err"
	ok '... and is healthy there' await 20 is_healthy "$to"
	read -r from to <<<"$to $from"
done
client_end tested
is 'no request was lost, and no connection' "ready
no answer lost or doubled" "$(grep -v ^count <<<"$answer")"
stop "$from" tested
finish
