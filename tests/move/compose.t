#!/bin/bash
# SPDX-License-Identifier: MIT
# An application of three services from a compose file and an image, talking HTTP in a star: each of them moves, live, while
# a client keeps asking the middle, which keeps asking the others.
. "$(dirname "$0")/lib.sh"
need perl busybox
lab_up
cp "$tools/star.pl" "$tools/counter.pl" "$tmp"
base=$(perl -e 'print +(grep { -e "$_/auto/Socket/Socket.so" && -e "$_/strict.pm" && -e "$_/IO/Select.pm" } @INC)[0]')
perl=$(readlink -f "$(command -v perl)")
WITH="$perl $base" "$tools/make-image" "$tmp/perl.tar" perl:1 "\"Env\":[\"PATH=/bin:${perl%/*}\"]"
cat >"$tmp/compose.yaml" <<END
name: star
x-arm: &arm
  image: ./perl.tar
  command: [${perl##*/}, /counter.pl, "8080"]
  volumes: ["./counter.pl:/counter.pl"]
  expose: [8080]
  healthcheck: {test: "wget -q -O /dev/null http://localhost:8080/peek", interval: 1s}
services:
  middle:
    image: ./perl.tar
    command: [${perl##*/}, /star.pl, "80", "left:8080", "right:8080"]
    volumes: ["./star.pl:/star.pl"]
    ports: [80]
    depends_on:
      left: {condition: service_healthy}
      right: {condition: service_healthy}
    networks: {default: {ipv4_address: $addr}}
  left: *arm
  right: *arm
END
on edge1 sh -c "mkdir /var/lib/edge/app && cp $tmp/*.pl $tmp/*.tar $tmp/*.yaml /var/lib/edge/app"
cd_run() { on edge1 sh -c 'cd /var/lib/edge/app && "$@"' sh "$@"; }
ok 'the application is started from its file' cd_run edge-run -f compose.yaml
await 20 bash -c "</dev/tcp/$addr/80" || log edge1 star-middle | sed 's/^/# /'
client star perl "$tools/http-client.pl" count "$addr" 80 /
ready star
for service in star-left star-middle star-right; do
	ok "$service moves" move "$service" edge1 edge2 || sed 's/^/# /' "$tmp/err"
	sed -n 's/.*"frozen_ms":\([0-9.]*\),"total_ms":\([0-9.]*\),"bytes_raw":\([0-9]*\),"bytes_sent":\([0-9]*\).*/# frozen \1 ms of \2 ms, \4 bytes sent/p' "$tmp/moved"
	sleep 0.3
done
is 'all of them are there' "star-left running
star-middle running
star-right running" "$(on edge2 edge-run --list | jq -r '[.name, .state] | join(" ")')"
healthy() { [[ $(on edge2 edge-run --list | jq -r .health | sort | tr '\n' ' ') == 'healthy healthy null ' ]]; }
ok '... and their health is looked after' await 20 healthy
ok 'one moves back' move star-left edge2 edge1
client_end star
is 'no request was lost, and no connection' "ready
no answer lost or doubled" "$(grep -v ^count <<<"$answer")"
ok 'started again, the application is left as it is' cd_run sh -c 'edge-run -f compose.yaml >again'
is '... wherever it is' "star-left edge1
star-right edge2
star-middle edge2" "$(on edge1 jq -r '[.name, .node] | join(" ")' /var/lib/edge/app/again)"
ok 'all of it is stopped, and removed, where it is' cd_run edge-stop --rm -f compose.yaml
is 'nothing runs any more' 'moved' "$(for n in "${nodes[@]}"; do on "$n" edge-run --list | jq -r .state; done | sort -u)"
ok 'a service is started from an image at another node' cd_run edge-run --on edge2 --name far --type stateless --image ./perl.tar \
	--addr "$addr" --port 8080 -- busybox httpd -f -p 8080 -h /srv
is '... to which it was brought' 1 "$(on edge2 sh -c 'ls /var/lib/edge/store/layers | wc -l')"
on edge1 rm -rf /var/lib/edge/store/layers
ok '... and from there a stateless one moves where it is not' on edge2 edge-migrate far --to edge1
ok '... and runs there' await 5 bash -c "</dev/tcp/$addr/8080"
on edge1 edge-stop --rm far >/dev/null

# --- a service in a folder of the node's, without an image; and what memory is left of instances that had its name
cat >"$tmp/root.yaml" <<'END'
services:
  plain:
    entrypoint: [sh, -c]
    command: ['n=$$0; while :; do n=$$((n + 1)); sleep 0.05; done', '7']
    x-edge: {root: /}
END
on edge1 cp "$tmp/root.yaml" /var/lib/edge/app
memories() { on "$1" ls /var/lib/edge/store/memory 2>/dev/null | sort; }
id_at() { on "$1" jq -r .id /var/lib/edge/services/root-plain/service.json; }
before=$(memories edge2)
ok 'a service in a folder of the node is started' cd_run edge-run -f root.yaml --app root
is '... with its entrypoint and command' "sh -c n=\$0; while :; do n=\$((n + 1)); sleep 0.05; done 7" \
	"$(on edge1 jq -r '.argv | join(" ")' /var/lib/edge/services/root-plain/service.json)"
is '... and goes on' running "$(on edge1 edge-run --list | jq -r 'select(.name == "root-plain").state')"
first=$(id_at edge1)
ok '... and moves' move root-plain edge1 edge2
is 'who asks for it where it was, to where it was, is told where it is' \
	'edge-migrate: service root-plain: does not run here; it is on node edge2 (--from edge2)' "$(on edge1 edge-migrate root-plain --to edge1 2>&1)"
ok '... and back' move root-plain edge2 edge1
on edge1 edge-stop --rm root-plain >/dev/null
is 'its memory stays where it was' "$(printf '%s\n' "$before" "$first" | sort)" "$(memories edge2)"
cd_run edge-run -f root.yaml --app root >/dev/null
second=$(id_at edge1)
ok 'another one of that name moves' move root-plain edge1 edge2
is '... whose memory takes its place' "$(printf '%s\n' "$before" "$second" | sort)" "$(memories edge2)"
on edge2 edge-stop --rm root-plain >/dev/null
is 'removed, it is gone' "$before" "$(memories edge2)"
on edge1 edge-run --name root-plain -- sleep 1000 >/dev/null
is '... and what the second has left where the third is started goes, too' '' "$(memories edge1 | grep -x "$second")"
stop edge1 root-plain
finish
