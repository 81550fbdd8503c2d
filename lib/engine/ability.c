/* SPDX-License-Identifier: MIT */
#include "lib/engine/ability.h"

#include <stddef.h>
#include <string.h>

/* Those of engine.h do both; of the others edge-probe tells. */
static const struct ability abilities[] = {
	{ "process", true, true, true, false },
	{ "runc", true, true, true, false },
	{ "podman", true, true, true, true },
	{ "docker", true, true, true, true },
	{ "swarm", true, true, false, false },
	{ "containerd", false, false, false, false },
	{ "crio", false, false, false, false },
};

const struct ability *ability_of(const char *engine)
{
	for (size_t i = 0; i < sizeof(abilities) / sizeof(*abilities); i++)
		if (!strcmp(abilities[i].engine, engine))
			return &abilities[i];
	return NULL;
}
