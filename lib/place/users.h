/* SPDX-License-Identifier: MIT */
/* Which node serves which user: assign.h for the users of each service, at the nodes where it runs. */
#ifndef EDGE_PLACE_USERS_H
#define EDGE_PLACE_USERS_H

#include "lib/place/assign.h"

struct users_options {
	double margin;      /* a user is sent elsewhere only if that lessens its RTT by this part, 0..1, or it has to go */
	const bool *failed; /* by index of the node: it is not there; or NULL */
};

struct users_plan {
	int *node;          /* [users]: index of the node that is to serve it, -1: none has room. Owned */
	float *was_ms, *ms; /* [users]: RTT by position to where it is served now, and then; NAN. Owned */
	int services, moves, unplaced;
	double before, after; /* sums of demand x RTT; before: of those that are served now */
	double bound;
};

/* A service without records of instances may be served at every node that tells users_max. A node can serve as many as the
 * instance tells, else the node, for all services together; without either, any number. The world must be indexed. -1: out of memory. */
int users_place(const struct world *w, const struct users_options *o, const struct gap_budget *budget, struct users_plan *p,
		struct err *e);
void users_release(struct users_plan *p);
#define AUTO_USERS AUTO(users_release)

#endif
