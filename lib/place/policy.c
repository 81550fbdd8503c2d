/* SPDX-License-Identifier: MIT */
#include <stdlib.h>
#include <string.h>

#include "lib/place/plan.h"

static bool may_be(const struct bearing *b, int j)
{
	return b->at[j] >= 0 && gap_cost(&b->p->g, j, b->at[j]) < GAP_NEVER;
}

/* Part of the processors that is used, by others too. */
static double used(const struct bearing *b, int i, int extra)
{
	const struct problem *p = b->p;
	double cores = p->w->node[i].cores, all = cores * p->o->limit;

	if (isnan(cores))
		return 0;
	all -= p->capacity[i * TAKES + TAKES_CPU]; /* of others */
	return (all + b->load[i * TAKES + TAKES_CPU] + (extra < 0 ? 0 : gap_use(&p->g, extra, i, TAKES_CPU))) / cores;
}

static void greedy(struct bearing *b)
{
	const struct gap *g = &b->p->g;

	for (int j = 0; j < g->jobs; j++) {
		int best = may_be(b, j) ? b->at[j] : -1;

		for (int i = 0; i < g->nodes; i++)
			if (i != b->at[j] && bearing_fits(b, j, i) &&
			    (best < 0 || bearing_gain(b, j, i, true) > (best == b->at[j] ? 0 : bearing_gain(b, j, best, true))))
				best = i;
		bearing_move(b, j, best);
	}
}

static bool is_cloud(const struct problem *p, int i)
{
	return p->w->node[i].role >= 0 && !strcmp(world_text(p->w, p->w->node[i].role), "cloud");
}

/* How far back a node stands in the choice for a service that was at `home`. */
static int rank(const struct problem *p, int i, int home, bool networks)
{
	if (is_cloud(p, i))
		return 2;
	return networks && home >= 0 && p->w->node[i].network != p->w->node[home].network;
}

/* To the least or most used node of the first rank in which one has room. */
static int refuge(const struct bearing *b, int j, int home, bool fullest)
{
	const struct problem *p = b->p;
	int best = -1, best_rank = 3;
	double best_use = 0;

	for (int i = 0; i < p->g.nodes; i++) {
		int r = rank(p, i, home, !fullest);
		double use = used(b, i, -1);

		if (i == home || r > best_rank || !bearing_fits(b, j, i))
			continue;
		if (r < best_rank || (fullest ? use > best_use : use < best_use)) {
			best = i;
			best_rank = r;
			best_use = use;
		}
	}
	return best;
}

/* All services of nodes that have too much are moved, and those that are nowhere or may not be where they are. */
static void rescue(struct bearing *b, bool fullest)
{
	const struct gap *g = &b->p->g;
	AUTO_FREE bool *red = calloc((size_t)g->nodes + 1, sizeof(*red));

	for (int i = 0; red && i < g->nodes; i++)
		red[i] = bearing_over(b, i);
	for (int j = 0; red && j < g->jobs; j++) {
		int home = b->at[j], to;

		if (may_be(b, j) && !red[home])
			continue;
		to = refuge(b, j, home, fullest);
		if (to >= 0)
			bearing_move(b, j, to);
		else if (!may_be(b, j))
			bearing_move(b, j, -1);
	}
}

/* Is there work that is none of ours? Then it would not sleep without that. Who tells no use is taken to use what it is due. */
static bool awake(const struct problem *p, int i)
{
	const struct world_node *n = &p->w->node[i];
	double use = n->use;

	for (int j = 0; j < p->g.jobs; j++)
		if (p->at[j] == i)
			use -= isnan(p->w->service[p->service[j]].cpu) ? gap_use(&p->g, j, i, TAKES_CPU) / n->cores : p->w->service[p->service[j]].cpu;
	return use >= WORLD_ASLEEP;
}

/* Empties node i if all its services fit on nodes that are used more, and not only because of these. */
static bool empty_node(struct bearing *b, int i, int *moved)
{
	const struct gap *g = &b->p->g;
	int n = 0;

	for (int j = 0; j < g->jobs; j++) {
		int best = -1;

		if (b->at[j] != i)
			continue;
		for (int k = 0; k < g->nodes; k++)
			if (k != i && !is_cloud(b->p, k) && used(b, k, -1) >= used(b, i, -1) && used(b, k, -1) > 0 &&
			    bearing_fits(b, j, k) && (best < 0 || used(b, k, -1) > used(b, best, -1)))
				best = k;
		if (best < 0 || b->p->rests[j]) {
			while (n > 0)
				bearing_move(b, moved[--n], i);
			return false;
		}
		bearing_move(b, j, best);
		moved[n++] = j;
	}
	return n > 0;
}

static void pack(struct bearing *b)
{
	const struct gap *g = &b->p->g;
	AUTO_FREE int *moved = malloc(((size_t)g->jobs + 1) * sizeof(int));
	AUTO_FREE bool *seen = calloc((size_t)g->nodes + 1, sizeof(*seen));

	rescue(b, true);
	for (int n = 0; moved && seen && n < g->nodes; n++) {
		int least = -1;

		for (int i = 0; i < g->nodes; i++)
			if (!seen[i] && !is_cloud(b->p, i) && (least < 0 || used(b, i, -1) < used(b, least, -1)))
				least = i;
		if (least < 0)
			break;
		seen[least] = true;
		if (!awake(b->p, least))
			empty_node(b, least, moved);
	}
}

/* How many instances of the same name are at the node, and in its network; 1000 for each at the node. */
static double company(const struct bearing *b, int j, int i)
{
	const struct problem *p = b->p;
	double sum = 0;

	for (int k = 0; k < p->g.jobs; k++) {
		if (k == j || b->at[k] < 0 || p->w->service[p->service[k]].app != p->w->service[p->service[j]].app)
			continue;
		sum += b->at[k] == i ? 1000 : 0;
		sum += p->w->node[i].network >= 0 && p->w->node[i].network == p->w->node[b->at[k]].network;
	}
	return sum;
}

static void spread(struct bearing *b)
{
	const struct gap *g = &b->p->g;

	for (int j = 0; j < g->jobs; j++) {
		int best = may_be(b, j) ? b->at[j] : -1;
		double least = best < 0 ? INFINITY : company(b, j, best) + used(b, best, -1);

		if (best >= 0 && bearing_over(b, best))
			least += 1e6;
		/* Use counts only beyond the margin: what is nearly even is left alone. */
		for (int i = 0; i < g->nodes && !(best >= 0 && b->p->rests[j]); i++) {
			double c = company(b, j, i) + used(b, i, j) + (i != b->at[j] && may_be(b, j) ? b->p->o->margin : 0);

			if (i != b->at[j] && c < least && bearing_fits(b, j, i)) {
				best = i;
				least = c;
			}
		}
		bearing_move(b, j, best);
	}
}

void policy_apply(struct bearing *b, enum policy policy)
{
	if (policy == POLICY_GREEDY)
		greedy(b);
	else if (policy == POLICY_SPREAD)
		spread(b);
	else if (policy == POLICY_PACK)
		pack(b);
	else
		rescue(b, false);
}
