#!/bin/bash
# SPDX-License-Identifier: MIT
# edge-probe --from: Prometheus' node exporter, which runs here, and cAdvisor, of which no package is here:
# its answers in tests/tools are written after the types of its API (info/v1), not recorded.
# shellcheck source=tests/move/lib.sh
. "$(dirname "$0")/../move/lib.sh"
need prometheus-node-exporter python3 jq
export EDGE_ROOT=$tmp/node PATH=$EDGE_BIN:$PATH
status=0 exporter='' web=''
end_all() { kill $exporter $web 2>/dev/null; clean; }
trap end_all EXIT

probe() { # ARG...
	status=0
	edge-probe "$@" >"$tmp/records" 2>"$tmp/err" || status=$?
}
port() { python3 -c 'import socket; s = socket.socket(); s.bind(("127.0.0.1", 0)); print(s.getsockname()[1])'; }
answers() { (exec 3<>"/dev/tcp/127.0.0.1/$1") 2>/dev/null; }
near() { awk -v x="$1" -v y="$2" -v part="$3" 'BEGIN { d = x - y; exit !(d * d <= part * part * y * y) }' || { echo "$1 is not near $2"; false; }; }

# --- the node exporter
p=$(port)
prometheus-node-exporter --web.listen-address="127.0.0.1:$p" >"$tmp/exporter.log" 2>&1 &
exporter=$!
await 10 answers "$p"
url=node-exporter:http://127.0.0.1:$p
probe --from "$url"
is "a node exporter's node is told" "0 $(uname -n) $(uname -m) $(uname -r)" "$status $(jq -r '"\(.name) \(.arch) \(.kernel)"' "$tmp/records")"
ok "... in a record as its schema says" tests/schema/check <"$tmp/records"
is "... its cores" "$(nproc --all)" "$(jq .cpu.cores "$tmp/records")"
is "... its memory" "$(awk '/^MemTotal/ { printf "%.0f", $2 * 1024 }' /proc/meminfo)" "$(jq .mem.total_bytes "$tmp/records")"
ok "... its free disk" near "$(jq .disk.free_bytes "$tmp/records")" "$(df -B1 --output=avail /var/lib | tail -1)" 0.05
ok "... how busy it is" jq -e '.cpu.use >= 0 and .cpu.use <= 1 and .window_s >= 1 and .pressure.io >= 0' "$tmp/records"
sleep 1
probe --from "$url"
ok "... since it was read before" jq -e '.window_s > 1.9' "$tmp/records"

# --- cAdvisor
mkdir -p "$tmp/www/api/v1.3/subcontainers"
cp tests/tools/cadvisor-machine.json "$tmp/www/api/v1.3/machine"
cp tests/tools/cadvisor-subcontainers.json "$tmp/www/api/v1.3/subcontainers/index.html"
w=$(port)
python3 -m http.server --bind 127.0.0.1 --directory "$tmp/www" "$w" >"$tmp/web.log" 2>&1 &
web=$!
await 10 answers "$w"
cadvisor=cadvisor:http://127.0.0.1:$w
probe --from "$cadvisor"
is "cAdvisor's containers are told, and its other cgroups are not" "0 web db" "$status $(jq -r .name "$tmp/records" | tr '\n' ' ' | sed 's/ $//')"
ok "... in records as their schema says" tests/schema/check <"$tmp/records"
# Of 4 cores in 30 s: 6 s; 3.0 MB in, 1.5 MB out over two interfaces.
is "... with what they use in a minute" '{"mem_bytes":52428800,"cpu":0.05,"net_bps":150000,"rx_bps":100000,"tx_bps":50000,"window_s":30}' \
	"$(head -1 "$tmp/records" | jq -c .usage)"
is "... and their limits" '{"cpu":0.5,"mem_bytes":134217728}' "$(head -1 "$tmp/records" | jq -c .profile)"
is "... and names" '["127.0.0.1","docker","nginx:1.25","3f1ac04d8c2b7d9e"]' "$(head -1 "$tmp/records" | jq -c '[.node,.engine,.image,.id]')"
is "... also of an older one's form" '["docker","9a0b1c2d3e4f5061",0.25,12000]' "$(tail -1 "$tmp/records" | jq -c '[.engine,.id,.usage.cpu,.usage.net_bps]')"
probe --window 12 --from "$cadvisor"
is "... over another window" "10 0.0375" "$(head -1 "$tmp/records" | jq -r '"\(.usage.window_s) \(.usage.cpu)"')"
probe --from "$url" --from "$cadvisor"
is "services are at the node that an exporter has at that host" "$(uname -n)" "$(sed -n 2p "$tmp/records" | jq -r .node)"

# --- what is not as it should be
probe --from "$url" --from cadvisor:http://127.0.0.1:1
is "one that does not answer does not hold up the others" "1 1" "$status $(wc -l <"$tmp/records")"
like "... and is reported" '^edge-probe: cadvisor http://127.0.0.1:1: failed to connect' "$(cat "$tmp/err")"
echo '{"some":"thing"}' >"$tmp/www/api/v1.3/subcontainers/index.html"
probe --from "$cadvisor"
is "another server is bad input" "65 edge-probe: cadvisor http://127.0.0.1:$w: does not answer as cAdvisor" "$status $(cat "$tmp/err")"
echo '[{"some":' >"$tmp/www/api/v1.3/subcontainers/index.html"
probe --from "$cadvisor"
like "... and half an answer" "^65 edge-probe: cadvisor http://127.0.0.1:$w: its answer is not JSON" "$status $(cat "$tmp/err")"
probe --from "node-exporter:http://127.0.0.1:$w"
is "... and no metrics" "69 edge-probe: node-exporter http://127.0.0.1:$w: answers 404" "$status $(cat "$tmp/err")"
printf '# HELP x y\nnode_uname_info{nodename="a \\"b\\"",machine="m"} 1\nnonsense\n' >"$tmp/www/metrics"
probe --from "node-exporter:http://127.0.0.1:$w"
is "... and what is none" "65 edge-probe: node-exporter http://127.0.0.1:$w: no metric: nonsense" "$status $(cat "$tmp/err")"
printf 'node_load1 0.5\n' >"$tmp/www/metrics"
probe --from "node-exporter:http://127.0.0.1:$w"
is "... and a node without a name" "65 edge-probe: node-exporter http://127.0.0.1:$w: does not tell the node's name (node_uname_info)" "$status $(cat "$tmp/err")"
probe --from other:http://127.0.0.1
is "another kind is wrong use" "64 edge-probe: other:http://127.0.0.1: not of the form node-exporter:http://host:9100 or cadvisor:http://host:8080" "$status $(cat "$tmp/err")"
finish
