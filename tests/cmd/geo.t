#!/bin/bash
# SPDX-License-Identifier: MIT
# edge-latency --geo says where nodes and users are, by a MaxMind database and by a CSV; --bound groups the users for whom a
# service is too far: 100,000 of them from a file, and simulated ones as they come and go.
# shellcheck source=tests/move/lib.sh
. "$(dirname "$0")/../move/lib.sh"
need jq perl python3 curl
nodes=(edge1 edge2 edge3 edge4)
lab_up

latency() { # ARGUMENT...: on this machine, from $tmp/in
	"$EDGE_BIN/edge-latency" "$@" <"$tmp/in" >"$tmp/records" 2>"$tmp/err"
	echo $? >"$tmp/status"
}
said() { # TITLE STATUS LINE
	is "$1" "$2 $3" "$(<"$tmp/status") $(<"$tmp/err")"
}

# --- positions

printf '%s\n' '192.0.2.0/24 48.14 11.58' '198.51.100.0/25 -33.9 151.2' '2001:db8::/32 52.52 13.4' |
	"$tools/make-mmdb" >"$tmp/city.mmdb"
printf '%s\n' '{"kind":"user","addr":"192.0.2.9"}' '{"kind":"user","addr":"198.51.100.9"}' '{"kind":"user", "addr":"198.51.100.200"}' \
	'{"kind":"user","addr":"2001:db8::5"}' '{"kind":"user","addr":"192.0.2.9","geo":{"lat":1,"lon":2}}' '{"kind":"other", "addr":"192.0.2.9"}' >"$tmp/in"
latency --geo "$tmp/city.mmdb"
is "a database says where users are; the rest is as it came" '{"kind":"user","addr":"192.0.2.9","geo":{"lat":48.14,"lon":11.58}}
{"kind":"user","addr":"198.51.100.9","geo":{"lat":-33.9,"lon":151.2}}
{"kind":"user", "addr":"198.51.100.200"}
{"kind":"user","addr":"2001:db8::5","geo":{"lat":52.52,"lon":13.4}}
{"kind":"user","addr":"192.0.2.9","geo":{"lat":1,"lon":2}}
{"kind":"other", "addr":"192.0.2.9"}' "$(<"$tmp/records")"
echo "$subnet.0/24,48.1,11.6" >"$tmp/lab.csv"
on edge1 sh -c "edge-latency -c 1 --geo $tmp/lab.csv" <"$EDGE_LAB_DIR/registry/node/edge2.json" >"$tmp/records"
is "a CSV says where nodes are" '{"lat":48.1,"lon":11.6}' "$(jq -c 'select(.kind == "node") | .geo' "$tmp/records")"
: >"$tmp/in"
latency --geo "$tmp/none.mmdb"
said "a file that there is not" 71 "edge-latency: $tmp/none.mmdb: No such file or directory"
head -c 1000 /dev/zero >"$tmp/zero.mmdb"
latency --geo "$tmp/zero.mmdb"
like "a file that is no database" "^65 edge-latency: $tmp/zero.mmdb: not a MaxMind database: .*$" "$(<"$tmp/status") $(<"$tmp/err")"
head -c 400 "$tmp/city.mmdb" >"$tmp/half.mmdb"
latency --geo "$tmp/half.mmdb"
like "... or only half of one" "^65 edge-latency: $tmp/half.mmdb: not a MaxMind database: .*$" "$(<"$tmp/status") $(<"$tmp/err")"
printf '10.0.0.0/8,1,2\n10.0.0.0/8,1\n' >"$tmp/bad.csv"
latency --geo "$tmp/bad.csv"
said "a CSV with a line that is none" 65 "edge-latency: $tmp/bad.csv: line 2: not NETWORK,LATITUDE,LONGITUDE"

# --- groups, from records

printf '%s\n' '{"kind":"service","name":"game","needs":{"rtt_ms":5}}' \
	'{"kind":"user","addr":"192.0.2.1","service":"web","node":"edge1","rtt_ms":{"p50":30}}' \
	'{"kind":"user","addr":"192.0.2.2","service":"web","node":"edge1","rtt_ms":{"p50":40}}' \
	'{"kind":"user","addr":"192.0.2.3","service":"web","node":"edge1","rtt_ms":{"p50":10}}' \
	'{"kind":"user","addr":"198.51.100.1","service":"web","node":"edge1","rtt_ms":{"p50":300}}' \
	'{"kind":"user","addr":"192.0.2.3","service":"game","node":"edge1","rtt_ms":{"p50":10}}' >"$tmp/in"
