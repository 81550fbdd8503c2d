/* SPDX-License-Identifier: MIT */
#include "lib/place/assign.h"

#include <limits.h>
#include <stdlib.h>
#include <string.h>

#include "lib/place/assign_int.h"

#define COARSE  0.1  /* of the mean way to the nearest node: how exact the cells' prices are */
#define FINE    0.15 /* ... and the users' */
#define FINEST  0.0001
#define PATIENT 400   /* bids of each cell for the first plan, at most */
#define HASTY   4    /* bids of each user for it */
#define NEAR    0.005 /* of the bound: near enough not to try again with finer steps */
#define AGAIN   0.3  /* of the budget: later it is not tried again */
#define BIDDING 0.9  /* of the budget, for bids */
#define SMALL   300000 /* users x nodes that can be searched through (gap.h) */
#define ROUNDED 1e-7 /* of a sum of floats */
#define BELOW   0.98 /* of the last prices, where the next bids begin */

void assign_release(struct assign_answer *a)
{
	free(a->node);
	*a = (struct assign_answer){ 0 };
}

double assigner_prove(struct assigner *a, const double *price, float *least)
{
	double bound = 0;

	cells_forget(&a->c);
	for (int i = 0; i < a->c.nodes; i++)
		bound -= price[i] * a->capacity[i];
	for (int k = 0; k < a->seats; k++) {
		double ms = a->seat[k].cell < 0 ? 0 : cells_least(&a->c, &a->seat[k], price);

		ms = isinf(ms) ? 0 : ms;
		bound += a->seat[k].demand * ms;
		if (least)
			least[k] = (float)ms;
	}
	return bound;
}

int assigner_room(const struct assigner *a, int seat)
{
	const struct seat *s = &a->seat[seat];
	const float *way = s->cell < 0 ? NULL : a->c.way + (size_t)s->cell * a->c.nodes;
	double least = INFINITY, off = s->off + 1e-3;
	int best = -1;

	for (int i = 0; i < a->c.nodes; i++) {
		double ms;

		if (a->left[i] < s->demand || (way && way[i] - off > least))
			continue;
		ms = cells_ms(&a->c, &s->at, i);
		if (isnan(ms)) /* only if there is no other */
			ms = INFINITY;
		if (best < 0 || ms < least || (ms == least && a->left[i] > a->left[best])) {
			best = i;
			least = ms;
		}
	}
	return best;
}

static double cost_at(const struct assigner *a, int seat, int node)
{
	double ms = node < 0 ? 0 : cells_ms(&a->c, &a->seat[seat].at, node);

	return isnan(ms) ? 0 : ms * a->seat[seat].demand;
}

void assigner_put(struct assigner *a, int seat, int node)
{
	int from = a->node[seat];

	if (from >= 0)
		a->left[from] += a->seat[seat].demand;
	if (node >= 0)
		a->left[node] -= a->seat[seat].demand;
	a->cost += cost_at(a, seat, node) - cost_at(a, seat, from);
	a->unplaced += (node < 0) - (from < 0);
	a->node[seat] = node;
}

/* Users take what they have got in the auction, the others what is left; kept if it is better than what was before. */
static int settle(struct assigner *a, const int *got)
{
	AUTO_FREE int *was = malloc(((size_t)a->seats + 1) * sizeof(int));
	double cost = a->cost;
	int unplaced = a->unplaced;

	if (!was)
		return -1;
	memcpy(was, a->node, (size_t)a->seats * sizeof(int));
	for (int k = 0; k < a->seats; k++)
		assigner_put(a, k, -1);
	for (int k = 0; k < a->known; k++)
		if (got[k] >= 0 && a->left[got[k]] >= a->seat[k].demand)
			assigner_put(a, k, got[k]);
	for (int k = 0; k < a->seats; k++)
		if (a->node[k] < 0)
			assigner_put(a, k, assigner_room(a, k));
	if (unplaced > a->unplaced || (unplaced == a->unplaced && cost >= a->cost))
		return 0;
	for (int k = 0; k < a->seats; k++)
		assigner_put(a, k, -1);
	for (int k = 0; k < a->seats; k++)
		assigner_put(a, k, was[k]);
	return 0;
}

static void lower_prices(struct assigner *a)
{
	for (int i = 0; i < a->c.nodes; i++)
		a->price[i] *= BELOW;
	cells_forget(&a->c);
}

/* The mean way to the nearest node: the measure of steps. */
static double mean_way(struct assigner *a)
{
	double sum = 0, all = 1e-9;

	for (int k = 0; k < a->c.n; k++) {
		double ms = cells_best(&a->c, k, &a->c.cell[k].middle, 0, a->price).least;

		sum += isinf(ms) ? 0 : a->c.cell[k].demand * ms;
		all += a->c.cell[k].demand;
	}
	return sum / all + 1e-9;
}

static int solve(struct assigner *a, const struct gap_budget *budget)
{
	AUTO_FREE int *got = malloc(((size_t)a->seats + 1) * sizeof(int));
	struct market m = { &a->c, NULL, a->c.n, a->capacity };
	double mean = mean_way(a);

	if (!got || assign_auction(&m, COARSE * mean, (long)PATIENT * m.bidders, NULL, 1, &a->steps, a->price, NULL) < 0)
		return -1;
	m.seat = a->seat;
	m.bidders = a->known;
	for (double step = FINE * mean; step > FINEST * mean;) {
		bool first = isinf(a->first);
		double bound;
		int rc;

		lower_prices(a);
		rc = assign_auction(&m, step, first ? (long)HASTY * m.bidders : LONG_MAX, first ? NULL : budget, BIDDING, &a->steps, a->price,
				    got);
		if (rc < 0 || settle(a, got))
			return -1;
		bound = assigner_prove(a, a->price, NULL);
		if (bound > a->bound) {
			a->bound = bound;
			memcpy(a->proof, a->price, (size_t)a->c.nodes * sizeof(double));
		}
		a->step = step;
		if (first)
			a->first = a->cost;
		if (a->cost <= (1 + NEAR) * a->bound || budget->spent(budget->ctx, a->steps) > AGAIN)
			break;
		step /= rc ? 1 : 4;
	}
	return 0;
}

