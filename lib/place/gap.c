/* SPDX-License-Identifier: MIT */
#include "lib/place/gap.h"

#include <stdlib.h>
#include <string.h>

#include "lib/place/gap_search.h"

#define CHOICES 24  /* nodes per job that the search tries */
#define ANNEAL  0.1 /* of the budget */
#define ROUNDS 600

double gap_check(const struct gap *g, const int *node, int *unplaced)
{
	size_t all = (size_t)g->nodes * g->resources;
	AUTO_FREE double *load = calloc(all + 1, sizeof(*load));
	double sum = 0;
	int none = 0;

	if (!load)
		return INFINITY;
	for (int j = 0; j < g->jobs; j++) {
		if (node[j] < 0) {
			none++;
			continue;
		}
		sum += gap_cost(g, j, node[j]);
		for (int r = 0; r < g->resources; r++)
			load[(size_t)node[j] * g->resources + r] += gap_use(g, j, node[j], r);
	}
	for (size_t i = 0; i < all; i++)
		if (gap_over(load[i], g->capacity[i]))
			return INFINITY;
	for (int l = 0; l < g->n_links; l++) {
		int a = node[g->links[l].a], b = node[g->links[l].b];

		if (a < 0 || b < 0)
			continue;
		if (isinf(g->links[l].weight))
			sum += a == b ? INFINITY : 0;
		else
			sum += gap_link_cost(g, &g->links[l], a, b);
	}
	if (unplaced)
		*unplaced = none;
	return sum;
}

void gap_release(struct gap_answer *a)
{
	free(a->node);
	*a = (struct gap_answer){ 0 };
}

/* Into *to: `g` without the resources of which no node can have too much, whatever goes where. Its capacity is also in *owned. */
static int leave_out(const struct gap *g, struct gap *to, double **owned)
{
	size_t all = (size_t)g->nodes * g->resources;
	AUTO_FREE double *most = calloc(all + 1, sizeof(*most));
	double *capacity = *owned = malloc((all + 1) * sizeof(*capacity));
	int kept[GAP_RESOURCES];

	if (!most || !capacity)
		return -1;
	for (int j = 0; j < g->jobs; j++)
		for (int i = 0; i < g->nodes; i++)
			for (int r = 0; r < g->resources && gap_cost(g, j, i) < GAP_NEVER; r++)
				most[(size_t)i * g->resources + r] += gap_use(g, j, i, r);
	*to = *g;
	to->resources = 0;
	for (int r = 0; r < g->resources; r++) {
		int i = 0;

		while (i < g->nodes && !gap_over(most[(size_t)i * g->resources + r], g->capacity[(size_t)i * g->resources + r]))
			i++;
		if (i == g->nodes)
			continue;
		to->use[to->resources] = g->use[r];
		kept[to->resources++] = r;
	}
	for (int i = 0; i < g->nodes; i++)
		for (int k = 0; k < to->resources; k++)
			capacity[(size_t)i * to->resources + k] = g->capacity[(size_t)i * g->resources + kept[k]];
	to->capacity = capacity;
	return 0;
}

static int run(const struct gap *whole, const int *start, const struct gap_budget *budget, struct gap_answer *a)
{
	AUTO_FREE double *price = calloc((size_t)whole->nodes * whole->resources + 1, sizeof(double)), *capacity = NULL;
	AUTO(gap_plan_free_auto) struct gap_plan *p = NULL;
	struct gap_best best = { .node = a->node, .cost = INFINITY };
	struct gap g;

	if (!price || leave_out(whole, &g, &capacity))
		return -1;
	best.bound = gap_bound(&g, INFINITY, ROUNDS, budget, price);
	p = gap_plan_new(&g, price, CHOICES);
	if (!p || (start && gap_plan_set(p, start)) || gap_plan_fill(p))
		return -1;
	gap_plan_keep(p, &best);
	if (gap_anneal(p, budget, ANNEAL, &best) || gap_plan_set(p, best.node) || gap_improve(p, budget, &best))
		return -1;
	for (int j = 0; j < g.jobs; j++)
		if (a->node[j] == g.nodes)
			a->node[j] = -1;
	a->bound = best.bound;
	a->steps = best.steps;
	a->cost = gap_check(whole, a->node, &a->unplaced);
	return 0;
}

int gap_solve(const struct gap *g, const int *start, const struct gap_budget *budget, struct gap_answer *a, struct err *e)
{
	AUTO_GAP struct gap_answer made = { .node = malloc(((size_t)g->jobs + 1) * sizeof(int)) };

	if (!made.node || run(g, start, budget, &made))
		return err_set(e, EX_OSERR, "out of memory");
	*a = made;
	made = (struct gap_answer){ 0 };
	return 0;
}
