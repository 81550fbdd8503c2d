#!/bin/bash
# SPDX-License-Identifier: MIT
# Nodes in etcd, in an LDAP directory, in the DNS and in files: registered, discovered, forgotten; and servers that go away.
# shellcheck source=tests/move/lib.sh
. "$(dirname "$0")/../move/lib.sh"
need etcd slapd slapadd knotd knotc openssl jq python3
export EDGE_ROOT=$tmp/node PATH=$EDGE_BIN:$PATH
unset EDGE_REGISTRY
mkdir -p "$EDGE_ROOT/etc/edge"
echo '{"name":"edge1","addr":"10.0.0.1","role":"edge","network":"site-a","geo":{"lat":48.14,"lon":11.58}}' >"$EDGE_ROOT/etc/edge/node.json"
status=0
declare -A server=()

probe() { # ARG...
	status=0
	edge-probe "$@" >"$tmp/records" 2>"$tmp/err" || status=$?
}
names() { jq -r .name "$tmp/records" | tr '\n' ' ' | sed 's/ $//'; }
port() { python3 -c 'import socket; s = socket.socket(); s.bind(("127.0.0.1", 0)); print(s.getsockname()[1])'; }
start() { # NAME COMMAND...
	local name=$1
	shift
	setsid "$@" </dev/null >"$tmp/$name.log" 2>&1 &
	server[$name]=$!
}
end() { # NAME
	kill "${server[$1]}" 2>/dev/null
	wait "${server[$1]}" 2>/dev/null
	unset "server[$1]"
}
end_all() {
	local name
	for name in "${!server[@]}"; do end "$name"; done
	clean
}
trap end_all EXIT
answers() { (exec 3<>"/dev/tcp/127.0.0.1/$1") 2>/dev/null; }

# --- etcd
p=$(port) peer=$(port)
etcd_start() { # NAME PORT PEERPORT OPTION...
	local name=$1 url=$2 peer_url=http://127.0.0.1:$3
	shift 3
	start "$name" etcd --data-dir "$tmp/$name" --listen-client-urls "$url" --advertise-client-urls "$url" \
		--listen-peer-urls "$peer_url" --initial-advertise-peer-urls "$peer_url" --initial-cluster "default=$peer_url" "$@"
	await 10 answers "${url##*:}"
}
etcd_start etcd "http://127.0.0.1:$p" "$peer"
url=etcd://127.0.0.1:$p
ok "the registry's own tests pass in etcd: compare-and-swap, races, watch" env EDGE_TEST_REGISTRY="$url/unit" "$B/tests/unit/registry_test"
probe --register --registry "$url/fleet"
is "a node registers itself" "0 edge1" "$status $(names)"
cp "$tmp/records" "$tmp/first"
probe --discover "$url/fleet"
is "... and is discovered, as it was told" "$(cat "$tmp/first")" "$(cat "$tmp/records")"
probe --discover "$url/other"
is "... under its prefix only" "0 " "$status $(cat "$tmp/records")"
probe --discover "$url/fleet" --register --registry "$url/other"
probe --discover "$url/other"
is "nodes go from one registry to another" edge1 "$(names)"

probe --register --lease 2 --registry "$url/leased"
probe --discover "$url/leased"
is "a node with a lease is there" edge1 "$(names)"
forgotten() { probe --discover "$url/leased"; [[ $status == 0 && -z $(names) ]]; }
await 10 forgotten
is "... and is forgotten when it is not heard of again" "" "$(names)"
edge-probe --register --lease 2 --every 1 --rounds 5 --registry "$url/leased" >"$tmp/out" &
sleep 4.2
probe --discover "$url/leased"
is "... but stays as long as it registers itself again" edge1 "$(names)"
wait $!
probe --register --lease 2 --registry "dir:$tmp/dir"
is "a directory of files has no leases" "69 edge-probe: registry dir: has no leases" "$status $(cat "$tmp/err")"

# The server is killed while somebody watches, and comes back.
heard() { [[ $(grep -c "^$1" "$tmp/watched") -ge ${2:-1} ]]; }
EDGE_TEST_WATCH="$url/watched" "$B/tests/unit/registry_test" >"$tmp/watched" &
watcher=$!
ok "somebody watches" await 10 heard watching
probe --register --registry "$url/watched"
ok "... and hears of a node" await 10 heard change
kill -KILL "${server[etcd]}"
wait "${server[etcd]}" 2>/dev/null
ok "... and that the server was killed" await 10 heard 'away: registry etcd:'
etcd_start etcd "http://127.0.0.1:$p" "$peer"
ok "... and that it is back" await 10 heard watching 2
probe --register --registry "$url/watched"
ok "... and of the node again" await 10 heard change 2
kill "$watcher"
wait "$watcher" 2>/dev/null

