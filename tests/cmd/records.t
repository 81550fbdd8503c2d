#!/bin/bash
# SPDX-License-Identifier: MIT
# Every record that a program prints is as its schema says, and the manual names all that the schemas name.
# shellcheck source=tests/move/lib.sh
. "$(dirname "$0")/../move/lib.sh"
need perl python3
schema=tests/schema

conforms() { # KIND...: the records in $tmp/records are of these kinds, in order, and as the schemas say
	local kinds
	kinds=$(sed 's/^{"kind":"\([a-z]*\)".*/\1/' "$tmp/records" | tr '\n' ' ')
	[[ $kinds == "$* " ]] || { echo "wanted: $*; have: $kinds"; cat "$tmp/err"; return 1; }
	"$schema/check" <"$tmp/records"
}
prints() { # TITLE KINDS NODE COMMAND...
	local title=$1 kinds=$2 node=$3
	shift 3
	on "$node" "$@" >"$tmp/records" 2>"$tmp/err"
	# shellcheck disable=SC2086
	ok "$title" conforms $kinds
}

# --- the checker itself

catches() { # RECORD WORDS: it is wrong, and the checker says so
	local said
	said=$("$schema/check" 2>&1 <<<"$1") && return 1
	[[ $said == *"$2"* ]] || { echo "$said"; return 1; }
}
good='"id":"00112233445566778899aabbccddeeff","service":"a","instance":"0011223344556677","from":"edge1","held":true,"bytes":1,"dump_ms":1.5'
ok "a good record passes" "$schema/check" <<<"{\"kind\":\"checkpoint\",$good}"
ok "a member that nobody has written down is found" catches "{\"kind\":\"checkpoint\",$good,\"new\":1}" "new: is not in the schema"
ok "... and one that is missing" catches "{\"kind\":\"checkpoint\",${good#*,}}" "id is missing"
ok "... and a number in quotes" catches "{\"kind\":\"checkpoint\",${good/1.5/\"1.5\"}}" "dump_ms: is of type string, not number"
ok "... and a number for a flag" catches "{\"kind\":\"checkpoint\",${good/true/1}}" "held: is of type integer, not boolean"
ok "... and an id that is none" catches "{\"kind\":\"checkpoint\",${good/0011/XX11}}" "id: does not match"
ok "... and a null" catches "{\"kind\":\"checkpoint\",${good/1.5/null}}" "dump_ms: is of type null"
ok "... and a kind that there is not" catches '{"kind":"rumour"}' "there is no schema"

# --- the manual

