/* SPDX-License-Identifier: MIT */
/* Meet in the middle. What a half of the jobs pays above its cheapest places is part of the whole, so that the ways that pay least
 * are those that matter; and two ways make a good plan if what one leaves of each capacity is what the other one takes, but for as little
 * as its price allows. Such partners are found in a table by what they take of three capacities. */
#include <stdlib.h>
#include <string.h>

#include "lib/place/gap_part.h"

#define JOBS   GAP_PART_JOBS
#define LOADS  GAP_PART_LOADS
#define WAYS   GAP_PART_WAYS
#define BINS   128  /* what is paid, to count the ways */
#define COARSE 2    /* capacities by which ways are hashed, in units of what may stay empty, */
#define GROUPS 512  /* at most, */
#define FINE   64   /* and parts of the next one, by which they are ordered in their group */
#define KEYS   16   /* groups where partners are looked for */

struct half {
	int jobs[JOBS], n; /* those whose second choice is nearest first */
	double most;       /* ways pay less */
	int found;
	double way[WAYS * (1 + LOADS)]; /* what each pays and its loads, without gaps */
};

struct match {
	const struct part *q;
	int ways; /* of one half, at most */
	double limit;
	double coarse[COARSE], fine; /* 1 / width of a cell */
	struct half half[2];
	/* While ways are listed: */
	double now[1 + LOADS];
	int at[JOBS], kept[JOBS]; /* by job: its node, and in way `wanted` */
	int wanted;
	double left[LOADS]; /* of the rooms by the way whose partner is looked for */
	/* The second half's, by group and fine cell: */
	unsigned groups; /* a power of two */
	int begin[GROUPS * FINE + 2], cell[WAYS], sorted[WAYS];
	double way[WAYS * (1 + LOADS)];
};

struct match *match_new(void)
{
	return malloc(sizeof(struct match));
}

static inline double *way_at(const struct match *t, double *ways, int w)
{
	return ways + (size_t)w * (size_t)(1 + t->q->loads);
}

static void bear(struct match *t, int j, int i, double sign)
{
	const struct part *q = t->q;

	for (int r = 0; r < q->resources && i < q->m; r++)
		t->now[1 + r * q->m + i] += sign * q->use[j][r * q->m + i];
}

/* The present way, and all that differ from it in jobs from the k-th on. */
static void list_ways(struct match *t, struct half *h, int k)
{
	const struct part *q = t->q;
	double above = t->now[0];

	if (h->found == t->wanted)
		memcpy(t->kept, t->at, sizeof(t->kept));
	if (t->wanted < 0) {
		double *way = way_at(t, h->way, h->found);

		memcpy(way, t->now, (size_t)(1 + q->loads) * sizeof(double));
		way[0] += part_links(q, (int)(h - t->half), t->at);
	}
	h->found++;
	for (; k < h->n && h->found < t->ways && above + q->above[h->jobs[k]][1] < h->most; k++) {
		int j = h->jobs[k], first = q->choice[j][0];

		bear(t, j, first, -1);
		for (int c = 1; c <= q->m && h->found < t->ways && above + q->above[j][c] < h->most; c++) {
			t->at[j] = q->choice[j][c];
			t->now[0] = above + q->above[j][c];
			bear(t, j, t->at[j], 1);
			list_ways(t, h, k + 1);
			bear(t, j, t->at[j], -1);
		}
		t->at[j] = first;
		bear(t, j, first, 1);
	}
	t->now[0] = above;
}

/* wanted: the way that is to be in t->kept; -1: all are listed. */
static void list(struct match *t, struct half *h, int wanted)
{
	memset(t->now, 0, sizeof(t->now));
	h->found = 0;
	t->wanted = wanted;
	for (int k = 0; k < h->n; k++) {
		t->at[h->jobs[k]] = t->q->choice[h->jobs[k]][0];
		bear(t, h->jobs[k], t->at[h->jobs[k]], 1);
	}
	list_ways(t, h, 0);
}

/* How much a way of this half may pay, so that they are not too many. */
static double set_most(const struct match *t, const struct half *h)
{
	double ways[BINS] = { 1 }, before[BINS], sum = 0;
	int b = 0;

	for (int k = 0; k < h->n; k++) {
		const double *above = t->q->above[h->jobs[k]];

		if (above[1] >= t->limit)
			break;
		memcpy(before, ways, sizeof(before));
		for (int c = 1; c <= t->q->m && above[c] < t->limit; c++)
			for (int to = (int)(above[c] / t->limit * BINS), from = 0; to < BINS; to++, from++)
				ways[to] += before[from];
	}
	while (b < BINS && (sum += ways[b]) <= t->ways)
		b++;
	return t->limit * (b ? b : 1) / BINS;
}

static int group(const struct match *t, unsigned key)
{
	return (int)(key * 2654435761u >> 16 & (t->groups - 1)) * FINE;
}

static unsigned key_with(unsigned key, unsigned cell)
{
	return key * 2053 + cell;
}

/* Cells of a load; one that no plan can have is not told from one that fills all. */
static double clamped(const struct match *t, int l, double load)
{
	return load < 0 ? 0 : load > t->q->room[l] ? t->q->room[l] : load;
}

static unsigned coarse_cell(const struct match *t, int l, double load)
{
	return (unsigned)(clamped(t, l, load) * t->coarse[l]);
}