# It goes away and comes back, with what it had.
end etcd
probe --discover "$url/fleet"
like "a server that is gone is reported" "^69 edge-probe: registry $url/fleet: failed to connect to 127.0.0.1 port $p" "$status $(cat "$tmp/err")"
etcd_start etcd "http://127.0.0.1:$p" "$peer"
probe --discover "$url/fleet"
is "... and serves again when it is back" edge1 "$(names)"
probe --discover "etcd://127.0.0.1:1,127.0.0.1:$p/fleet"
is "of several servers one that answers is enough" edge1 "$(names)"

# --- etcd with users
q() { curl -sS --max-time 5 "http://127.0.0.1:$p/v3/$1" -d "$2" -H "Authorization: ${token:-}"; }
b64() { printf %s "$1" | base64; }
q auth/user/add '{"name":"root","password":"rootpw"}' >"$tmp/out"
q auth/user/add '{"name":"edge","password":"s3cret"}' >>"$tmp/out"
q auth/role/add '{"name":"root"}' >>"$tmp/out"
q auth/role/add '{"name":"fleet"}' >>"$tmp/out"
q auth/role/grant "{\"name\":\"fleet\",\"perm\":{\"permType\":\"READWRITE\",\"key\":\"$(b64 fleet/)\",\"range_end\":\"$(b64 fleet0)\"}}" >>"$tmp/out"
q auth/user/grant '{"user":"root","role":"root"}' >>"$tmp/out"
q auth/user/grant '{"user":"edge","role":"fleet"}' >>"$tmp/out"
q auth/enable '{}' >>"$tmp/out"
probe --discover "$url/fleet"
like "without a name nothing is told" '^(69|77) edge-probe: registry .*: answers' "$status $(cat "$tmp/err")"
probe --discover "etcd://edge@127.0.0.1:$p/fleet"
like "... nor without the password" '^77 edge-probe: registry .*: answers .*: .*authentication failed' "$status $(cat "$tmp/err")"
(umask 077; echo s3cret >"$EDGE_ROOT/etc/edge/registry.password")
probe --discover "etcd://edge@127.0.0.1:$p/fleet"
is "... which is in a file" "0 edge1" "$status $(names)"
probe --discover "etcd://edge@127.0.0.1:$p/other"
like "what the user may not read is forbidden" '^77 edge-probe: registry .*: answers 403: .*permission denied' "$status $(cat "$tmp/err")"
probe --discover "etcd://edge:s3cret@127.0.0.1:$p/fleet"
is "a password in the URL is refused, and not shown" "64 edge-probe: registry etcd://...: a password is not for a URL, but for the file registry.password" "$status $(cat "$tmp/err")"
rm "$EDGE_ROOT/etc/edge/registry.password"
end etcd

# --- etcd with TLS, both sides
tls() { # NAME
	openssl req -newkey rsa:2048 -nodes -keyout "$tmp/$1.key" -out "$tmp/$1.csr" -subj "/CN=$1" 2>/dev/null
	openssl x509 -req -in "$tmp/$1.csr" -CA "$tmp/ca.pem" -CAkey "$tmp/ca.key" -days 2 -out "$tmp/$1.pem" \
		-extfile <(echo 'subjectAltName=IP:127.0.0.1') 2>/dev/null
}
openssl req -x509 -newkey rsa:2048 -nodes -keyout "$tmp/ca.key" -out "$tmp/ca.pem" -subj /CN=ca -days 2 2>/dev/null
tls server; tls client
p=$(port)
etcd_start secure "https://127.0.0.1:$p" "$(port)" --cert-file "$tmp/server.pem" --key-file "$tmp/server.key" \
	--trusted-ca-file "$tmp/ca.pem" --client-cert-auth
url=etcds://127.0.0.1:$p/fleet
probe --discover "$url"
like "a server that nobody vouches for is refused" "^77 edge-probe: registry $url: .*certificate" "$status $(cat "$tmp/err")"
cp "$tmp/ca.pem" "$EDGE_ROOT/etc/edge/registry.ca"
probe --discover "$url"
ok "... and refuses who has no certificate" test "$status" != 0
cp "$tmp/client.pem" "$EDGE_ROOT/etc/edge/registry.cert"
cp "$tmp/client.key" "$EDGE_ROOT/etc/edge/registry.key"
probe --register --registry "$url"
is "with both it is a registry like others" "0 edge1" "$status $(names)"
probe --discover "$url"
is "... over TLS" edge1 "$(names)"
end secure
rm "$EDGE_ROOT"/etc/edge/registry.*

