#!/bin/bash
# SPDX-License-Identifier: MIT
# edge-place: the scenarios of the documents, what is never done, and what it says.
bin=$(realpath "${EDGE_BIN:-$(dirname "$0")/../../build/bin}")
cd "$(dirname "$0")/../.." || exit 1
export PATH=$bin:$PATH
if ! command -v edge-place >/dev/null; then echo '1..0 # SKIP the programs are not built'; exit 0; fi
tmp=$(mktemp -d /tmp/edge-place.XXXXXX)
trap 'rm -rf "$tmp"' EXIT
trap 'exit 143' TERM
trap 'exit 130' INT

count=0 failed=0
is() { # GOT WANT NAME
	count=$((count + 1))
	if [ "$1" = "$2" ]; then
		echo "ok $count - $3"
	else
		echo "not ok $count - $3"
		diff <(echo "$2") <(echo "$1") | sed -n 's/^</# want:/p; s/^>/#  got:/p'
		failed=1
	fi
}
place() { edge-place "$@" <"$tmp/in" >"$tmp/out" 2>"$tmp/err"; echo $? >"$tmp/status"; }
# "web: a>b; db: ->c; x: stay": the moves in their order
moves() {
	perl -MJSON::PP -ne '
		my $r = eval { decode_json($_) } or next;
		push @all, "$r->{service}: " . ($r->{action} eq "stay" ? "stay" : ($r->{from} // "") . ">$r->{to}") if $r->{kind} eq "move";
		END { print join "; ", @all }' "$tmp/out"
}
moved() { place "$@"; moves; }
said() { echo "$(cat "$tmp/status") $(cat "$tmp/err")"; }
plan() { perl -MJSON::PP -ne 'my $r = decode_json($_); print $r->{'"$1"'} if $r->{kind} eq "plan"' "$tmp/out"; }

# --- Georgiou 2018, algorithm 1: the machines of table 5.2, with PassMark marks of these models, rounded

cat >"$tmp/machines" <<'END'
{"kind":"node","name":"laptop","role":"client","arch":"x86_64","cpu":{"cores":1,"score":1280},"mem":{"available_bytes":1000000000}}
{"kind":"node","name":"device","arch":"x86_64","cpu":{"cores":4,"score":1330},"mem":{"available_bytes":6000000000}}
{"kind":"node","name":"server","arch":"x86_64","cpu":{"cores":8,"score":1250},"mem":{"available_bytes":6000000000}}
{"kind":"latency","from":"laptop","to":"device","rtt_ms":{"mean":3}}
{"kind":"latency","from":"laptop","to":"server","rtt_ms":{"mean":10}}
{"kind":"service","id":"00000000000000a1","name":"speech","node":"laptop","usage":{"cpu":0.85,"mem_bytes":325000000,"net_bps":40000}}
{"kind":"service","name":"chatter","node":"laptop","usage":{"cpu":0.001,"mem_bytes":10000000,"net_bps":80000}}
END
edge-score <"$tmp/machines" >"$tmp/in"
for policy in greedy optimal; do
	is "$(moved --policy $policy)" "speech: laptop>server" "$policy: of the document's three machines the server gets the heavy service, and not what talks much and computes little"
	is "$(cmp "$tmp/in" <(head -n "$(wc -l <"$tmp/in")" "$tmp/out"))" "" "... all records pass, in order"
	is "$(tail -n 2 "$tmp/out" | tests/schema/check 2>&1)" "" "... what is added is as the schemas say"
done
is "$(said)" "0 " "... and nothing is said"
is "$(plan bound)" "$(plan cost_paid)" "the optimum is proven"

cat >"$tmp/in" <<'END'
{"kind":"node","name":"laptop","role":"client","cpu":{"cores":1,"score":1280},"mem":{"available_bytes":1000000000}}
{"kind":"node","name":"device","cpu":{"cores":4,"score":1330},"mem":{"available_bytes":6000000000}}
{"kind":"node","name":"server","cpu":{"cores":8,"score":1250},"mem":{"available_bytes":6000000000}}
{"kind":"latency","from":"laptop","to":"device","rtt_ms":{"mean":3}}
{"kind":"latency","from":"laptop","to":"server","rtt_ms":{"mean":10}}
{"kind":"service","name":"speech","node":"laptop","usage":{"cpu":0.85,"mem_bytes":325000000,"net_bps":40000}}
{"kind":"service","name":"translation","node":"laptop","usage":{"cpu":0.1,"mem_bytes":215000000,"net_bps":1000}}
{"kind":"service","name":"sender","node":"laptop","usage":{"cpu":0.03,"mem_bytes":30000000,"net_bps":80000}}
END
edge-score <"$tmp/in" >"$tmp/scored" && mv "$tmp/scored" "$tmp/in"
for policy in greedy optimal; do
	is "$(moved --policy $policy)" "speech: laptop>server; translation: laptop>server; sender: laptop>server" \
		"$policy: the document's last experiment: all three services of its application go to the server (use and traffic are not printed there)"
done

# --- Tufail 2018: nodes with 8 and 4 cores, each service a tenth of a node; over half of a node is too much

load() { # LAB3 VRONE LAB4 NODE SERVICES
	printf '{"kind":"node","name":"%s","network":"%s","role":"%s","cpu":{"cores":%d,"use":%s}}\n' \
		lab3 a edge 4 "$1" vrone a edge 8 "$2" lab4 b edge 8 "$3" mec c cloud 64 0.1
	for ((i = 1; i <= $5; i++)); do
		echo "{\"kind\":\"service\",\"name\":\"app-$i\",\"node\":\"$4\",\"type\":\"stateful\",\"profile\":{\"cpu\":0.8}}"
	done
}
load 0.25 0.38 0.38 lab3 3 >"$tmp/in"
is "$(moved -p same-network-first -l 100)" "" "algorithm I: under the limit nothing moves"
load 0.62 0.38 0.38 lab3 3 >"$tmp/in"
is "$(moved -p same-network-first -l 50)" "app-1: lab3>vrone; app-2: lab3>lab4; app-3: lab3>mec" \
	"algorithm I, scenario I: the same network, then another, then the cloud"
load 0.62 0.38 0.59 lab4 1 >"$tmp/in"
is "$(moved -p same-network-first -l 50)" "app-1: lab4>vrone" "scenario II: no node of the same network is left, so another"
load 0.62 0.59 0.62 vrone 3 >"$tmp/in"
is "$(moved -p same-network-first -l 50)" "app-1: vrone>mec; app-2: vrone>mec; app-3: vrone>mec" "scenario III: only the cloud is left"
load 0.62 0.1 0.15 lab3 4 >"$tmp/in"
is "$(moved -p pack -l 50)" "app-1: lab3>lab4; app-2: lab3>lab4; app-3: lab3>lab4; app-4: lab3>vrone" \
	"algorithm II: the most used node that has room, until it has none"
is "$(plan 'idle}[0]; #{')" "lab3" "... and what becomes idle is named"
is "$(edge-place -p pack -l 50 --dry-run <"$tmp/in" | tail -n 2 | sed 's/;.*//')" "lab3                 becomes idle
4 services, 4 moves, 0 withheld, 0 without a node" "... to people, too"
load 0.62 0.2 0.62 lab4 2 >"$tmp/in"
is "$(moved -p pack -l 50)" "app-1: lab4>vrone; app-2: lab4>vrone" "scenario II: the only one that is left"
load 0.62 0.59 0.62 vrone 2 >"$tmp/in"
is "$(moved -p pack -l 50)" "app-1: vrone>mec; app-2: vrone>mec" "... and the cloud when that is full, too"

# --- Baun 2021: nodes and users in Munich, Garching and Mountain View; then what goes wrong, and what is done

vine() { # LOAD-OF-MUNICH GROUPS-AND-SERVICES...
	printf '{"kind":"node","name":"%s","geo":{"lat":%s,"lon":%s},"cpu":{"cores":4,"use":%s}}\n' munich 48.14 11.58 "$1" \
		garching 48.25 11.65 0 view 37.39 -122.08 0
	shift
	printf '%s\n' "$@"
}
at_munich='{"kind":"service","id":"00000000000000a0","name":"httpd","node":"munich","wants":{"rtt_ms":30},"profile":{"cpu":2}}'
at_view='{"kind":"service","id":"00000000000000b0","name":"httpd","node":"view","wants":{"rtt_ms":30},"profile":{"cpu":2}}'
group() { # NODE P50 LAT LON
	echo "{\"kind\":\"group\",\"service\":\"httpd\",\"node\":\"$1\",\"users\":10,\"rtt_ms\":{\"p50\":$2},\"geo\":{\"lat\":$3,\"lon\":$4}}"
}
vine 0.5 "$at_munich" "$at_view" "$(group munich 3 48.14 11.58)" "$(group view 2 37.39 -122.08)" >"$tmp/in"
is "$(place -p nearest; tail -n 1 "$tmp/out")" '{"kind":"plan","policy":"nearest","services":2,"moves":0,"withheld":0,"unplaced":0}' \
	"who is served well stays"
vine 0.5 "$at_munich" "$at_view" "$(group view 160 48.25 11.65)" "$(group view 2 37.39 -122.08)" "$(group munich 2 48.1 11.5)" >"$tmp/in"
place -p nearest
is "$(tail -n +9 "$tmp/out")" '{"kind":"move","action":"redirect","service":"httpd","group":{"lat":48.25,"lon":11.65},"from":"view","to":"munich","rtt_ms":0.2657,"why":"served badly: a nearer instance"}
{"kind":"plan","policy":"nearest","services":2,"moves":1,"withheld":0,"unplaced":0}' "served badly: to a nearer instance"
is "$(tail -n 2 "$tmp/out" | tests/schema/check 2>&1)" "" "... as the schemas say"
near_moves() { place -p nearest "$@"; perl -MJSON::PP -ne 'my $r = decode_json($_); print "$r->{action} ", $r->{from} // "", ">", $r->{to} // "", "; " if $r->{kind} eq "move"' "$tmp/out"; }
vine 0.5 "$at_munich" "$(group munich 160 37.4 -122.1)" "$(group munich 2 48.1 11.5)" >"$tmp/in"
is "$(near_moves)" "replicate munich>view; redirect munich>view; " "none suitable: a new one near them, and to it"
place -p nearest --what-if 'node view fails'
is "$(cat "$tmp/out" "$tmp/status")" "httpd                stay 10 users at 37.40,-122.10 munich -> -: served badly: no instance and no node is nearer
1" "... but not at a node that is not there"
is "$(near_moves -n 1)" "stay munich>; " "... and not half of it"
vine 0.9 "$at_munich" "$(group munich 2 48.1 11.5)" "$(group munich 9 48.2 11.6)" "$(group munich 4 48.1 11.6)" >"$tmp/in"
is "$(near_moves)" "replicate munich>garching; redirect munich>garching; redirect munich>garching; redirect munich>garching; " \
	"too much: a replica nearby, and groups go there until it is normal"
vine 0.6 "${at_munich%\}}, \"usage\":{\"cpu\":0.5}}" "$(group munich 2 48.1 11.5)" "$(group munich 9 48.2 11.6)" "$(group munich 4 48.1 11.6)" >"$tmp/in"
is "$(near_moves -l 50)" "replicate munich>garching; redirect munich>garching; " "... and no more of them"
vine 0.9 "$at_munich" "$at_view" "$(group munich 2 48.14 11.58)" "$(group munich 3 48.25 11.65)" "$(group view 2 37.39 -122.08)" >"$tmp/in"
is "$(near_moves)" "replicate munich>garching; redirect munich>garching; redirect munich>garching; " \
	"too much, and one node has no instance: the replica goes there"
none() { group "$@" | sed 's/"users":10/"users":0/'; }
at_garching='{"kind":"service","id":"00000000000000c0","name":"httpd","node":"garching","wants":{"rtt_ms":30},"needs":{"min":0}}'
vine 0 "${at_munich%\}},\"needs\":{\"min\":0}}" "$at_garching" "${at_view%\}},\"needs\":{\"min\":0}}" "$(none munich 3 48.14 11.58)" \
	"$(none garching 3 48.25 11.65)" "$(none view 2 37.39 -122.08)" >"$tmp/in"
is "$(near_moves)" "terminate munich>; terminate garching>; terminate view>; " "nobody for long: all end, if none is needed"
vine 0.5 "$at_munich" "$at_view" "$(group munich 3 48.14 11.58)" >"$tmp/in"
is "$(near_moves)" "terminate view>; " "idle: it ends"
vine 0.5 "$at_munich" "$(group view 3 48.14 11.58)" >"$tmp/in"
is "$(near_moves)" "" "... but not the last one"

typed() { printf '%s\n' "${1%\}},\"type\":\"stateful\"${2:+,\"needs\":{\"max\":$2\}}}"; }
vine 0.5 "$(typed "$at_munich")" "$(group munich 160 37.4 -122.1)" >"$tmp/in"
is "$(near_moves)$(grep -o 'no instance is nearer.*[a-z]' "$tmp/out")" "stay munich>; no instance is nearer, and there may be no more with a state" \
	"a stateful one is not started anew without its state"
vine 0.9 "$(typed "$at_munich")" "$(group munich 2 48.14 11.58)" >"$tmp/in"
is "$(near_moves)" "" "... nor where its node has too much"
vine 0.5 "$(typed "$at_munich" 2)" "$(group munich 160 37.4 -122.1)" >"$tmp/in"
is "$(near_moves)" "replicate munich>view; redirect munich>view; " "... but where it says how many there may be"
vine 0.5 "$at_munich" "$(typed "$at_view")" "$(group munich 3 48.14 11.58)" >"$tmp/in"
is "$(near_moves)" "" "nor does it end when nobody uses it"
vine 0.5 "$at_munich" "$at_view" "$(group view 160 48.25 11.65)" "$(group view 2 37.39 -122.08)" "$(group munich 2 48.1 11.5)" >"$tmp/in"
sed -i 's/"wants"/"needs":{"max":2},&/' "$tmp/in"
is "$(near_moves -m 99)$(near_moves -m 99.9)" "redirect view>munich; stay view>; " "who goes to another instance gains by the margin"
vine 0.5 "$at_munich" "${at_view%\}},\"moved_at\":\"2026-01-01T00:00:00Z\"}" "$(group munich 3 48.14 11.58)" >"$tmp/in"
is "$(near_moves --now 2026-01-01T00:01:00Z)$(near_moves --now 2026-01-01T00:06:00Z)" "terminate view>; " "what has just come does not end yet"

# --- nodes that could sleep

sleepy() { # USE-OF-X
	printf '{"kind":"node","name":"%s","network":"n","cpu":{"cores":4,"use":%s}}\n' x "$1" y 0.5
	printf '{"kind":"service","name":"%s","node":"%s","usage":{"cpu":%s}}\n' a x 0.1 b y 0.5
}
sleepy 0.11 >"$tmp/in"
is "$(moved -p pack)" "a: x>y" "pack: a node is emptied that sleeps then"
sleepy 0.2 >"$tmp/in"
is "$(moved -p pack)" "" "... not one that other work keeps awake"

# --- capacity and order

two() { # services a and b of 3 GB, on x and y with room for 4, whose users are at the other one; $1: more nodes
	cat - <<END
{"kind":"node","name":"x","mem":{"available_bytes":1000000000},"geo":{"lat":48,"lon":11}}
{"kind":"node","name":"y","mem":{"available_bytes":1000000000},"geo":{"lat":52,"lon":13}}
$1
{"kind":"service","name":"a","node":"x","usage":{"mem_bytes":3000000000}}
{"kind":"service","name":"b","node":"y","usage":{"mem_bytes":3000000000}}
{"kind":"user","addr":"192.0.2.1","service":"a","demand":5000,"geo":{"lat":52,"lon":13}}
{"kind":"user","addr":"192.0.2.2","service":"b","demand":5000,"geo":{"lat":48,"lon":11}}
END
}
two '' >"$tmp/in"
is "$(moved)" "" "two that cannot change places stay"
is "$(plan withheld) $(plan above_percent)" "2 1828.887" "... which is counted, and how far that is from the bound is told"
is "$(edge-place --dry-run <"$tmp/in" | sed 's/.*, no/no/')" "no plan is below 4843.61 (1829 % above it)" "... to people, too"
two '{"kind":"node","name":"z","mem":{"available_bytes":4000000000},"geo":{"lat":40,"lon":0}}' >"$tmp/in"
is "$(moved)" "b: y>z; a: x>y; b: z>x" "with a third node one goes aside"
is "$(sed -n 's/.*"why":"\(goes[^"]*\)".*/\1/p' "$tmp/out")" "goes aside: a comes to where it was
goes on from where it went aside" "... which is said"
is "$(moved -n 2)" "" "... and is not begun with too few moves"

# --- estimates of latencies rank, and decide nothing

guessed() { # SERVICE-MEMBERS METHOD MS: web is at far, 60 ms from its user; near, as somebody says, MS
	cat - <<END
{"kind":"node","name":"far","mem":{"available_bytes":1000000000}}
{"kind":"node","name":"near","mem":{"available_bytes":1000000000}}
{"kind":"service","name":"web","node":"far","usage":{"mem_bytes":1000000}$1}
{"kind":"user","addr":"192.0.2.1","service":"web","node":"far","rtt_ms":{"p50":60}}
{"kind":"latency","from":"near","to":"192.0.2.1","method":"$2","rtt_ms":{"p50":$3},"seen":"2026-01-01T00:00:00Z"}
END
}
why() { jq -r 'select(.kind == "move") | .why' "$tmp/out"; }
only='a latency is only an estimate: measure it first (edge-latency)'
guessed '' predicted 5 >"$tmp/in"
is "$(moved); $(why)" "web: stay; near may be better: $only" "an estimate alone moves nothing, and it is said what to measure"
is "$(tail -n 2 "$tmp/out" | tests/schema/check 2>&1)" "" "... as the schemas say"
is "$(edge-place --explain web <"$tmp/in" | tail -n 1)" "  near                 cost 5 (latency 5), users' RTT 5 ms, no: $only" "... as it does when it is asked for"
is "$(moved -p pack)" "" "... a policy whose aim is not the cost does not say it"
{ cat "$tmp/in"; echo '{"kind":"service","name":"db","node":"near","needs":{"avoid":["web"]}}'; } >"$tmp/more"
is "$(edge-place --dry-run <"$tmp/more" | grep -c stays)" 0 "... nor is it said of a node with one that must not be with it"
{
	cat "$tmp/in"
	echo '{"kind":"node","name":"mid"}'
	echo '{"kind":"latency","from":"mid","to":"192.0.2.1","method":"icmp","rtt_ms":{"p50":30}}'
} >"$tmp/more"
for policy in optimal greedy; do
	is "$(edge-place -p $policy --dry-run <"$tmp/more" | grep -c '^web')" 1 "$policy: ... and of what moves to another node nothing else is said"
done
guessed '' predicted 70 >"$tmp/in"
is "$(moved)" "" "of one that is not better nothing is said"
guessed '' icmp 5 >"$tmp/in"
is "$(moved)" "web: far>near" "a measurement moves it"
{ cat "$tmp/in"; guessed '' predicted 70 | tail -n 1; } >"$tmp/more"
mv "$tmp/more" "$tmp/in"
is "$(moved)" "web: far>near" "... whatever is estimated later"
for policy in greedy same-network-first pack spread; do
	guessed ',"needs":{"rtt_ms":50}' predicted 5 >"$tmp/in"
	is "$(moved -p $policy); $(why)" "web: stay; no node of 2: 1 may not (far: needs 50 ms, users would have 60 ms), 1 where $only" \
		"$policy: nor does one move what may not be where it is"
done
guessed ',"needs":{"rtt_ms":50}' predicted 90 >"$tmp/in"
is "$(edge-score -m latency <"$tmp/in" 2>/dev/null | tail -n 2 | jq -r '"\(.node) \(.eligible) \(.predicted // false)"')" \
	$'near true true\nfar false false' "a bound refuses by no estimate; the score says that it is one"
is "$(edge-place --what-if 'node far fails' <"$tmp/in" | head -n 1)" "web                  - -> near: has no node" \
	"what has no node goes where it is best by estimates"
edge-score <"$tmp/machines" | jq -c 'select(.kind == "score").predicted = true' >"$tmp/in"
is "$(moved); $(why)" "speech: stay; server may be better: $only" "nor does a score that an estimate is in"
sed 's/"rtt_ms":{"mean"/"method":"predicted","rtt_ms":{"p50"/' "$tmp/machines" | edge-score >"$tmp/in"
is "$(jq -r 'select(.predicted) | "\(.service) \(.node)"' "$tmp/in" | sort | paste -sd' ')" "chatter device chatter server speech device speech server" \
	"a score says when it rests on one"
is "$(tail -n 2 "$tmp/in" | tests/schema/check 2>&1)" "" "... as the schemas say"
cat >"$tmp/in" <<'END'
{"kind":"node","name":"x"}
{"kind":"node","name":"y"}
{"kind":"service","name":"a","node":"x"}
{"kind":"service","name":"b","node":"y","needs":{"node":"y"},"peers":[{"service":"a","net_bps":65535000}]}
{"kind":"latency","from":"x","to":"y","method":"icmp","rtt_ms":{"p50":90}}
END
is "$(moved)" "a: x>y" "two that talk come together"
sed -i 's/icmp/predicted/' "$tmp/in"
is "$(moved)" "" "... not by an estimate of what is between them"

# --- resources, chains, bounds

pair() { # NODE-MEMBERS SERVICE-MEMBERS: a and b at x, whose users are at y
	cat - <<END
{"kind":"node","name":"x","geo":{"lat":48,"lon":11},"cpu":{"cores":8}}
{"kind":"node","name":"y","geo":{"lat":52,"lon":13},"cpu":{"cores":8}$1}
{"kind":"service","name":"a","node":"x"$2}
{"kind":"service","name":"b","node":"x"$2}
{"kind":"user","addr":"192.0.2.1","service":"a","demand":90,"geo":{"lat":52,"lon":13}}
{"kind":"user","addr":"192.0.2.2","service":"b","demand":80,"geo":{"lat":52,"lon":13}}
END
}
pair >"$tmp/in"
is "$(moved)" "a: x>y; b: x>y" "two services go to their users"
pair ',"gpu":[{}]' ',"needs":{"gpu":1}' >"$tmp/in" # x tells of none
is "$(moved)" "a: x>y; b: stay" "one graphics processor is for one; the other, which may not be where it is, is told"
pair ',"gpu":[{"mem_bytes":8000000000},{"mem_bytes":8000000000}]' ',"needs":{"gpu":1,"gpu_mem_bytes":9000000000}' >"$tmp/in"
is "$(moved)$(edge-place <"$tmp/in" | grep -o 'lack.*y')" "a: x>y; b: staylack graphics memory" "the memory of two is for one that needs more than half of it"
pair ',"net_bps":1500000' ',"usage":{"net_bps":1000000}' >"$tmp/in"
is "$(moved)" "a: x>y" "so is a link"
pair ',"users_max":1' ',"profile":{"cpu":5}' >"$tmp/in"
is "$(moved)" "a: x>y" "so are processors"
pair '' ',"needs":{"avoid":["a"]}' >"$tmp/in"
is "$(moved)" "a: x>y" "one that avoids the other stays away"
pair '' ',"needs":{"together":["b"],"network":["n"]}' | sed '3s/"x"/"x","engine":"containerd"/; s/"network":\["n"\]/"min":1/' >"$tmp/in"
is "$(moved)" "" "one that is to be with another stays with it"
pair '' '' | sed '4s/}$/,"peers":[{"service":"a","net_bps":65535000}]}/; 3s/}$/,"needs":{"node":"x"}}/' >"$tmp/in"
is "$(moved)" "" "one that talks much to another stays with it"
is "$(moved -w traffic=0.01)" "b: x>y" "... as far as traffic counts"
pair '' ',"needs":{"rtt_ms":5}' | sed 's/"demand":[0-9]*/"demand":0.001/' >"$tmp/in"
is "$(moved -w latency=0)" "a: x>y; b: x>y" "a bound that must hold moves what costs nothing"
pair '' ',"wants":{"rtt_ms":5}' >"$tmp/in"
is "$(moved -w latency=0)" "" "... and one that should hold leaves it where nothing is better"
pair '' ',"needs":{"rtt_ms":5}' >"$tmp/in"
is "$(edge-place --what-if 'node y fails' <"$tmp/in" | head -n 1)" \
	"a                    stays where it may not be: no node of 2: 2 may not (x: needs 5 ms, users would have 9.343 ms)" \
	"... and where nothing is near enough, it is said"

# --- moves must pay

near() { # SERVICE-MEMBERS
	cat - <<END
{"kind":"node","name":"far","geo":{"lat":52,"lon":13}}
{"kind":"node","name":"near","geo":{"lat":48,"lon":11}}
{"kind":"service","name":"web","node":"far","usage":{"mem_bytes":64000000}$1}
{"kind":"user","addr":"192.0.2.1","service":"web","geo":{"lat":48,"lon":11}}
END
}
near >"$tmp/in"
is "$(moved)" "web: far>near" "a service goes to its user"
is "$(moved --payback 2)" "" "... but not where the pause is not made up for in time"
is "$(moved -w latency=0)" "" "... nor where latency does not count"
near ',"moved_at":"2026-01-01T00:00:00Z"' >"$tmp/in"
is "$(moved --now 2026-01-01T00:04:59Z)" "" "a service that has just moved stays"
is "$(moved --now 2026-01-01T00:05:01Z)" "web: far>near" "... until the cooldown is over"
near ',"needs":{"node":"far"}' >"$tmp/in"
is "$(moved)" "" "a pinned one stays"
is "$(edge-place --what-if 'node far fails' <"$tmp/in"; echo $?)" "web                  stays without a node: no node of 2: 2 may not (far: not there)
1 services, 0 moves, 0 withheld, 1 without a node; cost 0 -> 0
1" "... and without its node it has none"
near >"$tmp/in"
is "$(edge-place --what-if 'node near fills' --what-if 'users x100 at 48,11' --dry-run <"$tmp/in" | tail -n 1 | sed 's/;.*//')" \
	"1 services, 1 moves, 0 withheld, 0 without a node" "questions can be put together"
printf '%s\n' '{"kind":"node","name":"x","cpu":{"cores":4,"use":0.7}}' '{"kind":"node","name":"y","cpu":{"cores":8,"use":0.1}}' \
	'{"kind":"service","name":"a","node":"x","usage":{"cpu":0.6}}' '{"kind":"service","name":"b","node":"y","usage":{"cpu":0.1}}' \
	'{"kind":"user","addr":"192.0.2.1","service":"a","geo":{"lat":48,"lon":11}}' \
	'{"kind":"user","addr":"192.0.2.2","service":"a","geo":{"lat":10,"lon":11}}' >"$tmp/in"
is "$(edge-place --what-if 'users x2 at 48,11' <"$tmp/in" | grep -c x.has.too) $(edge-place --what-if 'users x2.2 at 48,11' <"$tmp/in" | head -n 1)" \
	"0 a                    x -> y: x has too little: processors (gain 0.48, pause 32 ms)" "more users are more work for what serves them"
near >"$tmp/in"
is "$(edge-place --explain web <"$tmp/in")" "web: now at far, then at near
* near                 cost 0 + 0.4762 to move, users' RTT 0 ms
  far                  cost 9.34278 (latency 9.343), users' RTT 9.343 ms" "--explain"
cat >"$tmp/in" <<'END'
{"kind":"node","name":"a","geo":{"lat":48,"lon":11},"network":"n","cpu":{"cores":4},"power":{"idle_w":10,"max_w":50},"price":{"cpu_hour":0.02}}
{"kind":"node","name":"b","geo":{"lat":52,"lon":13},"network":"n","cpu":{"cores":4}}
{"kind":"node","name":"c","geo":{"lat":53,"lon":13},"arch":"arm","taints":["full"],"cpu":{"cores":1}}
{"kind":"node","name":"d","geo":{"lat":53,"lon":14},"cpu":{"cores":4}}
{"kind":"service","id":"00000000000000a0","name":"web","node":"a","profile":{"cpu":2},"needs":{"cpu":2,"spread":true,"avoid":["db"],"arch":["x86"]},"peers":[{"service":"log","net_bps":65535}]}
{"kind":"service","id":"00000000000000a1","name":"web","node":"b","needs":{"node":"b"}}
{"kind":"service","name":"db","node":"d","profile":{"cpu":3},"needs":{"node":"d"}}
{"kind":"service","name":"log","node":"b","needs":{"node":"b"}}
{"kind":"score","service":"web","id":"00000000000000a0","node":"a","model":"jq","eligible":true,"score":2}
{"kind":"user","addr":"192.0.2.1","service":"web","node":"a","geo":{"lat":52,"lon":13}}
END
sed -i '1,4s/"geo"/"arch":"x86","geo"/; 3s/"arch":"x86",//' "$tmp/in"
is "$(edge-place --explain web <"$tmp/in" | head -n 5)" "web: now at a, then at a
  d                    cost 5.70701 (latency 2.604, load 0.5, traffic 2.604) + 0.701 to move, users' RTT 2.604 ms, no: too little: processors: needs 2, has 1; avoids db, which is there
  b                    cost 10000.5 (load 0.5, spread 1e+04) + 0.701 to move, users' RTT 0 ms, no: another instance of it is there
* a                    cost 10023.2 (latency 9.343, score -2, load 0.5, energy 2, price 4, traffic 9.343, spread 1e+04), users' RTT 9.343 ms, 4 of 4 cores free
  c                    no: needs x86, is arm; needs 2 cores, has 1; full, which is not tolerated" \
	"... with all parts, all reasons, and what other services have to do with it"
sed -i '5s/"node":"a"//; 5s/,,/,/; 5s/"needs":{/&"node":"d",/' "$tmp/in"
is "$(edge-place --dry-run <"$tmp/in" | grep stays)" \
	"web                  stays without a node: no node of 4: 3 may not (a: is to be at d), 1 lack processors" "... in a few words where it has no node"
sed -i '5s/"profile":{"cpu":2}/"profile":{"cpu":1}/' "$tmp/in"
is "$(edge-place --dry-run <"$tmp/in" | grep stays)" \
	"web                  stays without a node: no node of 4: 3 may not (a: is to be at d), 1 have one that it must not be with" "... for that reason, too"
cat >"$tmp/in" <<'END'
{"kind":"node","name":"a","geo":{"lat":48,"lon":11}}
{"kind":"service","name":"web","node":"a","needs":{"rtt_ms":5}}
{"kind":"user","addr":"192.0.2.1","service":"web","demand":9,"geo":{"lat":48,"lon":11}}
{"kind":"user","addr":"192.0.2.2","service":"web","geo":{"lat":52,"lon":13}}
END
is "$(edge-place --explain web <"$tmp/in"; edge-place <"$tmp/in" | jq -r '.why // empty')" "web: now at a, then at a
* a                    no: needs 5 ms, users would have 9.343 ms
no node of 1: 1 may not (a: needs 5 ms, users would have 9.343 ms)" "the RTT that a bound refuses is the one that it is for, not the mean"
near >"$tmp/in"

# --- a log of decisions

edge-place --log "$tmp/log" --now 2026-01-01T00:00:00Z <"$tmp/in" >"$tmp/out"
is "$(cmp "$tmp/out" <(edge-place <"$tmp/in"))" "" "with a log the same is printed"
is "$(tests/schema/check <"$tmp/log" 2>&1)" "" "... and what is logged is as the schema says"
echo '{"kind":"service","name":"web","node":"near","moved":{"from":"far","to":"near","frozen_ms":81.5},"moved_at":"2026-01-01T00:00:02Z"}' >>"$tmp/log"
near ',"needs":{"node":"far"}' >"$tmp/in"
edge-place --log "$tmp/log" <"$tmp/in" >"$tmp/out"
near ',"needs":{"arch":["riscv64"]}' >"$tmp/in"
edge-place --log "$tmp/log" --now 2026-01-01T00:01:00Z <"$tmp/in" >"$tmp/out"
echo '{"kind":"move","action":"stay","service":"web","to":"near","refusals":[{"check":"space","why":"no room"}]}' >>"$tmp/log"
is "$(edge-place --explain web --log "$tmp/log")" "2026-01-01T00:00:00Z optimal: migrate far -> near: users' RTT 0 ms, was 9.343 ms (gain 9.343)
* near                 cost 0 + 0.4762 to move, users' RTT 0 ms
  far                  cost 9.34278 (latency 9.343), users' RTT 9.343 ms
  moved from far to near at 2026-01-01T00:00:02Z, stood still for 82 ms
2026-01-01T00:01:00Z optimal: stay far: no node of 2: 2 may not (far: needs riscv64, is nothing)
* far                  no: needs riscv64, is nothing
  near                 no: needs riscv64, is nothing
  not moved: near has refused it: no room" "... what was decided, what else there was, and what came of it are told later"
is "$(edge-place --explain sun --log "$tmp/log" 2>&1; echo $?)" "edge-place: service sun: not in $tmp/log
65" "... not of a service that there was not"
is "$(edge-place --explain web --log "$tmp/none" 2>&1; echo $?)" "edge-place: $tmp/none: No such file or directory
69" "... nor without a log"
near >"$tmp/in"

# --- users

cat >"$tmp/in" <<'END'
{"kind":"node","name":"a","geo":{"lat":48,"lon":11},"users_max":2}
{"kind":"node","name":"b","geo":{"lat":50,"lon":11},"users_max":9}
{"kind":"service","name":"game","node":"a"}
{"kind":"service","id":"00000000000000b0","name":"game","node":"b"}
{"kind":"user","addr":"192.0.2.1","service":"game","node":"b","geo":{"lat":48,"lon":11}}
{"kind":"user","addr":"192.0.2.2","service":"game","node":"a","geo":{"lat":49,"lon":11}}
{"kind":"user","addr":"192.0.2.3","service":"game","geo":{"lat":48.1,"lon":11}}
END
place --users
is "$(tail -n +8 "$tmp/out")" '{"kind":"move","action":"redirect","service":"game","user":"192.0.2.1","from":"b","to":"a","rtt_ms":0}
{"kind":"move","action":"redirect","service":"game","user":"192.0.2.2","from":"a","to":"b","rtt_ms":2.224}
{"kind":"move","action":"redirect","service":"game","user":"192.0.2.3","to":"a","rtt_ms":0.2224}
{"kind":"plan","policy":"users","services":1,"users":3,"moves":3,"withheld":0,"unplaced":0,"cost_before":6.6716956,"cost_after":2.44628839,"cost_first":2.44628839,"bound":2.44628825,"above_percent":0}' \
	"--users: those that lose least go farther away"
is "$(tail -n +8 "$tmp/out" | tests/schema/check 2>&1)$(said)" "0 " "... as the schemas say"
# after what is above: user 2 is near a now, which tells that it can serve one more; a new user; then the end behind an empty line
{ cat "$tmp/in"; echo; echo '{"kind":"node","name":"a","geo":{"lat":48,"lon":11},"users_max":3}'
	echo '{"kind":"user","addr":"192.0.2.2","service":"game","geo":{"lat":48,"lon":11}}'
	echo; echo '{"kind":"user","addr":"192.0.2.9","service":"game","geo":{"lat":50,"lon":11}}'; echo; } >"$tmp/batches"
edge-place --users --follow <"$tmp/batches" >"$tmp/out" 2>"$tmp/err"
echo $? >"$tmp/status"
is "$(said)" "0 " "--follow: batches of records"
is "$(moves)" "$(edge-place --users <"$tmp/in" >"$tmp/out.1"; cp "$tmp/out" "$tmp/out.all"; cp "$tmp/out.1" "$tmp/out"; moves); game: b>a; game: >b" \
	"... the first is placed as without it, then only what is new moves, from where the last plan has put it"
is "$(grep -E '"kind":"(move|plan)"' "$tmp/out.all" | tests/schema/check 2>&1)" "" "... all as the schemas say"
is "$(edge-place --users --follow <"$tmp/batches" | cmp - "$tmp/out.all")" "" "... the same at every run"
is "$(jq -rs 'map(select(.kind == "plan") | [.moves, .unplaced] | join(" ")) | join(", ")' "$tmp/out.all")" "3 0, 1 0, 1 0" \
	"... a plan for each batch, none for the end behind an empty line"
aged() { # MINUTE: a was seen then
	echo '{"kind":"node","name":"a","geo":{"lat":48,"lon":11},"seen":"2026-01-01T00:'"$1"':00Z"}'
}
{ aged 10; echo '{"kind":"node","name":"b","geo":{"lat":50,"lon":11},"seen":"2026-01-01T00:10:00Z"}'
	sed -n '3,4p' "$tmp/in"; echo '{"kind":"user","addr":"192.0.2.1","service":"game","geo":{"lat":48,"lon":11}}'
	echo; aged 01; echo; aged 10; echo; } >"$tmp/batches"
edge-place --users --follow --stale 300 --now 2026-01-01T00:10:00Z <"$tmp/batches" >"$tmp/out" 2>"$tmp/err"
is "$(moves)" "game: >a; game: a>b; game: b>a" "... by --stale users leave a node that was not seen for long, until it is"
is "$(moved --users --what-if 'node a fails' --what-if 'users x5')" "" "questions print no records"
is "$(cat "$tmp/out")" "3 users of 1 services: 1 sent elsewhere, 2 without room; users' ms 33.3585 -> 11.1195" "... but an answer"

# --- replicas

web() { # NEEDS USERS-AT-BERLIN [USERS_MAX]: web runs in Munich, with users there and in Berlin
	printf '{"kind":"node","name":"%s","geo":{"lat":%s,"lon":%s},"cpu":{"cores":4}}\n' munich 48.14 11.58 berlin 52.52 13.4 paris 48.86 2.35
	echo "{\"kind\":\"service\",\"id\":\"00000000000000a0\",\"name\":\"web\",\"node\":\"munich\",\"needs\":{$1},\"profile\":{\"cpu\":1}${3:+,\"users_max\":$3}}"
	echo '{"kind":"user","addr":"192.0.2.1","service":"web","node":"munich","demand":10,"geo":{"lat":48.1,"lon":11.5}}'
	echo "{\"kind\":\"user\",\"addr\":\"192.0.2.2\",\"service\":\"web\",\"node\":\"munich\",\"demand\":$2,\"geo\":{\"lat\":52.5,\"lon\":13.3}}"
}
steps() { # "replicate munich>berlin, redirect munich>berlin; ..."
	place "$@"
	perl -MJSON::PP -ne 'my $r = decode_json($_); push @all, "$r->{action} " . ($r->{from} // "") . ">" . ($r->{to} // "") if $r->{kind} eq "move";
		END { print join ", ", @all }' "$tmp/out"
}
web '"min":1' 9 >"$tmp/in"
is "$(steps)" "" "without needs.max there are no more instances"
web '"max":3' 9 >"$tmp/in"
is "$(steps)" "replicate munich>berlin, redirect munich>berlin" "with it, there is one more where users are, and they go there"
is "$(tail -n 3 "$tmp/out" | tests/schema/check 2>&1)$(plan moves)" "2" "... as the schemas say"
web '"max":3' 0.001 >"$tmp/in"
is "$(steps)" "" "... but not for what it does not spare"
web '"min":3' 9 >"$tmp/in"
is "$(steps | tr ',' '\n' | sort | uniq -c | sort -rn | sed 's/ */ /' | head -n 2)" "$(printf ' 1 replicate munich>berlin\n 1  replicate munich>paris')" "as many as there have to be"
web '"max":2' 9 10 >"$tmp/in"
is "$(steps -w latency=0)" "replicate munich>berlin, redirect munich>berlin" "one more where there are too many users for one"
{ web '"max":3' 9; echo '{"kind":"service","id":"00000000000000b0","name":"web","node":"berlin","needs":{"max":3}}'; } >"$tmp/in"
is "$(steps)" "redirect munich>berlin" "users go to the instance that is nearer"
{ web '"max":3' 0; echo '{"kind":"service","id":"00000000000000b0","name":"web","node":"berlin","needs":{"max":3},"profile":{"cpu":1}}'; } >"$tmp/in"
is "$(steps)" "terminate berlin>" "one that spares nothing ends"
{ web '"max":1' 9; echo '{"kind":"service","id":"00000000000000b0","name":"web","node":"berlin","needs":{"max":1},"moved_at":"2026-01-01T00:00:00Z"}'; } >"$tmp/in"
is "$(steps --now 2026-01-01T00:01:00Z)" "redirect munich>berlin, redirect munich>berlin, terminate munich>" "... and one that is too many, but not what has just moved"
{ web '"spread":true' 0; cat <<'END'
{"kind":"node","name":"munich","geo":{"lat":48.14,"lon":11.58},"network":"a"}
{"kind":"node","name":"berlin","geo":{"lat":52.52,"lon":13.4},"network":"a"}
{"kind":"node","name":"paris","geo":{"lat":48.86,"lon":2.35},"network":"b"}
{"kind":"service","id":"00000000000000b0","name":"web","node":"berlin","needs":{"spread":true}}
END
} >"$tmp/in"
is "$(moved)" "web: berlin>paris" "needs.spread: on different networks"

# --- refusals

cat >"$tmp/in" <<'END'
{"kind":"node","name":"a","geo":{"lat":48,"lon":11}}
{"kind":"node","name":"b","geo":{"lat":50,"lon":11}}
{"kind":"node","name":"c","geo":{"lat":51,"lon":11}}
{"kind":"service","id":"00000000000000a0","name":"web","node":"a"}
{"kind":"user","addr":"192.0.2.1","service":"web","demand":9,"geo":{"lat":50,"lon":11}}
END
is "$(moved)" "web: a>b" "the best node"
echo '{"kind":"move","action":"stay","service":"web","id":"00000000000000a0","from":"a","to":"b","refusals":[{"check":"space","why":"no room"}]}' >>"$tmp/in"
is "$(moved | sed 's/.*; //')" "web: a>c" "... and the next best, if it has refused"
is "$(edge-place --explain web <"$tmp/in" | tail -n 1)" "  b                    no: has refused it: no room" "... which is said"

vine 0.5 "$at_munich" "$(group munich 160 37.4 -122.1)" '{"kind":"node","name":"west","geo":{"lat":37.5,"lon":-121},"cpu":{"cores":4,"use":0}}' >"$tmp/in"
is "$(near_moves)" "replicate munich>view; redirect munich>view; " "nearest: a new one at the nearest node"
echo '{"kind":"move","action":"stay","service":"httpd","from":"munich","to":"view","refusals":[{"check":"start","why":"no room"}]}' >>"$tmp/in"
is "$(near_moves)" "stay munich>view; replicate munich>west; redirect munich>west; " "... and at the next best, if it could not be started there"
echo "$at_view" >>"$tmp/in"
is "$(edge-place <"$tmp/in" | jq -c 'select(.kind == "move" and .from == "view")')" "" "... but what is there all the same is not driven away"
vine 0.5 "$at_munich" "$at_view" "$(group munich 160 37.39 -122.08)" '{"kind":"node","name":"west","geo":{"lat":37.5,"lon":-121},"cpu":{"cores":4,"use":0}}' \
	'{"kind":"service","id":"00000000000000d0","name":"httpd","node":"west"}' >"$tmp/in"
is "$(near_moves)" "redirect munich>view; terminate west>; " "users go to the nearest instance"
echo '{"kind":"move","action":"stay","service":"httpd","to":"view","refusals":[{"check":"start","why":"too many"}]}' >>"$tmp/in"
is "$(near_moves)" "stay >view; redirect munich>west; terminate view>; " "... and to the next best, if that refuses"

# --- what is old

seen() { printf '"seen":"2026-01-01T00:%s:00Z"' "$1"; }
cat >"$tmp/in" <<END
{"kind":"node","name":"a","geo":{"lat":48,"lon":11},"users_max":9,$(seen 09)}
{"kind":"node","name":"b","geo":{"lat":50,"lon":11},"users_max":9,$(seen 09)}
{"kind":"node","name":"c","geo":{"lat":51,"lon":11},"users_max":9,$(seen 01)}
{"kind":"service","name":"web","node":"a"}
{"kind":"user","addr":"192.0.2.1","service":"web","demand":9,"geo":{"lat":51,"lon":11},$(seen 09)}
{"kind":"user","addr":"192.0.2.2","service":"web","demand":99,"geo":{"lat":48,"lon":11},$(seen 02)}
END
old=(--stale 300 --now 2026-01-01T00:10:00Z)
is "$(moved)" "" "without --stale, users of any age are believed"
is "$(moved "${old[@]}") $(said)" "web: a>b 0 edge-place: latencies, users and groups older than 300 s: 1 not used" \
	"with it, who was seen too long ago does not count, and no old node gets anything"
sed -i '/"kind":"service"/d' "$tmp/in" # every node may serve
is "$(moved --users "${old[@]}")" "web: >b" "... nor serves anybody"

# --- engines

printf '%s\n' '{"kind":"node","name":"a","geo":{"lat":48,"lon":11}}' '{"kind":"node","name":"b","geo":{"lat":50,"lon":11}}' \
	'{"kind":"service","name":"db","node":"a","engine":"containerd"}' '{"kind":"service","name":"own","node":"a","engine":"process"}' \
	'{"kind":"user","addr":"192.0.2.1","service":"db","geo":{"lat":50,"lon":11}}' \
	'{"kind":"user","addr":"192.0.2.1","service":"own","geo":{"lat":50,"lon":11}}' >"$tmp/in"
is "$(moved)" "own: a>b" "what edge-migrate cannot move stays"
is "$(edge-place --explain db <"$tmp/in" | tail -n 1)" "  b                    no: containerd services cannot be moved" "... which is said"

# --- what makes no sense

refused() { # STATUS MESSAGE NAME OPTION...
	local status=$1 message=$2 name=$3
	shift 3
	place "$@"
	is "$(said)" "$status edge-place: $message" "$name"
}
refused 64 "--policy: best: no such policy" "a policy that there is not" -p best
refused 64 "--weights: speed: not one of latency, score, load, energy, price, traffic, move" "a weight that there is not" -w speed=1
refused 64 "--weights: load: not a number from 0 on" "a weight that is none" -w load=-1
refused 64 "--what-if: node moon: no record of it" "a question about a node that there is not" --what-if 'node moon fails'
refused 64 '--follow: with --users, without --dry-run, --what-if and --simulate' "following without users" --follow
refused 64 '--what-if: the sun explodes: not "node NAME fails", "node NAME fills", "users xN" or "users xN at LAT,LON [within KM]"' "a question in other words" --what-if 'the sun explodes'
refused 64 "--log: without --users, --dry-run, --what-if and --simulate" "a log of what is only supposed" --log "$tmp/none" --dry-run
refused 65 "service sun: no record of it running" "a service that there is not" --explain sun
echo '{"kind":"node"' >"$tmp/in"
refused 65 "stdin: line 1: not JSON: unfinished, at column 15" "what is not JSON"
: >"$tmp/in"
is "$(moved) $(said)" " 0 " "nothing from nothing"

# --- size

perl -e '
	printf qq({"kind":"node","name":"n%d","cpu":{"cores":4,"score":1000},"mem":{"available_bytes":6000000000},"geo":{"lat":%.3f,"lon":%.3f}}\n), $_, $_ % 20, $_ % 13 for 1 .. 100;
	printf qq({"kind":"service","name":"s%d","node":"n%d","usage":{"cpu":0.1,"mem_bytes":1000000}}\n), $_, 1 + $_ % 9 for 1 .. 300;
	printf qq({"kind":"user","addr":"10.1.%d.%d","service":"s%d","demand":%d,"geo":{"lat":%.3f,"lon":%.3f}}\n), $_ >> 8, $_ & 255, 1 + $_ % 300, $_ % 90, $_ % 17, $_ % 11 for 1 .. 3000' >"$tmp/in"
place --budget-steps 100000
cp "$tmp/out" "$tmp/first"
place --budget-steps 100000
is "$(cmp "$tmp/first" "$tmp/out")" "" "the same input and steps give the same output"
is "$(plan unplaced) $(tail -n +3401 "$tmp/out" | tests/schema/check 2>&1)" "0 " "... as the schemas say"
echo "1..$count"
exit $failed
