/* SPDX-License-Identifier: MIT */
/* Services that depend on each other. */
#include <stdlib.h>

#include "lib/place/distance.h"
#include "lib/place/problem.h"
#include "lib/place/score.h"

#define SPREAD   1e4 /* user ms for two instances on one network that should be spread */
#define TOGETHER 1e4 /* user ms for each ms between services that should be on one node */

static double known_or(double v, double otherwise)
{
	return isnan(v) ? otherwise : v;
}

static int add_link(struct problem *p, int *room, int a, int b, float weight, bool apart)
{
	if (a == b || weight <= 0)
		return 0;
	if (p->g.n_links == *room) {
		struct gap_link *more = realloc(p->links, (size_t)(*room = 2 * *room + 16) * sizeof(*more));

		if (!more)
			return -1;
		p->links = more;
	}
	p->links[p->g.n_links++] = (struct gap_link){ a, b, weight, apart };
	return 0;
}

/* Links of job j to all instances of that name. */
static int link_all(struct problem *p, int *room, int j, int name, float weight)
{
	for (int k = 0; k < p->g.jobs; k++)
		if (p->w->service[p->service[k]].name == name && add_link(p, room, j, k, weight, false))
			return -1;
	return 0;
}

/* A name is used once at a node; and who wants to be spread is better on different networks. */
static int link_instances(struct problem *p, int *room, int j)
{
	const struct world_service *s = &p->w->service[p->service[j]];

	for (int k = j + 1; k < p->g.jobs && p->w->app[s->app].n_services > 1; k++)
		if (p->w->service[p->service[k]].app == s->app &&
		    (add_link(p, room, j, k, INFINITY, false) || (s->needs.spread && add_link(p, room, j, k, SPREAD, true))))
			return -1;
	return 0;
}

/* Of services that talk: how far a node is from the other's. */
static void note_predicted(struct problem *p, const struct gap_link *l)
{
	const struct world *w = p->w;
	const int job[] = { l->a, l->b }, other[] = { p->at[l->b], p->at[l->a] };

	for (int side = 0; side < 2; side++)
		for (int i = 0; i < p->g.nodes && other[side] >= 0 && !isinf(l->weight) && !l->apart; i++) {
			int known = world_latency(w, w->node[i].name, w->node[other[side]].name);

			p->predicted[(size_t)job[side] * p->g.nodes + i] |= known >= 0 && w->latency[known].predicted;
		}
}

int problem_link(struct problem *p)
{
	const struct world *w = p->w;
	int room = 0, n;

	for (int j = 0; j < p->g.jobs; j++) {
		const struct world_service *s = &w->service[p->service[j]];
		const int *list = world_list(w, s->needs.avoid, &n);

		for (int k = 0; k < n; k++)
			if (link_all(p, &room, j, list[k], INFINITY))
				return -1;
		if (link_instances(p, &room, j))
			return -1;
		list = world_list(w, s->needs.together, &n);
		for (int k = 0; k < n; k++)
			if (link_all(p, &room, j, list[k], TOGETHER))
				return -1;
		for (int k = 0; k < s->n_peers; k++)
			if (link_all(p, &room, j, w->peer[s->peers + k].name,
				     (float)(p->o->weight[WEIGHT_TRAFFIC] * known_or(w->peer[s->peers + k].net_bps, 0) /
					     SCORE_WINDOW_BYTES)))
				return -1;
	}
	if (!p->g.n_links)
		return 0;
	for (int l = 0; l < p->g.n_links; l++)
		note_predicted(p, &p->links[l]);
	p->distance = malloc((size_t)p->g.nodes * p->g.nodes * sizeof(float));
	for (int a = 0; p->distance && a < p->g.nodes; a++)
		for (int b = 0; b < p->g.nodes; b++)
			p->distance[(size_t)a * p->g.nodes + b] =
				a == b ? 0 : (float)fmax(0.05, known_or(distance_nodes_ms(w, w->node[a].name, w->node[b].name), 1));
	p->network = malloc(((size_t)p->g.nodes + 1) * sizeof(int));
	for (int i = 0; p->network && i < p->g.nodes; i++)
		p->network[i] = w->node[i].network;
	return p->distance && p->network ? 0 : -1;
}

int problem_link_part(const struct problem *p, const struct gap_link *l)
{
	const struct world_service *a = &p->w->service[p->service[l->a]], *b = &p->w->service[p->service[l->b]];

	if (l->apart)
		return PART_SPREAD;
	if (l->weight == (float)TOGETHER &&
	    (world_list_has(p->w, a->needs.together, b->name) || world_list_has(p->w, b->needs.together, a->name)))
		return PART_TOGETHER;
	return WEIGHT_TRAFFIC;
}
