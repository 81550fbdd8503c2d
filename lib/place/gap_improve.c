/* SPDX-License-Identifier: MIT */
#include <stdlib.h>

#include "lib/place/gap_part.h"

#define NOISE 0.1 /* of the costs, at first, in what a typical wrong choice costs */
#define STEPS 100 /* that a part counts for */

/* Costs are a little wrong, less and less, so that it wanders among plans that are nearly as good. */
int gap_improve(struct gap_plan *p, const struct gap_budget *budget, struct gap_best *best)
{
	AUTO_FREE struct part *q = calloc(1, sizeof(*q));
	AUTO_FREE struct match *t = match_new();
	double noise = NOISE * gap_plan_typical(p), spent;

	if (!q || !t)
		return -1;
	while (p->g->nodes && (spent = budget->spent(budget->ctx, best->steps)) < 1 && !gap_best_enough(best)) {
		best->steps += STEPS;
		if (part_draw(q, p, noise * (1 - spent)) && match_solve(t, q, p))
			return -1;
		gap_plan_keep(p, best);
	}
	return 0;
}
