/* SPDX-License-Identifier: MIT */
#include "lib/base/http.h"

#include <ctype.h>
#include <stdlib.h>
#include <string.h>

#include "lib/base/file.h"
#include "lib/base/libcurl.h"

#define ANSWER_MAX (64u << 20)
#define CONNECT_MS 5000L

static const struct libcurl *lib; /* once one is open */

struct http {
	CURL *curl;
	struct http_peer peer;
	struct curl_slist *headers;
	char *own; /* the line of http_header */
	const char *method; /* or NULL */
	char why[CURL_ERROR_SIZE];
};

int http_open(struct http **out, const struct http_peer *peer, struct err *e)
{
	struct http *h;

	lib = libcurl_load(e);
	if (!lib)
		return -1;
	h = calloc(1, sizeof(*h));
	if (!h || !(h->curl = lib->easy_init())) {
		free(h);
		return err_set(e, EX_OSERR, "out of memory");
	}
	h->peer = *peer;
	*out = h;
	return 0;
}

void http_close(struct http *h)
{
	if (!h)
		return;
	lib->easy_cleanup(h->curl);
	lib->slist_free_all(h->headers);
	free(h->own);
	free(h);
}

int http_header(struct http *h, const char *line, struct err *e)
{
	char *copy = line ? strdup(line) : NULL;

	if (line && !copy)
		return err_set(e, EX_OSERR, "out of memory");
	free(h->own);
	h->own = copy;
	return 0;
}

void http_method(struct http *h, const char *method)
{
	h->method = method;
}

struct sink {
	struct http *h;
	int (*take)(void *ctx, const char *data, size_t n);
	void *ctx;
	bool ended;
};

static size_t on_data(char *data, size_t size, size_t n, void *ctx)
{
	struct sink *s = ctx;

	s->ended = s->ended || s->take(s->ctx, data, size * n);
	return s->ended ? 0 : size * n;
}

static void set_peer(struct http *h)
{
	const struct http_peer *p = &h->peer;

	lib->easy_setopt(h->curl, CURLOPT_NOPROXY, "*");
	if (p->socket)
		lib->easy_setopt(h->curl, CURLOPT_UNIX_SOCKET_PATH, p->socket);
	if (p->ca)
		lib->easy_setopt(h->curl, CURLOPT_CAINFO, p->ca);
	if (p->cert)
		lib->easy_setopt(h->curl, CURLOPT_SSLCERT, p->cert);
	if (p->key)
		lib->easy_setopt(h->curl, CURLOPT_SSLKEY, p->key);
	if (p->user)
		lib->easy_setopt(h->curl, CURLOPT_USERNAME, p->user);
	if (p->password)
		lib->easy_setopt(h->curl, CURLOPT_PASSWORD, p->password);
}

static int failed(struct http *h, CURLcode code, struct err *e)
{
	const char *why = h->why[0] ? h->why : lib->easy_strerror(code);
	bool forbidden = code == CURLE_PEER_FAILED_VERIFICATION || code == CURLE_SSL_CERTPROBLEM ||
			 code == CURLE_LOGIN_DENIED || code == CURLE_LDAP_CANNOT_BIND || code == CURLE_SSL_CACERT_BADFILE;

	return err_set(e, forbidden ? EX_NOPERM : EX_UNAVAILABLE, "%s: %c%.*s", h->peer.name, tolower((unsigned char)*why),
		       (int)strcspn(why + 1, "\r\n"), why + 1);
}

