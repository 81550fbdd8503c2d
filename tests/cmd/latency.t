#!/bin/bash
# SPDX-License-Identifier: MIT
# What edge-latency reports over a lab's wires is what they were set to: delay, jitter, loss; over IPv4 and IPv6, by ICMP,
# TCP and HTTP; and what it says of targets that do not answer.
# shellcheck source=tests/move/lib.sh
. "$(dirname "$0")/../move/lib.sh"
need jq openssl python3
nodes=(edge1 edge2 edge3 edge4)
lab_up

latency() { # ARGUMENT...: on edge1
	on edge1 edge-latency "$@" >"$tmp/records" 2>"$tmp/err" </dev/null
	echo $? >"$tmp/status"
}
field() { # FILTER [TARGET]
	jq -r ${2:+--arg to "$2"} "select(.kind == \"latency\" ${2:+and .to == \$to}) | $1" "$tmp/records"
}
near() { between "$(awk -v d="$1" 'BEGIN { print d - 0.1 }')" "$(($1 + 8))" "$2"; } # DELAY VALUE: a busy machine's wires are late
between() { # LOW HIGH VALUE
	echo "wanted $1 to $2, have: $3"
	awk -v a="$1" -v b="$2" -v x="$3" 'BEGIN { exit !(x != "" && x + 0 >= a && x + 0 <= b) }'
}
said() { # STATUS LINE
	is "... exit status $1" "$1" "$(<"$tmp/status")"
	is "... and one line" "$2" "$(<"$tmp/err")"
}

# --- delays; a wire is passed once each way

"$lab" link edge2 --delay 2.5
"$lab" link edge3 --delay 10
"$lab" link edge4 --delay 40
on edge1 ping -q -c 1 -W 2 edge2 >/dev/null # the neighbours' addresses
latency -c 10 -i 50 edge2 edge3 edge4
is "three nodes answer" "edge2 10 10 0
edge3 10 10 0
edge4 10 10 0" "$(field '"\(.to) \(.sent) \(.received) \(.loss)"')"
delays=([2]=5 [3]=20 [4]=80)
for n in 2 3 4; do
	d=${delays[n]}
	ok "icmp: edge$n is $d ms away" near "$d" "$(field .rtt_ms.p50 "edge$n")"
	ok "... at least" near "$d" "$(field .rtt_ms.min "edge$n")"
done
ok "quantiles are in order" test "$(field '.rtt_ms | .min <= .p50 and .p50 <= .p95 and .p95 <= .p99 and .p99 <= .max')" = "$(printf 'true\n%.0s' 1 2 3)"

k=$(printf %x "${subnet##*.}")
latency "fd77:0:0:$k::3"
ok "icmp over IPv6" near 20 "$(field .rtt_ms.p50)"
latency -m tcp:22 edge2 edge3 edge4 "fd77:0:0:$k::2"
for n in 2 3 4; do
	ok "tcp: edge$n is ${delays[n]} ms away" near "${delays[n]}" "$(field .rtt_ms.p50 "edge$n")"
done
ok "tcp over IPv6" near 5 "$(field .rtt_ms.p50 "fd77:0:0:$k::2")"
on edge3 edge-run --name web --addr "$addr" --port 8080 -- python3 -m http.server 8080 >/dev/null
await 10 on edge1 curl -s -o /dev/null "http://$addr:8080/"
latency -m 'http:http://{}:8080/' "$addr"
ok "http: a connection and a request are two round trips" between 40 55 "$(field .rtt_ms.min)"
ok "... the first of them the connection" between 19.5 "$(field '.rtt_ms.mean - 19.5')" "$(field .phases.connect_ms)"
ok "... the second the answer" between 20 "$(field '.rtt_ms.mean - 19.5')" "$(field .phases.first_byte_ms)"
latency -m "http:http://web.example:8080/" "$addr"
is "http: a URL's own name, at the target's address" 5 "$(field .received)"

openssl req -x509 -newkey rsa:2048 -nodes -days 2 -subj /CN=web.example -addext "subjectAltName=DNS:web.example" \
	-keyout "$tmp/key.pem" -out "$tmp/cert.pem" 2>/dev/null
cat "$tmp/key.pem" "$tmp/cert.pem" >"$tmp/server.pem"
cat >"$tmp/https.py" <<'END'
import http.server, ssl, sys
s = http.server.ThreadingHTTPServer(("", 8443), http.server.SimpleHTTPRequestHandler)
c = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
c.load_cert_chain(sys.argv[1])
s.socket = c.wrap_socket(s.socket, server_side=True)
s.serve_forever()
END
on edge3 timeout 60 python3 "$tmp/https.py" "$tmp/server.pem" >/dev/null 2>&1 &
await 10 on edge1 bash -c "exec 3<>/dev/tcp/edge3/8443"
latency -c 1 -m https://web.example:8443/ edge3
is "https without http: before it is told" "64 edge-latency: method https://web.example:8443/: not one of icmp, tcp:PORT, http:URL (see edge-latency --help)" \
	"$(<"$tmp/status") $(<"$tmp/err")"
