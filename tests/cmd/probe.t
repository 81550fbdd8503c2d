#!/bin/bash
# SPDX-License-Identifier: MIT
# edge-probe: what a machine is said to have, from itself and from others, and what happens when it cannot be asked.
# shellcheck source=tests/move/lib.sh
. "$(dirname "$0")/../move/lib.sh"
need jq python3
nodes=(edge1 edge2 edge3)
status=0

probe() { # ARG...: on edge1; records into $tmp/records, messages into $tmp/err, exit status into $status
	status=0
	on edge1 edge-probe "$@" >"$tmp/records" 2>"$tmp/err" || status=$?
}
of() { jq -r "select(.name == \"$1\") | $2" "$tmp/records"; } # NAME FILTER
here() { on edge1 sh -c "$1"; }

lab_up
# --- this machine
probe
is "a machine tells of itself" "0 edge1" "$status $(jq -r .name "$tmp/records")"
ok "... in a record as its schema says" tests/schema/check <"$tmp/records"
is "... its kernel and architecture" "$(uname -r) $(uname -m)" "$(of edge1 '.kernel + " " + .arch')"
is "... its cores" "$(nproc --all)" "$(of edge1 .cpu.cores)"
is "... its memory" "$(awk '/^MemTotal/ { printf "%.0f", $2 * 1024 }' /proc/meminfo)" "$(of edge1 .mem.total_bytes)"
is "... its instruction sets" "$(awk -F': ' '/^(flags|Features)/ { print $2; exit }' /proc/cpuinfo | tr -s ' ')" "$(of edge1 '.cpu.flags | join(" ")')"
is "... its disk" "$(here "df -B1 --output=size /var/lib/edge | tail -1")" "$(of edge1 .disk.total_bytes)"
is "... its interface" "$(here 'cat /sys/class/net/br0/address') $subnet.1" "$(of edge1 '.interfaces[] | select(.name == "br0") | .mac + " " + .addrs[0]')"
like "... its use, pressure and score" '^number number number number string$' "$(of edge1 '[.cpu.use, .window_s, .pressure.cpu, .cpu.score, .cpu.scored] | map(type) | join(" ")')"
scored=$(of edge1 .cpu.scored)
probe
is "the score is measured once" "$scored" "$(of edge1 .cpu.scored)"
sleep 1
here 'sed -i "s/\"where\":\"/&another kernel /" /var/lib/edge/facts.json'
probe
ok "... and again by another kernel, or where the disk is in another machine" test "$(of edge1 .cpu.scored)" \> "$scored"
scored=$(of edge1 .cpu.scored)
probe
is "... once" "$scored" "$(of edge1 .cpu.scored)"
ok "use is told over what has been counted" awk -v w="$(of edge1 .window_s)" 'BEGIN { exit !(w >= 1 && w < 60) }'
cp "$tmp/records" "$tmp/before"
probe --verbose
like "what is absent is told" 'edge-probe: energy.battery: absent: no battery' "$(cat "$tmp/err")"
like "... each with its reason" 'edge-probe: gpu: absent: none in /sys/class/drm, no nvidia-smi' "$(cat "$tmp/err")"
is "... and only when asked for" "" "$(here 'edge-probe 2>&1 >/dev/null')"

# --- what this machine may lack: files as kernels show them, in a mount namespace of its own
cat >"$tmp/false.sh" <<'END'
mount --bind "$1/sys" /sys
mount --bind "$1/pressure" /proc/pressure
PATH=$1/bin:$PATH exec edge-probe --verbose --window 5
END
mkdir -p "$tmp"/sys/class/{drm/card0/device,drm/card0-DP-1,drm/renderD128,powercap/intel-rapl:0,powercap/intel-rapl:0:0,power_supply/BAT0,power_supply/AC} "$tmp/pressure" "$tmp/bin"
s=$tmp/sys/class
echo 0x1002 >"$s/drm/card0/device/vendor"
echo 0x744c >"$s/drm/card0/device/device"
echo 0x030000 >"$s/drm/card0/device/class"
printf 'DRIVER=amdgpu\nPCI_ID=1002:744C\n' >"$s/drm/card0/device/uevent"
echo 25753026560 >"$s/drm/card0/device/mem_info_vram_total"
echo 1073741824 >"$s/drm/card0/device/mem_info_vram_used"
echo 37 >"$s/drm/card0/device/gpu_busy_percent"
echo 1000000 >"$s/powercap/intel-rapl:0/energy_uj"
echo 262143328850 >"$s/powercap/intel-rapl:0/max_energy_range_uj"
echo 500 >"$s/powercap/intel-rapl:0:0/energy_uj"
echo Battery >"$s/power_supply/BAT0/type"
echo 83 >"$s/power_supply/BAT0/capacity"
echo Mains >"$s/power_supply/AC/type"
echo 1 >"$s/power_supply/AC/online"
false_machine() { on edge1 unshare --mount sh "$tmp/false.sh" "$tmp" >"$tmp/records" 2>"$tmp/err"; }
here 'rm -f /run/edge/samples-*'
false_machine
is "a graphics processor is told by what its driver shows" \
	'[{"vendor":"amd","model":"1002:744c","driver":"amdgpu","mem_bytes":25753026560,"mem_used_bytes":1073741824,"use":0.37}]' "$(of edge1 '.gpu | tojson')"
