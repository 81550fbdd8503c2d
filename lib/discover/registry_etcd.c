/* SPDX-License-Identifier: MIT */
/* A registry in etcd (version 3.4 or newer), by its JSON gateway: keys PREFIX/node/NAME and PREFIX/service/ID. A version is
 * the revision at which the key was last written. */
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "lib/base/base64.h"
#include "lib/base/http.h"
#include "lib/discover/registry_kind.h"

#define ASK_MS 5000
#define SERVERS_MAX 8

struct etcd {
	char name[300]; /* "registry etcd://host:port" */
	char user[64];
	char prefix[128];
	char *servers[SERVERS_MAX]; /* "http://host:port" */
	int n, at;                  /* the one that answered last */
	struct registry_secrets secrets;
	struct http *http;
	pid_t process; /* whose connection that is */
	bool logged_in;
	int lease_s;      /* 0: none */
	char watched[64]; /* what a watch has followed, up to that revision */
	double revision;
};

static void etcd_close(void *self)
{
	struct etcd *r = self;

	for (int i = 0; i < r->n; i++)
		free(r->servers[i]);
	http_close(r->http);
	registry_secrets_free(&r->secrets);
	free(r);
}

/* "//[user@]host:port[,host:port].../prefix" */
static int parse(struct etcd *r, const char *rest, bool tls, struct err *e)
{
	char hosts[1024], *save = NULL;
	const char *from = rest + 2, *slash = strncmp(rest, "//", 2) ? NULL : strchr(from, '/'), *at;
	size_t n = slash ? (size_t)(slash - from) : strlen(rest) < 2 ? 0 : strlen(from);

	snprintf(r->name, sizeof(r->name), "registry etcd%s:%.250s", tls ? "s" : "", rest);
	if (strncmp(rest, "//", 2) || !n || n >= sizeof(hosts) || (slash && strlen(slash) >= sizeof(r->prefix)))
		return err_set(e, EX_USAGE, "%s: not of the form etcd://[user@]host:port/prefix", r->name);
	snprintf(r->prefix, sizeof(r->prefix), "%s", slash && slash[1] ? slash + 1 : "edge");
	at = memchr(from, '@', n);
	if (at) {
		snprintf(r->user, sizeof(r->user), "%.*s", (int)(at - from), from);
		if (strchr(r->user, ':'))
			return err_set(e, EX_USAGE, "registry etcd%s://...: a password is not for a URL, but for the file registry.password",
				       tls ? "s" : "");
		n -= (size_t)(at + 1 - from);
		from = at + 1;
	}
	snprintf(hosts, sizeof(hosts), "%.*s", (int)n, from);
	for (char *h = strtok_r(hosts, ",", &save); h && r->n < SERVERS_MAX; h = strtok_r(NULL, ",", &save))
		if (asprintf(&r->servers[r->n++], "http%s://%s", tls ? "s" : "", h) < 0)
			return r->n--, err_set(e, EX_OSERR, "out of memory");
	return 0;
}

static int connect_anew(struct etcd *r, struct err *e)
{
	const struct http_peer peer = { .name = r->name, .ca = r->secrets.ca, .cert = r->secrets.cert, .key = r->secrets.key };

	r->process = getpid();
	r->logged_in = false;
	return http_open(&r->http, &peer, e);
}

static int open_any(void **out, const char *rest, bool tls, struct err *e)
{
	struct etcd *r = calloc(1, sizeof(*r));

	if (!r)
		return err_set(e, EX_OSERR, "out of memory");
	if (parse(r, rest, tls, e) || registry_secrets_load(&r->secrets, e) || connect_anew(r, e)) {
		etcd_close(r);
		return -1;
	}
	*out = r;
	return 0;
}

static int etcd_open(void **out, const char *rest, struct err *e)
{
	return open_any(out, rest, false, e);
}

static int etcds_open(void **out, const char *rest, struct err *e)
{
	return open_any(out, rest, true, e);
}

/* ---- calls ---- */

/* Asks the server that answered last, then the others. */
static int call_any(struct etcd *r, const char *method, const char *body, struct json **answer, struct err *e)
{
	for (int i = 0; i < r->n; i++) {
		char url[1200];

		snprintf(url, sizeof(url), "%s/v3/%s", r->servers[r->at], method);
		if (!http_json(r->http, url, body, ASK_MS, answer, e))
			return 0;
		if (e->code != EX_UNAVAILABLE || strstr(e->text, ": answers "))
			return -1;
		r->at = (r->at + 1) % r->n;
	}
	return -1;
}

static int log_in(struct etcd *r, struct err *e)
{
	AUTO_JSON struct json *q = json_object(), *a = NULL;
	char line[1024];

	json_set_str(q, "name", r->user);
	json_set_str(q, "password", r->secrets.password ? r->secrets.password : "");
	AUTO_FREE char *body = json_text(q);
	http_header(r->http, NULL, NULL);
	if (call_any(r, "auth/authenticate", body, &a, e)) {
		if (strstr(e->text, "authentication failed"))
			e->code = EX_NOPERM;
		return -1;
	}
	if (!json_str(a, "token"))
		return err_set(e, EX_DATAERR, "%s: gives no token", r->name);
	snprintf(line, sizeof(line), "Authorization: %.900s", json_str(a, "token"));
	r->logged_in = true;
	return http_header(r->http, line, e);
}

