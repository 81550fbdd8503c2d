/* SPDX-License-Identifier: MIT */
/* A directory of nodes, by LDAP: entries of the class edgeDevice, as an RFC 4516 URL finds them. It lists only. */
#include <math.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>

#include "lib/base/base64.h"
#include "lib/base/http.h"
#include "lib/discover/ldap_map.h"
#include "lib/discover/registry_kind.h"

#define ASK_MS 10000

struct ldap {
	char *url, *name;
	char bind[256]; /* who asks; "" is nobody */
	struct registry_secrets secrets;
	struct http *http;
};

static void ldap_close(void *self)
{
	struct ldap *r = self;

	http_close(r->http);
	registry_secrets_free(&r->secrets);
	free(r->url);
	free(r->name);
	free(r);
}

/* Undoes %XX. */
static void unescape(const char *from, size_t n, char *to, size_t size)
{
	char *end = to + size - 1;

	for (size_t i = 0; i < n && to < end; i++) {
		unsigned c;

		if (from[i] == '%' && i + 2 < n && sscanf(from + i + 1, "%2x", &c) == 1) {
			*to++ = (char)c;
			i += 2;
		} else {
			*to++ = from[i];
		}
	}
	*to = '\0';
}

/* "//host/base?attributes?scope?filter?extensions". What the URL leaves out is chosen for a directory of devices: all
 * attributes, the whole tree, edgeDevice. Of the extensions bindname=DN says who asks. */
static int parse(struct ldap *r, const char *scheme, const char *rest, struct err *e)
{
	const char *part[5] = { rest, "", "", "", "" }, *ext;
	size_t len[5];

	for (int i = 0; i < 5; i++) {
		const char *end = strchr(part[i], '?');

		len[i] = end ? (size_t)(end - part[i]) : strlen(part[i]);
		if (end && i < 4)
			part[i + 1] = end + 1;
		else if (i < 4)
			part[i + 1] = part[i] + len[i];
	}
	if (asprintf(&r->name, "registry %s:%.*s", scheme, (int)len[0], rest) < 0)
		return err_set(e, EX_OSERR, "out of memory");
	if (strncmp(rest, "//", 2) || !memchr(rest + 2, '/', len[0] > 2 ? len[0] - 2 : 0))
		return err_set(e, EX_USAGE, "%s: not of the form ldap://host[:port]/base", r->name);
	ext = strstr(part[4], "bindname=");
	if (ext)
		unescape(ext + 9, strcspn(ext + 9, ","), r->bind, sizeof(r->bind));
	if (asprintf(&r->url, "%s:%.*s?%.*s?%.*s?%.*s", scheme, (int)len[0], rest, (int)len[1], part[1],
		     len[2] ? (int)len[2] : 3, len[2] ? part[2] : "sub", len[3] ? (int)len[3] : 24,
		     len[3] ? part[3] : "(objectClass=edgeDevice)") < 0)
		return err_set(e, EX_OSERR, "out of memory");
	return 0;
}

static int open_any(void **out, const char *scheme, const char *rest, struct err *e)
{
	struct ldap *r = calloc(1, sizeof(*r));

	if (!r)
		return err_set(e, EX_OSERR, "out of memory");
	if (!parse(r, scheme, rest, e) && !registry_secrets_load(&r->secrets, e)) {
		const struct http_peer peer = { .name = r->name, .ca = r->secrets.ca, .user = *r->bind ? r->bind : NULL,
						.password = *r->bind ? r->secrets.password : NULL };

		if (!http_open(&r->http, &peer, e)) {
			*out = r;
			return 0;
		}
	}
	ldap_close(r);
	return -1;
}

static int ldap_open(void **out, const char *rest, struct err *e)
{
	return open_any(out, "ldap", rest, e);
}

static int ldaps_open(void **out, const char *rest, struct err *e)
{
	return open_any(out, "ldaps", rest, e);
}

/* ---- entries ---- */

/* The value of the innermost ou of a distinguished name: the place. */
static void set_site(struct json *node, const char *dn)
{
	char site[128];

	for (const char *p = dn; p; p = strchr(p, ','), p = p ? p + 1 : NULL) {
		p += strspn(p, " ");
		if (strncasecmp(p, "ou=", 3))
			continue;
		snprintf(site, sizeof(site), "%.*s", (int)strcspn(p + 3, ","), p + 3);
		json_set_str(node, "site", *site ? site : NULL);
		return;
	}
}

static int set_value(const struct ldap *r, struct json *node, const char *dn, const char *attribute, const char *value,
		     struct err *e)
{
	const struct ldap_attribute *a = ldap_attributes;
	char *end;

	while (a->name && strcasecmp(a->name, attribute))
		a++;
	if (!a->name || !*value)
		return 0;
	if (a->type == LDAP_TEXT) {
		json_set_str(node, a->member, value);
	} else if (a->type == LDAP_WORDS) {
		struct json *words = json_get(node, a->member);

		words = words ? words : json_array();
		json_add(words, json_string(value));
		json_set(node, a->member, words);
	} else {
		double v = strtod(value, &end);

		if (*end || !isfinite(v))
			return err_set(e, EX_DATAERR, "%s: entry %s: %s: not a number: %s", r->name, dn, a->name, value);
		json_set_num(node, a->member, v);
	}
	return 0;
}

