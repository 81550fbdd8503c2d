/* SPDX-License-Identifier: MIT */
#include <stdlib.h>
#include <string.h>

#include "lib/place/gap_search.h"

#define LOGS  4096   /* -log of evenly spread numbers: a table is quicker than log() */
#define BLOCK 4096   /* steps between two looks at the budget */
#define HOT   3.0    /* heat, in what a typical wrong choice costs: at the beginning, */
#define COLD  0.1    /* and at the end */
#define LAX   2.0    /* the same for gap_plan.strict */
#define HARD  10.0

struct anneal {
	struct gap_plan *p;
	double logs[LOGS];
};

/* A change at random: a job to one of its good nodes; there is room, or another job gives way to it, by going the
 * other way or on to a good node of its own. */
static bool suggest(struct gap_plan *p, struct gap_change *c)
{
	uint32_t n = (uint32_t)p->choices, kind = gap_draw(p, 8);

	c->j = (int)gap_draw(p, (uint32_t)p->g->jobs);
	c->to = gap_draw_choice(p, c->j);
	c->k = -1;
	c->on = -1;
	if (c->to == p->at[c->j])
		return false;
	if (kind < 2 || c->to == p->g->nodes || !p->list[c->to].n)
		return true;
	c->k = p->list[c->to].jobs[gap_draw(p, (uint32_t)p->list[c->to].n)];
	c->on = kind < 6 ? p->at[c->j] : gap_draw_choice(p, c->k);
	return n && c->on != c->to && (c->on == p->g->nodes || gap_cost(p->g, c->k, c->on) < GAP_NEVER);
}

double gap_plan_typical(const struct gap_plan *p)
{
	double sum = 0;
	int n = 0;

	for (int j = 0; j < p->g->jobs && p->choices > 1; j++) {
		const int *c = p->choice + (size_t)j * p->choices;

		if (c[1] == p->g->nodes)
			continue;
		sum += gap_plan_priced(p, j, c[1]) - gap_plan_priced(p, j, c[0]);
		n++;
	}
	return n && sum > 0 ? sum / n : 1e-3 * (1 + p->nowhere);
}

static int block(struct anneal *a, double heat, struct gap_best *best)
{
	for (int n = 0; n < BLOCK; n++) {
		struct gap_change c;
		double limit = heat * a->logs[gap_draw(a->p, LOGS)], change;

		if (!suggest(a->p, &c) || (change = gap_plan_price(a->p, &c)) > limit)
			continue;
		if (change > 0)
			gap_plan_keep(a->p, best);
		if (gap_plan_make(a->p, &c))
			return -1;
	}
	gap_plan_keep(a->p, best);
	return 0;
}

int gap_anneal(struct gap_plan *p, const struct gap_budget *budget, double share, struct gap_best *best)
{
	AUTO_FREE struct anneal *a = malloc(sizeof(*a));
	double scale = gap_plan_typical(p), spent;

	if (!a)
		return -1;
	a->p = p;
	for (int i = 0; i < LOGS; i++)
		a->logs[i] = -log((i + 0.5) / LOGS);
	while ((spent = budget->spent(budget->ctx, best->steps) / share) < 1 && !gap_best_enough(best)) {
		p->strict = LAX * pow(HARD / LAX, spent);
		if (block(a, scale * HOT * pow(COLD / HOT, spent), best))
			return -1;
		best->steps += BLOCK;
	}
	return 0;
}
