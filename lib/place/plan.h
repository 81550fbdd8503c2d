/* SPDX-License-Identifier: MIT */
/* From where services are to where they should be: which policy, which moves pay, and in which order. */
#ifndef EDGE_PLACE_PLAN_H
#define EDGE_PLACE_PLAN_H

#include "lib/place/problem.h"

enum policy {
	POLICY_OPTIMAL,      /* least total cost (gap.h) */
	POLICY_GREEDY,       /* one service after another, each where it is cheapest and fits (Georgiou 2018, algorithm 1) */
	POLICY_SAME_NETWORK, /* what is on nodes over the limit goes to the least used of the same network that stays under it,
	                        else of another, else to the cloud (Tufail 2018, algorithm I) */
	POLICY_PACK,         /* ... to the most used that stays under it, else to the cloud (algorithm II); then nodes are emptied
	                        whose services fit on fuller ones, and that have no other work */
	POLICY_SPREAD,       /* instances of one name on different networks, then nodes; else the least used */
	POLICIES
};

struct plan_move {
	int job, from, to;   /* from -1: it is to be started */
	double gain;         /* by how much it lessens the cost when it is made; negative for one that makes room, or
	                        goes before another to which it talks */
	bool forced;         /* it may not be where it is, or there is too much */
	int detour_of;       /* job that this one makes room for by way of a third node, or -1 */
	struct prediction predicted;
};

struct plan {
	int *target;         /* [jobs]: what the policy wants, -1: nowhere */
	int *end;            /* [jobs]: where all are after the moves */
	struct plan_move *moves;
	int n;
	double before, after; /* cost of those that have a node */
	double bound;        /* no plan costs less, of those that place all and keep to the problem's capacities; -INFINITY when not asked for */
	int unplaced;        /* services without a node at the end */
	int withheld;        /* moves that the policy wants and that are not made: do not pay, too many, no safe order */
	long steps;
	bool by_cost;        /* the policy wants the least cost, not something else */
};

/* POLICIES when there is none of that name. */
enum policy plan_policy(const char *name);

/* At most `max_moves` moves, the best first, ordered such that no capacity is exceeded by a move at any time: a service
 * is at both nodes while it moves. The budget is for POLICY_OPTIMAL. NULL: out of memory. */
struct plan *plan_new(const struct problem *p, enum policy policy, int max_moves, const struct gap_budget *budget);
void plan_free(struct plan *p);
AUTO_DEFINE(struct plan, plan_free)
#define AUTO_PLAN AUTO(plan_free_auto)

/* What the nodes bear; used by policies and by the ordering. */
struct bearing {
	const struct problem *p;
	int *at;      /* [jobs] */
	double *load; /* [nodes][TAKES] */
};
int bearing_init(struct bearing *b, const struct problem *p, const int *at);
void bearing_release(struct bearing *b);
#define AUTO_BEARING AUTO(bearing_release)
bool bearing_clashes(const struct bearing *b, int job, int node); /* is one there that must not be with it? */
bool bearing_fits(const struct bearing *b, int job, int node);
bool bearing_over(const struct bearing *b, int node);
void bearing_move(struct bearing *b, int job, int to); /* to -1: away */
/* By how much it would lessen the cost if the job went there now; `paid`: the cost of moving counts. */
double bearing_gain(const struct bearing *b, int job, int to, bool paid);
double bearing_cost(const struct bearing *b);

/* The simple policies (policy.c): changes b->at. */
void policy_apply(struct bearing *b, enum policy policy);

#endif
