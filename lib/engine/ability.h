/* SPDX-License-Identifier: MIT */
/* What can be done with the services of an engine, by the name in their records: all that a decision needs to know of it. */
#ifndef EDGE_ENGINE_ABILITY_H
#define EDGE_ENGINE_ABILITY_H

#include <stdbool.h>

struct ability {
	const char *engine;
	bool starts; /* edge-run starts services of it */
	bool moves;  /* edge-migrate takes them to another node */
	bool memory; /* ... with their memory: else only stateless ones */
	bool addr;   /* ... if they have an address of their own */
};

/* NULL: an engine that nobody here knows. */
const struct ability *ability_of(const char *engine);

#endif
