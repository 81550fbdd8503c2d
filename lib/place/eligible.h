/* SPDX-License-Identifier: MIT */
/* May an instance be at a node? Apart from how well it would be there, and always with a reason. */
#ifndef EDGE_PLACE_ELIGIBLE_H
#define EDGE_PLACE_ELIGIBLE_H

#include "lib/place/world.h"

/* Each is a bit of what eligible_refusals gives. What a service needs and a node does not tell counts as not there. A
 * node is not asked for memory, space and what a restore needs by an instance that is there already. */
enum eligible_check {
	ELIGIBLE_ARCH,     /* one of needs.arch */
	ELIGIBLE_GPU,      /* needs.gpu, needs.gpu_mem_bytes */
	ELIGIBLE_MEMORY,   /* more available than the largest of usage, needs and profile (seed: usage < available) */
	ELIGIBLE_SPACE,    /* needs.disk_bytes */
	ELIGIBLE_ENGINE,   /* the service's engine, where both say something; and it must be one that can be moved, or started
			      where it is nowhere */
	ELIGIBLE_CRIU,     /* stateful: the version of the node where it is */
	ELIGIBLE_CPU,      /* needs.cpu cores, needs.cpu_flags; stateful: the flags of the node where it is */
	ELIGIBLE_ROLE,     /* one of needs.role; without that, no client but the one where it is */
	ELIGIBLE_NETWORK,  /* one of needs.network */
	ELIGIBLE_POSITION, /* one of needs.country, within needs.area */
	ELIGIBLE_TAINT,    /* none that needs.tolerates does not list */
	ELIGIBLE_MEMBER,   /* of no fleet, of that of the node where it is, or of one of needs.member */
	ELIGIBLE_LATENCY,  /* the users' RTT from there is not over needs.rtt_ms (when unknown or only predicted it is not), and it has
			      answered some of the probes from where the instance is */
	ELIGIBLE_STALE,    /* seen within the last `stale` seconds */
	ELIGIBLE_NODE,     /* needs.node */
	ELIGIBLE_MODEL,    /* refused by a model of one's own */
	ELIGIBLE_CHECKS
};

struct eligible_rules {
	double now, stale; /* seconds since 1970, seconds; NAN: not asked */
};

/* The bits of all checks that fail; 0: it may be there. With `first` only one of them, which is quicker. `rtt_ms` is the
 * users' from there, NAN when unknown or only predicted. `service` and `node` are indices. */
unsigned eligible_refusals(const struct world *w, int service, int node, double rtt_ms, const struct eligible_rules *rules,
			   bool first);
/* "memory", and the reason in words: "needs 512 MB, has 100 MB available". */
const char *eligible_name(enum eligible_check check);
void eligible_why(const struct world *w, int service, int node, double rtt_ms, const struct eligible_rules *rules,
		  enum eligible_check check, char why[200]);
/* Is the position within the polygon? */
bool eligible_inside(const struct geo *corner, int n, struct geo at);

#endif
