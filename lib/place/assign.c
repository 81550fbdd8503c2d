/* SPDX-License-Identifier: MIT */
#include "lib/place/assign.h"

#include <stdlib.h>
#include <string.h>

#include "lib/place/assign_int.h"

#define COARSE  0.1  /* of the mean way to the nearest node: how exact the cells' prices are */
#define FINE    0.15 /* ... and the users' */
#define PRICING 0.4  /* of the budget, for the cells */
#define BIDDING 0.9  /* ... until then, for the users */
#define SMALL   300000 /* users x nodes that can be searched through (gap.h) */
#define CHOICES 16   /* nodes that a user bids for */
#define BELOW   0.98 /* of the cells' prices, where the users' bids begin */

void assign_release(struct assign_answer *a)
{
	free(a->node);
	free(a->price);
	*a = (struct assign_answer){ 0 };
}

/* Sorts v[n] in: the least at the front, `most` at most. Returns how many there are. */
static int keep_best(double *best, struct way *kept, int have, int most, double v, struct way w)
{
	int k = have < most ? have : v < best[most - 1] ? most - 1 : -1;

	if (k < 0)
		return have;
	for (; k > 0 && best[k - 1] > v; k--) {
		best[k] = best[k - 1];
		kept[k] = kept[k - 1];
	}
	best[k] = v;
	kept[k] = w;
	return have < most ? have + 1 : have;
}

/* Nodes among which are the `most` best ones of each user of this cell: RTTs differ by the radius at most from the middle's. */
static int near_nodes(const struct cells *c, int cell, const double *price, int most, int *near)
{
	const struct way *w = c->way + (size_t)cell * c->s->nodes;
	struct way kept[CHOICES];
	double best[CHOICES], last = INFINITY;
	int n = 0, have = 0;

	for (int i = 0; i < c->s->nodes && w[i].ms < last; i++) {
		have = keep_best(best, kept, have, most, w[i].ms + price[w[i].node], w[i]);
		last = have < most ? INFINITY : best[most - 1];
	}
	last = (have ? best[have - 1] : 0) + 2 * c->cell[cell].radius + 1e-4;
	for (int i = 0; i < c->s->nodes && w[i].ms <= last; i++)
		if (w[i].ms + price[w[i].node] <= last)
			near[n++] = w[i].node;
	return n;
}

static int nearer(const void *a, const void *b)
{
	const struct way *x = a, *y = b;

	return x->ms != y->ms ? (x->ms > y->ms) - (x->ms < y->ms) : x->node - y->node;
}

/* The users as bidders, in the order of the cells, each with the nodes that were best for it when its list was made. */
struct crowd {
	const struct cells *c;
	struct way *way;  /* [users][CHOICES] */
	double *demand;   /* [users] */
	float *beyond;    /* [users] */
	int *cell, *near; /* [users]; [nodes], for a moment */
};

static void crowd_release(struct crowd *w)
{
	free(w->way);
	free(w->demand);
	free(w->beyond);
	free(w->cell);
	free(w->near);
}

static void list_among(const struct crowd *w, int bidder, int m, const double *price)
{
	const struct cells *c = w->c;
	struct way *way = w->way + (size_t)bidder * CHOICES;
	double best[CHOICES];
	int have = 0;

	for (int x = 0; x < m; x++) {
		float ms = (float)cells_ms(c, c->order[bidder], w->near[x]);

		have = keep_best(best, way, have, CHOICES, ms + price[w->near[x]], (struct way){ ms, w->near[x] });
	}
	w->beyond[bidder] = have == CHOICES ? (float)best[CHOICES - 1] : INFINITY;
	qsort(way, (size_t)have, sizeof(*way), nearer);
	if (have < CHOICES)
		way[have].node = -1;
}

static void list_again(void *ctx, int bidder, const double *price)
{
	struct crowd *w = ctx;

	list_among(w, bidder, near_nodes(w->c, w->cell[bidder], price, CHOICES, w->near), price);
}

static int crowd_init(struct crowd *w, const struct cells *c, const double *price)
{
	size_t users = (size_t)c->s->users + 1;

	*w = (struct crowd){ .c = c };
	w->way = malloc(users * CHOICES * sizeof(*w->way));
	w->demand = malloc(users * sizeof(*w->demand));
	w->beyond = malloc(users * sizeof(*w->beyond));
	w->cell = malloc(users * sizeof(int));
	w->near = malloc(((size_t)c->s->nodes + 1) * sizeof(int));
	if (!w->way || !w->demand || !w->beyond || !w->cell || !w->near)
		return -1;
	for (int k = 0; k < c->n; k++) {
		int m = near_nodes(c, k, price, CHOICES, w->near);

		for (int i = c->cell[k].first; i < c->cell[k].first + c->cell[k].n; i++) {
			w->cell[i] = k;
			w->demand[i] = c->s->demand[c->order[i]];
			list_among(w, i, m, price);
		}
	}
	return 0;
}

