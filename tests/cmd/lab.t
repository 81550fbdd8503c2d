#!/bin/bash
# SPDX-License-Identifier: MIT
# shellcheck disable=SC2016 # what is quoted so is for the nodes' shells
# The lab: hosts made of namespaces, their wires, and that nothing is left of them.
set -u
cd "$(dirname "$0")/../.." || exit 1
if [[ $EUID != 0 ]]; then echo '1..0 # skip the lab needs root'; exit 0; fi
export LAB=labt$$
B=${B:-build}
lab=examples/lab/lab
n=0
trap 'trap "" INT TERM HUP; "$lab" down >/dev/null 2>&1; rm -f "$out"' EXIT
out=$(mktemp)

ok() { # TITLE COMMAND...
	local title=$1
	n=$((n + 1))
	shift
	if "$@" >"$out" 2>&1; then
		echo "ok $n - $title"
	else
		echo "not ok $n - $title"
		sed 's/^/# /' "$out"
	fi
}
is() { # TITLE WANTED HAVE
	ok "$1" test "$3" = "$2" || true
	[[ $3 == "$2" ]] || printf '# wanted: %s\n# have:   %s\n' "$2" "$3"
}
exits() { # CODE COMMAND...
	local want=$1 rc=0
	shift
	"$@" || rc=$?
	echo "exit status $rc"
	((rc == want))
}
between() { awk -v a="$1" -v x="$3" -v b="$2" 'BEGIN { print x; exit !(a <= x && x <= b) }'; }
ping_ms() { # NODE TARGET: the median
	"$lab" exec "$1" ping -n -i 0.02 -c 50 -W 1 "$2" | sed -n 's/.* time=\([0-9.]*\) ms$/\1/p' | sort -n |
		awk '{ t[NR] = $1 } END { print t[int((NR + 1) / 2)] }'
}
ping_got() { "$lab" exec "$1" ping -q -n -i 0.01 -c 500 -W 1 "$2" | sed -n 's/.* \([0-9]*\) received.*/\1/p'; }
reaches() { "$lab" exec "$1" ping -q -n -c 1 -w 5 "$2"; } # who asked for an address in vain asks again after a second
unreached() { ! "$lab" exec "$1" ping -q -n -c 1 -W 1 "$2"; }
from_here() { # ADDRESS COMMAND
	ssh -F none -i "$EDGE_IDENTITY" -o UserKnownHostsFile="$EDGE_KNOWN_HOSTS" -o StrictHostKeyChecking=yes -o BatchMode=yes \
		-o ConnectTimeout=5 "root@$1" "$2"
}
left_over() {
	ls -d "/run/edge-lab/$LAB" "/var/lib/edge-lab/$LAB" /sys/fs/cgroup/"edge-lab-$LAB" /sys/fs/cgroup/*/"edge-lab-$LAB" 2>/dev/null
	losetup -a | grep "/$LAB/"
	grep "/$LAB/" /proc/mounts
	ip -o link | grep "el-$LAB"
	env -u LAB sh -c 'grep -lz "^LAB=$0\$" /proc/[0-9]*/environ 2>/dev/null' "$LAB"
}

ok 'a verb that does not exist is a usage error' exits 64 "$lab" fly
ok 'a lab that is not up says so' exits 69 "$lab" nodes
said=$("$lab" up 3)
ok 'a lab of three nodes comes up' test $? = 0
ok 'up again says that it is up already' exits 1 "$lab" up 3
eval "$("$lab" env)"
net=$("$lab" nodes | sed -n 's/.*"addr":"\([0-9.]*\)\.1",.*/\1/p')
is 'it has said where that is' \
	"lab $LAB is up: network $net.0/24, this machine $net.254; a shell in a node: LAB=$LAB $lab exec edge1 bash" "$said"
is 'nodes prints one record each' "$(for i in 1 2 3; do
	printf '{"kind":"node","name":"edge%s","addr":"%s.%s","port":22,"user":"root","role":"edge","network":"%s"}\n' $i "$net" $i "$LAB"