/* A child has a connection of its own; the parent's is left as it is. */
static int ready(struct etcd *r, struct err *e)
{
	if (r->process != getpid() && connect_anew(r, e))
		return -1;
	return *r->user && !r->logged_in ? log_in(r, e) : 0;
}

static int call(struct etcd *r, const char *method, const struct json *q, struct json **answer, struct err *e)
{
	AUTO_FREE char *body = json_text(q);
	struct err none = { 0 };

	e = e ? e : &none;
	if (ready(r, e))
		return -1;
	if (!call_any(r, method, body, answer, e))
		return 0;
	if (!*r->user || !strstr(e->text, "invalid auth token")) /* one lives for five minutes */
		return -1;
	return log_in(r, e) ? -1 : call_any(r, method, body, answer, e);
}

static void set_bytes(struct json *j, const char *path, const char *text)
{
	AUTO_FREE char *coded = base64_encode(text, strlen(text));

	json_set_str(j, path, coded);
}

static void set_key(const struct etcd *r, struct json *j, const char *member, const char *key, const char *end)
{
	char full[512];

	snprintf(full, sizeof(full), "%s/%s%s", r->prefix, key, end);
	set_bytes(j, member, full);
}

/* Asks for a key, or for all below a prefix: from "prefix/" up to "prefix0", as 0 follows the slash. */
static int range(struct etcd *r, const char *key, bool below, struct json **kvs, struct err *e)
{
	AUTO_JSON struct json *q = json_object(), *a = NULL;

	set_key(r, q, "key", key, below ? "/" : "");
	if (below)
		set_key(r, q, "range_end", key, "0");
	if (call(r, "kv/range", q, &a, e))
		return -1;
	*kvs = json_get(a, "kvs");
	if (!*kvs)
		*kvs = json_array();
	return 0;
}

static struct json *decode(const struct etcd *r, const struct json *kv, struct err *e)
{
	AUTO_FREE char *key = base64_decode(json_str(kv, "key") ? json_str(kv, "key") : "", NULL);
	AUTO_FREE char *text = base64_decode(json_str(kv, "value") ? json_str(kv, "value") : "", NULL);
	struct json *rec = text ? json_parse(text, strlen(text), e) : NULL;

	if (text && !rec)
		err_wrap(e, "%s: key %s", r->name, key ? key : "?");
	else if (!text)
		err_set(e, EX_DATAERR, "%s: gives what is no base64", r->name);
	return rec;
}

/* ---- the verbs ---- */

static int etcd_list(void *self, const char *prefix, struct json **array, struct err *e)
{
	AUTO_JSON struct json *kvs = NULL, *all = json_array();
	struct etcd *r = self;

	if (range(r, prefix, true, &kvs, e))
		return -1;
	for (size_t i = 0; i < json_len(kvs, NULL); i++) {
		AUTO_JSON struct json *kv = json_at(kvs, i);
		struct json *rec = decode(r, kv, e);

		if (!rec)
			return -1;
		json_add(all, rec);
	}
	*array = TAKE_PTR(all);
	return 0;
}

static int etcd_get(void *self, const char *key, struct json **rec, struct registry_version *v, struct err *e)
{
	AUTO_JSON struct json *kvs = NULL;
	struct etcd *r = self;

	*rec = NULL;
	if (v)
		v->text[0] = '\0';
	if (range(r, key, false, &kvs, e))
		return -1;
	AUTO_JSON struct json *kv = json_at(kvs, 0);
	if (!kv)
		return 0;
	if (v)
		snprintf(v->text, sizeof(v->text), "%.60s", json_str(kv, "mod_revision") ? json_str(kv, "mod_revision") : "");
	*rec = decode(r, kv, e);
	return *rec ? 0 : -1;
}

static int etcd_lease(void *self, int seconds, struct err *e)
{
	struct etcd *r = self;

	if (seconds < 0 || seconds > 86400 * 365)
		return err_set(e, EX_USAGE, "%s: a lease of %d s", r->name, seconds);
	r->lease_s = seconds;
	return 0;
}

/* A lease for each put: the key leaves the one that it had, which then ends unnoticed. So nobody has to renew any. */
static int set_lease(struct etcd *r, struct json *put, struct err *e)
{
	AUTO_JSON struct json *q = json_object(), *a = NULL;

	if (!r->lease_s)
		return 0;
	json_set_num(q, "TTL", r->lease_s);
	if (call(r, "lease/grant", q, &a, e))
		return -1;
	json_set_str(put, "lease", json_str(a, "ID"));
	return 0;
}

static void add_one(struct json *to, const char *member, const char *inner, struct json *v)
{
	struct json *list = json_array(), *item = v;

	if (inner) {
		item = json_object();
		json_set(item, inner, v);
	}
	json_add(list, item);
	json_set(to, member, list);
}

