/* SPDX-License-Identifier: MIT */
#include <stdlib.h>

#include "lib/place/gap_part.h"

#define NOISE 0.1 /* of the costs, at first, in what a typical wrong choice costs */
#define MANY  50  /* nodes: of these, */
#define LEAST 3   /* are in a part at first */
#define STEPS 100 /* that a part counts for */

/* Costs are a little wrong, less and less, so that it wanders among plans that are nearly as good. Where nodes are many, parts are small
 * as long as that helps. */
int gap_improve(struct gap_plan *p, const struct gap_budget *budget, struct gap_best *best)
{
	AUTO_FREE struct part *q = calloc(1, sizeof(*q));
	AUTO_FREE struct match *t = match_new();
	double noise = NOISE * gap_plan_typical(p), spent;
	int size = p->g->nodes > MANY ? LEAST : GAP_PART_NODES, idle = 0;

	if (!q || !t)
		return -1;
	while (p->g->nodes && (spent = budget->spent(budget->ctx, best->steps)) < 1 && !gap_best_enough(best)) {
		double before = best->cost;

		best->steps += STEPS;
		if (part_draw(q, p, size, noise * (1 - spent)) && match_solve(t, q, p, GAP_PART_WAYS >> (GAP_PART_NODES - size)))
			return -1;
		gap_plan_keep(p, best);
		idle = best->cost < before ? 0 : idle + 1;
		if (idle > p->g->nodes && size < GAP_PART_NODES) {
			idle = 0;
			size++;
		}
	}
	return 0;
}
