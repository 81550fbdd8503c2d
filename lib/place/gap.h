/* SPDX-License-Identifier: MIT */
/* Generalised assignment: each job goes to one node, no resource of a node is used beyond its capacity, and the sum of
 * the costs is as small as can be found. Jobs that go together or apart cost more or less by where the others are.
 *
 * Pure arithmetic: the same input and the same number of steps give the same answer. */
#ifndef EDGE_PLACE_GAP_H
#define EDGE_PLACE_GAP_H

#include <math.h>
#include <stdbool.h>
#include <stddef.h>

#include "lib/base/auto.h"
#include "lib/base/err.h"

#define GAP_RESOURCES 5
#define GAP_NEVER     INFINITY /* the cost of a node that may not have the job */

/* Two jobs that depend on each other: `weight` x the distance of their nodes is added to the cost; of an `apart` one, the weight
 * if both are on one network. */
struct gap_link {
	int a, b;
	float weight; /* > 0; INFINITY: never on one node (the distance is not asked) */
	bool apart;
};

/* What is to be solved. The caller owns all of it and leaves it alone while it is used. */
struct gap {
	int jobs, nodes, resources;
	const float *cost; /* [jobs][nodes], any sign; GAP_NEVER where it may not go */
	struct {
		const float *of; /* [jobs][nodes] if by_node, else [jobs]; not negative */
		bool by_node;
	} use[GAP_RESOURCES];
	const double *capacity; /* [nodes][resources] */
	const struct gap_link *links;
	int n_links;
	const float *distance; /* [nodes][nodes], not negative; NULL if no link has a finite weight */
	const int *network;    /* [nodes]: equal ones are one network, -1 is none; NULL if no link is apart */
};

/* How much of the budget is spent after so many steps: 0 to 1; at 1 the search ends. */
struct gap_budget {
	double (*spent)(void *ctx, long steps);
	void *ctx;
};

struct gap_answer {
	int *node;    /* [jobs]: where it goes, -1: nowhere. Owned */
	double cost;  /* of the jobs that have a node, links included */
	double bound; /* no plan that places every job costs less */
	int unplaced;
	long steps;
};

/* Finds a plan. `start` [jobs] (or NULL) is one to begin with; its jobs may be at -1 or where they do not fit.
 * -1 and EX_OSERR when memory runs out; *a is untouched then. */
int gap_solve(const struct gap *g, const int *start, const struct gap_budget *budget, struct gap_answer *a, struct err *e);
void gap_release(struct gap_answer *a);
#define AUTO_GAP AUTO(gap_release)

/* Prices for capacity, and the bound that they prove: for prices p >= 0 no plan costs less than
 *     sum over jobs of min over nodes of (cost + p x use)  -  sum over nodes of p x capacity
 * (Lagrange; a job may also be nowhere, for gap_nowhere). Raises it by `rounds` subgradient steps towards `target`, the cost of
 * a known plan (or INFINITY), more than a few of them only while half of what is left of the budget (or NULL) is not spent. price:
 * [nodes][resources], in and out, 0 to begin with. -INFINITY: out of memory. */
double gap_bound(const struct gap *g, double target, int rounds, const struct gap_budget *budget, double *price);

/* The links of job j: indices link_of[link_end[j]] to before link_of[link_end[j + 1]]. -1: out of memory; both are to be freed, then, too. */
int gap_links(const struct gap *g, int **link_of, int **link_end);

/* More than it costs to have a job anywhere instead of nowhere. */
double gap_nowhere(const struct gap *g);

/* Is `used` of a capacity too much? Rounding in sums is forgiven. */
static inline bool gap_over(double used, double capacity)
{
	return used > capacity + 1e-9 * (1 + fabs(capacity));
}

static inline double gap_use(const struct gap *g, int job, int node, int resource)
{
	return g->use[resource].by_node ? g->use[resource].of[(size_t)job * g->nodes + node] : g->use[resource].of[job];
}

static inline double gap_cost(const struct gap *g, int job, int node)
{
	return g->cost[(size_t)job * g->nodes + node];
}

/* What a link of finite weight costs. */
static inline double gap_link_cost(const struct gap *g, const struct gap_link *l, int a, int b)
{
	if (l->apart)
		return g->network[a] >= 0 && g->network[a] == g->network[b] ? l->weight : 0;
	return l->weight * g->distance[(size_t)a * g->nodes + b];
}

/* The cost of a plan, or INFINITY if it breaks a rule: a capacity, a forbidden node, two jobs that must be apart. Jobs at -1 count in
 * *unplaced (may be NULL) and cost nothing. */
double gap_check(const struct gap *g, const int *node, int *unplaced);

#endif
