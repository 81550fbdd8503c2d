#!/bin/bash
# SPDX-License-Identifier: MIT
# edge-score: what passes, what is added behind it, by which model, and what it says of records that make no sense.
bin=$(realpath "${EDGE_BIN:-$(dirname "$0")/../../build/bin}")
cd "$(dirname "$0")/../.." || exit 1
export PATH=$bin:$PATH
if ! command -v edge-score >/dev/null; then echo '1..0 # SKIP the programs are not built'; exit 0; fi
tmp=$(mktemp -d /tmp/edge-score.XXXXXX)
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
score() { edge-score "$@" <"$tmp/in" >"$tmp/out" 2>"$tmp/err"; echo $? >"$tmp/status"; }
# "speech: server 1.5, device -2, laptop ?, tiny -arch-memory; chatter: ..." of what was added
scores() {
	perl -MJSON::PP -ne '
		my $r = eval { decode_json($_) } or next;
		next if $r->{kind} ne "score";
		my $s = $r->{eligible} ? $r->{score} // "?" : join "", map { "-$_->{check}" } @{ $r->{refusals} };
		$of{ $r->{service} } // push @names, $r->{service};
		push @{ $of{ $r->{service} } }, "$r->{node} $s";
		END { print join "; ", map { "$_: " . join ", ", @{ $of{$_} } } @names }' "$tmp/out"
}
scored() { score "$@"; scores; }
said() { echo "$(cat "$tmp/status") $(cat "$tmp/err")"; }

# The machines of Georgiou 2018, table 5.2, with PassMark marks of these models, rounded (the document prints none). Its speech service, and
# one that its application does not have, which talks much and computes next to nothing.
cat >"$tmp/machines" <<'END'
{"kind":"node","name":"laptop","role":"client","arch":"x86_64","cpu":{"cores":1,"score":1280},"mem":{"available_bytes":1000000000},"seen":"2026-01-01T00:00:00Z"}
{"kind":"node","name":"device","arch":"x86_64","cpu":{"cores":4,"score":1330},"mem":{"available_bytes":6000000000},"seen":"2026-01-01T00:01:00Z"}
{"kind":"node","name":"server","arch":"x86_64","cpu":{"cores":8,"score":1250},"mem":{"available_bytes":6000000000},"seen":"2026-01-01T00:02:00Z"}
{"kind":"node","name":"tiny","arch":"armv7l","cpu":{"cores":1,"score":300},"mem":{"available_bytes":20000000},"seen":"2026-01-01T00:02:00Z"}
{"kind":"latency","from":"laptop","to":"device","rtt_ms":{"mean":3}}
{"kind":"latency","from":"laptop","to":"server","rtt_ms":{"mean":10}}
{"kind":"latency","from":"laptop","to":"tiny","rtt_ms":{"mean":5}}
END
cat >"$tmp/services" <<'END'
{"kind":"service","id":"00000000000000a1","name":"speech","node":"laptop","type":"stateful","needs":{"arch":["x86_64"]},"usage":{"cpu":0.85,"mem_bytes":325000000,"net_bps":40000}}
{"kind":"service","name":"chatter","node":"laptop","usage":{"cpu":0.001,"mem_bytes":10000000,"net_bps":80000}}
{"kind":"service","name":"gone","node":"laptop","state":"stopped"}
END
cat "$tmp/machines" "$tmp/services" >"$tmp/in"

# --- what passes

score
is "$(head -n 10 "$tmp/out")" "$(cat "$tmp/in")" "all records pass, in order"
is "$(said)" "0 " "... and nothing is said"
printf '%s\n' '{"kind":"other",  "x" : 1e3}' '' '   ' '{"y":[1, 2]}' '{"kind":7}' '{ "kind" : "node" , "name":"\u0061" } ' >"$tmp/in"
printf '{"kind":"last"}' >>"$tmp/in"
score
is "$(cat "$tmp/out")" "$(grep . "$tmp/in" | grep -v '^ *$')" "what is not its own passes byte for byte, without blank lines"
is "$(scores)" "" "without services there are no scores"
after() { for _ in {1..200}; do [[ ! -e $1 ]] || return 0; sleep 0.1; done; } # FILE: is there, or will not be
is "$( (echo '{"kind":"a"}'; after "$tmp/read"; echo '{"kind":"b"}') | edge-score 2>/dev/null |
	(read -r -t 15 line; touch "$tmp/read"; echo "$line"; cat >/dev/null))" '{"kind":"a"}' \
	"a record does not wait for the next one"

