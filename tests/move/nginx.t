#!/bin/bash
# SPDX-License-Identifier: MIT
# nginx, master and workers, in the middle of a large download.
. "$(dirname "$0")/lib.sh"
need nginx perl
lab_up
bytes=268435456
on edge1 mkdir -p /var/lib/edge/www
on edge1 sh -c "openssl enc -aes-128-ctr -nosalt -K 0 -iv 0 -in /dev/zero 2>/dev/null | head -c $bytes >/var/lib/edge/www/large"
sum=$(on edge1 sha256sum /var/lib/edge/www/large | cut -d' ' -f1)
cat >"$tmp/nginx.conf" <<'END'
daemon off;
user www-data;
worker_processes 2;
error_log stderr;
pid /run/nginx.pid;
events { }
http {
	access_log /var/log/nginx/access.log;
	sendfile on;
	server {
		listen 80 reuseport;
		root /srv/www;
	}
}
END
on edge1 mv "$tmp/nginx.conf" /var/lib/edge/www/nginx.conf
run nginx --port 80 --volume /var/lib/edge/www:/srv/www -- nginx -c /srv/www/nginx.conf
await 5 bash -c "</dev/tcp/$addr/80"
client nginx perl "$tools/http-client.pl" get "$addr" 80 /large 4000000
ready nginx
there_and_back nginx
client_end nginx
is 'the download is whole' "ready
under way
$sum" "$answer"
is 'it was answered once' '1' "$(inside edge1 nginx grep -c 'GET /large' /var/log/nginx/access.log)"
is 'nothing is left where the service was' '' "$(remains edge2 nginx)"
finish
