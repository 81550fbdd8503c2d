/* SPDX-License-Identifier: MIT */
#include "lib/discover/enlist.h"

#include <stdio.h>
#include <string.h>

#define TRIES 100

/* Replaces the record of a node with what change() makes of the old one (NULL: there is none), until nobody else has changed it
 * in between; change() gives NULL when nothing is to be done. */
static int change_record(struct registry *r, const char *node, struct json *(*change)(const void *, const struct json *),
			 const void *ctx, struct err *e)
{
	char key[300];

	snprintf(key, sizeof(key), "node/%s", node);
	for (int i = 0; i < TRIES; i++) {
		AUTO_JSON struct json *old = NULL, *rec = NULL;
		struct registry_version v;

		if (registry_get(r, key, &old, &v, e))
			return -1;
		rec = change(ctx, old);
		int rc = rec ? registry_put(r, key, rec, &v, e) : 0;
		if (rc <= 0)
			return rc;
	}
	return err_set(e, EX_TEMPFAIL, "registry: %s: changes all the time", key);
}

static struct json *as_told(const void *ctx, const struct json *old)
{
	static const char *const kept[] = { "addr", "port", "user" };
	struct json *rec = json_copy(ctx);

	for (size_t k = 0; old && k < sizeof(kept) / sizeof(*kept); k++)
		if (!json_has(rec, kept[k]))
			json_set(rec, kept[k], json_get(old, kept[k]));
	return rec;
}

int enlist(struct registry *r, const struct json *node, struct err *e)
{
	const char *name = json_str(node, "name");

	if (!name || strlen(name) > 200)
		return err_set(e, EX_DATAERR, "registry: node without a name");
	return change_record(r, name, as_told, node, e);
}

static struct json *without_fleet(const void *ctx, const struct json *old)
{
	const char *fleet = old ? json_str(old, "member") : NULL;
	struct json *rec;

	if (!fleet || strcmp(fleet, ctx))
		return NULL;
	rec = json_copy(old);
	json_remove(rec, "member");
	return rec;
}

int enlist_leaves(struct registry *r, const char *node, const char *fleet, struct err *e)
{
	return change_record(r, node, without_fleet, fleet, e);
}
