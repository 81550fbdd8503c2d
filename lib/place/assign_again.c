/* SPDX-License-Identifier: MIT */
/* Few changes to a plan of many users: who needs a node bids as in the auction, with the prices of before; others only move
 * where they are outbid. The bound goes along: its prices stay, and each user's part of it is known. */
#include <stdlib.h>
#include <string.h>

#include "lib/place/assign_int.h"

#define LOOK   256  /* bids between two looks at the budget */
#define FIRST  2    /* bids for each user in the queue, whatever the budget is */
#define BIDS   40   /* ... at most */
#define NEAR   8   /* nodes of a cell's list that may be good for its users */
#define ROUNDS 2    /* of filling what is left */
#define SELDOM 8    /* batches between two looks for a better bound */
#define DRIFT  0.01 /* above the bound: then other prices are tried for it when there is time, */
#define FAR    0.03 /* ... and at once */

/* --- guests: a heap */

static void raise_guest(struct guests *g, int k)
{
	struct guest x = g->heap[k];

	for (; k > 0 && g->heap[(k - 1) / 2].level > x.level; k = (k - 1) / 2)
		g->heap[k] = g->heap[(k - 1) / 2];
	g->heap[k] = x;
}

static void lower_guest(struct guests *g, int k)
{
	struct guest x = g->heap[k];

	for (int next = 2 * k + 1; next < g->n; next = 2 * k + 1) {
		next += next + 1 < g->n && g->heap[next + 1].level < g->heap[next].level;
		if (g->heap[next].level >= x.level)
			break;
		g->heap[k] = g->heap[next];
		k = next;
	}
	g->heap[k] = x;
}

static int add_guest(struct guests *g, int seat, double level)
{
	if (g->n == g->room) {
		struct guest *more = realloc(g->heap, (size_t)(g->room = 2 * g->room + 16) * sizeof(*more));

		if (!more)
			return -1;
		g->heap = more;
	}
	g->heap[g->n++] = (struct guest){ (float)level, seat };
	raise_guest(g, g->n - 1);
	return 0;
}

static void remove_guest(struct guests *g, int seat)
{
	int k = 0;

	while (k < g->n && g->heap[k].seat != seat)
		k++;
	if (k == g->n)
		return;
	g->heap[k] = g->heap[--g->n];
	if (k < g->n) {
		raise_guest(g, k);
		lower_guest(g, k);
	}
}

/* --- */

void assigner_release_changes(struct assigner *a)
{
	for (int i = 0; a->guests && i < a->c.nodes; i++)
		free(a->guests[i].heap);
	free(a->guests);
	free(a->least);
	free(a->head);
	free(a->next);
	free(a->begin);
	free(a->near);
}

static int enqueue(struct assigner *a, int seat)
{
	if (a->queued == a->queue_room) {
		int *more = realloc(a->queue, (size_t)(a->queue_room = 2 * a->queue_room + 64) * sizeof(int));

		if (!more)
			return -1;
		a->queue = more;
	}
	a->queue[a->queued++] = seat;
	return 0;
}

static int go(struct assigner *a, int seat, int node, double level)
{
	assigner_put(a, seat, node);
	return add_guest(&a->guests[node], seat, level);
}

static int leave(struct assigner *a, int seat)
{
	if (a->node[seat] >= 0)
		remove_guest(&a->guests[a->node[seat]], seat);
	assigner_put(a, seat, -1);
	return enqueue(a, seat);
}

/* Which price would be as good as the best other node. */
static double level_at(struct assigner *a, int seat, int node)
{
	const struct seat *s = &a->seat[seat];
	struct best b;

	if (s->cell < 0)
		return -INFINITY;
	b = cells_best(&a->c, s->cell, &s->at, s->off, a->price);
	return (b.node == node ? b.second : b.least) - cells_ms(&a->c, &s->at, node);
}

static void link_seat(struct assigner *a, int seat)
{
	int cell = a->seat[seat].cell;

	if (cell < 0)
		return;
	a->next[seat] = a->head[cell];
	a->head[cell] = seat;
}

