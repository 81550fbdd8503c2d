/* SPDX-License-Identifier: MIT */
/* What the files of assign share. */
#ifndef EDGE_PLACE_ASSIGN_INT_H
#define EDGE_PLACE_ASSIGN_INT_H

#include "lib/place/assign.h"

struct way {
	float ms;
	int node;
};

struct cell {
	struct point middle;
	float radius;    /* ms from the middle to the user of it that is farthest away */
	int first, n;    /* in `order` */
};

struct cells {
	const struct assign *s;
	struct point *user, *node;
	int *order;      /* [users]: by cell; those without a position are behind the last cell's */
	struct cell *cell;
	double *demand;  /* [n] */
	int n;
	struct way *way; /* [n][nodes]: RTT from the middles, the nearest first */
};

int cells_init(struct cells *c, const struct assign *s);
void cells_release(struct cells *c);
#define AUTO_CELLS AUTO(cells_release)

static inline double cells_ms(const struct cells *c, int user, int node)
{
	return distance_points_km(&c->user[user], &c->node[node]) * RTT_MS_PER_KM;
}

/* Who wants how much of what: cells or users, each with some nodes, the nearest first. */
struct market {
	int bidders, ways, nodes;
	struct way *way;        /* [bidders][ways]; node -1 ends a shorter list */
	const double *demand;   /* [bidders], over 0 */
	const double *capacity; /* [nodes] */
	/* Where lists do not have all nodes: beyond[bidders] is the least RTT + price of those that are left out; `list` makes a
	 * list anew, at the prices of now. Else NULL. */
	float *beyond;
	void (*list)(void *ctx, int bidder, const double *price);
	void *ctx;
};

/* Divides the nodes' capacity nearly as cheaply as can be: within `step` ms for each unit of demand, if it comes to its end
 * before so much of the budget is spent. price[nodes], in and out: at least that is paid, and in the end what the last bidder
 * that has something would pay. got[bidders] (or NULL): the node that gives it most, -1: none. -1: out of memory. */
int assign_auction(const struct market *m, double step, const struct gap_budget *budget, double share, double *price, int *got);

#endif
