#!/bin/bash
# SPDX-License-Identifier: MIT
# What edge-place wants started, edge-run starts, at the node that it says, with what the service's record or the node where it runs tells.
. "$(dirname "$0")/lib.sh"
need jq perl
lab_up
cat >"$tmp/server.pl" <<'END'
use IO::Socket::INET;
my $s = IO::Socket::INET->new(LocalPort => 8000, Listen => 50, ReuseAddr => 1) or die "$!\n";
while (my $c = $s->accept) { print $c "$ENV{WORD}\n" }
END
for node in "${nodes[@]}"; do on "$node" cp "$tmp/server.pl" /var/lib/edge/; done
ask() { # ADDRESS
	perl -MIO::Socket::INET -e 'my $s = IO::Socket::INET->new(PeerAddr => shift, PeerPort => 8000, Timeout => 5) or exit 1; print <$s>' "$1"
}
answers() { [[ $(ask "$1") == "$2" ]]; }
world() { # more records: those of nodes, edge1 in Munich and edge2 in Berlin
	printf '{"kind":"node","name":"%s","geo":{"lat":%s,"lon":%s}}\n' edge1 48.1 11.6 edge2 52.5 13.4
	printf '%s\n' "$@"
}
carried_out() { # OPTION... <RECORDS: what edge-place | edge-run - prints, on edge1; errors into $tmp/err
	on edge1 sh -c "edge-place $* | edge-run -" 2>"$tmp/err"
}

world '{"kind":"service","name":"web","type":"stateless","argv":["perl","/srv/server.pl"],"env":["WORD=first"],"addr":"'"$addr"'","ports":[8000],
	"volumes":[{"host":"/var/lib/edge","path":"/srv"}],"needs":{"node":"edge2"}}' | tr -d '\n\t' | sed 's/}{"kind"/}\n{"kind"/g' >"$tmp/in"
echo >>"$tmp/in"
carried_out <"$tmp/in" >"$tmp/out1"
is 'what has no node is started where it should be' '["web","edge2","running"]' \
	"$(jq -c 'select(.kind == "service" and .id) | [.name, .node, .state]' "$tmp/out1")$(<"$tmp/err")"
ok 'and answers, with its own variables and folders' await 20 answers "$addr" first
is 'its record is as the schema says' '' "$(jq -c 'select(.kind == "service" and .id)' "$tmp/out1" | tests/schema/check 2>&1)"
stop edge2 web

run web --port 8000 --env WORD=second --volume /var/lib/edge:/srv -- perl /srv/server.pl
on edge1 edge-run --list --definition >"$tmp/definition"
is 'a node tells what is needed to start a service anew' "[\"web\",[\"perl\",\"/srv/server.pl\"],[\"WORD=second\"],\"$addr\",\"edge1\"]" \
	"$(jq -c '[.name, .argv, .env, .addr, .node]' "$tmp/definition")"
is 'as the schema says' '' "$(tests/schema/check <"$tmp/definition" 2>&1)"
group='{"kind":"group","service":"web","node":"edge1","users":9,"qoe":0.5,"rtt_ms":{"p50":90},"geo":{"lat":52.5,"lon":13.3}}'
world "$(jq -c '.addrs = ["'"$addr"'", "'"$subnet.61"'"] | .needs.max = 2 | .wants.rtt_ms = 2' "$tmp/definition")" "${group/90/11}" |
	carried_out --policy nearest >"$tmp/out2"
is 'a replica is started near its users, at an address of its own' "[\"web\",\"edge2\",\"$subnet.61\"]" \
	"$(jq -c 'select(.kind == "service" and .node == "edge2") | [.name, .node, .addr]' "$tmp/out2")$(<"$tmp/err")"
ok 'and answers' await 20 answers "$subnet.61" second
ok 'as does the first one' answers "$addr" second
is 'where its users are to go is passed on' '["redirect","edge1","edge2"]' \
	"$(jq -c 'select(.kind == "move") | [.action, .from, .to]' "$tmp/out2")"
stop edge2 web

# the record in the registry has no command
world "$(jq -c '.needs.max = 2 | .wants.rtt_ms = 2' "$tmp/record")" "${group/90/11}" | carried_out --policy nearest >"$tmp/out3"
like 'what the record does not tell the node is asked: the address that it tells is taken' 'address .*already in use' "$(<"$tmp/err")"
is 'that it could not be started is a record, behind which another node is chosen' '["stay","web",null,"edge1","edge2","start",true]' \
	"$(jq -c 'select(.action == "stay") | [.action, .service, .id, .from, .to, .refusals[0].check, (.refusals[0].why | test("already in use"))]' "$tmp/out3")"
is 'as the schema says' '' "$(jq -c 'select(.action == "stay")' "$tmp/out3" | tests/schema/check 2>&1)"
is 'and nothing is started there' '' "$(on edge2 edge-run --list)"
on edge1 edge-run --name mute -- sleep 1000 >"$tmp/record"
world "$(jq -c '.needs.max = 2 | .wants.rtt_ms = 2' "$tmp/record")" "${group//web/mute}" | sed 's/"p50":90/"p50":11/' | carried_out --policy nearest >"$tmp/out4"
is 'one without an address needs none' '["mute","edge2"]' \
	"$(jq -c 'select(.kind == "service" and .node == "edge2") | [.name, .node]' "$tmp/out4")$(<"$tmp/err")"
stop edge1 mute
stop edge2 mute
stop edge1 web
is 'a service that nobody has is told' "edge-run: service web: node edge1 has no such service" \
	"$(echo '{"kind":"move","action":"replicate","service":"web","from":"edge1","to":"edge2"}' | on edge2 edge-run - 2>&1)"
finish
