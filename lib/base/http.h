/* SPDX-License-Identifier: MIT */
/* HTTP, HTTPS and LDAP by libcurl, which is loaded when it is first used: programs that every shell line starts do not pay
 * for it (it alone takes 3 ms to load). */
#ifndef EDGE_BASE_HTTP_H
#define EDGE_BASE_HTTP_H

#include <stdbool.h>
#include <stddef.h>

#include "lib/base/auto.h"
#include "lib/base/err.h"
#include "lib/base/json.h"

/* A client, whose connection is kept from one request to the next. For one thread. */
struct http;

/* Where requests go, and who asks. Strings are used as long as the client lives; all but `name` may be NULL. */
struct http_peer {
	const char *name;     /* for messages: "registry etcd://10.0.0.1:2379" */
	const char *socket;   /* path of a UNIX socket to connect to */
	const char *ca;       /* file with the certificates to trust, instead of the system's */
	const char *cert;     /* file with our own certificate, and its key */
	const char *key;
	const char *user;     /* of LDAP: the DN to bind as */
	const char *password;
};

/* EX_UNAVAILABLE when there is no libcurl here. */
int http_open(struct http **h, const struct http_peer *peer, struct err *e);
void http_close(struct http *h);
AUTO_DEFINE(struct http, http_close)
#define AUTO_HTTP AUTO(http_close_auto)

/* Sent with each request from now on: "Authorization: ...", copied; NULL takes it back. */
int http_header(struct http *h, const char *line, struct err *e);
/* "DELETE", for each request from now on; NULL: GET and POST again. Used as long as the client lives. */
void http_method(struct http *h, const char *method);

/* GET, or POST when there is a `body` (JSON); the answer NUL-terminated in *text, which the caller frees, and its status in
 * *status (0 for LDAP). An answer of any status is success; more than 64 MB are refused.
 * -1: "NAME: cannot connect: ...", EX_UNAVAILABLE, or EX_NOPERM for certificates and LDAP's log-in. */
int http_do(struct http *h, const char *url, const char *body, int timeout_ms, char **text, long *status, struct err *e);
/* The same as a JSON value (answer NULL: whatever it is); a status of 400 and more is an error, EX_NOPERM for 401 and 403, else EX_UNAVAILABLE, with the
 * members "error" or "message" of the answer as its reason. */
int http_json(struct http *h, const char *url, const char *body, int timeout_ms, struct json **answer, struct err *e);
/* An answer without end: each piece goes to `take`, until that returns other than 0 or the time is over. */
int http_stream(struct http *h, const char *url, const char *body, int timeout_ms,
		int (*take)(void *ctx, const char *data, size_t n), void *ctx, struct err *e);

#endif
