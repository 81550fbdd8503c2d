/* SPDX-License-Identifier: MIT */
/* Inside of gap_solve: a plan that is being changed, with what each node bears. */
#ifndef EDGE_PLACE_GAP_SEARCH_H
#define EDGE_PLACE_GAP_SEARCH_H

#include <stdint.h>

#include "lib/place/gap.h"

/* A plan, kept so that a change is priced without looking at the whole. Node `nodes` stands for nowhere. */
struct gap_plan {
	const struct gap *g;
	const double *price; /* of capacity, from gap_bound */
	double nowhere;      /* what a job without a node costs */
	double clash;        /* what two jobs cost that must be apart and are not */
	double strict;       /* how much dearer than its price a capacity is beyond its end */
	double *rate;        /* [nodes][resources]: cost of one unit too much, at strict 1 */
	double *load;        /* [nodes][resources] */
	double *fine;        /* [nodes]: rate x what is too much, at strict 1 */
	int *at;             /* [jobs] */
	int *slot;           /* [jobs]: where in its node's list */
	struct gap_list {
		int *jobs, n, room;
	} *list;             /* [nodes + 1]: who is there */
	int *choice;         /* [jobs][choices]: nodes worth trying, best first */
	int choices;
	int *member;         /* [jobs]: which one it is of a part; -1 */
	int *link_of, *link_end; /* gap_links() */
	double cost;         /* without fines */
	uint64_t seed;
	int overfull;        /* nodes with a fine */
	int clashes;         /* links of jobs that must be apart and are not */
};

/* Two changes at once: job j goes to `to`, and job k (or -1), which is there, to `on`. */
struct gap_change {
	int j, to, k, on;
};

struct gap_plan *gap_plan_new(const struct gap *g, const double *price, int choices);
void gap_plan_free(struct gap_plan *p);
AUTO_DEFINE(struct gap_plan, gap_plan_free)

void gap_plan_clear(struct gap_plan *p); /* every job nowhere */
/* Puts every job where `node` says (-1 or forbidden: nowhere), but for those that break a rule there. -1 when memory runs out. */
int gap_plan_set(struct gap_plan *p, const int *node);
/* Puts the jobs that are nowhere, those first that lose most by waiting, each where it is cheapest and fits. */
int gap_plan_fill(struct gap_plan *p);
/* The fine of a node if job `in` came and `out` went (-1: none). */
double gap_plan_fine(const struct gap_plan *p, int node, int in, int out);
/* No rule is broken, except that jobs may be nowhere. */
static inline bool gap_plan_holds(const struct gap_plan *p)
{
	return !p->overfull && !p->clashes;
}
/* A number below `below`, which is not 0. */
static inline uint32_t gap_draw(struct gap_plan *p, uint32_t below)
{
	p->seed ^= p->seed << 13;
	p->seed ^= p->seed >> 7;
	p->seed ^= p->seed << 17;
	return (uint32_t)(((p->seed >> 32) * below) >> 32);
}
/* One of a job's good nodes, the best ones more often; node `nodes` if it has none. */
static inline int gap_draw_choice(struct gap_plan *p, int j)
{
	uint32_t n = (uint32_t)p->choices;

	return p->choice[(size_t)j * n + (uint64_t)gap_draw(p, n) * (gap_draw(p, n) + 1) / n];
}
/* What a job costs at a node, or nowhere, without links; the same with the price of what it uses. */
double gap_plan_cost(const struct gap_plan *p, int j, int i);
double gap_plan_priced(const struct gap_plan *p, int j, int i);
/* What a link costs whose jobs are there. */
double gap_plan_link(const struct gap_plan *p, const struct gap_link *l, int a, int b);
/* What a change would add to cost plus fines. */
double gap_plan_price(const struct gap_plan *p, const struct gap_change *c);
/* Makes it. -1 when memory runs out. */
int gap_plan_make(struct gap_plan *p, const struct gap_change *c);

/* The best plan without fines so far. */
struct gap_best {
	int *node;    /* [jobs]; node `nodes` for nowhere */
	double cost;  /* with what jobs cost that are nowhere */
	double bound; /* nothing is cheaper */
	long steps;
};

void gap_plan_keep(const struct gap_plan *p, struct gap_best *best);
static inline bool gap_best_enough(const struct gap_best *b)
{
	return b->cost <= b->bound + 1e-9 * (1 + fabs(b->bound));
}

/* What a typical wrong choice costs: the mean difference between a job's two best nodes, prices included. */
double gap_plan_typical(const struct gap_plan *p);

/* Anneals until `share` of the budget is spent or the bound is reached. -1 when memory runs out; so does the next one. */
int gap_anneal(struct gap_plan *p, const struct gap_budget *budget, double share, struct gap_best *best);
/* Solves parts of a plan that holds, one after another, until the budget is spent or the bound is reached. */
int gap_improve(struct gap_plan *p, const struct gap_budget *budget, struct gap_best *best);

#endif