/* What these prices prove: that each user pays at least its cheapest node. */
static int prove(const struct cells *c, struct assign_answer *a)
{
	AUTO_FREE int *near = malloc(((size_t)c->s->nodes + 1) * sizeof(int));

	if (!near)
		return -1;
	a->bound = 0;
	for (int i = 0; i < c->s->nodes; i++)
		a->bound -= a->price[i] * c->s->capacity[i];
	for (int k = 0; k < c->n; k++) {
		int m = near_nodes(c, k, a->price, 1, near);

		for (int i = c->cell[k].first; i < c->cell[k].first + c->cell[k].n; i++) {
			double least = INFINITY;

			for (int x = 0; x < m; x++)
				least = fmin(least, cells_ms(c, c->order[i], near[x]) + a->price[near[x]]);
			a->bound += m ? c->s->demand[c->order[i]] * least : 0;
		}
	}
	return 0;
}

/* The node with room that is cheapest for the user, the emptiest for one without a position; -1. */
static int any_room(const struct cells *c, int user, const double *room)
{
	double least = INFINITY;
	int best = -1;

	for (int i = 0; i < c->s->nodes; i++) {
		double v = room[i] < c->s->demand[user] ? INFINITY : cells_ms(c, user, i);

		if (isnan(v))
			v = -room[i];
		if (v < least) {
			best = i;
			least = v;
		}
	}
	return best;
}

/* Users take what they have got in the auction, the others what is left. */
static int settle(const struct cells *c, const int *got, struct assign_answer *a)
{
	const struct assign *s = c->s;
	AUTO_FREE double *room = malloc(((size_t)s->nodes + 1) * sizeof(*room));

	if (!room)
		return -1;
	memcpy(room, s->capacity, (size_t)s->nodes * sizeof(*room));
	for (int pass = 0; pass < 2; pass++)
		for (int k = 0; k < s->users; k++) {
			int u = c->order[k], to = pass ? any_room(c, u, room) : got[k];

			if (pass ? a->node[u] >= 0 : to < 0 || room[to] < s->demand[u])
				to = pass ? a->node[u] : -1;
			else if (to >= 0)
				room[to] -= s->demand[u];
			a->node[u] = to;
		}
	return 0;
}

static int solve(const struct cells *c, const struct gap_budget *budget, struct assign_answer *a)
{
	const struct assign *s = c->s;
	AUTO(crowd_release) struct crowd w = { 0 };
	AUTO_FREE int *got = malloc(((size_t)s->users + 1) * sizeof(int));
	struct market m = { c->n, s->nodes, s->nodes, c->way, c->demand, s->capacity, NULL, NULL, NULL };
	double mean = 0, all = 1e-9;

	if (!got)
		return -1;
	for (int k = 0; k < c->n && s->nodes; k++) {
		mean += c->demand[k] * c->way[(size_t)k * s->nodes].ms;
		all += c->demand[k];
	}
	mean = mean / all + 1e-9;
	for (int k = 0; k < s->users; k++)
		got[k] = -1;
	if (assign_auction(&m, COARSE * mean, budget, PRICING, a->price, NULL))
		return -1;
	for (int i = 0; i < s->nodes; i++)
		a->price[i] *= BELOW;
	if (crowd_init(&w, c, a->price))
		return -1;
	m = (struct market){ 0, CHOICES, s->nodes, w.way, w.demand, s->capacity, w.beyond, list_again, &w };
	for (int k = 0; k < c->n; k++)
		m.bidders += c->cell[k].n;
	if (assign_auction(&m, FINE * mean, budget, BIDDING, a->price, got) || prove(c, a))
		return -1;
	return settle(c, got, a);
}

/* Searches on from there, as one user is a large part of a node. */
static int search_on(const struct cells *c, const struct gap_budget *budget, struct assign_answer *a)
{
	const struct assign *s = c->s;
	AUTO_FREE float *cost = malloc(((size_t)s->users * s->nodes + 1) * sizeof(*cost));
	const struct gap g = { .jobs = s->users, .nodes = s->nodes, .resources = 1, .cost = cost, .use[0].of = s->demand,
			       .capacity = s->capacity };
	AUTO_GAP struct gap_answer better = { 0 };

	if (!cost)
		return -1;
	for (int u = 0; u < s->users; u++)
		for (int i = 0; i < s->nodes; i++) {
			double ms = cells_ms(c, u, i);

			cost[(size_t)u * s->nodes + i] = isnan(ms) ? 0 : (float)(ms * s->demand[u]);
		}
	if (gap_solve(&g, a->node, budget, &better, NULL))
		return -1;
	memcpy(a->node, better.node, (size_t)s->users * sizeof(int));
	a->bound = fmax(a->bound, better.bound);
	return 0;
}

int assign_solve(const struct assign *s, const struct gap_budget *budget, struct assign_answer *a, struct err *e)
{
	AUTO_CELLS struct cells c = { 0 };
	AUTO_ASSIGN struct assign_answer made = { 0 };

	made.node = malloc(((size_t)s->users + 1) * sizeof(int));
	made.price = calloc((size_t)s->nodes + 1, sizeof(double));
	if (!made.node || !made.price || cells_init(&c, s) || solve(&c, budget, &made) ||
	    ((double)s->users * s->nodes <= SMALL && search_on(&c, budget, &made)))
		return err_set(e, EX_OSERR, "out of memory");
	for (int u = 0; u < s->users; u++) {
		double ms = made.node[u] < 0 ? 0 : cells_ms(&c, u, made.node[u]);

		made.cost += isnan(ms) ? 0 : ms * s->demand[u];
		made.unplaced += made.node[u] < 0;
	}
	*a = made;
	made = (struct assign_answer){ 0 };
	return 0;
}