# --- the document's model

cat "$tmp/machines" "$tmp/services" >"$tmp/in"
is "$(scored)" "speech: server 578.4521, device 268.0981, laptop 0, tiny -arch-memory; chatter: laptop 0, device -0.05059153, server -0.5394718, tiny -0.6869234" \
	"the document's model: speech is best at the edge server, what talks much and computes little where it is"
is "$(sed -n '11p' "$tmp/out")" '{"kind":"score","service":"speech","id":"00000000000000a1","node":"server","model":"offload","eligible":true,"score":578.4521,"parts":{"cpu":579.0625,"network":-0.6103609}}' \
	"a score record"
is "$(sed -n '14p' "$tmp/out")" '{"kind":"score","service":"speech","id":"00000000000000a1","node":"tiny","model":"offload","eligible":false,"refusals":[{"check":"arch","why":"needs x86_64, is armv7l"},{"check":"memory","why":"needs 325 MB, available 20 MB"}]}' \
	"a refusal with all its reasons"
is "$(grep '"score"' "$tmp/out" | tests/schema/check 2>&1)" "" "they are as their schema says"
is "$(scored --prune --top 2)" "speech: server 578.4521, device 268.0981; chatter: laptop 0, device -0.05059153" "pruned, and the best two"
is "$(scored --top 9 | sed 's/;.*//')" "speech: server 578.4521, device 268.0981, laptop 0" "--top keeps only what is eligible"
is "$(scored --where '.cpu.cores > 1' | sed 's/;.*//')" "speech: server 578.4521, device 268.0981" "only nodes that --where wants"
sed -i 's/"name":"chatter","node":"laptop"/"name":"chatter"/' "$tmp/in"
is "$(scored | sed 's/.*;//')" " chatter: device ?, server ?, tiny ?, laptop -role" "where a service is must be known"
is "$(scored --local laptop | sed 's/.*;//')" " chatter: laptop 0, device -0.05059153, server -0.5394718, tiny -0.6869234" "... or be told"

# Its experiment: all three services of the application were offloaded to the edge server. It prints neither their use nor their traffic: use
# is as in its figure of their parts of the execution time, roughly; the sender hands on the same sound files (1.4 to 5 MB a minute or two).
cat "$tmp/machines" - >"$tmp/in" <<'END'
{"kind":"service","name":"speech","node":"laptop","usage":{"cpu":0.85,"mem_bytes":325000000,"net_bps":40000}}
{"kind":"service","name":"translation","node":"laptop","usage":{"cpu":0.1,"mem_bytes":215000000,"net_bps":1000}}
{"kind":"service","name":"sender","node":"laptop","usage":{"cpu":0.03,"mem_bytes":30000000,"net_bps":80000}}
END
is "$(scored --top 1)" "speech: server 578.4521; translation: server 68.10974; sender: server 19.21678" \
	"the document's experiment: all three services of its application go to the edge server"

# --- others

cat "$tmp/machines" "$tmp/services" >"$tmp/in"
is "$(scored -m '.node.cpu.cores * 2' | sed 's/;.*//')" "speech: server 16, device 8, laptop 2, tiny -arch-memory" "a jq program"
is "$(scored -m '.latency.rtt_ms.mean' | sed 's/;.*//')" "speech: server 10, device 3, laptop -model, tiny -arch-memory" "... null refuses"
printf '%s\n' '{"kind":"latency","from":"laptop","to":"server","method":"predicted","rtt_ms":{"mean":1}}' >>"$tmp/in"
is "$(scored -m '.latency.rtt_ms.mean' | sed 's/;.*//')" "speech: server 10, device 3, laptop -model, tiny -arch-memory" "... what was measured stays, whatever is estimated later"
printf '%s\n' '{"kind":"service","id":"00000000000000a1","name":"speech","node":"laptop","epoch":'{2,1}'}' >>"$tmp/in"
is "$(scored -m .service.epoch | sed 's/;.*//')" "speech: laptop 2, device 2, server 2, tiny 2" "... and a service what its newest record tells"
cat "$tmp/machines" "$tmp/services" >"$tmp/in"
score -m 'if .service.name == "speech" then "not today" else (.users | length) end'
is "$(sed -n 11p "$tmp/out")" '{"kind":"score","service":"speech","id":"00000000000000a1","node":"laptop","model":"jq","eligible":false,"refusals":[{"check":"model","why":"not today"}]}' \
	"... text refuses, too"
