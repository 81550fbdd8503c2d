#!/bin/bash
# SPDX-License-Identifier: MIT
# Services as containers of Docker, each node with a daemon of its own: started from an image, alone and from a compose file,
# moved to a node that has not the image, refused where they cannot be moved; and their image run by our own engine, live.
. "$(dirname "$0")/lib.sh"
. "$(dirname "$0")/engines.sh"
need dockerd busybox perl
lab_up
"$tools/make-image" "$tmp/busy.tar" busy:1 '"Env":["PATH=/bin"],"Cmd":["httpd","-f","-p","8080","-h","/srv"],"ExposedPorts":{"8080/tcp":{}}'
trap 'end_engines; clean' EXIT
daemon edge1
daemon edge2
on edge1 sh -c "mkdir /var/lib/edge/app && cp $tmp/busy.tar /var/lib/edge/app && /usr/bin/docker load -q -i /var/lib/edge/app/busy.tar" >/dev/null
answers() { [[ $(busybox wget -q -O - "http://$addr:8080/old") == old ]]; }
run web --engine docker --type stateless --port 8080 --image busy:1
is 'a container is a service' '["web","docker","running","busy:1","'"$addr"'"]' "$(jq -c '[.name, .engine, .state, .image, .addr]' "$tmp/record")"
ok '... at its own address' await 10 answers
is '... and Docker has it' web "$(on edge1 /usr/bin/docker ps --format '{{.Names}}')"
is 'it is listed once' '["web","docker"]' "$(on edge1 edge-probe --services | jq -c 'select(.kind == "service") | [.name, .engine]')"
ok 'it moves to a node that has not its image' move web edge1 edge2 || sed 's/^/# /' "$tmp/err"
sed -n 's/.*"frozen_ms":\([0-9.]*\),"started_ms":\([0-9.]*\),"total_ms":\([0-9.]*\).*/# without an address for \1 ms of \3 ms/p' "$tmp/moved"
ok '... and answers from there' await 10 answers
is '... where Docker has it' web "$(on edge2 /usr/bin/docker ps --format '{{.Names}}')"
is '... and no longer here' '' "$(on edge1 /usr/bin/docker ps -a --format '{{.Names}}')"
ok 'it moves back' move web edge2 edge1 || sed 's|^|# |' "$tmp/err"
ok '... to which the image needs not be brought' await 10 answers
stop edge1 web
is 'it is stopped' '' "$(on edge1 /usr/bin/docker ps -a --format '{{.Names}}')"
run web --engine docker --port 8080 --image busy:1
ok 'a stateful one is not moved' test "$(move web edge1 edge2; echo $?)" = 69
is '... for a reason' "edge-migrate: service web: engine docker: its daemon makes no checkpoints unless it is told to be experimental" "$(<"$tmp/err")"
stop edge1 web
is 'what fails leaves nothing' '69 ' "$(on edge1 edge-run --name bad --engine docker --image busy:1 -- nosuch >/dev/null 2>&1; echo "$? $(on edge1 /usr/bin/docker ps -aq)")"
cat >"$tmp/compose.yaml" <<END
name: mix
services:
  front:
    image: busy:1
    x-edge: {engine: docker, type: stateless, addr: $addr}
  own:
    image: busy:1
END
on edge1 cp "$tmp/compose.yaml" /var/lib/edge/app
is 'a compose file may mix engines' '["mix-front","docker"]
["mix-own","process"]' "$(on edge1 edge-run -f /var/lib/edge/app/compose.yaml | jq -c '[.name, .engine]')"
ok '... of one image' await 10 answers
ok '... which our own engine moves live' move mix-own edge1 edge2 || sed 's/^/# /' "$tmp/err"
is '... and all are stopped' '["mix-own","stopped"]
["mix-front","stopped"]' "$(on edge1 edge-stop --rm -f /var/lib/edge/app/compose.yaml | jq -c 'select(.state == "stopped") | [.name, .state]')"
finish
