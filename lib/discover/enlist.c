/* SPDX-License-Identifier: MIT */
#include "lib/discover/enlist.h"

#include <string.h>

#define TRIES 100

int enlist(struct registry *r, const struct json *node, struct err *e)
{
	static const char *const kept[] = { "addr", "port", "user" };
	const char *name = json_str(node, "name");
	char key[300];

	if (!name || strlen(name) > 200)
		return err_set(e, EX_DATAERR, "registry: node without a name");
	snprintf(key, sizeof(key), "node/%s", name);
	for (int i = 0; i < TRIES; i++) {
		AUTO_JSON struct json *old = NULL, *rec = json_copy(node);
		struct registry_version v;

		if (registry_get(r, key, &old, &v, e))
			return -1;
		for (size_t k = 0; old && k < sizeof(kept) / sizeof(*kept); k++)
			if (!json_has(rec, kept[k]))
				json_set(rec, kept[k], json_get(old, kept[k]));
		int rc = registry_put(r, key, rec, &v, e);
		if (rc <= 0)
			return rc;
	}
	return err_set(e, EX_TEMPFAIL, "registry: %s: changes all the time", key);
}