# --- LDAP: three places
p=$(port)
cat >"$tmp/slapd.conf" <<END
include /etc/ldap/schema/core.schema
include $PWD/examples/edge.schema
modulepath /usr/lib/ldap
moduleload back_mdb
pidfile $tmp/slapd.pid
database mdb
suffix "dc=example,dc=org"
rootdn "cn=admin,dc=example,dc=org"
rootpw adminpw
directory $tmp/ldap
access to dn.subtree="ou=secret,dc=example,dc=org" by dn="cn=reader,dc=example,dc=org" read by anonymous auth by * none
access to attrs=userPassword by anonymous auth by * none
access to * by * read
END
mkdir "$tmp/ldap"
probe --ldif 'ou=Volos,dc=example,dc=org'
cp "$tmp/records" "$tmp/self.ldif"
like "a device writes its own entry" '^dn: cn=edge1,ou=Volos,dc=example,dc=org
objectClass: edgeDevice
cn: edge1
edgeAddress: 10.0.0.1
edgeRole: edge' "$(cat "$tmp/self.ldif")"
{
	cat <<'END'
dn: dc=example,dc=org
objectClass: organization
objectClass: dcObject
o: example
dc: example

dn: cn=reader,dc=example,dc=org
objectClass: person
cn: reader
sn: reader
userPassword: readerpw

END
	for place in Volos Athens secret; do printf 'dn: ou=%s,dc=example,dc=org\nobjectClass: organizationalUnit\nou: %s\n\n' "$place" "$place"; done
	cat "$tmp/self.ldif"
	for n in 1 2; do
		printf 'dn: cn=athens%d,ou=Athens,dc=example,dc=org\nobjectClass: edgeDevice\nedgeAddress: 10.0.1.%d\nedgeCpuCores: 4\nedgeCpuScore: 2000\n' "$n" "$n"
		printf 'edgeMemoryBytes: 8589934592\nedgeRole: cloud\nedgeEngine: process\nedgeEngine: runc\nedgeNetwork:: %s\n\n' "$(printf 'Αθήνα' | base64)"
	done
	printf 'dn: cn=hidden,ou=secret,dc=example,dc=org\nobjectClass: edgeDevice\nedgeAddress: 10.0.2.1\n\n'
} >"$tmp/all.ldif"
ok "... that its schema allows, like others" slapadd -f "$tmp/slapd.conf" -l "$tmp/all.ldif"
start slapd slapd -d 0 -f "$tmp/slapd.conf" -h "ldap://127.0.0.1:$p"
await 10 answers "$p"
url=ldap://127.0.0.1:$p
probe --discover "$url/dc=example,dc=org"
is "nodes of all places are discovered" "0 athens1 athens2 edge1" "$status $(names)"
ok "... in records as their schema says" tests/schema/check <"$tmp/records"
is "... with what is known of them" '{"kind":"node","name":"athens1","addr":"10.0.1.1","cpu":{"cores":4,"score":2000},"mem":{"total_bytes":8589934592},"role":"cloud","engines":["process","runc"],"network":"Αθήνα","site":"Athens"}' \
	"$(jq -Sc . <<<"$(sed -n 1p "$tmp/records")" | jq -c '{kind,name,addr,cpu,mem,role,engines,network,site}')"
is "... as they told themselves" "$(jq -c '[.addr,.cpu.cores,.cpu.score,.mem.total_bytes,.geo,.role,.engines,.seen]' <"$tmp/first" | sed 's/,"20.*//')" \
	"$(jq -c 'select(.name == "edge1") | [.addr,.cpu.cores,.cpu.score,.mem.total_bytes,.geo,.role,.engines,.seen]' "$tmp/records" | sed 's/,"20.*//')"
