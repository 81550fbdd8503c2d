/* SPDX-License-Identifier: MIT */
#include "lib/place/gap.h"

#include <stdlib.h>
#include <string.h>

#include "lib/place/gap_search.h"

#define CHOICES 24  /* nodes per job that the search tries */
#define ANNEAL  0.2 /* of the budget */
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
	free(a->price);
	*a = (struct gap_answer){ 0 };
}

static int run(const struct gap *g, const int *start, const struct gap_budget *budget, struct gap_answer *a)
{
	struct gap_best best = { .node = a->node, .cost = INFINITY, .bound = gap_bound(g, INFINITY, ROUNDS, budget, a->price) };
	AUTO(gap_plan_free_auto) struct gap_plan *p = gap_plan_new(g, a->price, CHOICES);

	if (!p || (start && gap_plan_set(p, start)) || gap_plan_fill(p))
		return -1;
	gap_plan_keep(p, &best);
	if (gap_anneal(p, budget, ANNEAL, &best) || gap_plan_set(p, best.node) || gap_improve(p, budget, &best))
		return -1;
	for (int j = 0; j < g->jobs; j++)
		if (a->node[j] == g->nodes)
			a->node[j] = -1;
	a->bound = best.bound;
	a->steps = best.steps;
	a->cost = gap_check(g, a->node, &a->unplaced);
	return 0;
}

int gap_solve(const struct gap *g, const int *start, const struct gap_budget *budget, struct gap_answer *a, struct err *e)
{
	AUTO_GAP struct gap_answer made = { 0 };

	made.node = malloc(((size_t)g->jobs + 1) * sizeof(int));
	made.price = calloc((size_t)g->nodes * g->resources + 1, sizeof(double));
	if (!made.node || !made.price || run(g, start, budget, &made))
		return err_set(e, EX_OSERR, "out of memory");
	*a = made;
	made = (struct gap_answer){ 0 };
	return 0;
}