is "$(said)" "1 edge-score: service speech: no node will do: arch 1, memory 1, model 3" "a service without a node is told, with the reasons counted"
score -m '.node.name + 1'
is "$(grep -o 'jq: [^"]*' "$tmp/out" | head -n 1)" 'jq: string (\' "... a program that fails refuses, with jq's words"
is "$(scored --weights offload=1,load=1 | sed 's/;.*//')" "speech: server 50, device 23.17375, laptop 0, tiny -arch-memory" "a blend"
is "$(scored --stale 60 --now 2026-01-01T00:02:00Z | sed 's/;.*//')" "speech: server 578.4521, device 268.0981, laptop -stale, tiny -arch-memory" \
	"nodes that were not seen lately"
sed -i 's/"to":"server",/&"seen":"2026-01-01T00:00:59Z",/' "$tmp/in"
is "$(scored --stale 61 --now 2026-01-01T00:02:01Z | sed 's/;.*//')" "speech: device 268.0981, server ?, laptop -stale, tiny -arch-memory" \
	"latencies that are too old are not used"
is "$(said)" "0 edge-score: latencies, users and groups older than 61 s: 1 not used" "... which is told"
cat "$tmp/machines" - >"$tmp/in" <<'END'
{"kind":"service","name":"web","node":"laptop","needs":{"rtt_ms":40}}
{"kind":"user","addr":"10.0.0.1","service":"web","node":"laptop","rtt_ms":{"p50":30}}
{"kind":"user","addr":"10.0.0.2","service":"web","node":"laptop","rtt_ms":{"p50":32}}
END
is "$(scored -m latency)" "web: laptop 20, device 12.5, tiny 7.5, server -latency" "the users' latency, by way of where they are served now"
is "$(scored -m latency --quantile 0.5)" "web: laptop 25, device 17.5, tiny 12.5, server 0" "... the median user"

# Tufail 2018, scenario I of algorithm I: a red node's services, each of 10 %, go to the least used green node of the same
# network, else of another, else to the cloud; green is under 50 % with the service. (The use of lab4 is not printed there.)
rescue='if .node.role == "cloud" then 0
	elif .node.cpu.use + .service.profile.cpu >= 0.5 then "red"
	else (if .node.network == "net1" then 200 else 100 end) - 100 * .node.cpu.use end'
uses() { # of vrone, lab4
	printf '{"kind":"node","name":"%s","role":"edge","network":"%s","cpu":{"use":%s}}\n' lab3 net1 0.6 vrone net1 "$1" lab4 net2 "$2"
	echo '{"kind":"node","name":"mec","role":"cloud","network":"net3"}'
	echo '{"kind":"service","name":"app","node":"lab3","profile":{"cpu":0.1}}'
}
uses 0.38 0.38 >"$tmp/in"
is "$(scored --model "$rescue")" "app: vrone 162, lab4 62, mec 0, lab3 -model" "another document's model, in jq: app-1 goes to vrone"
uses 0.48 0.38 >"$tmp/in"
is "$(scored --model "$rescue")" "app: lab4 62, mec 0, lab3 -model, vrone -model" "... then app-2 to lab4"
uses 0.48 0.48 >"$tmp/in"
is "$(scored --model "$rescue")" "app: mec 0, lab3 -model, vrone -model, lab4 -model" "... and app-3 to the cloud"

# --- records that make no sense

cat "$tmp/machines" "$tmp/services" - >"$tmp/in" <<'END'
{"kind":"node","name":"bad","mem":{"available_bytes":-1}}
{"kind":"user","service":"speech","geo":{"lat":99,"lon":0}}
{"kind":"node","name":"device"}
END
is "$(scored | sed 's/;.*//')" "speech: server 578.4521, laptop 0, device -arch-memory, tiny -arch-memory" \
	"a record that makes no sense is not used, of two of one node the later counts"
is "$(said)" "1 edge-score: stdin: line 11: node bad: mem.available_bytes: -1: not from 0 to 1e+18
edge-score: stdin: line 12: user: geo.lat: 99: not from -90 to 90" "... and told with its line"
is "$(head -n 13 "$tmp/out")" "$(cat "$tmp/in")" "... but passes"
refused() { # STATUS MESSAGE NAME OPTION...
	local status=$1 message=$2 name=$3
	shift 3
	score "$@"
	is "$(said)" "$status edge-score: $message" "$name"
}
echo '{"kind":"node","name":"a"}' >"$tmp/in"
refused 64 "model loda: none of ours: not a jq program: loda/0 is not defined" "a model that there is not" -m loda
refused 64 "--where: not a jq program: syntax error, unexpected '|' (Unix shell quoting issues?)" "a wrong program" --where '.a||.b'
refused 64 "blend: needs --weights" "a blend of nothing" -m blend
refused 64 "--weights: only for the blend" "weights of one model" -m load -w cost=1
refused 64 "weight speed: no such model" "a weight of none" -w speed=1
refused 64 "--now: not a time as 2026-01-01T00:00:00Z" "a time that is none" --now yesterday
refused 64 "--quantile is from 0 to 1, --bound over 0, --top at least 1" "a quantile that is none" --quantile 95
refused 64 "a: no operand is taken (see edge-score --help)" "an operand" a
printf '%s\n' '{"kind":"node","name":"a"}' '' '{"kind":"node","name":}' >"$tmp/in"
refused 65 "stdin: line 3: not JSON: invalid literal, at column 23" "what is not JSON ends it, with its line"
for bad in '[1]' '1' '"x"' 'null'; do
	echo "$bad" >"$tmp/in"
	refused 65 "stdin: line 1: not a JSON object" "so does $bad"
done
perl -e 'print "{\"a\":", "[" x 100, "]" x 100, "}\n"' >"$tmp/in"
refused 65 "stdin: line 1: not JSON: deeper than 64 levels, at column 69" "so does a deep one"
perl -e 'print "{\"a\":\"", "x" x 17e6, "\"}\n"' >"$tmp/in"
refused 65 "stdin: line 1: longer than 16 MB" "so does a long one"
echo '{"kind":"node","name":"a"}' >"$tmp/in"
edge-score <"$tmp/in" >/dev/full 2>"$tmp/err"
is "$? $(cat "$tmp/err")" "74 edge-score: cannot write: No space left on device" "output that cannot be written"
is "$(scored --where '.x + {} | .y')" "" "a --where that finds nothing"
is "$(scored --where '.name + 1')" "" "a --where that fails"
is "$(said | sed 's/:  *jq: .*/: jq: .../')" "1 edge-score: --where: node a: jq: ..." "... is told"

# --- size

perl -e '
	printf qq({"kind":"node","name":"n%d","cpu":{"cores":4,"score":1000},"mem":{"available_bytes":6000000000}}\n), $_ for 1 .. 300;
	printf qq({"kind":"service","name":"s%d","node":"n%d","usage":{"cpu":0.1,"mem_bytes":1000000}}\n), $_, $_ for 1 .. 100;
	printf qq({"kind":"user","addr":"10.1.%d.%d","service":"s%d","node":"n1","rtt_ms":{"p50":%d}}\n), $_ >> 8, $_ & 255, 1 + $_ % 100, $_ % 90 for 1 .. 20000' >"$tmp/in"
score --top 1 -m latency
is "$(cat "$tmp/status") $(wc -l <"$tmp/out")" "0 20500" "300 nodes, 100 services and 20,000 users"
is "$(head -n 20400 "$tmp/out" | cmp - "$tmp/in")" "" "... all of which pass"
echo "1..$count"
exit $failed