static void unlink_seat(struct assigner *a, int seat)
{
	int *at = a->seat[seat].cell < 0 ? NULL : &a->head[a->seat[seat].cell];

	while (at && *at != seat)
		at = &a->next[*at];
	if (at)
		*at = a->next[seat];
}

/* Which cells are near which node does not change much: once is enough. */
static int find_near(struct assigner *a)
{
	int n = a->c.nodes;

	a->begin = calloc((size_t)n + 2, sizeof(int));
	a->near = malloc(((size_t)a->c.n * LISTED + 1) * sizeof(int));
	if (!a->begin || !a->near)
		return -1;
	for (int pass = 0; pass < 2; pass++) {
		for (int k = 0; k < a->c.n; k++)
			for (int x = 0; x < a->c.cell[k].listed && x < NEAR; x++) {
				int i = a->c.list[(size_t)k * LISTED + x].node;

				if (pass)
					a->near[a->begin[i]++] = k;
				else
					a->begin[i + 1]++;
			}
		for (int i = 0; i < n && !pass; i++)
			a->begin[i + 1] += a->begin[i];
	}
	memmove(a->begin + 1, a->begin, (size_t)n * sizeof(int));
	a->begin[0] = 0;
	return 0;
}

static int get_ready(struct assigner *a)
{
	a->guests = calloc((size_t)a->c.nodes + 1, sizeof(*a->guests));
	a->least = malloc(((size_t)a->room + 1) * sizeof(float));
	a->next = malloc(((size_t)a->room + 1) * sizeof(int));
	a->head = malloc(((size_t)a->c.n + 1) * sizeof(int));
	if (!a->guests || !a->least || !a->next || !a->head)
		return -1;
	for (int k = 0; k < a->c.n; k++)
		a->head[k] = -1;
	a->bound = assigner_prove(a, a->proof, a->least);
	cells_forget(&a->c);
	for (int k = a->seats - 1; k >= 0; k--) {
		link_seat(a, k);
		if (a->node[k] < 0 ? enqueue(a, k) : add_guest(&a->guests[a->node[k]], k, level_at(a, k, a->node[k])))
			return -1;
	}
	return find_near(a);
}

/* Tries whether the prices of now prove more. */
static int better_bound(struct assigner *a)
{
	AUTO_FREE float *least = malloc(((size_t)a->room + 1) * sizeof(float));
	double bound = least ? assigner_prove(a, a->price, least) : -INFINITY;

	if (!least)
		return -1;
	if (bound <= a->bound)
		return 0;
	a->bound = bound;
	memcpy(a->proof, a->price, (size_t)a->c.nodes * sizeof(double));
	memcpy(a->least, least, (size_t)a->seats * sizeof(float));
	return 0;
}

int assigner_ready(struct assigner *a)
{
	if (!a->guests)
		return get_ready(a);
	return a->cost > (1 + DRIFT) * a->bound && a->batches % SELDOM == 0 ? better_bound(a) : 0;
}

/* The seat's part of the bound, found anew. */
static float least_for(const struct assigner *a, int seat)
{
	const struct seat *s = &a->seat[seat];
	const float *way = s->cell < 0 ? NULL : a->c.way + (size_t)s->cell * a->c.nodes;
	double least = INFINITY;

	for (int i = 0; way && i < a->c.nodes; i++)
		if (way[i] + a->proof[i] - s->off - 1e-3 < least)
			least = fmin(least, cells_ms(&a->c, &s->at, i) + a->proof[i]);
	return isinf(least) ? 0 : (float)least;
}

static int new_seat(struct assigner *a)
{
	int room = a->room;

	if (a->seats < room)
		return 0;
	room += room / 8 + 64;
#define MORE(array)                                                                           \
	({                                                                                    \
		void *more_ = realloc(a->array, ((size_t)room + 1) * sizeof(*a->array));      \
		a->array = more_ ? more_ : a->array;                                          \
		more_ != NULL;                                                                \
	})
	if (!MORE(seat) || !MORE(seat_of) || !MORE(node) || !MORE(least) || !MORE(next))
		return -1;
#undef MORE
	a->room = room;
	return 0;
}

