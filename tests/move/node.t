#!/bin/bash
# SPDX-License-Identifier: MIT
# A counter in node.js, which must go on from where it was, under a client that keeps its connection.
. "$(dirname "$0")/lib.sh"
need node perl
lab_up
cat >"$tmp/counter.js" <<'END'
const http = require('http');
let n = 0, ticks = 0;
setInterval(() => ticks++, 10);
http.createServer((request, answer) => {
	const body = (request.url === '/ticks' ? ticks : ++n) + '\n';
	answer.setHeader('Content-Length', body.length);
	answer.end(body);
}).listen(8080, '0.0.0.0');
END
on edge1 mkdir -p /var/lib/edge/app
on edge1 mv "$tmp/counter.js" /var/lib/edge/app
run node --port 8080 --user nobody --volume /var/lib/edge/app:/app -- node /app/counter.js
await 5 bash -c "</dev/tcp/$addr/8080"
client node perl "$tools/http-client.pl" count "$addr" 8080 /
ready node
before=$(curl -s "http://$addr:8080/ticks")
there_and_back node
client_end node
last=$(sed -n 's/^count //p' <<<"$answer")
is 'the counter goes on for the client' "ready
no answer lost or doubled
count $last" "$answer"
is 'and for whom comes next' "$((last + 1))" "$(curl -s "http://$addr:8080/")"
ok 'its timer goes on' test "$(curl -s "http://$addr:8080/ticks")" -gt "$((before + 20))"
is 'nothing is left where the service was' '' "$(remains edge2 node)"
finish
