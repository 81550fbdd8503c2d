#!/bin/bash
# SPDX-License-Identifier: MIT
# The fault matrix of hosts: the power of one node fails while a move stands at a step of either's journal, comes back, and both
# nodes recover. A service may die with the node on which it is; nothing else may be lost, and nothing may run twice.
. "$(dirname "$0")/faults.sh"
matrix_up

# Which of the two nodes has the service in the end, if that node still lives.
for step in begun frozen go; do
	cell "$step" source power:0.5@source dies
	cell "$step" source power:0.5@destination
done
cell handed-over source power:0.5@source moves
cell handed-over source power:0.5@destination dies
for step in begun restoring; do
	cell "$step" destination power:0.5@source dies
	cell "$step" destination power:0.5@destination
done
cell running destination power:0.5@source moves
# Without the other node's return: a sign of life that does not come is enough.
deadline=3
cell frozen source power:late@destination stays

# The destination dies once the service is its own, before it could say so: nobody but a person can know that it is gone for good.
follow() { :; }
cell running destination power:late@destination waits
epoch() { on "$1" sed -n 's/.*"epoch":\([0-9]*\).*/\1/p' /var/lib/edge/services/counter/service.json; }
told() { on "$here" edge-migrate --status counter | grep '"move":.*"state":"interrupted","recovery":"wait"'; }
ok '... which is told' await 10 told # a guard that just asks works on it
waits() { ! on "$here" edge-migrate --recover >"$tmp/recovered" 2>&1 && [[ $(states) == 'frozen none' ]]; }
ok '... recovery leaves it so' await 10 waits
before=$(epoch "$there")
ok '... and thaws it when it is forced to' on "$here" edge-migrate --recover --force counter
is '... here and only here' 'running none' "$(states)"
ok '... under a later epoch' test "$(epoch "$here")" -gt "${before:-0}"
power_off "$there"
power_on "$there"
recover
is '... also when the other node comes back once more' 'running none' "$(states)"
ok '... it answers' answers
ok '... on the connection that was open' connected
is '... and nothing is left of the move' '' "$(traces "$there" "$here")"

# The same with a destination that only could not be reached: what was forced goes on, and the other one ends when it hears of it.
step=running end=destination what=forced at=$there
begin_cell destination
"$lab" cut "$there"
release "$there" running
await 60 move_over
is 'a destination that cannot be reached: the service waits' 'frozen running' "$(states)"
ok '... goes on here when it is forced to' on "$here" edge-migrate --recover --force counter
is '... at once' 'running running' "$(states)"
"$lab" heal "$there"
right "$there" "$serve"
recover
await 10 settled
is '... and ends there when the link is back' 'running none' "$(states)"
ok '... it answers' answers # who was connected may have heard the other one
await 45 no_sessions
is '... and nothing is left of the move' '' "$(traces "$there" "$here")"

# The power of the source fails before its last step has come to the disk: it asks all the same what has become of the service.
drop_service
here=edge1 there=edge2
counter memory
step=running end=destination what=power:lost at=$there
begin_cell destination
power_off "$here"
release "$there" running
right "$there" "$serve"
power_on "$here"
on "$here" sh -c 'sed -i "/\"step\":\"go\"/d" /var/lib/edge/journal/*'
like 'a source that has lost its "go" has to ask' '"step":"frozen",.*"why":"the destination has to be asked"' "$(on "$here" edge-migrate --status counter)"
recover
await 10 settled
is '... and hears that the service is there' 'none running' "$(states)"
like '... and not here any more' '"moved":true' "$(on "$here" cat /var/lib/edge/services/counter/service.json)"
ok '... it answers' answers
ok '... on the connection that was open' connected
await 45 no_sessions
is '... and nothing is left of the move' '' "$(traces "$here" "$there")"
finish
