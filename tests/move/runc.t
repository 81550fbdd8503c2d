#!/bin/bash
# SPDX-License-Identifier: MIT
# The counter of node.t as an OCI bundle with the runc engine, to a node that has neither the bundle nor its root.
. "$(dirname "$0")/lib.sh"
need node perl runc jq
lab_up
cat >"$tmp/counter.js" <<'END'
const http = require('http');
let n = 0;
http.createServer((request, answer) => {
	const body = (++n) + '\n';
	answer.setHeader('Content-Length', body.length);
	answer.end(body);
}).listen(8080, '0.0.0.0');
END
# A root of node and the libraries that it needs.
make_bundle() {
	on edge1 bash -c '
		set -e
		mkdir -p '$bundle'/rootfs/{proc,dev,sys,tmp,etc}
		cd '$bundle'
		for f in $(readlink -f "$(command -v node)") $(ldd "$(readlink -f "$(command -v node)")" | grep -o "/[^ ]*"); do
			mkdir -p "rootfs${f%/*}"
			cp "$f" "rootfs$f"
		done
		cp '"$tmp"'/counter.js rootfs/
		runc spec
		jq --arg node "$(readlink -f "$(command -v node)")" \
			".process.args = [\$node, \"/counter.js\"] | .process.terminal = false | .root.readonly = false" \
			config.json >adapted
		mv adapted config.json'
}
ok 'a bundle is made' make_bundle
run oci --bundle $bundle --port 8080
is 'its engine is runc' runc "$(jq -r .engine "$tmp/record")"
await 5 bash -c "</dev/tcp/$addr/8080"
client oci perl "$tools/http-client.pl" count "$addr" 8080 /
ready oci
there_and_back oci
client_end oci
last=$(sed -n 's/^count //p' <<<"$answer")
is 'the counter goes on for the client, on one connection' "ready
no answer lost or doubled
count $last" "$answer"
is 'and for whom comes next' "$((last + 1))" "$(curl -s "http://$addr:8080/")"
ok 'it moves once more' move oci edge1 edge2
ok 'its root is there already' test "$(jq .moved.bytes_sent "$tmp/moved")" -lt 3000000
is 'runc there knows it' running "$(on edge2 runc --root /run/edge/runc state oci | jq -r .status)"
is 'and runc where it was does not' '' "$(on edge1 runc --root /run/edge/runc list -q)"

# --- who moves it is killed when it stands still, and runc's criu waits for its turn
on edge2 sh -c 'mkdir -p /run/edge && : >/run/edge/hold-frozen'
on edge2 env EDGE_FAULT=hold edge-migrate oci --to edge1 >"$tmp/out" 2>&1 &
mover=$!
await 20 on edge2 test -e /run/edge/held-frozen
is 'criu was started by runc, and waits' 'criu runc' "$(on edge2 sh -c 'ps -eo comm= | grep -x -e criu -e runc | sort -u' | paste -sd ' ')"
on edge2 sh -c 'pkill -KILL -x edge-migrate; rm -f /run/edge/hold-* /run/edge/held-*'
wait "$mover"
last=$((last + 1))
is 'killed then, it goes on where it was' "$((last + 1))" "$(curl -s -m 20 "http://$addr:8080/")"
is '... and nothing is left of it' '' "$(remains edge1 oci)$(lasting on edge2 sh -c 'ps -eo comm= | grep -x -e criu -e runc')"

# --- a restore that fails
pid=$(on edge2 cat /var/lib/edge/services/oci/runc.pid)
on edge2 sh -c "edge-checkpoint oci | edge-ship --to edge1" >"$tmp/shipment" 2>"$tmp/held" &
holder=$!
await 30 test -s "$tmp/shipment"
is 'criu fails: it is not restored' 1 \
	"$(on edge1 env CRIU_FAULT=6 edge-restore <"$tmp/shipment" >"$tmp/out" 2>"$tmp/err"; echo $?)"
like 'criu fails: one line says why' '^edge-restore: this node: service oci: runc restore: [^
]*$' "$(<"$tmp/err")"
ok 'criu fails: the holder ends' await 10 gone "$holder"
is 'criu fails: it goes on where it was' "$pid $((last + 2))" \
	"$(on edge2 cat /var/lib/edge/services/oci/runc.pid) $(curl -s "http://$addr:8080/")"
is 'criu fails: nothing is left' '' "$(remains edge1 oci)$(on edge1 runc --root /run/edge/runc list -q)"
on edge2 sh -c 'edge-checkpoint oci | edge-ship --to edge1 | edge-restore' >"$tmp/out" 2>"$tmp/err"
is 'the pipe moves it when criu works' '"edge1"' "$(jq -c .node "$tmp/out" || cat "$tmp/err")"
is 'and it counts on' "$((last + 3))" "$(curl -s "http://$addr:8080/")"
is 'nothing is left where it was' '' "$(remains edge2 oci)$(on edge2 runc --root /run/edge/runc list -q)"
ok 'it stops' stop edge1 oci
is 'and is gone for runc, too' '' "$(on edge1 runc --root /run/edge/runc list -q)"
finish