is "... a battery" '{"battery":0.83,"mains":true,"watts":0}' "$(of edge1 '.energy | tojson')"
is "... and no pressure where the kernel does not tell it" null "$(of edge1 .pressure)"
like "... with the reason" 'edge-probe: pressure.io: absent: the kernel does not tell it in /proc/pressure/io' "$(cat "$tmp/err")"
ok "... in a record as its schema says" tests/schema/check <"$tmp/records"
echo 31000000 >"$s/powercap/intel-rapl:0/energy_uj"
sleep 1
false_machine
ok "what the processors take is told" awk -v w="$(of edge1 .energy.watts)" -v s="$(of edge1 .window_s)" 'BEGIN { exit !(w * s > 29.9 && w * s < 30.1) }'
cat >"$tmp/bin/nvidia-smi" <<'END'
#!/bin/sh
echo "$*" >>/run/smi
echo 'Tesla T4, 15360, 2048, 35, 535.104.05'
echo 'Tesla M10, 8192, 0, [N/A], 535.104.05'
END
chmod 755 "$tmp/bin/nvidia-smi"
false_machine
is "NVIDIA's are told by nvidia-smi" \
	'[["nvidia","Tesla T4",16106127360,2147483648,0.35],["nvidia","Tesla M10",8589934592,0,null],["amd","1002:744c",25753026560,1073741824,0.37]]' \
	"$(of edge1 '.gpu | map([.vendor, .model, .mem_bytes, .mem_used_bytes, .use]) | tojson')"
ok "... in a record as its schema says" tests/schema/check <"$tmp/records"
printf '#!/bin/sh\necho "driver is not loaded" >&2; exit 9\n' >"$tmp/bin/nvidia-smi"
false_machine
like "... whose failure costs nothing else" 'edge-probe: gpu: absent: nvidia-smi: driver is not loaded' "$(cat "$tmp/err")"
is "... of the rest" 1002:744c "$(of edge1 '.gpu[0].model')"
here 'rm -f /run/edge/samples-*'

# --- scores by name
model=$(of edge1 .cpu.model)
printf 'Name,Mark\n"Some CPU, Other @ 2GHz","1,234"\n%s(R) Processor @ 3.10GHz,2583,extra\n' "$model" >"$tmp/marks.csv"
probe --cpu-scores "$tmp/marks.csv"
is "a table says the score" "2583 null null" "$(of edge1 '"\(.cpu.score) \(.cpu.scores) \(.cpu.scored)"')"
printf 'Other,99\n' >"$tmp/marks.csv"
probe --verbose --cpu-scores "$tmp/marks.csv"
is "... and nothing else does" null "$(of edge1 .cpu.score)"
like "... which is told" "edge-probe: cpu.score: absent: $model: not in $tmp/marks.csv" "$(cat "$tmp/err")"
printf 'Other,99\nno comma here\n' >"$tmp/marks.csv"
probe --cpu-scores "$tmp/marks.csv"
is "a malformed table is bad input" "65 edge-probe: $tmp/marks.csv: line 2: not of the form name,mark" "$status $(cat "$tmp/err")"
printf 'Other,99\nAnother,fast\n' >"$tmp/marks.csv"
probe --cpu-scores "$tmp/marks.csv"
is "... also when a mark is none" "65 edge-probe: $tmp/marks.csv: line 2: fast: not a mark" "$status $(cat "$tmp/err")"
is "... and nothing is printed" "" "$(cat "$tmp/records")"