static int fine_cell(const struct match *t, int l, double load)
{
	return (int)(clamped(t, l, load) * t->fine);
}

/* How many loads a group is chosen by; the next one, if there is one, orders it. */
static int coarse_loads(const struct match *t)
{
	return t->q->loads - 1 < COARSE ? t->q->loads - 1 : COARSE;
}

static void sort_ways(struct match *t, struct half *h)
{
	int fine = coarse_loads(t);

	for (t->groups = 1; t->groups < GROUPS && (int)t->groups * FINE < 4 * h->found; t->groups *= 2)
		;
	memset(t->begin, 0, (t->groups * FINE + 2) * sizeof(int));
	for (int w = 0; w < h->found; w++) {
		const double *load = way_at(t, h->way, w) + 1;
		unsigned key = 0;

		for (int l = 0; l < fine; l++)
			key = key_with(key, coarse_cell(t, l, load[l]));
		t->cell[w] = group(t, key) + fine_cell(t, fine, load[fine]);
		t->begin[t->cell[w] + 2]++;
	}
	for (unsigned c = 0; c < t->groups * FINE; c++)
		t->begin[c + 2] += t->begin[c + 1];
	for (int w = 0; w < h->found; w++) {
		int to = t->begin[t->cell[w] + 1]++;

		t->sorted[to] = w;
		memcpy(way_at(t, t->way, to), way_at(t, h->way, w), (size_t)(1 + t->q->loads) * sizeof(double));
	}
}

/* What two ways cost together above the bound; INFINITY: they do not fit. */
static double together(const struct match *t, const double *y, double above)
{
	double sum = above + y[0];

	for (int l = 0; l < t->q->loads; l++) {
		double empty = t->left[l] - y[1 + l];

		if (empty < 0)
			return INFINITY;
		sum += empty * t->q->price[l];
	}
	return sum;
}

/* Partners of way x that are better than what is known. */
static int find_partner(struct match *t, const double *x)
{
	double *left = t->left, may = t->limit - x[0]; /* be paid for what stays empty */
	unsigned keys[KEYS] = { 0 };
	int n = 1, fine = coarse_loads(t), found = -1, from, to;

	for (int l = 0; l < t->q->loads; l++)
		if ((left[l] = t->q->room[l] - x[1 + l]) < 0)
			return -1;
	for (int l = 0; l < fine; l++) {
		unsigned low = coarse_cell(t, l, left[l] - may / t->q->price[l]), high = coarse_cell(t, l, left[l]);
		int before = n;

		for (int k = 0; k < before; k++)
			keys[k] = key_with(keys[k], low);
		for (unsigned c = low + 1; c <= high && n + before <= KEYS; c++)
			for (int k = 0; k < before; k++)
				keys[n++] = keys[k] + (c - low);
	}
	from = fine_cell(t, fine, left[fine] - may / t->q->price[fine]);
	to = fine_cell(t, fine, left[fine]);
	for (int k = 0; k < n; k++) {
		int cell = group(t, keys[k]);

		for (int w = t->begin[cell + from]; w < t->begin[cell + to + 1]; w++) {
			double sum = together(t, way_at(t, t->way, w), x[0]);

			if (sum < t->limit) {
				t->limit = sum;
				found = t->sorted[w];
			}
		}
	}
	return found;
}

static void add_job(const struct part *q, struct half *h, int j)
{
	int k = h->n++;

	for (; k > 0 && q->above[h->jobs[k - 1]][1] > q->above[j][1]; k--)
		h->jobs[k] = h->jobs[k - 1];
	h->jobs[k] = j;
}

/* Cells, and jobs by halves. */
static void begin(struct match *t)
{
	const struct part *q = t->q;
	int fine = coarse_loads(t);

	t->limit = q->limit;
	for (int l = 0; l < fine; l++)
		t->coarse[l] = fmin(2 * q->price[l] / t->limit, 1000 / q->room[l]);
	t->fine = (FINE - 1) / q->room[fine];
	t->half[0].n = t->half[1].n = 0;
	for (int j = 0; j < q->n; j++)
		add_job(q, &t->half[q->half[j]], j);
}

/* Puts the jobs of a half where its way w sends them. */
static int make(struct match *t, struct gap_plan *p, struct half *h, int w)
{
	const struct part *q = t->q;

	list(t, h, w);
	for (int k = 0; k < h->n; k++) {
		int j = h->jobs[k], i = t->kept[j];
		struct gap_change c = { q->jobs[j], i < q->m ? q->nodes[i] : p->g->nodes, -1, -1 };

		if (c.to != p->at[c.j] && gap_plan_make(p, &c))
			return -1;
	}
	return 0;
}

int match_solve(struct match *t, const struct part *q, struct gap_plan *p, int ways)
{
	int first = -1, second = -1;

	t->q = q;
	t->ways = ways;
	begin(t);
	for (int h = 0; h < 2; h++) {
		t->half[h].most = set_most(t, &t->half[h]);
		list(t, &t->half[h], -1);
	}
	sort_ways(t, &t->half[1]);
	for (int w = 0; w < t->half[0].found; w++) {
		const double *way = way_at(t, t->half[0].way, w);
		int partner = way[0] < t->limit ? find_partner(t, way) : -1;

		if (partner >= 0) {
			first = w;
			second = partner;
		}
	}
	return first >= 0 && (make(t, p, &t->half[0], first) || make(t, p, &t->half[1], second)) ? -1 : 0;
}