probe --discover "$url/ou=Volos,dc=example,dc=org"
is "... those of one place" edge1 "$(names)"
probe --discover "$url/dc=example,dc=org??sub?(&(objectClass=edgeDevice)(edgeRole=cloud))"
is "... those that a filter finds" "athens1 athens2" "$(names)"
probe --discover "$url/ou=Athens,dc=example,dc=org?cn,edgeAddress?one"
is "... only some attributes of them" '["addr","kind","name","site"]' "$(head -1 "$tmp/records" | jq -c keys)"
probe --discover "$url/ou=secret,dc=example,dc=org"
is "what anonymous callers may not see is not told" "" "$(names)"
echo readerpw >"$EDGE_ROOT/etc/edge/registry.password"
probe --discover "$url/ou=secret,dc=example,dc=org????bindname=cn=reader%2Cdc=example%2Cdc=org"
is "... but to those who say who they are" hidden "$(names)"
echo wrong >"$EDGE_ROOT/etc/edge/registry.password"
probe --discover "$url/ou=secret,dc=example,dc=org????bindname=cn=reader%2Cdc=example%2Cdc=org"
like "... with their password" '^77 edge-probe: registry ldap:' "$status $(cat "$tmp/err")"
probe --discover "$url/ou=Nowhere,dc=example,dc=org"
like "a place that there is not is an error" '^69 edge-probe: registry ldap:' "$status $(cat "$tmp/err")"
probe --register --registry "$url/dc=example,dc=org"
like "a directory is not written" '^69 edge-probe: registry ldap:.*: cannot write node/edge1: a directory only lists nodes' "$status $(cat "$tmp/err")"
is "other programs find their nodes there, too" "69 edge-probe: node nobody: not in the registry" \
	"$(EDGE_REGISTRY="$url/dc=example,dc=org" edge-probe nobody 2>&1 >/dev/null | sed "s/^/69 /")"
printf 'dn: cn=bad,ou=Athens,dc=example,dc=org\nobjectClass: edgeDevice\nedgeAddress: 10.0.1.9\nedgeLatitude: far north\n' >"$tmp/bad.ldif"
ldapadd -x -H "$url" -D cn=admin,dc=example,dc=org -y <(printf adminpw) -f "$tmp/bad.ldif" >"$tmp/out" 2>&1
probe --discover "$url/dc=example,dc=org"
is "a malformed entry is bad input" "65 edge-probe: registry $url/dc=example,dc=org: entry cn=bad,ou=Athens,dc=example,dc=org: edgeLatitude: not a number: far north" "$status $(cat "$tmp/err")"
end slapd
probe --discover "$url/dc=example,dc=org"
like "a directory that is gone is reported" '^69 edge-probe: registry ldap:' "$status $(cat "$tmp/err")"

# --- DNS
p=$(port)
mkdir -p "$tmp/knot"
cat >"$tmp/knot/edge.zone" <<'END'
$ORIGIN example.org.
$TTL 60
@ SOA ns admin 1 3600 600 86400 60
@ NS ns
ns A 127.0.0.1
_edge._tcp SRV 20 0 22 far
_edge._tcp SRV 10 5 2222 near.example.org.
_edge._tcp SRV 10 50 22 nearest
none A 127.0.0.2
END
for i in $(seq 60); do echo "_many._tcp SRV 1 0 22 node-with-a-long-name-$i"; done >>"$tmp/knot/edge.zone"
printf 'server:\n  listen: 127.0.0.1@%s\n  rundir: %s\ndatabase:\n  storage: %s\nzone:\n  - domain: example.org\n    file: %s/edge.zone\n    storage: %s\n    semantic-checks: off\n' \
	"$p" "$tmp/knot" "$tmp/knot" "$tmp/knot" "$tmp/knot" >"$tmp/knot/knot.conf"
start knot knotd -c "$tmp/knot/knot.conf"
await 10 answers "$p"
probe --discover "dns://127.0.0.1:$p/_edge._tcp.example.org"
is "nodes are discovered in the DNS, the preferred first" "0 nearest.example.org near.example.org far.example.org" "$status $(names)"
is "... with their ports" "22 2222 22" "$(jq -r .port "$tmp/records" | tr '\n' ' ' | sed 's/ $//')"
ok "... in records as their schema says" tests/schema/check <"$tmp/records"
probe --discover "dns://127.0.0.1:$p/_many._tcp.example.org"
is "... more than fit into a datagram" 60 "$(wc -l <"$tmp/records")"
probe --discover "dns://127.0.0.1:$p/_no._tcp.example.org"
is "a name that there is not is told" "69 edge-probe: dns://127.0.0.1:$p/_no._tcp.example.org: no such name" "$status $(cat "$tmp/err")"
probe --discover "dns://127.0.0.1:$p/none.example.org"
is "... and one without such records" "69 edge-probe: dns://127.0.0.1:$p/none.example.org: no SRV records" "$status $(cat "$tmp/err")"
end knot
# By resolv.conf: in a network and with files of its own.
sed "s/@$p/@53/" "$tmp/knot/knot.conf" >"$tmp/knot/own.conf"
echo 'nameserver 127.0.0.1' >"$tmp/resolv.conf"
unshare -mn sh -c 'ip link set lo up; mount -n --bind "$1/resolv.conf" /etc/resolv.conf; knotd -c "$1/knot/own.conf" >"$1/own.log" 2>&1 & knot=$!
	for i in $(seq 100); do edge-probe --discover dns:_edge._tcp.example.org 2>"$1/err" && break; sleep 0.2; done; kill $knot; wait $knot' \
	- "$tmp" >"$tmp/records"
