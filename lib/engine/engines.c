/* SPDX-License-Identifier: MIT */
/* What there is to see of the engines, apart from their verbs (start.c). */
#include <string.h>

#include "lib/engine/engine.h"

static const struct engine_look *const looks[] = { &process_look, &runc_look, &podman_look, &docker_look, &swarm_look };

const struct engine_look *engine_look(size_t i)
{
	return i < sizeof(looks) / sizeof(*looks) ? looks[i] : NULL;
}

bool engine_here(const struct engine_look *look)
{
	return !look->missing() && (!look->daemon || look->daemon());
}

const struct engine_span *engine_span(const char *name)
{
	for (size_t i = 0; i < sizeof(looks) / sizeof(*looks); i++)
		if (!strcmp(looks[i]->name, name))
			return looks[i]->span;
	return NULL;
}

bool engine_governs(const char *service)
{
	AUTO_SERVICE struct service *s = NULL;

	return !service_load(&s, service, NULL) && engine_span(s->engine);
}