static bool better(const struct assigner *a, const struct gap_budget *budget)
{
	return a->cost > (1 + NEAR) * a->bound && budget->spent(budget->ctx, a->steps) < 1;
}

/* Searches on from there, as one user is a large part of a node. */
static int search_on(struct assigner *a, const struct gap_budget *budget)
{
	size_t pairs = (size_t)a->seats * a->c.nodes;
	AUTO_FREE float *cost = malloc((pairs + 1) * sizeof(*cost)), *demand = malloc(((size_t)a->seats + 1) * sizeof(*demand));
	const struct gap g = { .jobs = a->seats, .nodes = a->c.nodes, .resources = 1, .cost = cost, .use[0].of = demand,
			       .capacity = a->capacity };
	AUTO_GAP struct gap_answer better = { 0 };

	if (!cost || !demand)
		return -1;
	for (int k = 0; k < a->seats; k++) {
		demand[k] = a->seat[k].demand;
		for (int i = 0; i < a->c.nodes; i++)
			cost[(size_t)k * a->c.nodes + i] = (float)cost_at(a, k, i);
	}
	if (gap_solve(&g, a->node, budget, &better, NULL))
		return -1;
	for (int k = 0; k < a->seats; k++)
		assigner_put(a, k, -1);
	for (int k = 0; k < a->seats; k++)
		assigner_put(a, k, better.node[k]);
	a->bound = fmax(a->bound, better.bound - ROUNDED * fabs(better.bound));
	return 0;
}

static int begin(struct assigner *a, const struct assign *s)
{
	size_t users = (size_t)s->users + 1, nodes = (size_t)s->nodes + 1;

	a->seats = a->room = s->users;
	a->bound = -INFINITY;
	a->first = INFINITY;
	a->unplaced = s->users;
	a->seat = malloc(users * sizeof(*a->seat));
	a->seat_of = malloc(users * sizeof(int));
	a->node = malloc(users * sizeof(int));
	a->capacity = malloc(nodes * sizeof(double));
	a->left = malloc(nodes * sizeof(double));
	a->price = calloc(nodes, sizeof(double));
	a->proof = calloc(nodes, sizeof(double));
	if (!a->proof || !a->seat || !a->seat_of || !a->node || !a->capacity || !a->left || !a->price)
		return -1;
	memcpy(a->capacity, s->capacity, (size_t)s->nodes * sizeof(double));
	memcpy(a->left, s->capacity, (size_t)s->nodes * sizeof(double));
	for (int u = 0; u < s->users; u++) {
		a->seat[u] = (struct seat){ .at = distance_point(s->user[u]), .demand = s->demand[u], .cell = -1, .user = u };
		a->node[u] = -1;
	}
	if (cells_init(&a->c, s->node, s->nodes, a->seat, a->seats, &a->known))
		return -1;
	for (int k = 0; k < a->seats; k++)
		a->seat_of[a->seat[k].user] = k;
	return 0;
}

struct assigner *assigner_new(const struct assign *s, const struct gap_budget *budget)
{
	AUTO_ASSIGNER struct assigner *a = calloc(1, sizeof(*a));

	if (!a || begin(a, s) || solve(a, budget))
		return NULL;
	if ((double)s->users * s->nodes <= SMALL ? search_on(a, budget) : better(a, budget) && assigner_polish(a))
		return NULL;
	return TAKE_PTR(a);
}

void assigner_free(struct assigner *a)
{
	assigner_release_changes(a);
	cells_release(&a->c);
	free(a->seat);
	free(a->seat_of);
	free(a->node);
	free(a->capacity);
	free(a->left);
	free(a->price);
	free(a->proof);
	free(a->queue);
	free(a);
}

int assigner_node(const struct assigner *a, int user)
{
	return a->node[a->seat_of[user]];
}

double assigner_ms(const struct assigner *a, int user, int node)
{
	return cells_ms(&a->c, &a->seat[a->seat_of[user]].at, node);
}

struct assign_answer assigner_answer(const struct assigner *a)
{
	return (struct assign_answer){ NULL, a->cost, a->first, a->bound, a->unplaced };
}

double assigner_bound(struct assigner *a, const double *capacity)
{
	AUTO_FREE double *price = calloc((size_t)a->c.nodes + 1, sizeof(*price));
	double bound;

	if (!price)
		return NAN;
	for (int i = 0; i < a->c.nodes; i++) /* what cannot be had has a price that says nothing */
		if (a->capacity[i] > 0)
			price[i] = a->proof[i];
	bound = assigner_prove(a, price, NULL);
	for (int i = 0; i < a->c.nodes; i++)
		bound -= price[i] * (capacity[i] - a->capacity[i]);
	cells_forget(&a->c); /* those of before are asked again */
	return fmax(0, bound);
}

int assign_solve(const struct assign *s, const struct gap_budget *budget, struct assign_answer *answer, struct err *e)
{
	AUTO_ASSIGNER struct assigner *a = assigner_new(s, budget);
	int *node = malloc(((size_t)s->users + 1) * sizeof(int));

	if (!a || !node) {
		free(node);
		return err_set(e, EX_OSERR, "out of memory");
	}
	for (int u = 0; u < s->users; u++)
		node[u] = assigner_node(a, u);
	*answer = assigner_answer(a);
	answer->node = node;
	return 0;
}
