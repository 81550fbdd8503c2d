/* SPDX-License-Identifier: MIT */
#include "lib/app/where.h"

#include <string.h>

#include "lib/discover/node.h"
#include "lib/engine/service.h"

static bool belongs(const struct json *rec, const char *name, const char *app)
{
	const char *is = json_str(rec, "name"), *of = json_str(rec, "app");

	return is && of && !strcmp(is, name) && !strcmp(of, app);
}

int where_is(struct registry *r, const char *name, const char *app, struct json **rec, struct err *e)
{
	AUTO_SERVICE struct service *s = NULL;
	AUTO_JSON struct json *all = NULL;

	*rec = NULL;
	if (!service_load(&s, name, NULL) && !s->moved) {
		AUTO_JSON struct json *here = service_record(s, service_state(s));

		if (!belongs(here, name, app))
			return err_set(e, EX_UNAVAILABLE, "service %s: the name is used by one that is not of application %s", name,
				       app);
		*rec = TAKE_PTR(here);
		return 0;
	}
	if (registry_list(r, "service", &all, e))
		return -1;
	for (size_t i = 0; i < json_len(all, NULL) && !*rec; i++) {
		AUTO_JSON struct json *one = json_at(all, i);
		const char *node = json_str(one, "node"), *state = json_str(one, "state");

		/* what the registry says of this node, the node itself knows better */
		if (belongs(one, name, app) && node && strcmp(node, node_self()) && state && !strcmp(state, "running"))
			*rec = TAKE_PTR(one);
	}
	if (!*rec && s) { /* what it left here says that much */
		AUTO_JSON struct json *left = service_record(s, "moved");

		if (belongs(left, name, app))
			*rec = TAKE_PTR(left);
	}
	return 0;
}
