/* SPDX-License-Identifier: MIT */
/* Very many users to nodes with limited capacity, each as near as can be: hundreds of thousands of users, a thousand
 * nodes, within seconds. RTTs come from positions (distance.h). The cost is the sum over users of demand x RTT.
 *
 * Users near each other are put into cells, which find prices for the capacity of full nodes in an auction; with these as
 * a beginning the users themselves bid, each for the nodes that are best for it. The bound is that of gap.h. */
#ifndef EDGE_PLACE_ASSIGN_H
#define EDGE_PLACE_ASSIGN_H

#include "lib/place/distance.h"
#include "lib/place/gap.h"

struct assign {
	int users, nodes;
	const struct geo *user, *node; /* a user's unknown position: it goes wherever there is room */
	const float *demand;           /* [users], over 0 */
	const double *capacity;        /* [nodes] */
};

struct assign_answer {
	int *node;     /* [users]: -1: no room anywhere. Owned */
	double *price; /* [nodes]: ms for a unit of demand. Owned */
	double cost;   /* of those that have a node */
	double bound;  /* serving all of them costs no less */
	int unplaced;
};

/* -1 and EX_OSERR when memory runs out; *a is untouched then. The budget's steps are thousands of bids, and those of gap.h. */
int assign_solve(const struct assign *s, const struct gap_budget *budget, struct assign_answer *a, struct err *e);
void assign_release(struct assign_answer *a);
#define AUTO_ASSIGN AUTO(assign_release)

#endif
