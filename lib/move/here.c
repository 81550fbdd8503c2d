/* SPDX-License-Identifier: MIT */
#include "lib/move/here.h"

#include <string.h>

#include "lib/discover/node.h"
#include "lib/discover/registry.h"

static bool is(const struct json *rec, const char *member, const char *value)
{
	const char *v = json_str(rec, member);

	return v && value && !strcmp(v, value);
}

/* The record of it at another node, rather one that runs; NULL. */
static struct json *elsewhere(const char *name, const char *id)
{
	AUTO_REGISTRY struct registry *r = NULL;
	AUTO_JSON struct json *all = NULL, *found = NULL;

	if (registry_open(&r, NULL, NULL) || registry_list(r, "service", &all, NULL))
		return NULL;
	for (size_t i = 0; i < json_len(all, NULL); i++) {
		AUTO_JSON struct json *rec = json_at(all, i);

		if (!is(rec, id ? "id" : "name", id ? id : name) || !json_str(rec, "node") || is(rec, "node", node_self()))
			continue;
		if (found && !is(rec, "state", "running"))
			continue;
		json_free(found);
		found = TAKE_PTR(rec);
	}
	return TAKE_PTR(found);
}

int here_hint(const char *name, const char *id, const char *option, struct err *e)
{
	AUTO_JSON struct json *rec = e ? elsewhere(name, id) : NULL;
	const char *node = rec ? json_str(rec, "node") : NULL;

	return node ? err_set(e, e->code, "%s; it is on node %s (%s %s)", e->text, node, option, node) : -1;
}

int here_load(struct service **s, const char *name, const char *option, struct err *e)
{
	if (!service_load(s, name, e))
		return 0;
	return e && e->code == EX_UNAVAILABLE ? here_hint(name, NULL, option, e) : -1;
}

int here_running(const struct service *s, const char *option, struct err *e)
{
	if (service_running(s))
		return 0;
	if (!strcmp(service_state(s), "exited"))
		return err_set(e, EX_UNAVAILABLE, "service %s: has ended (its log: %s)", s->name, service_dir(s, "log"));
	err_set(e, EX_UNAVAILABLE, "service %s: does not run here", s->name);
	return here_hint(s->name, s->id, option, e);
}