int assigner_user(struct assigner *a, int user, struct geo at, float demand)
{
	int k = user < a->seats ? a->seat_of[user] : a->seats;
	bool was_nowhere;

	if (!a->guests && get_ready(a))
		return -1;
	if (k == a->seats) {
		if (new_seat(a))
			return -1;
		a->seat_of[user] = k;
		a->node[k] = -1;
		a->seat[k] = (struct seat){ .user = user, .cell = -1 };
		a->least[k] = 0;
		a->seats++;
		a->unplaced++;
		was_nowhere = false;
	} else {
		was_nowhere = a->node[k] < 0;
		if (!was_nowhere)
			remove_guest(&a->guests[a->node[k]], k);
		assigner_put(a, k, -1);
	}
	unlink_seat(a, k);
	a->bound -= (double)a->seat[k].demand * a->least[k];
	a->seat[k].at = distance_point(at);
	a->seat[k].demand = demand;
	cells_find(&a->c, &a->seat[k]);
	link_seat(a, k);
	a->least[k] = least_for(a, k);
	a->bound += (double)demand * a->least[k];
	return was_nowhere ? 0 : enqueue(a, k); /* it is in the queue as long as it is nowhere */
}

int assigner_capacity(struct assigner *a, int node, double capacity)
{
	double more = capacity - a->capacity[node];

	if (more == 0)
		return 0;
	if (!a->guests && get_ready(a))
		return -1;
	if (a->capacity[node] <= 0) { /* its price was that of what cannot be had: the bound's may not be lower without it */
		a->price[node] = 0;
		cells_forget(&a->c);
	}
	a->bound -= a->proof[node] * more;
	a->capacity[node] = capacity;
	a->left[node] += more;
	while (gap_over(0, a->left[node]) && a->guests[node].n)
		if (leave(a, a->guests[node].heap[0].seat))
			return -1;
	return 0;
}

/* 1: it has a node; 0: it has to bid again; -1: out of memory. */
static int bid(struct assigner *a, int seat)
{
	const struct seat *s = &a->seat[seat];
	struct best b = cells_best(&a->c, s->cell, &s->at, s->off, a->price);
	struct guests *g = &a->guests[b.node < 0 ? 0 : b.node];
	double level;

	if (b.node < 0)
		return 0;
	level = a->price[b.node] + (isinf(b.second) ? a->step : b.second - b.least) + a->step;
	while (a->left[b.node] < s->demand && g->n && g->heap[0].level < level)
		if (leave(a, g->heap[0].seat))
			return -1;
	if (a->left[b.node] < s->demand) { /* what there is to be had costs more */
		a->price[b.node] = fmax(level, g->n ? g->heap[0].level : level);
		return 0;
	}
	if (a->left[b.node] - s->demand <= 0 && g->n)
		a->price[b.node] = fmax(a->price[b.node], fmin(level, g->heap[0].level));
	return go(a, seat, b.node, level) ? -1 : 1;
}

/* For those who found none by bidding: any. */
static int place_rest(struct assigner *a, const int *seat, int n)
{
	a->queued = 0;
	for (int k = 0; k < n; k++) {
		int to = assigner_room(a, seat[k]);

		if (to < 0 ? enqueue(a, seat[k]) : go(a, seat[k], to, level_at(a, seat[k], to)))
			return -1;
	}
	return 0;
}

static int bid_all(struct assigner *a, const struct gap_budget *budget)
{
	long most = (long)BIDS * a->queued + 1000, least = (long)FIRST * a->queued;
	int at = 0;

	for (long n = 1; at < a->queued && n < most; n++) {
		int seat = a->queue[at++], rc;

		if (n % LOOK == 0 && n > least && budget->spent(budget->ctx, ++a->steps) >= 1)
			most = n;
		rc = a->seat[seat].cell < 0 || a->seat[seat].demand <= 0 ? 0 : bid(a, seat);
		if (rc < 0 || (rc == 0 && enqueue(a, seat)))
			return -1;
	}
	return at;
}

/* --- who gains most takes what is left */

struct wish {
	double level; /* the most that it would pay for the node */
	int seat;
};