latency --geo "$tmp/city.mmdb" --bound 20
is "users over the bound are grouped by place and service" '["game",48.14,11.58,1,1,10]
["web",-33.9,151.2,1,14,300]
["web",48.14,11.58,2,0.75,35]' "$(jq -c 'select(.kind == "group") | [.service, .geo.lat, .geo.lon, .users, .qoe, .rtt_ms.p50]' "$tmp/records" | sort)"
latency --geo "$tmp/city.mmdb" --bound 20 --radius 20000
is "... by a wide radius into one" 3 "$(jq -s 'map(select(.kind == "group" and .service == "web")) | .[0].users' "$tmp/records")"
said "... and that is all" 0 ""
latency --bound 20 --radius 0
said "a radius that is none" 64 "edge-latency: radius 0: not more than 0 (see edge-latency --help)"
awk 'BEGIN { srand(3); for (i = 0; i < 100000; i++) printf "{\"kind\":\"user\",\"addr\":\"10.%d.%d.%d\",\"service\":\"web\",\"node\":\"edge1\",\"rtt_ms\":{\"p50\":%.1f},\"geo\":{\"lat\":%.4f,\"lon\":%.4f}}\n",
	i / 62500, i / 250 % 250, i % 250 + 1, rand() * 40, 45 + rand() * 10, 5 + rand() * 10 }' >"$tmp/in"
latency --bound 20
is "100,000 users: those over the bound are in groups, and no others" "$(grep -cP '"p50":(2\d\.(?!0)|20\.[1-9]|2[1-9]|3\d|40)' "$tmp/in") 100000" \
	"$(jq -rn 'reduce inputs as $r ([0, 0]; if $r.kind == "group" then [.[0] + $r.users, .[1]] else [.[0], .[1] + 1] end) | "\(.[0]) \(.[1])"' "$tmp/records")"

# --- groups, as simulated users come and go: two in the north by the slow link, one near by

# Its own bound counts, and not that of the others.
printf '{"name":"web","addr":"%s","ports":[8080],"argv":["python3","-m","http.server","8080"],"needs":{"rtt_ms":20}}\n' "$addr" >"$tmp/spec"
on edge1 edge-run --spec "$tmp/spec" >"$tmp/record"
await 10 on edge1 curl -s -o /dev/null "http://$addr:8080/"
"$lab" link edge4 --delay 30
on edge4 ip addr add "$subnet.104/24" dev br0
printf '%s\n' "$subnet.4,60.1,10" "$subnet.104,60.2,10" "$subnet.2,48,11" >"$tmp/users.csv"
cp examples/user-sim "$tmp"
sims=()
for user in "edge4 $subnet.4" "edge4 $subnet.104" "edge2 $subnet.2"; do
	on ${user% *} timeout 20 perl "$tmp/user-sim" --from "${user#* }" --mean 0.1 --for 5 "http://$addr:8080/" >"$tmp/sim-${user#* }" &
	sims+=($!)
done
on edge1 timeout 50 edge-latency --watch --every 3 --windows 4 --geo "$tmp/users.csv" --bound 1000 web >"$tmp/records" 2>"$tmp/err"
for sim in "${sims[@]}"; do
	wait "$sim"
	is "a simulated user was always answered" 0 "$?"
done
is "where the three are is known" "[$(printf '{"lat":%s,"lon":%s},' 48 11 60.1 10 60.2 10 | sed 's/,$//')]" \
	"$(jq -sc 'map(select(.kind == "user").geo) | unique' "$tmp/records")"
is "the two far ones, beyond the bound that the service has itself, are a group, between them" '[60.15,10,2,true]' \
	"$(jq -sc 'map(select(.kind == "group")) | .[0] | [.geo.lat, .geo.lon, .users, .qoe > 1.9]' "$tmp/records")"
is "... the only one" 1 "$(jq -sc 'map(select(.kind == "group") | .geo) | unique | length' "$tmp/records")"
is "poisson: about ten requests a second" true "$(jq -s 'map(select(.status == 200)) | length > 10' "$tmp/sim-$subnet.2")"
grep '"kind":"group"' "$tmp/records" >"$tmp/groups"
ok "they are as their schema says" "$PWD/tests/schema/check" <"$tmp/groups"
finish
