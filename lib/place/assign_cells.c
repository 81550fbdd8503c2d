/* SPDX-License-Identifier: MIT */
#include <stdlib.h>

#include "lib/place/assign_int.h"

#define PAIRS 4e6 /* cells x nodes: what the rounds of prices go over */

static double along(const struct point *p, int axis)
{
	return axis == 0 ? p->x : axis == 1 ? p->y : p->z;
}

static void swap(int *a, int *b)
{
	int x = *a;

	*a = *b;
	*b = x;
}

/* Reorders so that what is before `middle` is not greater along the axis, and what is behind it is not less. */
static void halve(const struct point *p, int *order, int n, int middle, int axis)
{
	int from = 0, to = n - 1;

	while (from < to) {
		double pivot = along(&p[order[from + (to - from) / 2]], axis);
		int i = from, j = to;

		while (i <= j) {
			while (along(&p[order[i]], axis) < pivot)
				i++;
			while (along(&p[order[j]], axis) > pivot)
				j--;
			if (i <= j)
				swap(&order[i++], &order[j--]);
		}
		if (middle <= j)
			to = j;
		else if (middle >= i)
			from = i;
		else
			break;
	}
}

static void make_cell(struct cells *c, int first, int n)
{
	struct cell *cell = &c->cell[c->n++];
	struct point sum = { 0 };
	double length;

	*cell = (struct cell){ .first = first, .n = n };
	for (int k = first; k < first + n; k++) {
		const struct point *p = &c->user[c->order[k]];

		sum.x += p->x;
		sum.y += p->y;
		sum.z += p->z;
		c->demand[c->n - 1] += c->s->demand[c->order[k]];
	}
	length = sqrt(sum.x * sum.x + sum.y * sum.y + sum.z * sum.z);
	/* Users all around the earth have no middle; any point will do. */
	cell->middle = length > 1e-9 ? (struct point){ sum.x / length, sum.y / length, sum.z / length } : c->user[c->order[first]];
	for (int k = first; k < first + n; k++)
		cell->radius = fmaxf(cell->radius, (float)(distance_points_km(&c->user[c->order[k]], &cell->middle) * RTT_MS_PER_KM));
}

/* Cuts along the longest side until a cell has no more than `most` users. */
static void cut(struct cells *c, int first, int n, int most)
{
	double low[3] = { 2, 2, 2 }, high[3] = { -2, -2, -2 };
	int axis = 0;

	if (n <= most) {
		if (n)
			make_cell(c, first, n);
		return;
	}
	for (int k = first; k < first + n; k++)
		for (int a = 0; a < 3; a++) {
			low[a] = fmin(low[a], along(&c->user[c->order[k]], a));
			high[a] = fmax(high[a], along(&c->user[c->order[k]], a));
		}
	for (int a = 1; a < 3; a++)
		if (high[a] - low[a] > high[axis] - low[axis])
			axis = a;
	halve(c->user, c->order + first, n, n / 2, axis);
	cut(c, first, n / 2, most);
	cut(c, first + n / 2, n - n / 2, most);
}

static int nearer(const void *a, const void *b)
{
	const struct way *x = a, *y = b;

	return x->ms != y->ms ? (x->ms > y->ms) - (x->ms < y->ms) : x->node - y->node;
}

int cells_init(struct cells *c, const struct assign *s)
{
	int known = 0, unknown = s->users, most = (int)ceil((double)s->users * s->nodes / PAIRS);

	*c = (struct cells){ .s = s };
	c->user = malloc(((size_t)s->users + 1) * sizeof(*c->user));
	c->node = malloc(((size_t)s->nodes + 1) * sizeof(*c->node));
	c->order = malloc(((size_t)s->users + 1) * sizeof(int));
	c->cell = malloc(((size_t)s->users + 1) * sizeof(*c->cell));
	c->demand = calloc((size_t)s->users + 1, sizeof(*c->demand));
	if (!c->user || !c->node || !c->order || !c->cell || !c->demand)
		return -1;
	for (int i = 0; i < s->nodes; i++)
		c->node[i] = distance_point(s->node[i]);
	for (int u = 0; u < s->users; u++) {
		c->user[u] = distance_point(s->user[u]);
		c->order[isnan(c->user[u].x) ? --unknown : known++] = u;
	}
	cut(c, 0, known, most < 1 ? 1 : most);
	c->way = malloc(((size_t)c->n * s->nodes + 1) * sizeof(*c->way));
	if (!c->way)
		return -1;
	for (int k = 0; k < c->n; k++) {
		struct way *w = c->way + (size_t)k * s->nodes;

		for (int i = 0; i < s->nodes; i++)
			w[i] = (struct way){ (float)(distance_points_km(&c->cell[k].middle, &c->node[i]) * RTT_MS_PER_KM), i };
		qsort(w, (size_t)s->nodes, sizeof(*w), nearer);
	}
	return 0;
}

void cells_release(struct cells *c)
{
	free(c->user);
	free(c->node);
	free(c->order);
	free(c->cell);
	free(c->demand);
	free(c->way);
}