latency -c 1 -m http:https://web.example:8443/ edge3
is "https: a certificate that nobody vouches for is no answer" 0 "$(field .received)"
is "... exit status 1" 1 "$(<"$tmp/status")"
bundle=/etc/ssl/certs/ca-certificates.crt # libcurl's on Debian
if over edge1 "$bundle" "$tmp/cert.pem"; then
	latency -c 3 -m http:https://web.example:8443/ edge3
	is "... one that is vouched for, with the URL's own name, is one" 3 "$(field .received)"
	ok "... after a round trip for the connection, one for TLS and one for the answer" between 59 85 "$(field .rtt_ms.min)"
	ok "... that of TLS by itself" between 19.5 "$(field '.rtt_ms.mean - 39')" "$(field .phases.tls_ms)"
	right edge1 "$bundle"
fi

# --- jitter and loss

"$lab" link edge2 --delay 5 --jitter 4
for _ in 1 2 3 4 5 6 7 8; do # until the machine has not stood still meanwhile
	latency -c 100 -i 10 edge2
	[[ $(field '.rtt_ms.max < 40') != true ]] || break
done
ok "jitter shows in the deviation" between 0.8 6 "$(field .rtt_ms.stddev)"
ok "... and in what one answer differs from the next" between 0.5 6 "$(field .rtt_ms.jitter)"
"$lab" link edge2 --loss 20
latency -c 1000 -i 2 -r 1000 -t 300 edge2
# Lost on either way: 1 - 0.8^2 = 0.36, give or take four deviations.
ok "20 % of loss each way" between 0.30 0.42 "$(field .loss)"
is "... is what was not received" true "$(field '(.loss - (.sent - .received) / .sent) | fabs < 1e-4')"
latency -c 200 -i 5 -t 300 --lost-as 1000 edge2
ok "a lost one counts as 1000 ms in the mean" between 0 20 "$(field '.rtt_ms.mean - 1000 * .loss')"
ok "... and not in the median" between 0 5 "$(field .rtt_ms.p50)"
"$lab" link edge2

# --- what does not answer

"$lab" cut edge4
latency -c 2 -i 10 -t 200 edge2 edge4
is "a node that is cut off does not hold up the others" "edge2 2
edge4 0" "$(field '"\(.to) \(.received)"')"
said 1 "edge-latency: edge4: no answer"
is "... and its record has no times" null "$(field .rtt_ms edge4)"
latency -m tcp:1 edge2
is "a port on which nobody listens" "0 1" "$(field '"\(.received) \(.loss)"')"
said 1 "edge-latency: edge2: Connection refused"
latency -c 1 edge2 nosuch.invalid
is "a name that nobody knows has no record" edge2 "$(field .to)"
is "... exit status 1" 1 "$(<"$tmp/status")"
like "... and one line" '^edge-latency: nosuch.invalid: .*$' "$(<"$tmp/err")"

# --- as a filter

mapfile -t lines < <("$lab" nodes)
printf '%s\n' '{"kind":"other",  "x":1e3}' "${lines[0]}" '' "${lines[1]}" >"$tmp/in"
on edge1 sh -c "edge-latency -c 1 <$tmp/in" >"$tmp/records" 2>"$tmp/err"
is "records are passed on as they are, latencies behind them" "$(grep . "$tmp/in")" "$(head -n 3 "$tmp/records")"
is "... one for each node" "edge1 edge2" "$(field '.to' | paste -sd' ')"
echo '{"kind":"node","name":"bare"}' >"$tmp/in"
on edge1 sh -c "edge-latency <$tmp/in" >"$tmp/records" 2>"$tmp/err"
echo $? >"$tmp/status"
said 1 "edge-latency: bare: has no address"
printf '{"kind":"node"\nnot JSON\n' >"$tmp/in"
on edge1 sh -c "edge-latency <$tmp/in" >"$tmp/records" 2>"$tmp/err"
echo $? >"$tmp/status"
is "what is not JSON: exit status 65" 65 "$(<"$tmp/status")"
like "... with its line" '^edge-latency: stdin: line 1: ' "$(<"$tmp/err")"

# --- a matrix, and estimates

"$lab" heal edge4
"$lab" nodes >"$tmp/in"
for n in 1 2 3 4; do echo "edge$n ${delays[n]:-0}"; done >"$tmp/delays"
# Each of the two begins when the other one is there, too.
other=(0 0 3 2)
for n in 2 3; do
	instead edge$n "$EDGE_BIN/edge-latency" "touch $tmp/at$n; for i in \$(seq 600); do [ ! -e $tmp/at${other[n]} ] || exec \$real "\$@"; sleep 0.05; done; exit 69"
done
on edge1 sh -c "edge-latency --via edge2 --via edge3 --via nowhere -c 3 -i 20 <$tmp/in" >"$tmp/records" 2>"$tmp/err"
echo $? >"$tmp/status"
is "from two nodes to all others, at the same time" "edge2 edge1, edge2 edge3, edge2 edge4, edge3 edge1, edge3 edge2, edge3 edge4" \
	"$(field '"\(.from) \(.to)"' | sort | paste -sd, | sed 's/,/, /g')"
