/* SPDX-License-Identifier: MIT */
#include <stdlib.h>
#include <string.h>

#include "lib/place/gap_search.h"

#define VISITS  5000 /* of one part's search */
#define JOBS_PER_NODE 10
#define DESCENT 0.4  /* of the budget, at most */
#define EASY    0.95 /* a size whose parts' searches mostly end in time */
#define SHAKEN  5    /* nodes of a part that is shaken */
#define NOISE   3.0  /* of the shaking, in what a typical wrong choice costs */
#define REPAIRS 60   /* parts solved around it */
#define STEPS   100  /* that a part counts for */

struct improve {
	struct gap_plan *p;
	const struct gap_budget *budget;
	struct gap_best *best;
	int size;                         /* nodes in a part */
	int idle;                         /* parts since the last improvement, at this size */
	double share[GAP_PART_NODES + 1]; /* by size: how much better a plan must be for the search to end in time */
};

static bool among(const int *list, int n, int x)
{
	for (int i = 0; i < n; i++)
		if (list[i] == x)
			return true;
	return false;
}

/* One more node, which competes with the first `m` for jobs: a good one for a job of theirs, or any. */
static int draw_near(struct gap_plan *p, const int *nodes, int m)
{
	const struct gap_list *l = &p->list[m ? nodes[gap_draw(p, (uint32_t)m)] : p->g->nodes];

	return l->n && gap_draw(p, 4) ? gap_draw_choice(p, l->jobs[gap_draw(p, (uint32_t)l->n)]) :
					(int)gap_draw(p, (uint32_t)p->g->nodes);
}

static int draw_nodes(struct gap_plan *p, int *nodes, int m, int size)
{
	for (int tries = 0; m < size && tries < 8 * size; tries++) {
		int i = draw_near(p, nodes, m);

		if (i < p->g->nodes && !among(nodes, m, i))
			nodes[m++] = i;
	}
	return m;
}

/* Solves the part of these nodes with their jobs and those that are nowhere; with some of them, if there are too many. */
static int solve(struct improve *s, const int *nodes, int m, double share, double noise, long visits)
{
	struct gap_plan *p = s->p;
	int jobs[GAP_PART_JOBS], all = 0, seen = 0, n = 0, most = JOBS_PER_NODE * m;

	for (int i = 0; i <= m; i++)
		all += p->list[i < m ? nodes[i] : p->g->nodes].n;
	for (int i = 0; i <= m; i++) {
		const struct gap_list *l = &p->list[i < m ? nodes[i] : p->g->nodes];

		for (int k = 0; k < l->n; k++, seen++)
			if (gap_draw(p, (uint32_t)(all - seen)) < (uint32_t)(most - n))
				jobs[n++] = l->jobs[k];
	}
	s->best->steps += STEPS;
	return gap_part(p, nodes, m, jobs, n, share, noise, visits);
}

static bool over(const struct improve *s, double share)
{
	return s->budget->spent(s->budget->ctx, s->best->steps) >= share || gap_best_enough(s->best);
}

/* Small parts as long as they help, then larger ones, as long as their searches end. */
static int descend(struct improve *s)
{
	int nodes[GAP_PART_NODES], most = s->p->g->nodes < GAP_PART_NODES ? s->p->g->nodes : GAP_PART_NODES;

	for (s->size = most < 3 ? most : 3; s->size <= most && s->share[s->size] > 0.3 && !over(s, DESCENT);) {
		int m = draw_nodes(s->p, nodes, 0, s->size), done;
		double before = s->p->cost;

		if ((done = solve(s, nodes, m, s->share[s->size], 0, 4 * VISITS)) < 0)
			return -1;
		s->share[s->size] = fmin(1, s->share[s->size] * (done ? 1.02 : 0.9));
		s->idle = s->p->cost < before - 1e-9 * fabs(before) ? 0 : s->idle + 1;
		gap_plan_keep(s->p, s->best);
		if (s->idle > 4 * s->p->g->nodes + 20) {
			s->idle = 0;
			s->size++;
		}
	}
	return 0;
}

/* One part is solved with wrong costs, then the parts around it with the right ones, until they are good again. */
static int shake(struct improve *s, double noise)
{
	int near[GAP_PART_NODES], n = draw_nodes(s->p, near, 0, SHAKEN), nodes[GAP_PART_NODES];

	if (!n)
		return 0;
	if (solve(s, near, n, 1, noise, VISITS) < 0)
		return -1;
	for (int k = 0; k < REPAIRS && !over(s, 1); k++) {
		double before = s->p->cost;
		int m;

		nodes[0] = near[gap_draw(s->p, (uint32_t)n)];
		m = draw_nodes(s->p, nodes, 1, s->size);
		if (solve(s, nodes, m, 1, 0, VISITS) < 0)
			return -1;
		for (int i = 0; i < m && s->p->cost < before - 1e-9 * fabs(before) && n < GAP_PART_NODES; i++)
			if (!among(near, n, nodes[i]))
				near[n++] = nodes[i];
	}
	return 0;
}

static int take_back(struct gap_plan *p, const int *node)
{
	for (int j = 0; j < p->g->jobs; j++) {
		struct gap_change c = { j, node[j], -1, -1 };

		if (p->at[j] != node[j] && gap_plan_make(p, &c))
			return -1;
	}
	return 0;
}

int gap_improve(struct gap_plan *p, const struct gap_budget *budget, struct gap_best *best)
{
	struct improve s = { .p = p, .budget = budget, .best = best };
	double noise = NOISE * gap_plan_typical(p);

	for (int i = 0; i <= GAP_PART_NODES; i++)
		s.share[i] = 1;
	if (p->g->nodes == 0 || descend(&s))
		return p->g->nodes ? -1 : 0;
	for (s.size = 4; s.size < 10 && s.size < p->g->nodes && s.share[s.size + 1] > EASY; s.size++)
		;
	while (!over(&s, 1)) {
		if (take_back(p, best->node) || shake(&s, noise))
			return -1;
		/* As good is good enough: it leads on from where nothing gets better. */
		if (gap_plan_holds(p) && p->cost <= best->cost + 1e-9 * fabs(best->cost))
			memcpy(best->node, p->at, (size_t)p->g->jobs * sizeof(int));
		gap_plan_keep(p, best);
	}
	return 0;
}
