#!/bin/bash
# SPDX-License-Identifier: MIT
# edge-place: who goes first, who goes together, what a move is predicted to take, and traces.
bin=$(realpath "${EDGE_BIN:-$(dirname "$0")/../../build/bin}")
cd "$(dirname "$0")/../.." || exit 1
export PATH=$bin:$PATH
if ! command -v edge-place >/dev/null; then echo '1..0 # SKIP the programs are not built'; exit 0; fi
tmp=$(mktemp -d /tmp/edge-plan.XXXXXX)
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
# "migrate web x>y; ...", with the latitude of groups: the moves in their order
moves() {
	place "$@"
	jq -r 'select(.kind == "move") | "\(.action) \(.service)\(.group.lat // "" | if . == "" then "" else "@\(.)" end) \(.from // "")>\(.to // "")"' "$tmp/out" |
		paste -sd';' | sed 's/;/; /g'
}
said() { echo "$(cat "$tmp/status") $(cat "$tmp/err")"; }

# --- the worst served first

vine() { # MEMBERS-OF-GARCHING USE-OF-MUNICH RECORDS...
	printf '{"kind":"node","name":"%s","geo":{"lat":%s,"lon":%s},"cpu":{"cores":4,"use":%s}%s}\n' munich 48.14 11.58 "$2" '' \
		garching 48.25 11.65 0 "$1" view 37.39 -122.08 0 ''
	shift 2
	printf '%s\n' "$@"
}
runs() { # NODE ID
	echo "{\"kind\":\"service\",\"id\":\"00000000000000$2\",\"name\":\"httpd\",\"node\":\"$1\",\"wants\":{\"rtt_ms\":30},\"profile\":{\"cpu\":2}}"
}
group() { # NODE P50 LAT LON
	echo "{\"kind\":\"group\",\"service\":\"httpd\",\"node\":\"$1\",\"users\":10,\"rtt_ms\":{\"p50\":$2},\"geo\":{\"lat\":$3,\"lon\":$4}}"
}
# The middle one is served worst; Garching can serve ten users.
vine ',"users_max":10' 0 "$(runs view a0)" "$(runs garching b0)" "$(group view 100 48.1 11.5)" "$(group view 180 48.2 11.6)" "$(group view 140 48.3 11.7)" \
	>"$tmp/in"
is "$(moves -p nearest -n 1)" "redirect httpd@48.2 view>garching" "with one move, the group that is served worst gets it"
is "$(moves -p nearest | sed 's/;.*//')" "redirect httpd@48.2 view>garching" "... and what room there is"
vine '' 0.62 "$(runs munich a0)" "$(group munich 5 48.1 11.5)" "$(group munich 25 48.2 11.6)" "$(group munich 12 48.1 11.6)" | sed 's/"profile":{"cpu":2}/"usage":{"cpu":0.5}/' >"$tmp/in"
is "$(moves -p nearest -l 60)" "replicate httpd munich>garching; redirect httpd@48.2 munich>garching" \
	"users that are served badly leave a node that has too much first, and no more than have to"

# --- spread

cat >"$tmp/in" <<'END'
{"kind":"node","name":"a1","network":"a","cpu":{"cores":8,"use":0.1}}
{"kind":"node","name":"a2","network":"a","cpu":{"cores":8,"use":0}}
{"kind":"node","name":"b1","network":"b","cpu":{"cores":8,"use":0.5}}
{"kind":"node","name":"b2","network":"b","cpu":{"cores":8,"use":0.3}}
{"kind":"node","name":"c1","network":"c","cpu":{"cores":8,"use":0.6}}
{"kind":"service","id":"00000000000000a0","name":"web","profile":{"cpu":0.8}}
{"kind":"service","id":"00000000000000a1","name":"web","profile":{"cpu":0.8}}
{"kind":"service","id":"00000000000000a2","name":"web","profile":{"cpu":0.8}}
{"kind":"service","id":"00000000000000a3","name":"web","profile":{"cpu":0.8}}
{"kind":"service","name":"db","profile":{"cpu":0.8}}
END
is "$(moves -p spread)" "start web >a2; start web >b2; start web >c1; start web >a1; start db >a2" \
	"spread: instances on different networks, then on different nodes, each the least used; what is alone on the least used"
