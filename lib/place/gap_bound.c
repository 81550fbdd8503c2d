/* SPDX-License-Identifier: MIT */
#include <stdlib.h>
#include <string.h>

#include "lib/place/gap.h"

#define PATIENCE 12 /* rounds without a better bound before the step is halved */

/* A unit of each capacity: steps are taken in parts of a whole capacity, so that bytes and cores weigh alike. */
static double unit(const struct gap *g, int node, int r)
{
	double c = g->capacity[(size_t)node * g->resources + r];

	return c > 1e-9 ? c : 1;
}

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

/* The bound that these prices prove, and in over[] by how many units each capacity would be exceeded. */
static double value(const struct gap *g, double nowhere, const double *price, double *over)
{
	int all = g->nodes * g->resources;
	double sum = 0, least;

	for (int i = 0; i < all; i++) {
		over[i] = -g->capacity[i];
		sum -= price[i] * g->capacity[i];
	}
	for (int j = 0; j < g->jobs; j++) {
		int i;

		least = nowhere;
		i = cheapest(g, j, price, &least);
		sum += least;
		for (int r = 0; r < g->resources && i >= 0; r++)
			over[i * g->resources + r] += gap_use(g, j, i, r);
	}
	for (int i = 0; i < all; i++)
		over[i] /= unit(g, i / g->resources, i % g->resources);
	return sum;
}

/* One step along a direction that remembers the last ones (it swings less). Prices do not fall below 0. */
static void step(const struct gap *g, double gap, double *price, const double *over, double *way)
{
	int all = g->nodes * g->resources;
	double square = 0;

	for (int i = 0; i < all; i++) {
		way[i] = 0.3 * way[i] + over[i];
		if (way[i] > 0 || price[i] > 0)
			square += way[i] * way[i];
	}
	if (square <= 0)
		return;
	for (int i = 0; i < all; i++) {
		price[i] += gap / square * way[i] / unit(g, i / g->resources, i % g->resources);
		if (price[i] < 0)
			price[i] = 0;
	}
}

double gap_bound(const struct gap *g, double target, int rounds, double *price)
{
	size_t all = (size_t)g->nodes * g->resources;
	AUTO_FREE double *over = calloc(all + 1, sizeof(*over)), *way = calloc(all + 1, sizeof(*way));
	AUTO_FREE double *best_price = malloc((all + 1) * sizeof(*best_price));
	double best = -INFINITY, pace = 1, nowhere = gap_nowhere(g), reach = 0.1;
	int since = 0;

	if (!over || !way || !best_price)
		return -INFINITY;
	memcpy(best_price, price, all * sizeof(*price));
	for (int k = 0; k < rounds; k++) {
		double v = value(g, nowhere, price, over);
		double aim = isfinite(target) ? target : fmax(best, v) + reach * (1 + fabs(fmax(best, v)));

		if (v > best + 1e-7 * fabs(best)) {
			since = 0;
			reach *= 1.3;
		} else if (++since >= PATIENCE) {
			since = 0;
			pace /= 2;
			reach = fmin(reach, 0.1) / 2;
			memcpy(price, best_price, all * sizeof(*price));
			memset(way, 0, all * sizeof(*way));
			continue;
		}
		if (v > best) {
			best = v;
			memcpy(best_price, price, all * sizeof(*price));
		}
		if (pace < 1e-4 || aim - best < 1e-9 * (1 + fabs(aim)))
			break;
		step(g, pace * (fmax(aim, best) - v), price, over, way);
	}
	memcpy(price, best_price, all * sizeof(*price));
	return best;
}