static int etcd_put(void *self, const char *key, const struct json *rec, const struct registry_version *expect, struct err *e)
{
	AUTO_JSON struct json *q = json_object(), *a = NULL, *change = json_object();
	struct etcd *r = self;

	set_key(r, change, "key", key, "");
	if (rec) {
		AUTO_FREE char *text = json_text(rec);

		set_bytes(change, "value", text);
		if (set_lease(r, change, e))
			return -1;
	}
	if (expect) {
		struct json *compare = json_object();

		set_key(r, compare, "key", key, "");
		json_set_str(compare, "result", "EQUAL");
		json_set_str(compare, "target", *expect->text ? "MOD" : "CREATE");
		json_set_str(compare, *expect->text ? "mod_revision" : "create_revision", *expect->text ? expect->text : "0");
		add_one(q, "compare", NULL, compare);
	}
	add_one(q, "success", rec ? "request_put" : "request_delete_range", json_copy(change));
	if (call(r, "kv/txn", q, &a, e))
		return -1;
	return json_bool(a, "succeeded", false) ? 0 : 1;
}

/* ---- watching ---- */

struct watching {
	struct etcd *r;
	char *text; /* an unfinished line */
	size_t n;
	bool changed, bad;
	struct err *e;
};

/* An answer a line: first that the watch was made, then events. Not 0: that is enough. */
static int take_line(struct watching *w, const char *line, size_t n)
{
	AUTO_JSON struct json *j = json_parse(line, n, w->e);
	const char *revision = j ? json_str(j, "result.header.revision") : NULL, *why = j ? json_str(j, "error.message") : NULL;

	if (!j || why) {
		w->bad = true;
		return why ? err_set(w->e, EX_UNAVAILABLE, "%s: watch: %s", w->r->name, why) : -1;
	}
	if (json_str(j, "result.compact_revision")) { /* it has forgotten where we were */
		w->r->revision = 0;
		w->changed = true;
	} else if (revision && json_len(j, "result.events")) {
		w->r->revision = strtod(revision, NULL);
	}
	w->changed |= json_len(j, "result.events") > 0;
	return w->changed;
}

static int take(void *ctx, const char *data, size_t n)
{
	struct watching *w = ctx;
	char *more = realloc(w->text, w->n + n), *nl;

	if (!more)
		return -1;
	w->text = more;
	memcpy(w->text + w->n, data, n);
	w->n += n;
	while ((nl = memchr(w->text, '\n', w->n))) {
		size_t len = (size_t)(nl - w->text);
		int rc = take_line(w, w->text, len);

		w->n -= len + 1;
		memmove(w->text, nl + 1, w->n);
		if (rc)
			return rc;
	}
	return 0;
}

/* Where a watch that begins now begins. */
static int find_revision(struct etcd *r, const char *prefix, struct err *e)
{
	AUTO_JSON struct json *q = json_object(), *a = NULL;

	if (!strcmp(r->watched, prefix) && r->revision > 0)
		return 0;
	set_key(r, q, "key", prefix, "/");
	if (call(r, "kv/range", q, &a, e))
		return -1;
	snprintf(r->watched, sizeof(r->watched), "%s", prefix);
	r->revision = json_str(a, "header.revision") ? strtod(json_str(a, "header.revision"), NULL) : 0;
	return 0;
}

/* The next call begins where this one has ended, so that what changes meanwhile is told by it. */
static int etcd_watch(void *self, const char *prefix, int timeout_ms, struct err *e)
{
	struct etcd *r = self;
	AUTO_JSON struct json *q = json_object();
	struct watching w = { .r = r, .e = e };
	char url[1200], from[32];

	if (ready(r, e) || find_revision(r, prefix, e))
		return -1;
	set_key(r, q, "create_request.key", prefix, "/");
	set_key(r, q, "create_request.range_end", prefix, "0");
	snprintf(from, sizeof(from), "%.0f", r->revision + 1);
	json_set_str(q, "create_request.start_revision", from);
	AUTO_FREE char *body = json_text(q);
	snprintf(url, sizeof(url), "%s/v3/watch", r->servers[r->at]);
	int rc = http_stream(r->http, url, body, timeout_ms, take, &w, e);
	free(w.text);
	if (rc || w.bad) {
		r->at = (r->at + 1) % r->n; /* another one may still be there */
		return -1;
	}
	return w.changed;
}

const struct registry_kind registry_etcd = {
	.scheme = "etcd",
	.open = etcd_open,
	.close = etcd_close,
	.list = etcd_list,
	.get = etcd_get,
	.put = etcd_put,
	.watch = etcd_watch,
	.lease = etcd_lease,
};

const struct registry_kind registry_etcds = {
	.scheme = "etcds",
	.open = etcds_open,
	.close = etcd_close,
	.list = etcd_list,
	.get = etcd_get,
	.put = etcd_put,
	.watch = etcd_watch,
	.lease = etcd_lease,
};