sed -i 's/"name":"web"/&,"node":"a1"/; s/"name":"db"/&,"node":"c1"/' "$tmp/in"
is "$(moves -p spread)" "migrate web a1>b2; migrate web a1>c1; migrate web a1>a2; migrate db c1>a2" "... to which those that run go, too, but for one"

# --- processors by their scores

cat >"$tmp/in" <<'END'
{"kind":"node","name":"home","geo":{"lat":60,"lon":11},"cpu":{"cores":4,"score":1000}}
{"kind":"node","name":"slow","geo":{"lat":48,"lon":11},"cpu":{"cores":3,"score":500}}
{"kind":"node","name":"quick","geo":{"lat":49,"lon":11},"cpu":{"cores":1.1,"score":2000}}
{"kind":"service","name":"web","node":"home","usage":{"cpu":0.5,"mem_bytes":1000}}
{"kind":"user","addr":"192.0.2.1","service":"web","demand":10,"geo":{"lat":48,"lon":11}}
END
is "$(moves)" "migrate web home>quick" "two busy cores are four of half the score, which are not there, and one of twice the score"
is "$(edge-place --explain web <"$tmp/in" | sed -n 's/.*no: //p')" "too little: processors: needs 4, has 3" "... which is told"

# --- what a move takes

pair() { # FAR NEAR SERVICE: more members
	cat - <<END
{"kind":"node","name":"far","geo":{"lat":52,"lon":13}$1}
{"kind":"node","name":"near","geo":{"lat":48,"lon":11}$2}
{"kind":"service","name":"web","node":"far","usage":{"mem_bytes":64000000}$3}
{"kind":"user","addr":"192.0.2.1","service":"web","demand":10,"geo":{"lat":48,"lon":11}}
END
}
predicted() { edge-place | jq -c 'select(.kind == "move") | .predicted + {gain}'; }
with() { # JQ: of the moves with these names
	jq -cn "def near(a; b): (a - b | fabs) <= 0.01 * b; [inputs] as [\$nothing, \$plain, \$twice, \$files, \$slow, \$back, \$stateless] | $1" "$tmp/predicted"
}
{ # of nothing, of 64 MB and of twice that; with files; by a slow link, too; to where the files are still, by another; stateless
	pair '' '' '' | sed 's/64000000/0/' | predicted
	pair '' '' '' | predicted
	pair '' '' '' | sed 's/64000000/128000000/' | predicted
	pair '' '' ',"size_bytes":36000000' | predicted
	pair ',"net_bps":1000000' '' ',"size_bytes":36000000' | predicted
	pair ',"net_bps":8000000' ',"net_bps":2000000' ',"size_bytes":36000000,"moved_from":"near"' | predicted
	pair '' '' ',"type":"stateless"' | predicted
} >"$tmp/predicted"
is "$(with '[$nothing, $plain, $twice, $files, $slow, $back, $stateless] | map(.bytes)')" "[0,64000000,128000000,100000000,100000000,64000000,64000000]" \
	"a move brings memory and files, but not those that are still there"
# 36 MB more at 1 Gbit/s; 100 MB at 1 MB/s instead; 64 MB at 2 MB/s instead
is "$(with '[$files.transfer_ms - $plain.transfer_ms > 270, near($slow.transfer_ms - $files.transfer_ms; 99200),
	near($back.transfer_ms - $plain.transfer_ms; 31488)]')" "[true,true,true]" "... over the slower link of both, 1 Gbit/s where none is told"
is "$(with '[$plain.pause_ms > $nothing.pause_ms, near($twice.pause_ms - $nothing.pause_ms; 2 * ($plain.pause_ms - $nothing.pause_ms)), $files.pause_ms == $plain.pause_ms]')" \
	"[true,true,true]" "a pause grows with memory, and not with files"
is "$(with '[near($plain.break_even_s; $plain.pause_ms * 10 / $plain.gain), near($twice.break_even_s; $twice.pause_ms * 10 / $twice.gain)]')" "[true,true]" \
	"it is made up for when the ten users have gained as much"
is "$(with '$stateless | [.pause_ms, .break_even_s]')" "[0,0]" "what is stateless does not pause"

# --- which moves

