/* SPDX-License-Identifier: MIT */
/* Services that depend on each other. */
#include <stdlib.h>

#include "lib/place/distance.h"
#include "lib/place/problem.h"
#include "lib/place/score.h"

#define SPREAD   1e4 /* user ms for two instances on one network that should be spread */
#define TOGETHER 1e4 /* user ms for each ms between services that should be on one node */

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

/* Of services that talk: is it only guessed ([nodes][nodes]) how far a node is from the other's? */
static void note_predicted(struct problem *p, const struct gap_link *l, const bool *guessed)
{
	const int job[] = { l->a, l->b }, other[] = { p->at[l->b], p->at[l->a] };

	for (int side = 0; side < 2; side++)
		for (int i = 0; i < p->g.nodes && other[side] >= 0 && !isinf(l->weight) && !l->apart; i++)
			p->predicted[(size_t)job[side] * p->g.nodes + i] |= guessed[(size_t)i * p->g.nodes + other[side]];
}

/* How far all nodes are from each other. */
static int measure(struct problem *p)
{
	const struct world *w = p->w;
	size_t pairs = (size_t)p->g.nodes * p->g.nodes;
	AUTO_FREE bool *guessed = calloc(pairs + 1, sizeof(*guessed));
	bool any = false;

	p->distance = malloc((pairs + 1) * sizeof(float));
	if (!p->distance || !guessed)
		return -1;
	for (int a = 0; a < p->g.nodes; a++)
		for (int b = 0; b < p->g.nodes; b++) {
			size_t at = (size_t)a * p->g.nodes + b;
			double ms = distance_nodes_estimate(w, w->node[a].name, w->node[b].name, &guessed[at]);

			p->distance[at] = a == b ? 0 : (float)fmax(0.05, known_or(ms, 1));
			any |= guessed[at];
		}
	for (int l = 0; any && l < p->g.n_links; l++)
		note_predicted(p, &p->links[l], guessed);
	return 0;
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
	p->g.links = p->links;
	if (gap_links(&p->g, &p->link_of, &p->link_end))
		return -1;
	if (!p->g.n_links)
		return 0;
	if (measure(p))
		return -1;
	p->network = malloc(((size_t)p->g.nodes + 1) * sizeof(int));
	for (int i = 0; p->network && i < p->g.nodes; i++)
		p->network[i] = w->node[i].network;
	return p->network ? 0 : -1;
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
