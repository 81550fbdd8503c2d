/* SPDX-License-Identifier: MIT */
/* Which node serves which user: assign.h for the users of each service, at the nodes where it runs; once, or again and again as
 * records change. */
#ifndef EDGE_PLACE_USERS_H
#define EDGE_PLACE_USERS_H

#include "lib/place/assign.h"

struct users_options {
	double margin;      /* a user is sent elsewhere only if that lessens its RTT by this part, 0..1, or it has to go */
	const bool *failed; /* by index of the node: it is not there; or NULL */
};

struct users_plan {
	int *node;            /* [users]: index of the node that is to serve it, -1: none has room. Owned */
	int services, moves, unplaced;
	double before, after; /* sums of demand x RTT by position; before: of those that are served now */
	double first;         /* of the first whole plan, before it was made better; NAN when it was not made from the beginning */
	double bound;
};

/* A service without records of instances may be served at every node that tells users_max. A node seen before the world's `since` serves nobody, another as many as the
 * instance tells, else the node, for all services together; without either, any number.
 * The world (which must be indexed) and the options stay the caller's. NULL: out of memory. */
struct users *users_new(const struct world *w, const struct users_options *o);
void users_free(struct users *s);
AUTO_DEFINE(struct users, users_free)
#define AUTO_USERS AUTO(users_free_auto)

/* There is a new record of that user since the last plan; one that does not tell who serves it leaves it where that has put it. */
void users_changed(struct users *s, struct world *w, int user);
/* There are new records of nodes or services, and the world was indexed again; or its `since` is another. */
void users_moved_nodes(struct users *s);
/* The first time, when nodes come, go or move, and when the last plan is no good beginning any more, from the beginning; else what has
 * changed is added to the last plan. -1: out of memory. */
int users_place(struct users *s, const struct gap_budget *budget, struct users_plan *p, struct err *e);
/* The plan has been carried out: that is noted in the world. */
void users_done(struct users *s, struct world *w, const struct users_plan *p);
/* Does beforehand what the first plan after changes needs. -1: out of memory. */
int users_ready(struct users *s, struct err *e);
void users_release(struct users_plan *p);
#define AUTO_USERS_PLAN AUTO(users_release)

#endif
