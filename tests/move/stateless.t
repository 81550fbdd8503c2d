#!/bin/bash
# SPDX-License-Identifier: MIT
# A stateless service is started at the destination before it is stopped at the source.
. "$(dirname "$0")/lib.sh"
need jq perl
nodes=(edge1 edge2 edge3)
lab_up
cat >"$tmp/server.pl" <<'END'
use IO::Socket::INET;
$SIG{TERM} = sub { exit };
open my $f, '<', '/v/who' or die "$!\n";
chomp(my $who = <$f>);
select undef, undef, undef, 0.5; # as if it had to read much
my $s = IO::Socket::INET->new(LocalPort => 8000, Listen => 50, ReuseAddr => 1) or die "$!\n";
while (my $c = $s->accept) { print $c "$who\n" }
END
for node in edge1 edge2; do
	on "$node" sh -c "mkdir -p /var/lib/edge/v && echo $node >/var/lib/edge/v/who && cp $tmp/server.pl /var/lib/edge/v/"
done
run web --type stateless --port 8000 --volume /var/lib/edge/v:/v -- perl /v/server.pl
id=$(jq -r .id "$tmp/record")
client poll perl "$tools/poll-client.pl" "$addr" 8000
ready poll
record() { jq -c '[.node, .state, .epoch]' "$EDGE_LAB_DIR/registry/service/$id.json"; }

on edge1 edge-migrate --dry-run web --to edge2 >"$tmp/moved" 2>"$tmp/err"
is 'a dry run says what would be done' '["move","migrate","web","edge1","edge2",[]]' \
	"$(jq -c '[.kind, .action, .service, .from, .to, .refusals]' "$tmp/moved")"
is 'and does nothing' "$(remains edge2 web)" ''

ok 'it moves' move web edge1 edge2
is 'its record says so' "[\"$id\",\"edge2\",\"running\",1,[\"from\",\"frozen_ms\",\"started_ms\",\"to\",\"total_ms\"],true]" \
	"$(jq -c '[.id, .node, .state, .epoch, (.moved | keys), .moved.started_ms >= 500]' "$tmp/moved")"
is 'so does the registry' '["edge2","running",1]' "$(record)"
is 'nothing is left at the source' '' "$(remains edge1 web)"
sleep 0.3
ok 'it moves back' move web edge2 edge1
is 'its epoch rises' '["edge1","running",2]' "$(record)"
sleep 0.3

refused() { # TITLE PATTERN
	ok "$1: it is refused" not move web edge1 edge2
	like "$1: with the reason" "$2" "$(<"$tmp/err")"
	is "$1: nothing is left there" '' "$(remains edge2 web)"
	is "$1: it goes on here" '["edge1","running",2]' "$(record)"
}
not() { ! "$@"; }
on edge2 rm /var/lib/edge/v/who
refused 'it ends at once at the destination' '^edge-migrate: node edge2: service web: has ended at once$'
on edge2 rm -r /var/lib/edge/v # not there
refused 'it cannot start at the destination' '^edge-migrate: node edge2: service web: volume /var/lib/edge/v: No such file'
on edge3 ip addr add "$addr/24" dev br0
refused 'its address is taken' '^edge-migrate: node edge2: refuses: address: '
is 'a record says that it stays' '["stay","address"]' "$(jq -c '[.action, .refusals[0].check]' "$tmp/moved")"
on edge3 ip addr del "$addr/24" dev br0

entry=$EDGE_LAB_DIR/registry/service/$id.json
cp "$entry" "$tmp/entry"
sed -i 's/"epoch":2/"epoch":7/; s/"node":"edge1"/"node":"edge3"/' "$entry"
ok 'the registry knows of it elsewhere: it is refused' not move web edge1 edge2
is 'with the node and the epoch' \
	"edge-migrate: node edge2: refuses: instance: instance $id has moved on to node edge3 (epoch 7, 2 at the source)" \
	"$(<"$tmp/err")"
is 'and the registry still knows the newer one' '["edge3","running",7]' "$(record)"
cp "$tmp/entry" "$entry"

client_end poll
like 'the new one answered after the old one' 'answers from edge1 edge2 edge1$' "$answer"
longest() { sed -n 's/^longest \([0-9]*\) ms$/\1/p' <<<"$answer"; }
on edge2 sh -c "mkdir -p /var/lib/edge/v && echo edge2 >/var/lib/edge/v/who && cp $tmp/server.pl /var/lib/edge/v/"
for ((i = 0; i < 4 && $(longest) >= 1000; i++)); do # others may use the machine, too
	client poll perl "$tools/poll-client.pl" "$addr" 8000
	ready poll
	ok 'it moves once more' move web edge1 edge2
	sleep 0.3
	ok '... and back' move web edge2 edge1
	sleep 0.3
	client_end poll
done
echo "# longest $(longest) ms"
ok 'its clients were without it for a moment only' test "$(longest)" -lt 1000
stop edge1 web
is 'nothing is left when it is stopped' '' "$(remains edge1 web)"
finish
