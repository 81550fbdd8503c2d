#!/bin/bash
# SPDX-License-Identifier: MIT
# Services of Docker Swarm, with a daemon at each of three nodes: deployed, moved to a node that is invited and has not the
# image, and back; refused where a node does not join or a task does not come up; an application whose parts find one another
# from node to node; and a node that leaves with a service on board.
# shellcheck disable=SC2016,SC2154
. "$(dirname "$0")/swarm.sh"
lab_up
strangers
daemons
service_images
here() { on edge1 "$@" >"$tmp/said" 2>"$tmp/err"; }
record() { jq -c '[.name, .engine, .node, .addr, .state]' "$tmp/${1:-said}"; }

# --- deployed here
here edge-run --name web --engine swarm --type stateless --port 8080 --image busy:1
is 'a service is a task of a swarm that this node makes' "0 $(printf '["web","swarm","edge1","%s","running"]' "$(at edge1)")" "$? $(record)"
ok 'its record is as its schema says' tests/schema/check <"$tmp/said"
ok 'it answers at its node' await 10 answers edge1
is 'it is pinned there' '[node.labels.edge==edge1]' "$(docker edge1 service inspect --format '{{.Spec.TaskTemplate.Placement.Constraints}}' web)"
is 'the registry has it' '["web","edge1"]' "$(jq -c '[.name, .node]' "$EDGE_LAB_DIR"/registry/service/*.json)"
here edge-run --name bad --engine swarm --image busy:1 -- nosuch
is 'what does not start is told, and leaves nothing' '69 1 web' "$? $(grep -c 'does not come up' "$tmp/err") $(docker edge1 service ls --format '{{.Name}}')"
docker edge1 tag busy:1 busy/of/it:1
here edge-run --name deep --engine swarm --image busy/of/it:1
is 'an image may have any name, and is named by its id' "0 $(docker edge1 image inspect --format '{{.Id}}' busy:1)" \
	"$? $(docker edge1 service inspect --format '{{.Spec.TaskTemplate.ContainerSpec.Image}}' deep)"
here edge-stop --rm deep
docker edge1 node update --availability pause self >/dev/null
here edge-run --name bad --engine swarm --image busy:1
is 'a node that its operator has drained or paused gets nothing, and stays so' \
	'69 edge-run: service bad: node edge1: drained or paused in the swarm pause' \
	"$? $(<"$tmp/err") $(docker edge1 node inspect --format '{{.Spec.Availability}}' self)"
docker edge1 node update --availability active self >/dev/null
here edge-run --name bad --engine swarm --addr "$addr" --image busy:1
is 'it has no address of its own' '64 edge-run: service bad: engine swarm: it has the address of its node, not one of its own' "$? $(<"$tmp/err")"

# --- nodes that are no members
here edge-migrate web --to edge3
is 'a node that nobody has invited gets nothing' 77 $?
like '... for one reason' '^edge-migrate: service web: stays at edge1: node edge3: [^:]*.*$' "$(<"$tmp/err")"
is '... and the service runs where it was' edge1 "$(tasks web)"
docker edge3 swarm init --advertise-addr "$(at edge3)" >/dev/null
invite edge3
is 'one that is in another swarm joins the fleet only' '["edge3","joined",null]' "$(jq -c '[.node, .state, .swarm]' "$tmp/said")"
is '... and that is told' 'edge-invite: node edge3: does not join the swarm: docker: it is in another swarm' "$(<"$tmp/err")"
here edge-migrate web --to edge3
is 'the service stays local' '69 edge-migrate: service web: stays at edge1: node edge3: does not join the swarm: docker: it is in another swarm' \
	"$? $(<"$tmp/err")"
ok '... and answers' answers edge1
docker edge3 swarm leave --force >/dev/null 2>&1

# --- moved to one that is
invite edge2
is 'an invited node is a worker' '0 ["edge2","joined",true]' "$? $(jq -c '[.node, .state, .swarm]' "$tmp/said")"
ok '... which its record says as its schema says' tests/schema/check <"$tmp/said"
token=$(docker edge1 swarm join-token -q worker)
client prober perl "$tools/either.pl" "$(at edge1):8080" "$(at edge2):8080"
ready prober
ok 'the service moves there' move web edge1 edge2 || sed 's/^/# /' "$tmp/err"
sed -n 's/.*"started_ms":\([0-9.]*\),"total_ms":\([0-9.]*\).*/# cold, its image brought along: there after \1 ms, the old one gone after \2 ms/p' "$tmp/moved"
is '... as its record says' "$(printf '["web","swarm","edge2","%s","running"]' "$(at edge2)")" "$(record moved)"
ok '... which its schema allows' tests/schema/check <"$tmp/moved"
ok '... and answers there' await 10 answers edge2
ok '... and no longer here' await 10 silent edge1
is '... with one task' edge2 "$(tasks web)"
is 'this node sees it there' '["web","edge2","stateless","edge1"]' \
	"$(on edge1 edge-probe --services | jq -c 'select(.kind == "service") | [.name, .node, .type, .fleet]')"
is 'what it uses is known there, and the rest here' '["web","edge2","stateless",true]' \
	"$(on edge1 edge-probe --services edge2 | jq -c 'select(.kind == "service") | [.name, .node, .type, .usage.mem_bytes > 0]')"