/* "name: value" or "name:: base64" */
static int take_line(const struct ldap *r, struct json *node, const char *dn, char *line, struct err *e)
{
	char *colon = strchr(line, ':'), *value;

	if (!colon)
		return 0;
	*colon = '\0';
	line += strspn(line, "\t ");
	value = colon + 1;
	if (*value != ':')
		return set_value(r, node, dn, line, value + strspn(value, " "), e);
	AUTO_FREE char *plain = base64_decode(value + 1 + strspn(value + 1, " "), NULL);
	return plain ? set_value(r, node, dn, line, plain, e) :
		       err_set(e, EX_DATAERR, "%s: entry %s: %s: no base64", r->name, dn, line);
}

static int by_name(const void *a, const void *b)
{
	const struct json *const *x = a, *const *y = b;
	const char *m = json_str(*x, "name"), *n = json_str(*y, "name");

	return strcmp(m ? m : "", n ? n : "");
}

static int finish_entry(const struct ldap *r, struct json *node, const char *dn, struct json *all, struct err *e)
{
	if (!json_str(node, "name") || !json_str(node, "addr"))
		return err_set(e, EX_DATAERR, "%s: entry %s: has no %s", r->name, dn,
			       json_str(node, "name") ? "edgeAddress" : "cn");
	set_site(node, dn);
	json_add(all, json_copy(node));
	return 0;
}

/* Entries begin with "DN: ..." and end with an empty line. */
static int take_entries(const struct ldap *r, char *text, struct json *all, struct err *e)
{
	AUTO_JSON struct json *node = NULL;
	char dn[512] = "";

	for (char *line = text, *next; line; line = next) {
		next = strchr(line, '\n');
		if (next)
			*next++ = '\0';
		if (!strncmp(line, "DN:", 3)) {
			if (node && finish_entry(r, node, dn, all, e))
				return -1;
			AUTO_FREE char *plain = line[3] == ':' ? base64_decode(line + 4 + strspn(line + 4, " "), NULL) : NULL;

			snprintf(dn, sizeof(dn), "%s", plain ? plain : line + 3 + strspn(line + 3, ": "));
			json_free(TAKE_PTR(node));
			node = json_object();
			json_set_str(node, "kind", "node");
		} else if (node && *line == '\t' && take_line(r, node, dn, line, e)) {
			return -1;
		}
	}
	return node ? finish_entry(r, node, dn, all, e) : 0;
}

static int ldap_list(void *self, const char *prefix, struct json **array, struct err *e)
{
	AUTO_JSON struct json *all = json_array();
	AUTO_FREE char *text = NULL;
	struct ldap *r = self;
	struct json *sorted;
	long status;
	size_t n;

	if (strcmp(prefix, "node")) {
		*array = TAKE_PTR(all);
		return 0;
	}
	if (http_do(r->http, r->url, NULL, ASK_MS, &text, &status, e) || take_entries(r, text, all, e))
		return -1;
	n = json_len(all, NULL);
	AUTO_FREE struct json **items = calloc(n + 1, sizeof(*items));
	if (!items)
		return err_set(e, EX_OSERR, "out of memory");
	for (size_t i = 0; i < n; i++)
		items[i] = json_at(all, i);
	qsort(items, n, sizeof(*items), by_name);
	sorted = json_array();
	for (size_t i = 0; i < n; i++)
		json_add(sorted, items[i]);
	*array = sorted;
	return 0;
}

static int ldap_get(void *self, const char *key, struct json **rec, struct registry_version *v, struct err *e)
{
	AUTO_JSON struct json *all = NULL;

	*rec = NULL;
	if (v)
		v->text[0] = '\0';
	if (strncmp(key, "node/", 5))
		return 0;
	if (ldap_list(self, "node", &all, e))
		return -1;
	for (size_t i = 0; !*rec && i < json_len(all, NULL); i++) {
		AUTO_JSON struct json *node = json_at(all, i);

		if (!strcmp(json_str(node, "name"), key + 5))
			*rec = json_copy(node);
	}
	if (*rec && v)
		snprintf(v->text, sizeof(v->text), "there");
	return 0;
}

static int ldap_put(void *self, const char *key, const struct json *rec, const struct registry_version *expect, struct err *e)
{
	const struct ldap *r = self;

	(void)rec;
	(void)expect;
	return err_set(e, EX_UNAVAILABLE, "%s: cannot write %s: a directory only lists nodes", r->name, key);
}

static int ldap_watch(void *self, const char *prefix, int timeout_ms, struct err *e)
{
	const struct ldap *r = self;

	(void)prefix;
	(void)timeout_ms;
	return err_set(e, EX_UNAVAILABLE, "%s: cannot be watched", r->name);
}

const struct registry_kind registry_ldap = {
	.scheme = "ldap", .open = ldap_open, .close = ldap_close, .list = ldap_list, .get = ldap_get, .put = ldap_put, .watch = ldap_watch,
};

const struct registry_kind registry_ldaps = {
	.scheme = "ldaps", .open = ldaps_open, .close = ldap_close, .list = ldap_list, .get = ldap_get, .put = ldap_put, .watch = ldap_watch,
};
