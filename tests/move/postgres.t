#!/bin/bash
# SPDX-License-Identifier: MIT
# postgresql with all its processes: psql in the middle of a transaction, and pgbench under way, on open connections.
. "$(dirname "$0")/lib.sh"
bin=$(ls -d /usr/lib/postgresql/*/bin 2>/dev/null | sort -V | tail -n 1)
need "${bin:-/usr/lib/postgresql}/postgres" psql
lab_up
cat >"$tmp/start" <<'END'
#!/bin/sh
set -e
PATH=$1:$PATH
[ -s /data/db/PG_VERSION ] || initdb -D /data/db -A trust -N --locale=C.UTF-8
echo 'host all all 0.0.0.0/0 trust' >>/data/db/pg_hba.conf
exec postgres -D /data/db -c listen_addresses=0.0.0.0 -c unix_socket_directories=/tmp -c shared_buffers=32MB
END
on edge1 mkdir -p /var/lib/edge/pg
on edge1 install -m 755 "$tmp/start" /var/lib/edge/pg/start
on edge1 chown postgres: /var/lib/edge/pg
run postgres --port 5432 --user postgres --volume /var/lib/edge/pg:/data -- /data/start "$bin"
export PGHOST=$addr PGUSER=postgres PGDATABASE=postgres PGCONNECT_TIMEOUT=10
ask() { psql -XAtq -v ON_ERROR_STOP=1 -c "$1"; }
await 30 ask 'select 1' || log edge1 postgres | sed 's/^/# /'

"$bin/pgbench" -i -q -s 1 >"$tmp/out" 2>&1 || sed 's/^/# /' "$tmp/out"
ask 'create table t (i int primary key, s text); insert into t select i, md5(i::text) from generate_series(1, 20000) i'
sum="select count(*), md5(string_agg(i || s, ',' order by i)) from t"
before=$(ask "$sum")

client psql psql -XAtq -v ON_ERROR_STOP=1
tell psql 'begin isolation level repeatable read;' "update t set s = 'changed' where i <= 1000;" \
	"declare c cursor for select i from t order by i;" 'fetch 2 from c;' 'select pg_backend_pid();' '\echo ready'
ready psql
"$bin/pgbench" -n -c 3 -R 60 -T $((4 + MOVES * 8)) >"$tmp/pgbench" 2>&1 &
bench=$!
client_pid[pgbench]=$bench

in_between() { # at each place: the same session and cursor go on, nobody else sees what is not committed
	local k=$1
	tell psql 'fetch 2 from c;' "insert into t values (-1 * (select count(*) + 1 from t where i < 0), 'new');" "\\echo at $k"
	ok "the transaction goes on at $k" await 10 said psql "at $k"
	is "another session at $k does not see it" "$before" "$(ask "$sum")"
}
there_and_back postgres in_between
tell psql 'commit;' "select count(*), count(*) filter (where s = 'changed'), count(*) filter (where i < 0) from t;" \
	'select pg_backend_pid();'
client_end psql
pid=$(sed -n 3p <<<"$answer")
seq=3
wanted="1
2
$pid
ready
"
for ((i = 0; i < 2 * MOVES; i++)); do
	wanted+="$((seq++))
$((seq++))
at ${nodes[(i + 1) % 2]}
"
done
is 'the session is the one that it was, and its cursor lost no row' "$wanted$((20000 + 2 * MOVES))|1000|$((2 * MOVES))
$pid" "$answer"
is 'what it committed is there for all' "$((20000 + 2 * MOVES))|1000" \
	"$(ask "select count(*), count(*) filter (where s = 'changed') from t")"

wait "$bench"
unset 'client_pid[pgbench]'
is 'pgbench lost no connection and no transaction' "number of failed transactions: 0 (0.000%)" \
	"$(grep -e failed -e error -e FATAL "$tmp/pgbench")"
n=$(sed -n 's/^number of transactions actually processed: \([0-9]*\).*/\1/p' "$tmp/pgbench")
is 'each of its transactions is there once' "$n|t" "$(ask "select (select count(*) from pgbench_history),
	(select sum(delta) from pgbench_history) = all (values ((select sum(abalance) from pgbench_accounts)),
	((select sum(bbalance) from pgbench_branches)), ((select sum(tbalance) from pgbench_tellers)))")"
ok 'the whole database can be read' bash -c "\"$bin/pg_dumpall\" >/dev/null"
is 'nothing is left where the service was' '' "$(remains edge2 postgres)"
finish
