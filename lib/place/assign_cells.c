/* SPDX-License-Identifier: MIT */
#include <stdlib.h>

#include "lib/place/assign_int.h"

#define CELLS   2    /* for each node, or up to twice as many, */
#define LEAST   1000 /* ... or so many */
#define FEWEST  8    /* users of a cell, where there are more */
#define ROUNDED 5e-4 /* ms: more than floats lose */

static double along(const struct point *p, int axis)
{
	return axis == 0 ? p->x : axis == 1 ? p->y : p->z;
}

/* Reorders so that what is before `middle` is not greater along the axis, and what is behind it is not less. */
static void halve(struct seat *seat, int n, int middle, int axis)
{
	int from = 0, to = n - 1;

	while (from < to) {
		double pivot = along(&seat[from + (to - from) / 2].at, axis);
		int i = from, j = to;

		while (i <= j) {
			while (along(&seat[i].at, axis) < pivot)
				i++;
			while (along(&seat[j].at, axis) > pivot)
				j--;
			if (i <= j) {
				struct seat x = seat[i];

				seat[i++] = seat[j];
				seat[j--] = x;
			}
		}
		if (middle <= j)
			to = j;
		else if (middle >= i)
			from = i;
		else
			break;
	}
}

static void make_cell(struct cells *c, struct seat *seat, int first, int n)
{
	struct cell *cell = &c->cell[c->n];
	struct point sum = { 0 };
	double length;

	*cell = (struct cell){ .first = first, .n = n, .listed = -1 };
	for (int k = first; k < first + n; k++) {
		sum.x += seat[k].at.x;
		sum.y += seat[k].at.y;
		sum.z += seat[k].at.z;
		cell->demand += seat[k].demand;
		seat[k].cell = c->n;
	}
	length = sqrt(sum.x * sum.x + sum.y * sum.y + sum.z * sum.z);
	/* Users all around the earth have no middle; any point will do. */
	cell->middle = length > 1e-9 ? (struct point){ sum.x / length, sum.y / length, sum.z / length } : seat[first].at;
	for (int k = first; k < first + n; k++)
		seat[k].off = (float)(distance_points_km(&seat[k].at, &cell->middle) * RTT_MS_PER_KM);
	c->n++;
}

/* Cuts along the longest side until a cell has no more than `most` users. */
static int cut(struct cells *c, struct seat *seat, int first, int n, int most)
{
	struct point low = { 2, 2, 2 }, high = { -2, -2, -2 };
	int axis = 0, fork;

	if (n <= most) {
		make_cell(c, seat, first, n);
		return -c->n;
	}
	for (int k = first; k < first + n; k++) {
		const struct point *p = &seat[k].at;

		low = (struct point){ p->x < low.x ? p->x : low.x, p->y < low.y ? p->y : low.y, p->z < low.z ? p->z : low.z };
		high = (struct point){ p->x > high.x ? p->x : high.x, p->y > high.y ? p->y : high.y, p->z > high.z ? p->z : high.z };
	}
	for (int a = 1; a < 3; a++)
		if (along(&high, a) - along(&low, a) > along(&high, axis) - along(&low, axis))
			axis = a;
	halve(seat + first, n, n / 2, axis);
	fork = c->forks++;
	c->fork[fork].axis = axis;
	c->fork[fork].at = along(&seat[first + n / 2].at, axis);
	c->fork[fork].below = cut(c, seat, first, n / 2, most);
	c->fork[fork].above = cut(c, seat, first + n / 2, n - n / 2, most);
	return fork;
}

int cells_init(struct cells *c, const struct geo *node, int nodes, struct seat *seat, int seats, int *known)
{
	int most = seats / (CELLS * nodes > LEAST ? CELLS * nodes : LEAST) + 1;

	*c = (struct cells){ .nodes = nodes };
	c->node = malloc(((size_t)nodes + 1) * sizeof(*c->node));
	c->cell = calloc((size_t)seats + 1, sizeof(*c->cell));
	c->fork = malloc(((size_t)seats + 1) * sizeof(*c->fork));
	if (!c->node || !c->cell || !c->fork)
		return -1;
	for (int i = 0; i < nodes; i++)
		c->node[i] = distance_point(node[i]);
	*known = seats;
	for (int k = 0; k < *known;) {
		struct seat x = seat[k];

		if (!isnan(x.at.x)) {
			k++;
			continue;
		}
		seat[k] = seat[--*known];
		seat[*known] = x;
		seat[*known].cell = -1;
	}
	if (*known)
		c->root = cut(c, seat, 0, *known, most < FEWEST ? FEWEST : most);
	c->way = malloc(((size_t)c->n * nodes + 1) * sizeof(*c->way));
	c->list = malloc(((size_t)c->n * LISTED + 1) * sizeof(*c->list));
	if (!c->way || !c->list)
		return -1;
	for (int k = 0; k < c->n; k++)
		for (int i = 0; i < nodes; i++) {
			double ms = cells_ms(c, &c->cell[k].middle, i);

			c->way[(size_t)k * nodes + i] = isnan(ms) ? INFINITY : (float)ms;
		}
	return 0;
}

