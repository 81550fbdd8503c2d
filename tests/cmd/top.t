#!/bin/bash
# SPDX-License-Identifier: MIT
# edge-top: what it shows, once as text and live in a real terminal, and what its keys do.
# shellcheck source=tests/move/lib.sh disable=SC2016
. "$(dirname "$0")/../move/lib.sh"
need tmux
top_end() { tmux -L "$LAB" kill-server 2>/dev/null; clean; }
trap top_end EXIT

screen() { tmux -L "$LAB" capture-pane -p; }
shows() { screen | grep -qE -- "$1"; } # PATTERN
press() { tmux -L "$LAB" send-keys "$@"; }
type_in() { tmux -L "$LAB" send-keys -l -- "$1"; }

lab_up
run web -- sleep 1000
on edge1 edge-top --once edge1 edge2 >"$tmp/text" 2>"$tmp/err"
is "it prints a fleet once" "0 " "$? $(<"$tmp/err")"
like "... its nodes" $'\nedge2 +(red|green) +edge +'"$LAB " "$(<"$tmp/text")"
like "... and its services" $'\nweb +edge1 +running +stateful +process ' "$(<"$tmp/text")"
on edge1 edge-top --once >"$tmp/text"
like "without operands it takes the nodes of the registry" $'\nedge2 ' "$(<"$tmp/text")"
on edge1 edge-top --once edge1 nobody >"$tmp/text" 2>"$tmp/err"
like "a node that cannot be asked is told, and costs nothing else" '^1 edge-probe: node nobody: .*edge1 ' "$? $(<"$tmp/err") $(<"$tmp/text")"
printf '%s\n' '{"kind":"move","action":"migrate","service":"web","from":"edge1","to":"edge2"}' >"$tmp/log"
like "a log of decisions is shown" 'plan: migrate web from edge1 to edge2' \
	"$(on edge1 sh -c 'echo "{}" | edge-top --once --log "$1/log" -' sh "$tmp")"
on edge1 edge-top --once --log /none - </dev/null >"$tmp/text" 2>"$tmp/err"
is "what is missing is told" "71 edge-top: /none: No such file or directory" "$? $(<"$tmp/err")"

# --- in a terminal
tmux -L "$LAB" -f /dev/null new-session -d -x 130 -y 40 "'$lab' exec edge1 edge-top --every 1 edge1 edge2"
ok "it shows them live" await 30 shows '^web +edge1 +running'
like "... with its keys" 'q quit +up, down select +m migrate +s stop +d deploy' "$(screen)"
press m
ok "m asks for a node" await 20 shows '^migrate web from edge1 to:'
type_in edge2
press Enter
ok "... and then once more" await 20 shows '^migrate web from edge1 to edge2\? \(y/n\)'
press n
ok "... and no means no" await 20 shows '^web +edge1 +running'
press m
await 20 shows '^migrate web from edge1 to:'
type_in edge2
press Enter
await 20 shows 'y/n'
press y
ok "with a yes it moves" await 60 shows '^web +edge2 +running'
# With its pause, unless a node has told of it before the move's own record came.
ok "... which is told" await 20 shows 'web: edge1 -> edge2'
press d
await 20 shows '^deploy: edge-run'
type_in '--name second -- sleep 1000'
press Enter
await 20 shows 'y/n'
press y
ok "d deploys another" await 60 shows '^second +edge1 +running'
press Up
press Up
press s
ok "s stops the one that is selected" await 20 shows '^stop second on edge1\? '
press y
ok "... at its node" await 60 on edge1 sh -c 'edge-run --list | grep "\"second\"" | grep -q stopped'
tmux -L "$LAB" resize-window -x 60 -y 12
ok "a small window is enough" await 20 shows '^q quit'
press q
ok "q leaves" await 20 bash -c "! tmux -L $LAB has-session 2>/dev/null"
stop edge2 web
finish