ok 'it moves back, by whatever node a plan says' on edge1 edge-migrate web --from edge2 --to edge1
is '... with one task' edge1 "$(tasks web)"
ok '... which answers' await 10 answers edge1
client_end prober
is 'at each moment one of both has answered' 'ready
always answered' "$answer"
ok 'the swarm token is in no file of ours' bash -c '! grep -r -e "$0" "$@"' "$token" "$EDGE_LAB_DIR/registry" "$tmp/said" "$tmp/err"
is '... nor at the nodes' '' "$(for node in edge1 edge2; do on "$node" grep -rl -e "$token" /var/lib/edge/grants /run/edge; done 2>/dev/null)"

# --- a Docker that does not answer
begun() { tasks web | grep -q edge2; }
here edge-migrate web --to edge2 &
mover=$!
await 20 begun
on edge1 sh -c 'mv /run/docker.sock /run/docker.away; sleep 1; mv /run/docker.away /run/docker.sock'
wait "$mover"
is 'a move goes on when Docker is silent for a moment' '0 edge2' "$? $(tasks web)"
is 'what its Docker does not tell is not known' 'web unknown' \
	"$(on edge1 env DOCKER_HOST=unix:///run/docker.away edge-run --list | tee "$tmp/said" | jq -r 'select(.name == "web") | .name + " " + .state')"
ok '... which the schema allows' tests/schema/check <"$tmp/said"
here edge-migrate web --to edge1

# --- a task that does not come up
on edge1 mkdir -p /var/lib/edge/here
here edge-run --name fixed --engine swarm --type stateless --volume /var/lib/edge/here:/mnt --image busy:1
here edge-migrate fixed --to edge2
like 'a task that does not come up there leaves the old one' \
	'^69 edge-migrate: service fixed: node edge2: its task does not come up: .*; it goes on at edge1$' "$? $(<"$tmp/err")"
is '... where it was' edge1 "$(tasks fixed)"
here edge-stop --rm fixed

# --- an application
cat >"$tmp/compose.yaml" <<END
name: shop
services:
  back:
    image: busy:1
    x-edge: {type: stateless, engine: swarm}
  front:
    image: busy:1
    command: ["sh", "-c", "trap exit TERM; mkdir -p /www/cgi-bin; printf '#!/bin/sh\\\\nprintf \"Content-Type: text/plain\\\\\\\\n\\\\\\\\n\"; wget -q -O - http://back:8080/old\\\\n' >/www/cgi-bin/get; chmod 755 /www/cgi-bin/get; httpd -p 8081 -h /www; sleep 1000000 & wait"]
    ports: ["8081:8081"]
    depends_on: [back]
    healthcheck: {disable: true}
    x-edge: {type: stateless, engine: swarm}
END
through() { [[ $(timeout 20 busybox wget -q -O - "http://$(at edge1):8081/cgi-bin/get") == old ]]; }
here edge-run -f "$tmp/compose.yaml"
is 'an application is started as the file says' '0 ["shop-back","edge1"] ["shop-front","edge1"]' "$? $(jq -c '[.name, .node]' "$tmp/said" | paste -sd' ')"
ok '... its parts know one another by their names' await 20 through
here edge-migrate shop-back --to edge2
is 'one of them moves' '0 edge2' "$? $(tasks shop-back)"
ok '... and the others find it there' await 20 through
here env DOCKER_HOST=unix:///run/docker.away edge-run -f "$tmp/compose.yaml"
is '... where it is left while Docker does not answer' '75 edge-run: service shop-back: its engine does not say whether it runs' "$? $(<"$tmp/err")"
here edge-run -f "$tmp/compose.yaml"
is '... where the file finds it, too' '0 ["shop-back","edge2"] ["shop-front","edge1"]' "$? $(jq -c '[.name, .node]' "$tmp/said" | paste -sd' ')"

# --- leaving
on edge2 edge-invite --leave >"$tmp/said" 2>"$tmp/err"
is 'a node with tasks on board does not leave by itself' \
	'1 edge-invite: service shop-back: the swarm of edge1 has it here, and moves it by edge-invite --leave edge2 there' "$? $(head -n 1 "$tmp/err")"
here edge-invite --leave edge2
is 'the manager lets it go, and its service goes elsewhere first' '0 ["shop-back",true]' "$? $(jq -c '[.name, .node != "edge2"]' "$tmp/said")"
sed 's/^/# /' "$tmp/err"
is '... it is in no swarm' inactive "$(docker edge2 info --format '{{.Swarm.LocalNodeState}}')"
is '... which has forgotten it' edge1 "$(docker edge1 node ls -q | while read -r id; do docker edge1 node inspect --format '{{.Spec.Labels.edge}}' "$id"; done | grep -v edge3)"
ok '... and the application goes on' await 20 through
ok '... and the old token is worth nothing' test "$token" != "$(docker edge1 swarm join-token -q worker)"
here edge-stop --rm -f "$tmp/compose.yaml"
is 'all of it is stopped' '0 web' "$? $(docker edge1 service ls --format '{{.Name}}')"
here edge-stop --rm web
is 'the last one, too' '0 ["web","swarm","edge1"] ' "$? $(jq -c '[.name, .engine, .node]' "$tmp/said") $(docker edge1 service ls -q)"
is 'no network of it is left' '' "$(docker edge1 network ls --format '{{.Name}}' | grep shop)"
finish