# --- other nodes
probe edge1 edge2 edge3
is "several nodes are asked" "0 edge1 edge2 edge3" "$status $(jq -r .name "$tmp/records" | sort | tr '\n' ' ' | sed 's/ $//')"
ok "... with records as their schema says" tests/schema/check <"$tmp/records"
is "... and the address that they were reached at" "$subnet.2" "$(of edge2 .addr)"
probe "ssh://$subnet.2" --services
is "a node may be named by its address" "edge2" "$(jq -r .name "$tmp/records")"
here "edge-run --on edge2 --name far -- sleep 1000 >/dev/null"
probe edge2 --services
is "... and its services told" "node edge2 service far" "$(jq -r '.kind + " " + .name' "$tmp/records" | tr '\n' ' ' | sed 's/ $//')"
here 'edge-stop --on edge2 --rm far' >/dev/null 2>&1 || true

# --- again and again
on edge1 sh -c 'edge-probe --every 0.3 --rounds 4' >"$tmp/records"
is "it is done again" 4 "$(wc -l <"$tmp/records")"
# What a service used while it started is no longer in what is told of it by the third time.
here 'edge-run --name brief -- sleep 1000; edge-run --name settled -- sleep 1000; edge-probe --services; sleep 1; edge-probe --services' >/dev/null
on edge1 sh -c 'echo $$ >/run/rounds; exec edge-probe --services --every 0.5 --changes' >"$tmp/records" 2>"$tmp/err" &
rounds=$!
told() { grep -q "$1" "$tmp/records"; }
await 20 told '"name":"brief"'
here 'edge-run --name late -- sleep 1000; edge-stop --rm brief' >/dev/null
await 20 told '"name":"late"'
await 20 told '"name":"brief".*"state":"exited"'
here 'kill $(cat /run/rounds)'
wait "$rounds" 2>/dev/null
is "a service that has not changed is told once" 1 "$(jq -c 'select(.name == "settled")' "$tmp/records" | wc -l)"
ok "... and one that has come is told" test -n "$(of late .id)"
is "... and one that has gone is told" "brief running, brief exited" "$(jq -r 'select(.name == "brief") | .name + " " + .state' "$tmp/records" | sed -n '1p;$p' | paste -sd, | sed 's/,/, /')"
ok "... in records as their schema says" tests/schema/check <"$tmp/records"
here 'edge-probe --services --prometheus /run/edge.prom >/dev/null; cat /run/edge.prom' >"$tmp/prom" 2>&1
like "metrics are written" '# TYPE edge_node_cpu_use gauge
edge_node_cpu_use\{node="edge1"\} [0-9.e-]+
' "$(cat "$tmp/prom")"
like "... of services, too" 'edge_service_usage_mem_bytes\{node="edge1",service="late",id="[0-9a-f]{16}",engine="process"\} [0-9]+' "$(cat "$tmp/prom")"
here 'edge-stop --rm late settled' >/dev/null
here 'edge-probe --register edge2 >/dev/null; cat ${EDGE_REGISTRY#dir:}/node/edge2.json' >"$tmp/records"
is "another node is registered" "edge2 $subnet.2 true" "$(jq -r '"\(.name) \(.addr) \(.cpu.use != null)"' "$tmp/records")"

pass='{"kind":"other",  "x":1e3}'
here "{ echo '$pass'; cat \${EDGE_REGISTRY#dir:}/node/edge[23].json; } | edge-probe -" >"$tmp/records"
is "nodes are taken from records, and the rest is passed on" "$pass" "$(grep '"other"' "$tmp/records")"
is "... of all of them" "edge2 edge3" "$(grep -v '"other"' "$tmp/records" | jq -r .name | sort | tr '\n' ' ' | sed 's/ $//')"
here "echo '{\"kind\":' | edge-probe -" >"$tmp/records" 2>"$tmp/err"
is "a malformed record is bad input" 65 $?
like "... with its line" '^edge-probe: stdin: line 1: ' "$(cat "$tmp/err")"