cat >"$tmp/in" <<'END'
{"kind":"node","name":"far","geo":{"lat":52,"lon":13}}
{"kind":"node","name":"mid","geo":{"lat":48.5,"lon":11}}
{"kind":"node","name":"near","geo":{"lat":48,"lon":11}}
{"kind":"service","name":"little","node":"far"}
{"kind":"service","name":"much","node":"far"}
{"kind":"service","name":"some","node":"far"}
{"kind":"service","name":"close","node":"mid"}
{"kind":"user","addr":"192.0.2.1","service":"little","demand":1,"geo":{"lat":48,"lon":11}}
{"kind":"user","addr":"192.0.2.2","service":"much","demand":100,"geo":{"lat":48,"lon":11}}
{"kind":"user","addr":"192.0.2.3","service":"some","demand":10,"geo":{"lat":48,"lon":11}}
{"kind":"user","addr":"192.0.2.4","service":"close","demand":20,"geo":{"lat":44,"lon":11}}
END
all="migrate much far>near; migrate some far>near; migrate close mid>near; migrate little far>near"
is "$(moves)" "$all" "the move that gains most is the first, wherever its record stands"
for n in 1 2 3; do
	is "$(moves -n $n)" "$(cut -d';' -f1-$n <<<"$all")" "... with at most $n, the best"
done
is "$(moves -m 20)" "${all/ migrate close mid>near;/}" "who would have an RTT less by a ninth stays with a margin of a fifth"
is "$(moves -m 20 -n 3)" "${all/ migrate close mid>near;/}" "... and leaves its turn to others"
is "$(moves -m 10 | tr -d ';' | xargs -n 3 | sort)" "$(tr -d ';' <<<"$all" | xargs -n 3 | sort)" "... with one of a tenth it goes"

# --- chains

chain() { # SERVICE-MEMBERS USERS MEMBERS-OF-BACK: front talks to middle, and that to back; x, y, z in a line, users at z
	printf '{"kind":"node","name":"%s","geo":{"lat":%s,"lon":11},"cpu":{"cores":4}}\n' x 48 y 52 z 56
	printf '{"kind":"service","name":"%s","profile":{"cpu":1}%s%s}\n' front "$1" ',"peers":[{"service":"middle","net_bps":6553500}]' \
		middle "$1" ',"peers":[{"service":"back","net_bps":6553500}]' back "$1" "$3"
	echo "{\"kind\":\"user\",\"addr\":\"192.0.2.1\",\"service\":\"front\",\"demand\":$2,\"geo\":{\"lat\":56,\"lon\":11}}"
}
ends() { # where all are then
	place
	jq -rs '(map(select(.kind == "service") | {(.name): .node}) | add) + (map(select(.kind == "move" and .action != "stay") | {(.service): .to}) | add) |
		to_entries | map("\(.key):\(.value)") | join(" ")' "$tmp/out"
}
chain '' 10 '' >"$tmp/in"
is "$(ends)" "front:z middle:z back:z" "a chain of three is started together, near its users"
for users in 10 200 10000; do
	chain ',"node":"x"' $users '' >"$tmp/in"
	is "$(ends) $(jq 'select(.kind == "plan") | .withheld' "$tmp/out")" "front:z middle:z back:z 0" \
		"... and goes together where $users users are, though none gains by going without the next"
done
is "$(tail -n 4 "$tmp/out" | tests/schema/check 2>&1)" "" "... as the schemas say"
chain ',"node":"x"' 10 ',"needs":{"node":"x"}' >"$tmp/in"
is "$(moves)" "" "with one that has to stay, a few users do not tear it"
chain ',"node":"x"' 10000 ',"needs":{"node":"x"}' >"$tmp/in"
is "$(ends | cut -d' ' -f1,3)" "front:z back:x" "... but many do"
chain ',"node":"x"' 50 '' | sed '3s/"cores":4/"cores":2/' >"$tmp/in"
is "$(ends)" "front:y middle:y back:y" "where not all of it has room, it goes to where it has, together"

# --- traces