void cells_release(struct cells *c)
{
	free(c->node);
	free(c->cell);
	free(c->fork);
	free(c->way);
	free(c->list);
}

void cells_find(const struct cells *c, struct seat *seat)
{
	int k = c->root;

	seat->cell = -1;
	if (!c->n || isnan(seat->at.x))
		return;
	while (k >= 0)
		k = along(&seat->at, c->fork[k].axis) < c->fork[k].at ? c->fork[k].below : c->fork[k].above;
	seat->cell = -1 - k;
	seat->off = (float)(distance_points_km(&seat->at, &c->cell[seat->cell].middle) * RTT_MS_PER_KM);
}

void cells_forget(struct cells *c)
{
	for (int k = 0; k < c->n; k++)
		c->cell[k].listed = -1;
}

/* Sorts node i in if it is better than the last. */
static void enlist(struct listed *list, int *n, float key, float ms, int i, float *beyond)
{
	int k;

	if (*n == LISTED && !(key < list[LISTED - 1].key)) {
		*beyond = fminf(*beyond, key);
		return;
	}
	if (*n == LISTED)
		*beyond = fminf(*beyond, list[--*n].key);
	for (k = (*n)++; k > 0 && list[k - 1].key > key; k--)
		list[k] = list[k - 1];
	list[k] = (struct listed){ key, ms, i };
}

static float least_of(float a, float b)
{
	return a < b ? a : b;
}

static void list(struct cells *c, int cell, const double *price)
{
	const float *way = c->way + (size_t)cell * c->nodes;
	struct listed *list = c->list + (size_t)cell * LISTED;
	float beyond = INFINITY;
	int n = 0, i = 0;

	/* Nearly always none of four is good enough. */
	for (; i + 4 <= c->nodes; i += 4) {
		float a = way[i] + (float)price[i], b = way[i + 1] + (float)price[i + 1], d = way[i + 2] + (float)price[i + 2],
		      e = way[i + 3] + (float)price[i + 3], least = least_of(least_of(a, b), least_of(d, e));

		if (n == LISTED && !(least < list[LISTED - 1].key)) {
			beyond = least_of(least, beyond);
			continue;
		}
		enlist(list, &n, a, way[i], i, &beyond);
		enlist(list, &n, b, way[i + 1], i + 1, &beyond);
		enlist(list, &n, d, way[i + 2], i + 2, &beyond);
		enlist(list, &n, e, way[i + 3], i + 3, &beyond);
	}
	for (; i < c->nodes; i++)
		enlist(list, &n, way[i] + (float)price[i], way[i], i, &beyond);
	while (n > 0 && isinf(list[n - 1].key))
		n--;
	c->cell[cell].listed = n;
	c->cell[cell].beyond = beyond;
}

static void look(struct best *b, double v, int node)
{
	if (v < b->least) {
		b->second = b->least;
		b->least = v;
		b->node = node;
	} else if (v < b->second) {
		b->second = v;
	}
}

/* Prices only rise while a list is kept: no key is too high then. */
struct best cells_best(struct cells *c, int cell, const struct point *at, double off, const double *price)
{
	struct cell *x = &c->cell[cell];
	const struct listed *l = c->list + (size_t)cell * LISTED;
	struct best b;

	off += ROUNDED;
	for (bool again = x->listed < 0;; again = true) {
		if (again)
			list(c, cell, price);
		b = (struct best){ -1, INFINITY, INFINITY };
		for (int k = 0; k < x->listed && l[k].key - off < b.second; k++)
			look(&b, cells_ms(c, at, l[k].node) + price[l[k].node], l[k].node);
		if (again || x->beyond >= b.second)
			return b;
	}
}

double cells_least(struct cells *c, const struct seat *s, const double *price)
{
	const struct cell *x = &c->cell[s->cell];
	const struct listed *l = c->list + (size_t)s->cell * LISTED;
	const float *way = c->way + (size_t)s->cell * c->nodes;
	double off = s->off + ROUNDED, least = INFINITY;

	if (x->listed < 0)
		list(c, s->cell, price);
	for (int k = 0; k < x->listed && l[k].key - off < least; k++)
		least = fmin(least, cells_ms(c, &s->at, l[k].node) + price[l[k].node]);
	if (x->beyond - off >= least)
		return least;
	for (int i = 0; i < c->nodes; i++)
		if (way[i] + price[i] - off < least)
			least = fmin(least, cells_ms(c, &s->at, i) + price[i]);
	return least;
}
