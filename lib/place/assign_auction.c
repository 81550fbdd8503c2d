/* SPDX-License-Identifier: MIT */
/* An auction after Bertsekas: who has no place bids for the node that is best for it, as much more as it would lose at the second
 * best, and those are put out who bid least. What is wanted of one node may be divided. */
#include <stdlib.h>

#include "lib/place/assign_int.h"

#define LOOK 4096 /* bids between two looks at the budget */
#define DEAR 4    /* times the longest way: nobody pays more */

struct part { /* of what a bidder wants, at a node */
	double level, amount;
	int bidder;
};

struct seller { /* the parts at a node, a heap: the lowest level first */
	struct part *heap;
	int n, room;
	double left, least; /* of its capacity; the price of that */
};

struct auction {
	const struct market *m;
	struct seller *seller;
	double *price;
	double *waiting; /* [bidders]: what it has no place for */
	int *queue, head, length;
	double step, highest;
};

static double wanted(const struct market *m, int bidder)
{
	return m->seat ? m->seat[bidder].demand : m->c->cell[bidder].demand;
}

static struct best best_for(const struct auction *a, int bidder)
{
	const struct market *m = a->m;
	const struct seat *s = m->seat ? &m->seat[bidder] : NULL;
	int cell = s ? s->cell : bidder;

	return cells_best(m->c, cell, s ? &s->at : &m->c->cell[cell].middle, s ? s->off : 0, a->price);
}

static void wait(struct auction *a, int bidder, double amount)
{
	if (a->waiting[bidder] <= 0) {
		int at = a->head + a->length++;

		a->queue[at < a->m->bidders ? at : at - a->m->bidders] = bidder;
	}
	a->waiting[bidder] += amount;
}

static int put(struct seller *s, struct part x)
{
	int k = s->n;

	if (s->n == s->room) {
		struct part *more = realloc(s->heap, (size_t)(s->room = 2 * s->room + 16) * sizeof(*more));

		if (!more)
			return -1;
		s->heap = more;
	}
	for (s->n++; k > 0 && s->heap[(k - 1) / 2].level > x.level; k = (k - 1) / 2)
		s->heap[k] = s->heap[(k - 1) / 2];
	s->heap[k] = x;
	return 0;
}

static void drop(struct seller *s)
{
	struct part last = s->heap[--s->n];
	int k = 0;

	for (int next = 1; next < s->n; next = 2 * k + 1) {
		if (next + 1 < s->n && s->heap[next + 1].level < s->heap[next].level)
			next++;
		if (s->heap[next].level >= last.level)
			break;
		s->heap[k] = s->heap[next];
		k = next;
	}
	if (s->n)
		s->heap[k] = last;
}

/* What the bid gets of the node: first what is left, then from those that bid less. -1: out of memory. */
static double bid(struct auction *a, int node, int bidder, double amount, double level)
{
	struct seller *s = &a->seller[node];
	double got = amount < s->left ? amount : s->left;

	s->left -= got;
	while (got < amount && s->n && s->heap[0].level < level) {
		struct part *low = &s->heap[0];
		double take = amount - got < low->amount ? amount - got : low->amount;

		wait(a, low->bidder, take);
		got += take;
		low->amount -= take;
		if (low->amount <= 0)
			drop(s);
	}
	if (got > 0 && put(s, (struct part){ level, got, bidder }))
		return -1;
	a->price[node] = s->left > 0 || !s->n ? s->least : s->heap[0].level;
	/* A node without any capacity is not to be had. */
	if (s->left <= 0 && !s->n)
		a->price[node] = a->highest;
	return got;
}

static int run(struct auction *a, long most, const struct gap_budget *budget, double share, long *steps)
{
	for (long n = 1; a->length > 0 && n <= most; n++) {
		int bidder = a->queue[a->head];
		double amount = a->waiting[bidder], got;
		struct best b;

		if (n % LOOK == 0 && ++*steps && budget && budget->spent(budget->ctx, *steps) >= share)
			return 1;
		a->head = a->head + 1 == a->m->bidders ? 0 : a->head + 1;
		a->length--;
		a->waiting[bidder] = 0;
		b = best_for(a, bidder);
		if (b.least >= a->highest)
			continue;
		got = bid(a, b.node, bidder, amount, a->price[b.node] + fmin(b.second, a->highest) - b.least + a->step);
		if (got < 0)
			return -1;
		if (got < amount)
			wait(a, bidder, amount - got);
	}
	return a->length > 0;
}

/* The node that gives each bidder most. */
static int collect(const struct auction *a, int *got)
{
	AUTO_FREE double *most = calloc((size_t)a->m->bidders + 1, sizeof(*most));

	if (!most)
		return -1;
	for (int k = 0; k < a->m->bidders; k++)
		got[k] = -1;
	for (int i = 0; i < a->m->c->nodes; i++)
		for (int k = 0; k < a->seller[i].n; k++) {
			const struct part *x = &a->seller[i].heap[k];

			if (x->amount > most[x->bidder]) {
				most[x->bidder] = x->amount;
				got[x->bidder] = i;
			}
		}
	return 0;
}

static double longest_way(const struct cells *c)
{
	float most = 0;

	for (size_t i = 0; i < (size_t)c->n * c->nodes; i++)
		most = c->way[i] > most && !isinf(c->way[i]) ? c->way[i] : most;
	return most;
}

int assign_auction(const struct market *m, double step, long most, const struct gap_budget *budget, double share, long *steps,
		   double *price, int *got)
{
	struct auction a = { .m = m, .price = price, .step = step, .highest = 1 + DEAR * longest_way(m->c) };
	int rc = -1;

	a.seller = calloc((size_t)m->c->nodes + 1, sizeof(*a.seller));
	a.waiting = calloc((size_t)m->bidders + 1, sizeof(*a.waiting));
	a.queue = malloc(((size_t)m->bidders + 1) * sizeof(int));
	if (a.seller && a.waiting && a.queue) {
		for (int i = 0; i < m->c->nodes; i++) {
			a.seller[i].left = m->capacity[i];
			a.seller[i].least = price[i];
			/* A node without any capacity is not to be had. */
			if (m->capacity[i] <= 0)
				price[i] = a.highest;
		}
		for (int k = 0; k < m->bidders; k++)
			wait(&a, k, wanted(m, k));
		rc = run(&a, most, budget, share, steps);
		if (rc >= 0 && got && collect(&a, got))
			rc = -1;
	}
	for (int i = 0; a.seller && i < m->c->nodes; i++)
		free(a.seller[i].heap);
	free(a.seller);
	free(a.waiting);
	free(a.queue);
	return rc;
}
