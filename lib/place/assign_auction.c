/* SPDX-License-Identifier: MIT */
/* An auction after Bertsekas: who has no place bids for the node that is best for it, as much more as it would lose at the second
 * best, and those are put out who bid least. What is wanted of one node may be divided. */
#include <stdlib.h>

#include "lib/place/assign_int.h"

#define LOOK 4096 /* bids between two looks at the budget */

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

static void wait(struct auction *a, int bidder, double amount)
{
	if (a->waiting[bidder] <= 0)
		a->queue[(a->head + a->length++) % a->m->bidders] = bidder;
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

/* The best node, and what it costs less than the second best; -1: all are too dear. */
static int best_node(const struct auction *a, int bidder, double *lead)
{
	const struct way *w = a->m->way + (size_t)bidder * a->m->ways;
	double least = a->highest, second = a->highest;
	int best = -1;

	/* Prices are not negative: what is farther away than the second best is neither. */
	for (int i = 0; i < a->m->ways && w[i].node >= 0 && w[i].ms < second; i++) {
		double v = w[i].ms + a->price[w[i].node];

		if (v < least) {
			second = least;
			least = v;
			best = w[i].node;
		} else if (v < second) {
			second = v;
		}
	}
	*lead = second - least;
	return best;
}

/* The same; prices have only risen since the list was made, so that it is good as long as the second best is on it. */
static int best_listed(const struct auction *a, int bidder, double *lead)
{
	const struct market *m = a->m;
	int best = best_node(a, bidder, lead);
	double second;

	if (!m->beyond || isinf(m->beyond[bidder]))
		return best;
	second = best < 0 ? a->highest : a->price[best] + *lead;
	for (int i = 0; best >= 0 && i < m->ways; i++)
		if (m->way[(size_t)bidder * m->ways + i].node == best)
			second += m->way[(size_t)bidder * m->ways + i].ms;
	if (second <= m->beyond[bidder])
		return best;
	m->list(m->ctx, bidder, a->price);
	return best_node(a, bidder, lead);
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

static int run(struct auction *a, const struct gap_budget *budget, double share)
{
	for (long n = 0; a->length > 0; n++) {
		int bidder = a->queue[a->head], node;
		double amount = a->waiting[bidder], lead, got;

		if (n % LOOK == 0 && budget->spent(budget->ctx, n / LOOK) >= share)
			return 0;
		a->head = (a->head + 1) % a->m->bidders;
		a->length--;
		a->waiting[bidder] = 0;
		node = best_listed(a, bidder, &lead);
		if (node < 0)
			continue;
		got = bid(a, node, bidder, amount, a->price[node] + lead + a->step);
		if (got < 0)
			return -1;
		if (got < amount)
			wait(a, bidder, amount - got);
	}
	return 0;
}

/* The node that gives each bidder most. */
static int collect(const struct auction *a, int *got)
{
	AUTO_FREE double *most = calloc((size_t)a->m->bidders + 1, sizeof(*most));

	if (!most)
		return -1;
	for (int k = 0; k < a->m->bidders; k++)
		got[k] = -1;
	for (int i = 0; i < a->m->nodes; i++)
		for (int k = 0; k < a->seller[i].n; k++) {
			const struct part *x = &a->seller[i].heap[k];

			if (x->amount > most[x->bidder]) {
				most[x->bidder] = x->amount;
				got[x->bidder] = i;
			}
		}
	return 0;
}

int assign_auction(const struct market *m, double step, const struct gap_budget *budget, double share, double *price, int *got)
{
	struct auction a = { .m = m, .price = price, .step = step, .highest = 1 };
	int rc = -1;

	a.seller = calloc((size_t)m->nodes + 1, sizeof(*a.seller));
	a.waiting = calloc((size_t)m->bidders + 1, sizeof(*a.waiting));
	a.queue = malloc(((size_t)m->bidders + 1) * sizeof(int));
	if (a.seller && a.waiting && a.queue) {
		for (int i = 0; i < m->nodes; i++) {
			a.seller[i].left = m->capacity[i];
			a.seller[i].least = price[i];
		}
		for (int k = 0; k < m->bidders; k++) {
			const struct way *w = m->way + (size_t)k * m->ways;

			for (int i = 0; i < m->ways && w[i].node >= 0; i++)
				a.highest = fmax(a.highest, 4 * w[i].ms);
			wait(&a, k, m->demand[k]);
		}
		rc = run(&a, budget, share);
		if (!rc && got)
			rc = collect(&a, got);
	}
	for (int i = 0; a.seller && i < m->nodes; i++)
		free(a.seller[i].heap);
	free(a.seller);
	free(a.waiting);
	free(a.queue);
	return rc;
}