said 1 "edge-latency: node nowhere: not in the registry"
for n in 2 3; do right edge$n "$EDGE_BIN/edge-latency"; done
ok "... with the delays of both" near 100 "$(field 'select(.from == "edge3") | .rtt_ms.p50' edge4)"
on edge1 edge-latency --via edge2 -c 1 fd77:0:0:$k::3 "$subnet.1" >"$tmp/records" 2>"$tmp/err"
is "a target by its address" "fd77:0:0:$k::3 $subnet.1" "$(field .to | paste -sd' ')"
# Forty nodes on a line, 1 ms apart, each with a millisecond of its own; a third of the pairs is measured.
awk 'function random() { r = r * 16807 % 2147483647; return r / 2147483647 } # the same in every awk
	BEGIN { r = 1; for (i = 0; i < 40; i++) { printf "{\"kind\":\"node\",\"name\":\"n%d\"}\n", i
	for (j = 0; j < i; j++) if (random() < 0.33) printf "{\"kind\":\"latency\",\"from\":\"n%d\",\"to\":\"n%d\",\"method\":\"icmp\",\"rtt_ms\":{\"p50\":%g}}\n", i, j, i - j + 2 } }' >"$tmp/in"
"$EDGE_BIN/edge-latency" --predict <"$tmp/in" >"$tmp/records" 2>"$tmp/err"
is "each pair is measured or estimated, and no pair twice" "780 780" \
	"$(jq -rs 'map(select(.kind == "latency") | [.from, .to] | sort) | "\(length) \(unique | length)"' "$tmp/records")"
ok "... within 15 % for nine in ten of them" test "$(jq -s 'map(select(.method == "predicted") |
	((.from[1:] | tonumber) - (.to[1:] | tonumber) | fabs + 2) as $is | (.rtt_ms.p50 - $is | fabs) / $is) | sort | .[length * 0.9 | floor] < 0.15' "$tmp/records")" = true
is "... and each node has coordinates" 40 "$(jq -s 'map(select(.kind == "node" and .coord.error < 1)) | length' "$tmp/records")"
grep -e predicted -e coord "$tmp/records" >"$tmp/made"
ok "... as their schema says" "$PWD/tests/schema/check" <"$tmp/made"

# --- options

wrong() { # LINE ARGUMENT...
	latency "${@:2}"
	is "${*:2}" "64 $1" "$(<"$tmp/status") $(<"$tmp/err")"
}
wrong "edge-latency: method smoke: not one of icmp, tcp:PORT, http:URL (see edge-latency --help)" -m smoke edge2
wrong "edge-latency: method tcp:0: not tcp:PORT (see edge-latency --help)" -m tcp:0 edge2
wrong "edge-latency: method tcp:: not tcp:PORT (see edge-latency --help)" -m tcp: edge2
wrong "edge-latency: method http:ftp://x: not http:URL, as http:http://{}:8080/ (see edge-latency --help)" -m http:ftp://x edge2
wrong "edge-latency: count 0: not between 1 and 100000 (see edge-latency --help)" -c 0 edge2
wrong "edge-latency: rate 0: not between 0 and 10000000 a second (see edge-latency --help)" -r 0 edge2

# --- without privileges

on edge1 install -m 755 "$EDGE_BIN/edge-latency" /tmp/edge-latency
nobody=(setpriv --reuid 65534 --regid 65534 --clear-groups /tmp/edge-latency -c 3 -i 5)
on edge1 "${nobody[@]}" "$subnet.2" >"$tmp/records" 2>"$tmp/err"
echo $? >"$tmp/status"
said 77 "edge-latency: icmp: cannot open a ping socket or a raw one: Operation not permitted"
# shellcheck disable=SC2016 # for the shell there
on edge1 unshare -n sh -c 'ip link set lo up && echo "0 2147483647" >/proc/sys/net/ipv4/ping_group_range && exec "$@"' - \
	"${nobody[@]}" 127.0.0.1 ::1 >"$tmp/records" 2>"$tmp/err"
is "by ping sockets, where nobody may open a raw one" "127.0.0.1 3
::1 3" "$(field '"\(.to) \(.received)"')"

# --- many: all on one address range of edge2, over a plain wire

on edge2 ip route add local 10.99.0.0/16 dev lo
on edge1 ip route add 10.99.0.0/16 via "$subnet.2"
awk 'BEGIN { for (i = 0; i < 20000; i++) printf "{\"kind\":\"node\",\"name\":\"n%d\",\"addr\":\"10.99.%d.%d\"}\n", i, i / 200, 1 + i % 200 }' >"$tmp/in"
on edge1 sh -c "edge-latency -c 5 -i 0 -r 20000 -t 2000 <$tmp/in" >"$tmp/records" 2>"$tmp/err"
is "20,000 targets and 100,000 probes, more than 16 bits can tell apart: all answer" "20000 100000" \
	"$(jq -rn 'reduce (inputs | select(.kind == "latency")) as $r ([0, 0]; [.[0] + 1, .[1] + $r.received]) | "\(.[0]) \(.[1])"' "$tmp/records")"
finish