is "... by the server that the machine asks, too" "nearest.example.org near.example.org far.example.org" "$(names)"
probe --discover "dns://127.0.0.1:$p/_edge._tcp.example.org"
is "... and a server that is silent" "69 edge-probe: dns://127.0.0.1:$p/_edge._tcp.example.org: no answer" "$status $(cat "$tmp/err")"

# --- files
cat >"$tmp/hosts" <<'END'
# ours
10.0.0.1 edge1 alias   # the first

fd00::2	edge2
END
probe --discover "$tmp/hosts"
is "nodes are discovered in a hosts file" '{"kind":"node","name":"edge1","addr":"10.0.0.1"} {"kind":"node","name":"edge2","addr":"fd00::2"}' "$(tr '\n' ' ' <"$tmp/records" | sed 's/ $//')"
echo '[{"name":"a","addr":"10.0.0.3"},{"kind":"user"},{"kind":"node","name":"b"}]' >"$tmp/nodes.json"
probe --discover "file:$tmp/nodes.json"
is "... in a JSON array" "a b" "$(names)"
printf '{"kind":"node","name":"c"}\n\n{"kind":"service","name":"x"}\n{"name":"d"}\n' >"$tmp/nodes.ndjson"
probe --discover "$tmp/nodes.ndjson"
is "... in lines of JSON" "c d" "$(names)"
probe --discover "dir:$tmp/dir" --register --registry "dir:$tmp/dir"
probe --discover "$tmp/nodes.ndjson" --register --registry "dir:$tmp/dir"
probe --discover "$tmp/dir"
is "... in a directory that is a registry" "c d" "$(names)"
refused() { # TITLE TEXT URL
	probe --discover "$3"
	is "$1" "$2" "$status $(cat "$tmp/err")"
}
printf '10.0.0.1 edge1\n10.0.0.300 edge2\n' >"$tmp/hosts"
refused "a malformed hosts file is bad input" "65 edge-probe: $tmp/hosts: line 2: not an address and a name" "$tmp/hosts"
printf '{"name":"c"}\n{"kind":"node"}\n' >"$tmp/nodes.ndjson"
refused "... and a node without a name" "65 edge-probe: $tmp/nodes.ndjson: line 2: not a node with a name" "$tmp/nodes.ndjson"
printf '[{"name":"c"},5]' >"$tmp/nodes.json"
refused "... and what is no node" "65 edge-probe: $tmp/nodes.json: element 2: not a node with a name" "$tmp/nodes.json"
printf '{"name":"c"}\n{"name":\n' >"$tmp/nodes.ndjson"
probe --discover "$tmp/nodes.ndjson"
like "... and malformed JSON" "^65 edge-probe: $tmp/nodes.ndjson: line 2: not JSON" "$status $(cat "$tmp/err")"
probe --discover other://x
is "another URL is wrong use" "64 edge-probe: registry other://x: not of the form dir:/path, etcd://host:port/prefix or ldap://host/base" "$status $(cat "$tmp/err")"
probe --ldif nonsense
is "a place that is none is wrong use" "64 edge-probe: nonsense: not a distinguished name" "$status $(cat "$tmp/err")"

# --- a registry that keeps what people have written
mkdir -p "$tmp/kept/node"
echo '{"kind":"node","name":"edge1","addr":"192.0.2.9","port":2222,"user":"operator"}' >"$tmp/kept/node/edge1.json"
probe --register --registry "dir:$tmp/kept"
is "a node's own record replaces what was there, except how to reach it" '["10.0.0.1",2222,"operator"]' "$(jq -c '[.addr,.port,.user]' "$tmp/kept/node/edge1.json")"
finish
