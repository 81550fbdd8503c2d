/* SPDX-License-Identifier: MIT */
#include "lib/place/gap.h"
#include "lib/place/lagrange.h"

#define LEAST 30  /* rounds, whatever they take: without prices there is no good plan either; */
#define WORK  1e6 /* and jobs x nodes x rounds, so that of small ones all are made, however slow the machine is just now */
#define SHARE 0.5 /* of what is left of the budget, which the search needs, too */

struct priced {
	const struct gap *g;
	const struct gap_budget *budget;
	double enough; /* of the budget */
	double nowhere;
	int dear[GAP_RESOURCES], n_dear; /* resources that cost something at any node */
};

static void find_dear(struct priced *p, const double *price)
{
	const struct gap *g = p->g;

	p->n_dear = 0;
	for (int r = 0; r < g->resources; r++) {
		int i = 0;

		while (i < g->nodes && !(price[(size_t)i * g->resources + r] > 0))
			i++;
		if (i < g->nodes)
			p->dear[p->n_dear++] = r;
	}
}

/* The cheapest node of a job at these prices, -1 if nowhere is cheaper. */
static int cheapest(const struct priced *p, int job, const double *price, double *least)
{
	const struct gap *g = p->g;
	int best = -1;

	for (int i = 0; i < g->nodes; i++) {
		double c = gap_cost(g, job, i);

		for (int k = 0; k < p->n_dear; k++)
			c += price[(size_t)i * g->resources + p->dear[k]] * gap_use(g, job, i, p->dear[k]);
		if (c < *least) {
			*least = c;
			best = i;
		}
	}
	return best;
}

static double value(void *ctx, const double *price, double *over)
{
	struct priced *p = ctx;
	const struct gap *g = p->g;
	double sum = 0;

	find_dear(p, price);
	for (int i = 0; i < g->nodes * g->resources; i++) {
		over[i] = -g->capacity[i];
		sum -= price[i] * g->capacity[i];
	}
	for (int j = 0; j < g->jobs; j++) {
		double least = p->nowhere;
		int i = cheapest(p, j, price, &least);

		sum += least;
		for (int r = 0; r < g->resources && i >= 0; r++)
			over[i * g->resources + r] += gap_use(g, j, i, r);
	}
	return sum;
}

/* Rounds are no steps: a budget of steps does not end them. */
static bool stop(void *ctx, int round)
{
	const struct priced *p = ctx;

	return p->budget && round >= LEAST && (double)p->g->jobs * p->g->nodes * round >= WORK &&
	       p->budget->spent(p->budget->ctx, 0) >= p->enough;
}

double gap_bound(const struct gap *g, double target, int rounds, const struct gap_budget *budget, double *price)
{
	struct priced p = { .g = g, .budget = budget, .nowhere = gap_nowhere(g) };
	const struct lagrange l = { (size_t)g->nodes * g->resources, g->capacity, value, stop, &p };

	if (budget)
		p.enough = SHARE + (1 - SHARE) * budget->spent(budget->ctx, 0);
	return lagrange_raise(&l, target, rounds, price);
}