done)" "$("$lab" nodes)"
ok 'a node that does not exist is named' exits 69 "$lab" exec edge9 true
is 'a node has a name of its own' edge2 "$("$lab" exec edge2 hostname)"
ok 'exec passes the exit status on' exits 42 "$lab" exec edge1 sh -c 'exit 42'
is 'a node sees only its own processes' 1 "$("$lab" exec edge1 sh -c 'ps ax | grep -c "[s]shd: .*listener"')"
is 'a node sees only its own network' 'br0 lo uplink ' "$("$lab" exec edge1 ls -x /sys/class/net | tr -s ' \n' ' ')"
ok 'a service cgroup of the same name is another one in each node' bash -c "
	for i in 1 2; do $lab exec edge\$i sh -c 'for d in /sys/fs/cgroup/unified /sys/fs/cgroup; do
		[ ! -e \$d/cgroup.procs ] || mkdir -p \$d/edge/x || exit 1; done'; done
	[[ \$(find /sys/fs/cgroup -path '*/edge-lab-$LAB/edge[12]/edge/x' | wc -l) == 2 ]]"
ok 'a node gets more of the processor' "$lab" weigh edge1 4
# shellcheck disable=SC2016
is '... than others' '4 times' "$("$lab" exec edge1 sh -c 'cd /sys/fs/cgroup; cat cpu/cpu.shares cpu.weight 2>/dev/null' | sed -E 's/^(4096|400)$/4 times/')"
"$lab" weigh edge1 1
ok 'no open file of the machine leaks into a node' exits 1 "$lab" exec edge1 test -e /proc/self/fd/5 5</etc/passwd
is 'nodes reach one another by ssh with strict host keys' edge3 \
	"$("$lab" exec edge1 ssh -F /etc/edge/ssh_config edge3 hostname 2>&1)"
