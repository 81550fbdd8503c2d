/* SPDX-License-Identifier: MIT */
#include "lib/discover/registry.h"

#include <stdlib.h>
#include <string.h>

#include "lib/base/file.h"
#include "lib/discover/registry_kind.h"

#define KEY_MAX 200

struct registry {
	const struct registry_kind *kind;
	void *self;
};

static const struct registry_kind *const kinds[] = { &registry_dir, &registry_etcd, &registry_etcds, &registry_ldap,
						    &registry_ldaps };

static const struct registry_kind *kind_find(const char *url, const char **rest)
{
	for (size_t i = 0; i < sizeof(kinds) / sizeof(*kinds); i++) {
		size_t n = strlen(kinds[i]->scheme);

		if (!strncmp(url, kinds[i]->scheme, n) && url[n] == ':') {
			*rest = url + n + 1;
			return kinds[i];
		}
	}
	*rest = url;
	return strchr(url, ':') ? NULL : &registry_dir;
}

int registry_open(struct registry **out, const char *url, struct err *e)
{
	const char *rest = NULL;

	if (!url)
		url = getenv("EDGE_REGISTRY");
	if (!url || !*url)
		url = file_path("/var/lib/edge/registry");
	const struct registry_kind *kind = kind_find(url, &rest);
	if (!kind || !*rest)
		return err_set(e, EX_USAGE, "registry %s: not of the form dir:/path, etcd://host:port/prefix or ldap://host/base", url);
	struct registry *r = calloc(1, sizeof(*r));
	if (!r)
		return err_sys(e, "registry %s", url);
	r->kind = kind;
	if (kind->open(&r->self, rest, e)) {
		free(r);
		return -1;
	}
	*out = r;
	return 0;
}

void registry_close(struct registry *r)
{
	if (!r)
		return;
	r->kind->close(r->self);
	free(r);
}

/* `parts` letters, digits and "._-", none empty or beginning with a dot, joined by slashes. */
static int key_check(const char *key, int parts, struct err *e)
{
	const char *p = key;
	int n = 0;

	for (; strlen(key) <= KEY_MAX; p++) {
		size_t len = strcspn(p, "/");

		if (!len || *p == '.' ||
		    strspn(p, "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789._-") != len)
			break;
		n++;
		p += len;
		if (!*p) {
			if (n == parts)
				return 0;
			break;
		}
	}
	return err_set(e, EX_DATAERR, "registry: key %s: not valid", key);
}

int registry_list(struct registry *r, const char *prefix, struct json **array, struct err *e)
{
	return key_check(prefix, 1, e) ? -1 : r->kind->list(r->self, prefix, array, e);
}

int registry_get(struct registry *r, const char *key, struct json **rec, struct registry_version *v, struct err *e)
{
	return key_check(key, 2, e) ? -1 : r->kind->get(r->self, key, rec, v, e);
}

int registry_put(struct registry *r, const char *key, const struct json *rec, const struct registry_version *expect,
		 struct err *e)
{
	return key_check(key, 2, e) ? -1 : r->kind->put(r->self, key, rec, expect, e);
}

int registry_stage(struct registry *r, const char *key, const struct json *rec, struct err *e)
{
	AUTO_JSON struct json *there = NULL;

	if (key_check(key, 2, e))
		return -1;
	return r->kind->stage ? r->kind->stage(r->self, key, rec, e) : r->kind->get(r->self, key, &there, NULL, e);
}

int registry_remove(struct registry *r, const char *key, const struct registry_version *expect, struct err *e)
{
	return key_check(key, 2, e) ? -1 : r->kind->put(r->self, key, NULL, expect, e);
}

int registry_watch(struct registry *r, const char *prefix, int timeout_ms, struct err *e)
{
	return key_check(prefix, 1, e) ? -1 : r->kind->watch(r->self, prefix, timeout_ms, e);
}

int registry_lease(struct registry *r, int seconds, struct err *e)
{
	return r->kind->lease ? r->kind->lease(r->self, seconds, e) :
				err_set(e, EX_UNAVAILABLE, "registry %s: has no leases", r->kind->scheme);
}