documented() { # members that edge-records(5) names and that the schemas name: the same
	diff <(perl -ne '
		$kind = $1 if /^\.Ss (.*)/;
		last if /^\.Sh EXAMPLES/;
		$depth++ if /^\.Bl/;
		$depth-- if /^\.El/;
		if ($kind && $depth == 1 && s/^\.It Cm //) { chomp; print "$kind.$_\n" for split / , / }
	' man/edge-records.5 | sort -u) <(for f in "$schema"/*.json; do perl -MJSON::PP -0777 -ne '
		sub leaves {
			my ($s, $at) = @_;
			my $p = $s->{properties};
			print "$at\n" if $at =~ /\./ && $at !~ /\]$/ && (!$p || $s->{required});
			$p && leaves($p->{$_}, $_ eq "kind" ? "" : "$at.$_") for keys %{ $p // {} };
			leaves($s->{items}, $at . "[]") if $s->{items} && $s->{items}{properties};
		}
		my $s = JSON::PP->new->decode($_);
		leaves($s, $s->{properties}{kind}{const});
	' "$f"; done | sed -n '/./p' | grep -vxE 'service\.(moved\.phases|restored)|node\.geo' | sort -u)
}
ok "edge-records(5) has every member that the schemas have, and no other" documented
examples() { # those of the manual, put together again
	sed -n '/^\.Sh EXAMPLES/,/^\.Ed/p' man/edge-records.5 | grep -v '^\.' | tr -d '\n' | sed 's/}{"kind"/}\n{"kind"/g' >"$tmp/records"
	echo >>"$tmp/records"
	conforms node latency user group service move checkpoint shipment member ticket
}
ok "its examples are such records" examples

# --- the programs

lab_up
run() { prints "edge-run: $1" service edge1 edge-run "${@:2}"; }
server=(python3 -m http.server 8080)
run "a service with everything" --name web --addr "$addr" --port 8080 --port 9090 --profile cpu=1,mem=64M -- "${server[@]}"
prints "edge-latency" "node latency" edge1 sh -c 'cat "${EDGE_REGISTRY#dir:}/node/edge2.json" | edge-latency -c 2'
prints "edge-latency to what does not answer" latency edge1 edge-latency -c 1 -m tcp:1 --lost-as 1000 edge2
prints "edge-latency -m http:URL" latency edge1 edge-latency -c 1 -m 'http:http://{}:8080/' "$addr"
on edge1 sh -c "until [ -e /run/seen ]; do curl -s http://$addr:8080/etc/hostname; sleep 0.1; done" >/dev/null &
visitor=$!
prints "edge-latency --watch" user edge1 edge-latency --watch --every 2 --windows 1
on edge1 touch /run/seen
wait "$visitor"
run "a service with nothing" --name bare -- sleep 1000
run "a stateless service" --name less --type stateless --addr "$subnet.61" -- "${server[@]}"
prints "edge-run --on" service edge1 edge-run --on edge2 --name far -- sleep 1000
prints "edge-migrate --dry-run" move edge1 edge-migrate web --to edge2 --dry-run
prints "edge-migrate --dry-run of a stateless service" move edge1 edge-migrate less --to edge2 --dry-run
prints "edge-migrate" service edge1 edge-migrate web --to edge2
prints "edge-migrate of a stateless service" service edge1 edge-migrate less --to edge2
prints "edge-migrate --from --post-copy" service edge1 edge-migrate web --from edge2 --to edge1 --post-copy
on edge2 edge-run --name bare -- sleep 1000 >/dev/null
prints "edge-migrate --dry-run that is refused" move edge1 edge-migrate bare --to edge2 --dry-run
prints "edge-migrate that is refused" move edge1 edge-migrate bare --to edge2
prints "edge-checkpoint --leave-running" checkpoint edge1 edge-checkpoint --leave-running --to edge2 web
cp "$tmp/records" "$tmp/checkpoint"
prints "edge-ship" shipment edge1 sh -c "edge-ship <$tmp/checkpoint"
cp "$tmp/records" "$tmp/shipment"
on edge1 edge-stop web >"$tmp/records" 2>"$tmp/err"
ok "edge-stop" conforms service
prints "edge-restore" service edge1 sh -c "edge-restore <$tmp/shipment"
prints "edge-checkpoint | edge-ship | edge-restore" service edge2 sh -c 'edge-checkpoint web | edge-ship --to edge1 | edge-restore'
prints "edge-checkpoint --pid" checkpoint edge1 sh -c 'setsid sleep 1000 </dev/null >/dev/null 2>&1 & edge-checkpoint --pid $!; kill $!'
prints "edge-checkpoint --list" "checkpoint checkpoint" edge1 edge-checkpoint --list
prints "edge-checkpoint --remove" "checkpoint checkpoint" edge1 sh -c 'edge-checkpoint --list | jq -r .id | xargs edge-checkpoint --remove'
prints "edge-probe --services" "node service service service" edge1 edge-probe --services
prints "edge-run --list" "service service service" edge1 edge-run --list
prints "edge-stop of several" "service service" edge1 edge-stop --rm web bare
cat "$EDGE_LAB_DIR"/registry/service/*.json >"$tmp/records"
ok "the registry's services" conforms "$(printf 'service %.0s' "$EDGE_LAB_DIR"/registry/service/*.json | sed 's/ $//')"
"$lab" nodes >"$tmp/records"
ok "the lab's nodes" conforms node node
pass='{"kind":"other",  "x":1e3}'
for program in edge-run edge-stop edge-migrate edge-checkpoint edge-probe; do
	is "$program - passes on what is not its own, byte for byte" "$pass" "$(on edge1 sh -c "echo '$pass' | $program -" 2>&1)"
done
for program in edge-latency edge-ship edge-restore; do
	is "$program passes on what is not its own, byte for byte" "$pass" "$(on edge1 sh -c "echo '$pass' | $program" 2>&1)"
done
finish
