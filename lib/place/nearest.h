/* SPDX-License-Identifier: MIT */
/* Groups of users to instances, after VineIO (Baun 2021, section 3.3): a group that is served badly goes to a nearer instance, else one
 * is started near it; a node with too much gets a replica nearby, to which groups go until it is normal; an instance that nobody uses
 * ends. Who is served worst comes first. */
#ifndef EDGE_PLACE_NEAREST_H
#define EDGE_PLACE_NEAREST_H

#include "lib/place/plan.h"

enum near_action { NEAR_REDIRECT, NEAR_REPLICATE, NEAR_TERMINATE, NEAR_STAY };

struct near_step {
	enum near_action action;
	int app, job;  /* service by name; its instance (index in the problem) that is copied or ends, -1 */
	int group, user; /* indices in the world; -1 */
	int from, to;  /* nodes; -1 */
	double ms;     /* RTT of the group or user at `to`, NAN */
	const char *why; /* static */
};

struct near_plan {
	struct near_step *steps;
	int n, unsolved; /* groups that are served badly and stay so, or users whom no instance has room for */
};

/* May instances of it be started beside it, without its state, and end? One that says that it is stateful must say in needs.max that
 * there may be several. */
bool near_may_vary(const struct world_service *s);
const char *near_action_name(enum near_action action); /* as in the record */
/* One more step; -1: out of memory. */
int near_plan_add(struct near_plan *p, struct near_step s);

/* A group is served badly when its median RTT is over wants.rtt_ms or needs.rtt_ms of the service, else over bound_ms. NULL: out of
 * memory. */
struct near_plan *near_plan_new(const struct problem *p, double bound_ms, int max_moves);
void near_plan_free(struct near_plan *p);
AUTO_DEFINE(struct near_plan, near_plan_free)
#define AUTO_NEAR AUTO(near_plan_free_auto)

#endif