cat >"$tmp/day" <<'END'
{"kind":"node","name":"a","at":"2026-01-01T00:00:00Z","cpu":{"cores":4,"score":1000},"geo":{"lat":48,"lon":11},"power":{"idle_w":50,"max_w":150}}
{"kind":"node","name":"b","cpu":{"cores":8,"score":1000},"geo":{"lat":57,"lon":11},"power":{"idle_w":50,"max_w":150}}
{"kind":"service","name":"w","node":"a","usage":{"cpu":0.5,"mem_bytes":1000000},"wants":{"rtt_ms":10}}
{"kind":"user","addr":"192.0.2.1","service":"w","demand":100,"geo":{"lat":57,"lon":11}}
{"kind":"end","at":"2026-01-01T00:30:00Z"}
END
cat >"$tmp/evening" <<'END'
{"kind":"node","name":"b","state":"failed","at":"2026-01-01T00:30:01Z"}
{"kind":"end","at":"2026-01-01T01:00:00Z"}
END
edge-place --simulate -p optimal,greedy,nearest "$tmp/day" "$tmp/evening" >"$tmp/out" 2>"$tmp/err"
is "$? $(cat "$tmp/err")" "0 " "a trace of two files, for three policies"
is "$(tests/schema/check <"$tmp/out" 2>&1)" "" "... one record for each, as the schema says"
is "$(jq -c '[.policy, .begin, .end, .decisions, .moves, .starts]' "$tmp/out")" '["optimal","2026-01-01T00:00:00Z","2026-01-01T01:00:00Z",60,1,1]
["greedy","2026-01-01T00:00:00Z","2026-01-01T01:00:00Z",60,1,1]
["nearest","2026-01-01T00:00:00Z","2026-01-01T01:00:00Z",60,0,0]' "... with what each would have done"
is "$(cat "$tmp/day" "$tmp/evening" | edge-place --simulate -p optimal,greedy,nearest | cmp - "$tmp/out")" "" "... the same as from standard input"
is "$(edge-place --simulate -p optimal --every 600 "$tmp/day" | jq .decisions)" 3 "... deciding as often as is asked"
is "$(edge-place --simulate -p optimal --dry-run "$tmp/day" "$tmp/evening" | cut -d: -f1-5 | head -n 2)" \
	"2026-01-01T00:00:00Z optimal: w migrate a -> b: users' RTT 0 ms, was 20.02 ms
2026-01-01T00:31:00Z optimal: w start - -> a: has no node" "--dry-run tells each move"
simulated() { # STATUS MESSAGE NAME ARG...
	local status=$1 message=$2 name=$3
	shift 3
	edge-place --simulate "$@" <"$tmp/day" >"$tmp/out" 2>"$tmp/err"
	echo $? >"$tmp/status"
	is "$(said)" "$status edge-place: $message" "$name"
}
simulated 69 "$tmp/none: No such file or directory" "a file that there is not" "$tmp/day" "$tmp/none"
simulated 64 "--policy: best: no such policy" "one policy of several that there is not" -p optimal,best
simulated 64 "--policy: none" "no policy" -p ''
simulated 64 "--policy: more than 8" "too many" -p pack,pack,pack,pack,pack,pack,pack,pack,pack
simulated 64 "--simulate: without --users, --explain and --what-if, and --every over 0" "never a decision" --every 0
simulated 1 "$tmp/day: line 1: 3600 s earlier than the record before it
edge-place: $tmp/day: line 5: 1800 s earlier than the record before it" "time that goes back" "$tmp/evening" "$tmp/day"
echo '{"kind":"node","name":"a"' >"$tmp/bad"
simulated 65 "$tmp/bad: line 1: not JSON: unfinished, at column 26" "what is not JSON, with its file" "$tmp/day" "$tmp/bad"
echo '{"kind":"node","name":"a","at":"2026-01-01T00:00:00Z"}' >"$tmp/short"
simulated 65 "the trace: no time passes in it" "a trace of a moment" "$tmp/short"

# --- what makes no sense

printf '%s\n' '{"kind":"node","name":"a","power":{"idle_w":90,"max_w":40}}' '{"kind":"service","name":"w","node":"a","needs":{"min":3,"max":2}}' >"$tmp/in"
place
is "$(said)" "1 edge-place: stdin: line 1: node a: power.max_w: less than power.idle_w
edge-place: stdin: line 2: service w: needs.min: more than needs.max" "what contradicts itself is told, and not used"
echo "1..$count"
exit $failed