# A node that hangs, one that refuses, one with another host key, one without the program, one that nobody knows.
here "cd \${EDGE_REGISTRY#dir:}/node && for n in hangs:7001 refuses:7002; do
	echo '{\"kind\":\"node\",\"name\":\"'\${n%:*}'\",\"addr\":\"$subnet.1\",\"port\":'\${n#*:}'}' >\${n%:*}.json; done
	echo '{\"kind\":\"node\",\"name\":\"changed\",\"addr\":\"$subnet.1\",\"port\":7003}' >changed.json
	ssh-keygen -q -t ed25519 -N '' -f /run/otherkey
	echo \"[$subnet.1]:7003 \$(cut -d' ' -f1,2 /run/otherkey.pub)\" >>/etc/edge/known_hosts
	\$(command -v sshd) -f /etc/edge/sshd_config -p 7003 -o PidFile=/run/sshd3.pid"
on edge1 setsid python3 -c 'import socket, time
s = socket.create_server(("", 7001))
time.sleep(600)' >/dev/null 2>&1 &
disown
on edge3 sh -c 'mkdir -p /var/lib/edge/empty; printf "#!/bin/sh\nexit 127\n" >/var/lib/edge/no; chmod 755 /var/lib/edge/no'
over edge3 "$EDGE_BIN/edge-probe" /var/lib/edge/no
await 10 on edge1 bash -c "exec 3<>/dev/tcp/$subnet.1/7001"
start=$SECONDS
probe --timeout 10 edge2 hangs refuses changed edge3 nobody
is "nodes that fail do not hold up the others" "1 edge2" "$status $(jq -r .name "$tmp/records")"
ok "... and have their time limit" test $((SECONDS - start)) -le 25
said=$(sort "$tmp/err")
like "one that hangs is reported" 'edge-probe: node hangs: no answer within 10 s' "$said"
like "... one that refuses" 'edge-probe: node refuses: cannot connect: Connection refused' "$said"
like "... one with another host key" 'edge-probe: node changed: host key has changed' "$said"
like "... one that nobody knows" 'edge-probe: node nobody: not in the registry' "$said"
like "... and nothing is said of the good one" '^[^2]*$' "$(grep -o 'edge2' <<<"$said")"
on edge3 umount -n "$EDGE_BIN/edge-probe"

# --- a node that has nothing of ours
on edge3 mount -n -t tmpfs tmpfs "$EDGE_BIN"
on edge3 sh -c 'ls -d /tmp/tmp.* 2>/dev/null' >"$tmp/before"
probe edge3
is "a node without the toolkit says so" "69 edge-probe: node edge3: edge-serve: command not found" "$status $(sed 's/connection closed: //; s/sh: 1: //; s/: not found/: command not found/' "$tmp/err")"
probe --bootstrap --services edge2 edge3
is "... and may be sent it for one run" "0 edge2 edge3" "$status $(jq -r 'select(.kind == "node") | .name' "$tmp/records" | sort | tr '\n' ' ' | sed 's/ $//')"
ok "... with records as their schema says" tests/schema/check <"$tmp/records"
is "... and the address that it was reached at" "$subnet.3" "$(of edge3 .addr)"
is "... which leaves nothing there" "$(cat "$tmp/before")" "$(on edge3 sh -c 'ls -d /tmp/tmp.* 2>/dev/null')"
loader=$(ldd "$EDGE_BIN/edge-probe" | awk '/\/ld-linux/ { print $1 }') libraries=$(ldd "$EDGE_BIN/edge-probe" | awk '/libc\.so/ { print $3 }')
on edge1 cp "$loader" /var/lib/edge/ld.so
is "... also by one that was itself brought along" edge3 "$(on edge1 /var/lib/edge/ld.so --library-path "${libraries%/*}" "$EDGE_BIN/edge-probe" \
	--bootstrap edge3 | jq -r .name)"
instead edge3 "$(command -v uname)" 'case $1 in -m) echo other ;; *) exec "$real" "$@" ;; esac'
probe --bootstrap edge3
is "another architecture is told" "69 edge-probe: node edge3: bootstrap: its architecture is not $(uname -m)" "$status $(cat "$tmp/err")"
right edge3 "$(command -v uname)"
on edge3 umount -n "$EDGE_BIN"

probe changed
is "a single node's failure is the exit status" 77 "$status"
probe --timeout 1 hangs
is "... also that it is late" 69 "$status"
finish