static int dearer(const void *a, const void *b)
{
	const struct wish *x = a, *y = b;

	return x->level != y->level ? (x->level < y->level) - (x->level > y->level) : x->seat - y->seat;
}

/* Who would be better off at this node, by more than the margin. */
static int find_wishes(const struct assigner *a, int node, double margin, struct wish **wish, int *room)
{
	int n = 0;

	for (int x = a->begin[node]; x < a->begin[node + 1]; x++)
		for (int k = a->head[a->near[x]]; k >= 0; k = a->next[k]) {
			int from = a->node[k];
			double then, now;

			if (from < 0 || from == node || a->seat[k].demand > a->left[node])
				continue;
			then = cells_ms(&a->c, &a->seat[k].at, node);
			now = cells_ms(&a->c, &a->seat[k].at, from);
			if (!(then < (1 - margin) * now))
				continue;
			if (n == *room) {
				struct wish *more = realloc(*wish, (size_t)(*room = 2 * *room + 64) * sizeof(*more));

				if (!more)
					return -1;
				*wish = more;
			}
			(*wish)[n++] = (struct wish){ now + a->price[from] - then, k };
		}
	return n;
}

/* What is left of a node goes to those that would pay most for it, and its price falls to what the next one would pay. */
static int fill(struct assigner *a, int node, double margin, struct wish **wish, int *room, bool *again)
{
	int n = find_wishes(a, node, margin, wish, room);

	if (n < 0)
		return -1;
	if (n)
		qsort(*wish, (size_t)n, sizeof(**wish), dearer);
	a->price[node] = fmin(a->price[node], n ? fmax(0, (*wish)[0].level) : 0);
	for (int k = 0; k < n; k++) {
		const struct wish *x = &(*wish)[k];
		int from = a->node[x->seat];

		if (a->left[node] < a->seat[x->seat].demand)
			continue;
		remove_guest(&a->guests[from], x->seat);
		if (go(a, x->seat, node, x->level))
			return -1;
		a->price[node] = fmin(a->price[node], k + 1 < n ? fmax(0, (*wish)[k + 1].level) : 0);
		again[from] = true;
	}
	return 0;
}

static int fill_all(struct assigner *a, double margin)
{
	AUTO_FREE bool *again = malloc((size_t)a->c.nodes + 1);
	AUTO_FREE struct wish *wish = NULL;
	int room = 0;

	if (!again)
		return -1;
	memset(again, true, (size_t)a->c.nodes);
	for (int round = 0; round < ROUNDS; round++)
		for (int i = 0; i < a->c.nodes; i++) {
			if (!again[i] || a->left[i] <= 0)
				continue;
			again[i] = false;
			if (fill(a, i, margin, &wish, &room, again))
				return -1;
		}
	cells_forget(&a->c); /* prices fell */
	return 0;
}

int assigner_polish(struct assigner *a)
{
	return get_ready(a) || fill_all(a, 0) ? -1 : 0;
}

int assigner_again(struct assigner *a, double margin, const struct gap_budget *budget)
{
	AUTO_FREE int *rest = NULL;
	int at, n;

	if ((!a->guests && get_ready(a)) || (at = bid_all(a, budget)) < 0)
		return -1;
	n = a->queued - at;
	rest = malloc(((size_t)n + 1) * sizeof(int));
	if (!rest)
		return -1;
	if (n)
		memcpy(rest, a->queue + at, (size_t)n * sizeof(int));
	a->batches++;
	if (place_rest(a, rest, n) || fill_all(a, margin))
		return -1;
	return a->cost > (1 + FAR) * a->bound ? better_bound(a) : 0;
}

bool assigner_send(struct assigner *a, int user, int node)
{
	int seat = a->seat_of[user];

	if (a->node[seat] < 0 || a->node[seat] == node || a->left[node] < a->seat[seat].demand)
		return false;
	if (!a->guests) {
		assigner_put(a, seat, node);
		return true;
	}
	remove_guest(&a->guests[a->node[seat]], seat);
	if (go(a, seat, node, level_at(a, seat, node)))
		abort();
	return true;
}