is 'this machine reaches a node by ssh' edge2 "$(from_here "$net.2" hostname 2>&1)"
is 'the registry is the same one everywhere' edge1.json "$(from_here "$net.3" 'ls "${EDGE_REGISTRY#dir:}/node" | head -n 1' 2>&1)"
ok 'a node that takes the address of another is refused by its key' bash -c "
	$lab exec edge3 ip addr add $net.99/24 dev br0
	$lab exec edge1 sh -c 'sed s/^edge2,$net.2/$net.99/ /etc/edge/known_hosts >/tmp/k'
	! $lab exec edge1 ssh -F /etc/edge/ssh_config -o UserKnownHostsFile=/tmp/k root@$net.99 true"

ok 'a cut wire drops everything' bash -c "$lab cut edge2 && ! $lab exec edge1 ping -q -n -c 1 -W 1 edge2"
is 'the carrier stays on' 1 "$("$lab" exec edge2 cat /sys/class/net/uplink/carrier)"
ok 'the others still reach one another' reaches edge1 edge3
"$lab" heal edge2
ok 'a healed wire carries again' reaches edge1 edge2

[[ -x $B/examples/lab/edge-wire ]] || make -s B="$B" "$B/examples/lab/edge-wire" >&2
export EDGE_WIRE=$PWD/$B/examples/lab/edge-wire
[[ $B != /* ]] || EDGE_WIRE=$B/examples/lab/edge-wire
ok 'a wire becomes long' "$lab" link edge2 --delay 20
ok 'a delay of 20 ms is there each way' between 40 60 "$(ping_ms edge1 edge2)"
ok 'others are not delayed' between 0 5 "$(ping_ms edge1 edge3)"
ok 'a cut goes through the emulator, too' bash -c "$lab cut edge2 && ! $lab exec edge1 ping -q -n -c 1 -W 1 edge2"
"$lab" heal edge2
"$lab" link edge2 --loss 20
ok 'a loss of 20 % each way loses 36 % of the pings' between 260 380 "$(ping_got edge1 edge2)"
"$lab" link edge2 --rate 100
is 'a stream goes through whole' "$(head -c 8000000 /dev/zero | md5sum)" \
	"$("$lab" exec edge1 sh -c 'head -c 8000000 /dev/zero | ssh -F /etc/edge/ssh_config edge2 md5sum' 2>&1)"
ok 'and takes the time that its rate asks for' between 600 6000 "$(
	a=$(date +%s%N)
	"$lab" exec edge1 sh -c 'head -c 8000000 /dev/zero | ssh -F /etc/edge/ssh_config edge2 "cat >/dev/null"' 2>&1
	echo $((($(date +%s%N) - a) / 1000000)))"
"$lab" link edge2 --rate 50 --loss 2
is 'and whole with segments lost out of the middle' "$(seq 400000 | md5sum)" \
	"$("$lab" exec edge1 sh -c 'seq 400000 | ssh -F /etc/edge/ssh_config edge2 md5sum' 2>&1)"
"$lab" link edge2 --delay 20

"$lab" exec edge2 sh -c 'echo kept >/var/lib/edge/x; touch /run/gone; sleep 1000 >/dev/null 2>&1 &'
key=$("$lab" exec edge2 cat /etc/edge/key.pub)
ok 'the power can be cut' "$lab" kill edge2
ok 'a dead node runs nothing' exits 69 "$lab" exec edge2 true
ok 'a dead node answers to nobody' unreached edge1 edge2
ok 'it boots' "$lab" boot edge2
ok 'a node that is up does not boot again' exits 1 "$lab" boot edge2
is 'its disk and keys are as they were, its memory is empty' "kept,$key,," \
	"$("$lab" exec edge2 sh -c 'cat /var/lib/edge/x /etc/edge/key.pub; ls /run/gone 2>/dev/null; pgrep -x sleep -a | grep 1000' |
		paste -sd,),,"
ok 'its wire is as long as before' between 40 60 "$(ping_ms edge1 edge2)"
is 'it is reached under the same address and key' edge2 "$(from_here "$net.2" hostname 2>&1)"

ok 'the lab goes down' "$lab" down
is 'nothing is left over' '' "$(left_over)"
ok 'down twice is fine' "$lab" down
said=$(script -qec "$lab up 1 --disk 64M" /dev/null </dev/null | tr -d '\r')
is 'at a terminal it says what is there, and what is next' "lab: lab $LAB is up: network $net.0/24, this machine $net.254
  edge1  $net.1
Next: LAB=$LAB $lab exec edge1 bash   a shell in a node
      LAB=$LAB $lab down              the end of it" "$said"
ok 'and fills up' bash -c "! $lab exec edge1 dd if=/dev/zero of=/var/lib/edge/full bs=1M count=65 2>&1"
ok 'a file of four terabytes fits when it is sparse' "$lab" exec edge1 sh -c 'rm /var/lib/edge/full; truncate -s 4T /var/lib/edge/sparse'
"$lab" down
ok 'a start that is interrupted leaves nothing' bash -c "! timeout -s INT 0.4 $lab up 3 || $lab down"
is 'not a trace' '' "$(left_over)"
for after in 0.15 0.4; do
	setsid "$lab" up 3 >/dev/null 2>&1 &
	sleep $after
	kill -TERM -- -$! $! 2>/dev/null
	sleep 0.05
	kill -TERM -- -$! $! 2>/dev/null
	wait $! && "$lab" down
	is "nor of one that is told to end after $after s, twice, with all its children" '' "$(left_over)"
done
"$lab" up 1 >/dev/null
read -r node _ <"/run/edge-lab/$LAB/edge1/pid"
"$lab" down &
while kill -0 "$node" 2>/dev/null && kill -0 $! 2>/dev/null; do sleep 0.01; done # it has begun
kill -TERM $! 2>/dev/null
wait $!
is 'who ends a lab is not stopped half way' '' "$(left_over)"
echo "1..$n"
