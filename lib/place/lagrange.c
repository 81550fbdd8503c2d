/* SPDX-License-Identifier: MIT */
#include "lib/place/lagrange.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "lib/base/auto.h"

#define PATIENCE 12  /* rounds without a better bound before the step is halved */
#define REACH    0.1 /* how far above the bound an unknown target is taken to be, at first */
#define MEMORY   0.3 /* of the last direction: steps swing less */

static double unit(const struct lagrange *l, size_t i)
{
	return l->capacity[i] > 1e-9 ? l->capacity[i] : 1;
}

static void step(const struct lagrange *l, double gap, double *price, const double *over, double *way)
{
	double square = 0;

	for (size_t i = 0; i < l->n; i++) {
		way[i] = MEMORY * way[i] + over[i] / unit(l, i);
		if (way[i] > 0 || price[i] > 0)
			square += way[i] * way[i];
	}
	for (size_t i = 0; i < l->n && square > 0; i++)
		price[i] = fmax(0, price[i] + gap / square * way[i] / unit(l, i));
}

double lagrange_raise(const struct lagrange *l, double target, int rounds, double *price)
{
	AUTO_FREE double *over = calloc(l->n + 1, sizeof(*over)), *way = calloc(l->n + 1, sizeof(*way));
	AUTO_FREE double *kept = malloc((l->n + 1) * sizeof(*kept));
	double best = -INFINITY, pace = 1, reach = REACH;
	int since = 0;

	if (!over || !way || !kept)
		return -INFINITY;
	memcpy(kept, price, l->n * sizeof(*price));
	for (int k = 0; k < rounds && !(l->stop && l->stop(l->ctx, k)); k++) {
		double v = l->value(l->ctx, price, over), known = fmax(best, v);
		double aim = isfinite(target) ? target : known + reach * (1 + fabs(known));

		if (v > best + 1e-7 * fabs(best)) {
			since = 0;
			reach *= 1.3;
		} else if (++since >= PATIENCE) {
			since = 0;
			pace /= 2;
			reach = fmin(reach, REACH) / 2;
			memcpy(price, kept, l->n * sizeof(*price));
			memset(way, 0, l->n * sizeof(*way));
			continue;
		}
		if (v > best) {
			best = v;
			memcpy(kept, price, l->n * sizeof(*price));
		}
		if (pace < 1e-4 || aim - best < 1e-9 * (1 + fabs(aim)))
			break;
		step(l, pace * (fmax(aim, best) - v), price, over, way);
	}
	memcpy(price, kept, l->n * sizeof(*price));
	return best;
}
