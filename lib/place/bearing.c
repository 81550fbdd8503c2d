/* SPDX-License-Identifier: MIT */
#include <stdlib.h>
#include <string.h>

#include "lib/place/plan.h"

int bearing_init(struct bearing *b, const struct problem *p, const int *at)
{
	b->p = p;
	b->at = malloc(((size_t)p->g.jobs + 1) * sizeof(int));
	b->load = calloc(((size_t)p->g.nodes + 1) * TAKES, sizeof(double));
	if (!b->at || !b->load)
		return -1;
	for (int j = 0; j < p->g.jobs; j++) {
		b->at[j] = -1;
		bearing_move(b, j, at[j]);
	}
	return 0;
}

void bearing_release(struct bearing *b)
{
	free(b->at);
	free(b->load);
}

bool bearing_clashes(const struct bearing *b, int job, int node)
{
	const struct problem *p = b->p;

	for (int n = p->link_end[job]; n < p->link_end[job + 1]; n++) {
		const struct gap_link *l = &p->links[p->link_of[n]];

		if (isinf(l->weight) && b->at[l->a == job ? l->b : l->a] == node)
			return true;
	}
	return false;
}

bool bearing_fits(const struct bearing *b, int job, int node)
{
	const struct gap *g = &b->p->g;

	if (!(gap_cost(g, job, node) < GAP_NEVER))
		return false;
	for (int r = 0; r < TAKES; r++) {
		double use = gap_use(g, job, node, r);

		/* What takes nothing of a resource is not kept away by others that take too much. */
		if (use > 0 && gap_over(b->load[node * TAKES + r] + use, g->capacity[node * TAKES + r]))
			return false;
	}
	return !bearing_clashes(b, job, node);
}

bool bearing_over(const struct bearing *b, int node)
{
	for (int r = 0; r < TAKES; r++)
		if (gap_over(b->load[node * TAKES + r], b->p->g.capacity[node * TAKES + r]))
			return true;
	return false;
}

void bearing_move(struct bearing *b, int job, int to)
{
	int from = b->at[job];

	for (int r = 0; r < TAKES && from >= 0; r++)
		b->load[from * TAKES + r] -= gap_use(&b->p->g, job, from, r);
	for (int r = 0; r < TAKES && to >= 0; r++)
		b->load[to * TAKES + r] += gap_use(&b->p->g, job, to, r);
	b->at[job] = to;
}

static double link_cost(const struct bearing *b, const struct gap_link *l, int x, int y)
{
	return x < 0 || y < 0 || isinf(l->weight) ? 0 : gap_link_cost(&b->p->g, l, x, y);
}

double bearing_gain(const struct bearing *b, int job, int to, bool paid)
{
	const struct problem *p = b->p;
	const float *cost = (paid ? p->paid : p->cost) + (size_t)job * p->g.nodes;
	int from = b->at[job];
	double sum = (from < 0 ? 0 : cost[from]) - cost[to];

	for (int n = p->link_end[job]; n < p->link_end[job + 1]; n++) {
		const struct gap_link *k = &p->links[p->link_of[n]];

		if (k->a == job)
			sum += link_cost(b, k, from, b->at[k->b]) - link_cost(b, k, to, b->at[k->b]);
		else
			sum += link_cost(b, k, b->at[k->a], from) - link_cost(b, k, b->at[k->a], to);
	}
	return sum;
}

double bearing_cost(const struct bearing *b)
{
	const struct gap *g = &b->p->g;
	double sum = 0;

	for (int j = 0; j < g->jobs; j++) {
		double c = b->at[j] < 0 ? 0 : b->p->cost[(size_t)j * g->nodes + b->at[j]];

		sum += isfinite(c) ? c : 0;
	}
	for (int l = 0; l < g->n_links; l++)
		sum += link_cost(b, &g->links[l], b->at[g->links[l].a], b->at[g->links[l].b]);
	return sum;
}
