/* SPDX-License-Identifier: MIT */
#include "lib/place/gap.h"
#include "lib/place/lagrange.h"

struct priced {
	const struct gap *g;
	double nowhere;
};

/* The cheapest node of a job at these prices, -1 if nowhere is cheaper. */
static int cheapest(const struct gap *g, int job, const double *price, double *least)
{
	int best = -1;

	for (int i = 0; i < g->nodes; i++) {
		double c = gap_cost(g, job, i);

		for (int r = 0; r < g->resources; r++)
			c += price[(size_t)i * g->resources + r] * gap_use(g, job, i, r);
		if (c < *least) {
			*least = c;
			best = i;
		}
	}
	return best;
}

static double value(void *ctx, const double *price, double *over)
{
	const struct priced *p = ctx;
	const struct gap *g = p->g;
	double sum = 0;

	for (int i = 0; i < g->nodes * g->resources; i++) {
		over[i] = -g->capacity[i];
		sum -= price[i] * g->capacity[i];
	}
	for (int j = 0; j < g->jobs; j++) {
		double least = p->nowhere;
		int i = cheapest(g, j, price, &least);

		sum += least;
		for (int r = 0; r < g->resources && i >= 0; r++)
			over[i * g->resources + r] += gap_use(g, j, i, r);
	}
	return sum;
}

double gap_bound(const struct gap *g, double target, int rounds, double *price)
{
	struct priced p = { g, gap_nowhere(g) };
	const struct lagrange l = { (size_t)g->nodes * g->resources, g->capacity, value, NULL, &p };

	return lagrange_raise(&l, target, rounds, price);
}
