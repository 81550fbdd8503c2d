#!/bin/bash
# SPDX-License-Identifier: MIT
# shellcheck disable=SC2016 # what is quoted so is for scripts on the nodes
# The destination refuses, for each reason of its check, and the service does not notice.
. "$(dirname "$0")/lib.sh"
need perl
nodes=(edge1 edge2 edge3)
lab_up --disk 2G
counter

refuses() { # TITLE REASON (a pattern)
	local rc=0
	on edge1 edge-migrate counter --to edge2 >"$tmp/moved" 2>"$tmp/err" || rc=$?
	like "$1" "^69 edge-migrate: node edge2: refuses: ($2)$" "$rc $(<"$tmp/err")"
}
criu=$(criu_of edge2)
version=$(on edge2 "$criu" --version | sed -n 's/^Version: //p')
serve=$EDGE_BIN/edge-serve

instead edge2 "$criu" 'echo "Version: 3.17.1"'
refuses 'criu of another version' "criu: criu 3\.17\.1 here, $version at the source"
right edge2 "$criu"
instead edge2 "$criu" '[ "$1" != check ] || { echo "Error: this kernel lacks it" >&2; exit 1; }; exec $real "$@"'
refuses 'criu does not work there' 'criu: criu check: .*this kernel lacks it'
right edge2 "$criu"
instead edge2 "$criu" '[ "$1 $2" != "cpuinfo check" ] || { echo "Error: no avx512f" >&2; exit 1; }; exec $real "$@"'
refuses 'the processor lacks something' 'cpu: the processor lacks features of the source.s: .*no avx512f'
right edge2 "$criu"
on edge2 sh -c 'echo not a program >/run/not'
over edge2 "$criu" /run/not
refuses 'no criu at all' 'criu: criu is not installed'
right edge2 "$criu"

instead edge2 "$serve" 'exec setarch linux32 $real "$@"'
refuses 'another architecture' "arch: .* here, $(uname -m) at the source"
right edge2 "$serve"

on edge2 sh -c 'fallocate -l $(($(stat -f -c "%a*%S" /var/lib/edge) - (20 << 20))) /var/lib/edge/fill'
refuses 'no space on its disk' 'space: [0-9]+ MB free in /var/lib/edge, [0-9]+ MB needed'
on edge2 rm /var/lib/edge/fill
on edge2 sh -c 'sed "s/^MemAvailable:.*/MemAvailable: 4096 kB/" /proc/meminfo >/run/meminfo'
over edge2 /proc/meminfo /run/meminfo
refuses 'no memory' 'memory: 4 MB available, [0-9]+ MB needed'
right edge2 /proc/meminfo

on edge3 ip addr add "$addr/32" dev br0
refuses 'the address is in use by another machine' 'address: the address is in use by another machine'
on edge3 ip addr del "$addr/32" dev br0
on edge2 sh -c "ip addr del $subnet.2/24 dev br0; ip addr add $subnet.2/32 dev br0; ip route add $subnet.0/24 dev br0 src $subnet.2"
refuses 'the address is not of its network' "network: $addr/24 is not an address of the bridge's network here .*"
on edge2 sh -c "ip addr del $subnet.2/32 dev br0; ip addr add $subnet.2/24 dev br0"

while read -r volume state; do
	on edge1 edge-run --name inside --addr "$subnet.71" --volume "$volume:/mnt" -- sleep 1000 >/dev/null
	rc=0
	on edge1 edge-migrate inside --to edge2 >"$tmp/moved" 2>"$tmp/err" || rc=$?
	is "a volume that has the node's own state in it: $volume" \
		"69 edge-migrate: service inside: volume $volume: holds this node's own state ($state)" "$rc $(<"$tmp/err")"
	on edge1 edge-stop --rm inside >/dev/null
done <<END
/ /etc/edge
/etc /etc/edge
/var/lib/edge /var/lib/edge
END
on edge1 edge-run --name inside --type stateless --addr "$subnet.71" --volume /:/mnt -- sleep 1000 >/dev/null
is '... which keeps no stateless one back' edge2 "$(on edge1 edge-migrate inside --to edge2 | jq -r .node)"
on edge2 edge-stop --rm inside >/dev/null

on edge2 edge-run --name counter --addr "$subnet.70" -- sleep 1000 >/dev/null
refuses 'another instance has its name' 'instance: another instance has the name counter \([0-9a-f]{16}\)'
stop edge2 counter
file=/var/lib/edge/services/counter/service.json
id=$(on edge1 sed -n 's/.*"id":"\([0-9a-f]*\)".*/\1/p' $file)
on edge1 cat $file >"$tmp/service.json"
on edge2 sh -c 'mkdir -p ${1%/*}; sed "s/\"pid\":[0-9]*/\"pid\":1/; s/\"start_time\":[0-9]*/\"start_time\":$(cut -d" " -f22 /proc/1/stat)/" \
	'"$tmp"'/service.json >$1' sh $file
refuses 'it runs there already' "instance: instance $id runs here already"
on edge2 rm -r ${file%/*}

perl=$(readlink -f "$(command -v perl)")
over edge2 "$perl" /bin/true
refuses 'a file of the base differs' "base: $perl: differs from the source's"
right edge2 "$perl"
socket=$(dirname "$(perl -MSocket -e 'print "$_\n" for grep -e, map "$_/auto/Socket/Socket.so", @INC' | head -n 1)")
on edge2 mount -n -t tmpfs tmpfs "$socket"
refuses 'a file of the base is missing' "base: $socket/Socket.so: missing here"
right edge2 "$socket"

runc=$(command -v runc)
if [[ -n $runc ]]; then
	over edge2 "$runc" /run/not
	on edge1 sed -i 's/"engine":"process"/"engine":"runc"/' $file
	refuses 'its engine is not there' 'engine: engine runc: .*'
	on edge1 sed -i 's/"engine":"runc"/"engine":"process"/' $file
	right edge2 "$runc"
fi

over edge2 "$perl" /bin/true
over edge2 "$criu" /run/not
refuses 'the first of several reasons is told' 'criu: criu is not installed \(and 1 more\)'
dry() { on edge1 edge-migrate --dry-run counter --to edge2 2>&1; }
is 'a dry run tells all of them' "{\"kind\":\"move\",\"action\":\"stay\",\"service\":\"counter\",\"id\":\"$id\",\"from\":\"edge1\",\"to\":\"edge2\",\"refusals\":[{\"check\":\"criu\",\"why\":\"criu is not installed\"},{\"check\":\"base\",\"why\":\"$perl: differs from the source's\"}]}" "$(dry)"
right edge2 "$perl"
right edge2 "$criu"
is 'and that nothing is in the way' "{\"kind\":\"move\",\"action\":\"migrate\",\"service\":\"counter\",\"id\":\"$id\",\"from\":\"edge1\",\"to\":\"edge2\",\"refusals\":[]}" "$(dry)"

is 'nothing was done there' '' "$(remains edge2 counter; on edge2 find /var/lib/edge/services /var/lib/edge/store/memory -mindepth 1 2>/dev/null)"
is 'nothing is held here' '' "$(on edge1 sh -c 'ls -A /var/lib/edge/checkpoints /var/lib/edge/journal 2>/dev/null' | grep -v ':$' | grep .)"
counter_kept
finish