static CURLcode perform(struct http *h, const char *url, const char *body, int timeout_ms, struct sink *sink)
{
	h->why[0] = '\0';
	lib->easy_reset(h->curl); /* keeps the connection */
	set_peer(h);
	lib->slist_free_all(h->headers);
	h->headers = lib->slist_append(NULL, "Content-Type: application/json");
	if (h->own)
		h->headers = lib->slist_append(h->headers, h->own);
	lib->easy_setopt(h->curl, CURLOPT_URL, url);
	lib->easy_setopt(h->curl, CURLOPT_ERRORBUFFER, h->why);
	lib->easy_setopt(h->curl, CURLOPT_HTTPHEADER, h->headers);
	lib->easy_setopt(h->curl, CURLOPT_PROTOCOLS_STR, "http,https,ldap,ldaps");
	lib->easy_setopt(h->curl, CURLOPT_NOSIGNAL, 1L);
	lib->easy_setopt(h->curl, CURLOPT_CONNECTTIMEOUT_MS, timeout_ms < CONNECT_MS ? (long)timeout_ms : CONNECT_MS);
	lib->easy_setopt(h->curl, CURLOPT_TIMEOUT_MS, (long)timeout_ms);
	lib->easy_setopt(h->curl, CURLOPT_USERAGENT, "edgetools/" EDGE_VERSION);
	lib->easy_setopt(h->curl, CURLOPT_WRITEFUNCTION, on_data);
	lib->easy_setopt(h->curl, CURLOPT_WRITEDATA, sink);
	if (body) {
		lib->easy_setopt(h->curl, CURLOPT_POSTFIELDSIZE, (long)strlen(body));
		lib->easy_setopt(h->curl, CURLOPT_POSTFIELDS, body);
	}
	if (h->method)
		lib->easy_setopt(h->curl, CURLOPT_CUSTOMREQUEST, h->method);
	return lib->easy_perform(h->curl);
}

struct text {
	char *data;
	size_t n;
};

static int keep(void *ctx, const char *data, size_t n)
{
	struct text *t = ctx;
	char *more = t->n + n > ANSWER_MAX ? NULL : realloc(t->data, t->n + n + 1);

	if (!more)
		return -1;
	t->data = more;
	memcpy(t->data + t->n, data, n);
	t->data[t->n += n] = '\0';
	return 0;
}

int http_do(struct http *h, const char *url, const char *body, int timeout_ms, char **out, long *status, struct err *e)
{
	struct text t = { .data = calloc(1, 1) };
	struct sink sink = { .h = h, .take = keep, .ctx = &t };
	CURLcode code;

	if (!t.data)
		return err_set(e, EX_OSERR, "out of memory");
	code = perform(h, url, body, timeout_ms, &sink);
	if (code != CURLE_OK) {
		free(t.data);
		if (sink.ended)
			err_set(e, EX_UNAVAILABLE, "%s: answer larger than 64 MB", h->peer.name);
		else
			failed(h, code, e);
		return -1;
	}
	lib->easy_getinfo(h->curl, CURLINFO_RESPONSE_CODE, status);
	*out = t.data;
	return 0;
}

int http_json(struct http *h, const char *url, const char *body, int timeout_ms, struct json **answer, struct err *e)
{
	AUTO_FREE char *text = NULL;
	struct err bad = { 0 };
	long status = 0;

	if (http_do(h, url, body, timeout_ms, &text, &status, e))
		return -1;
	AUTO_JSON struct json *j = json_parse(text, strlen(text), &bad);
	if (status >= 400) {
		const char *why = j && json_is_object(j) ? json_str(j, json_str(j, "error") ? "error" : "message") : NULL;

		return err_set(e, status == 401 || status == 403 ? EX_NOPERM : EX_UNAVAILABLE, "%s: answers %ld%s%s",
			       h->peer.name, status, why ? ": " : "", why ? why : "");
	}
	if (!answer)
		return 0;
	if (!j)
		return err_set(e, EX_DATAERR, "%s: its answer is %s", h->peer.name, bad.text);
	*answer = TAKE_PTR(j);
	return 0;
}

int http_stream(struct http *h, const char *url, const char *body, int timeout_ms,
		int (*take)(void *ctx, const char *data, size_t n), void *ctx, struct err *e)
{
	struct sink sink = { .h = h, .take = take, .ctx = ctx };
	CURLcode code = perform(h, url, body, timeout_ms, &sink);

	return code == CURLE_OK || code == CURLE_OPERATION_TIMEDOUT || sink.ended ? 0 : failed(h, code, e);
}
