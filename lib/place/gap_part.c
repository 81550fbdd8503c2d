/* SPDX-License-Identifier: MIT */
#include <stdlib.h>
#include <string.h>

#include "lib/place/gap_search.h"

#define NODES  GAP_PART_NODES
#define JOBS   GAP_PART_JOBS
#define ROUNDS 40 /* of the part's own bound */

struct weight {
	double value;
	int what;
};

/* With prices on the part's capacities its bound is L; a plan costs L + the sum of what each job pays above its cheapest
 * choice + the price of what stays empty. So only plans are looked at in which these two sums stay below what
 * the present plan costs above L, which is little. */
struct part {
	const struct gap_plan *p;
	const int *nodes, *jobs;
	int n, m, resources;
	long visits;
	bool found;
	double limit;                           /* of the two sums */
	double cost[JOBS][NODES + 1];           /* the last one: nowhere */
	double use[JOBS][GAP_RESOURCES][NODES];
	double room[GAP_RESOURCES][NODES], price[GAP_RESOURCES][NODES];
	/* By depth of the search: */
	struct weight weight[JOBS];
	int order[JOBS], choice[JOBS][NODES + 1], at[JOBS], best[JOBS];
	double above[JOBS][NODES + 1];          /* what a choice costs above the cheapest, prices included */
	double rest[JOBS + 1][GAP_RESOURCES][NODES]; /* what the jobs from here on may use at most */
};

static double priced(const struct part *q, int j, int i)
{
	double c = q->cost[j][i];

	for (int r = 0; r < q->resources && i < q->m; r++)
		c += q->price[r][i] * q->use[j][r][i];
	return c;
}

/* The bound that the prices prove, and by what part of itself each room would be exceeded. */
static double bound(const struct part *q, double over[GAP_RESOURCES][NODES])
{
	double sum = 0;

	for (int i = 0; i < q->m; i++)
		for (int r = 0; r < q->resources; r++) {
			over[r][i] = -q->room[r][i];
			sum -= q->price[r][i] * q->room[r][i];
		}
	for (int j = 0; j < q->n; j++) {
		double least = q->cost[j][q->m];
		int best = q->m;

		for (int i = 0; i < q->m; i++) {
			double c = priced(q, j, i);

			if (c < least) {
				least = c;
				best = i;
			}
		}
		sum += least;
		for (int r = 0; r < q->resources && best < q->m; r++)
			over[r][best] += q->use[j][r][best];
	}
	for (int i = 0; i < q->m; i++)
		for (int r = 0; r < q->resources; r++)
			over[r][i] /= fmax(q->room[r][i], 1e-9);
	return sum;
}

/* Prices that prove a good bound, and that bound. */
static double find_prices(struct part *q, double target)
{
	double over[GAP_RESOURCES][NODES], kept[GAP_RESOURCES][NODES], best = -INFINITY, pace = 1;

	for (int k = 0, since = 0; k < ROUNDS && best < target; k++) {
		double v = bound(q, over), square = 1e-300;

		if (v > best) {
			best = v;
			since = 0;
			memcpy(kept, q->price, sizeof(kept));
		} else if (++since > 4) {
			since = 0;
			pace /= 2;
		}
		for (int i = 0; i < q->m; i++)
			for (int r = 0; r < q->resources; r++)
				if (over[r][i] > 0 || q->price[r][i] > 0)
					square += over[r][i] * over[r][i];
		for (int i = 0; i < q->m; i++)
			for (int r = 0; r < q->resources; r++)
				q->price[r][i] = fmax(0, q->price[r][i] + pace * (target - v) / square * over[r][i] /
									 fmax(q->room[r][i], 1e-9));
	}
	memcpy(q->price, kept, sizeof(kept));
	return best;
}

/* At least so much of the rooms' price stays empty, whatever the jobs from this depth on do. */
static double empty(const struct part *q, int depth)
{
	double sum = 0;

	for (int i = 0; i < q->m; i++)
		for (int r = 0; r < q->resources; r++)
			if (q->room[r][i] > q->rest[depth][r][i])
				sum += q->price[r][i] * (q->room[r][i] - q->rest[depth][r][i]);
	return sum;
}

static bool put(struct part *q, int j, int i)
{
	bool fits = true;

	for (int r = 0; r < q->resources && i < q->m; r++) {
		q->room[r][i] -= q->use[j][r][i];
		fits &= q->room[r][i] >= -1e-9 * (1 + q->use[j][r][i]);
	}
	return fits;
}

static void take(struct part *q, int j, int i)
{
	for (int r = 0; r < q->resources && i < q->m; r++)
		q->room[r][i] += q->use[j][r][i];
}

/* The links of the job at this depth with those above it, if it goes to node i: they cost what they cost. */
static double links_above(const struct part *q, int depth, int i)
{
	const struct gap_plan *p = q->p;
	int job = q->jobs[q->order[depth]];
	double sum = 0;

	for (int n = p->link_end[job]; n < p->link_end[job + 1]; n++) {
		const struct gap_link *l = &p->g->links[p->link_of[n]];
		int other = p->depth[l->a == job ? l->b : l->a];

		if (other >= 0 && other < depth && i < q->m && q->at[other] < q->m)
			sum += gap_plan_link(p, l, q->nodes[i], q->nodes[q->at[other]]);
	}
	return sum;
}

static void search(struct part *q, int depth, double above)
{
	double sum = above + empty(q, depth);

	if (sum >= q->limit || --q->visits < 0)
		return;
	if (depth == q->n) {
		memcpy(q->best, q->at, sizeof(q->at));
		q->limit = sum;
		q->found = true;
		return;
	}
	for (int k = 0; k <= q->m && above + q->above[depth][k] < q->limit; k++) {
		int i = q->choice[depth][k];
		double now = above + q->above[depth][k];

		if (q->p->g->n_links)
			now += links_above(q, depth, i);
		q->at[depth] = i;
		if (put(q, q->order[depth], i))
			search(q, depth + 1, now);
		take(q, q->order[depth], i);
	}
}

static int heavier(const void *a, const void *b)
{
	const struct weight *x = a, *y = b;

	return x->value != y->value ? (x->value < y->value) - (x->value > y->value) : x->what - y->what;
}

/* How early a job is placed: those without a choice first, then the large ones, so that small ones fill the gaps. */
static double weigh(const struct part *q, int j)
{
	double low = INFINITY, second = INFINITY, size = 0;

	for (int i = 0; i <= q->m; i++) {
		double c = priced(q, j, i);

		if (i < q->m && isfinite(c))
			size = fmax(size, c - q->cost[j][i]);
		second = fmin(second, fmax(low, c));
		low = fmin(low, c);
	}
	return second - low >= q->limit ? INFINITY : size;
}

static void arrange(struct part *q)
{
	struct weight *w = q->weight;

	for (int j = 0; j < q->n; j++)
		w[j] = (struct weight){ weigh(q, j), j };
	qsort(w, (size_t)q->n, sizeof(*w), heavier);
	memset(q->rest[q->n], 0, sizeof(q->rest[q->n]));
	for (int d = q->n - 1; d >= 0; d--) {
		int j = q->order[d] = w[d].what, *choice = q->choice[d];
		double *above = q->above[d];

		for (int i = 0; i <= q->m; i++) {
			double c = priced(q, j, i);
			int k = i;

			for (; k > 0 && above[k - 1] > c; k--) {
				above[k] = above[k - 1];
				choice[k] = choice[k - 1];
			}
			above[k] = c;
			choice[k] = i;
		}
		memcpy(q->rest[d], q->rest[d + 1], (size_t)q->resources * sizeof(q->rest[d][0]));
		for (int k = q->m; k >= 0; k--) {
			above[k] -= above[0];
			for (int r = 0; r < q->resources && choice[k] < q->m && above[k] < q->limit; r++)
				q->rest[d][r][choice[k]] += q->use[j][r][choice[k]];
		}
	}
}

/* A job's links with jobs outside the part, if it were at node i; with `before` also with those that come before it. */
static double links_of(const struct gap_plan *p, int job, int i, bool before)
{
	double sum = 0;

	for (int n = p->link_end[job]; n < p->link_end[job + 1]; n++) {
		const struct gap_link *l = &p->g->links[p->link_of[n]];
		int other = l->a == job ? l->b : l->a;

		if (p->depth[other] < 0 || (before && p->depth[other] < p->depth[job]))
			sum += gap_plan_link(p, l, i, p->at[other]);
	}
	return sum;
}

/* What the part costs now; its numbers are filled in. */
static double collect(struct gap_plan *p, double noise, struct part *q)
{
	const struct gap *g = p->g;
	const int *nodes = q->nodes, *jobs = q->jobs;
	double now = 0;

	for (int i = 0; i < q->m; i++)
		for (int r = 0; r < q->resources; r++) {
			size_t at = (size_t)nodes[i] * g->resources + r;

			q->room[r][i] = g->capacity[at] - p->load[at];
			q->price[r][i] = p->price[at];
		}
	for (int j = 0; j < q->n; j++) {
		int at = p->at[jobs[j]];

		for (int i = 0; i <= q->m; i++) {
			q->cost[j][i] = gap_plan_cost(p, jobs[j], i < q->m ? nodes[i] : g->nodes);
			if (g->n_links && i < q->m)
				q->cost[j][i] += links_of(p, jobs[j], nodes[i], false);
			if (noise > 0)
				q->cost[j][i] += noise * gap_draw(p, 1000) / 1000;
			for (int r = 0; r < q->resources && i < q->m; r++) {
				q->use[j][r][i] = gap_use(g, jobs[j], nodes[i], r);
				q->room[r][i] += at == nodes[i] ? q->use[j][r][i] : 0;
			}
			if (at == (i < q->m ? nodes[i] : g->nodes))
				now += q->cost[j][i];
		}
		if (g->n_links)
			now += links_of(p, jobs[j], at, true) - links_of(p, jobs[j], at, false);
	}
	return now;
}

static void mark(struct gap_plan *p, const struct part *q, bool on)
{
	for (int d = 0; d < q->n; d++)
		p->depth[q->jobs[q->order[d]]] = on ? d : -1;
}

struct part *gap_part_new(void)
{
	return calloc(1, sizeof(struct part));
}

int gap_part(struct gap_plan *p, const int *nodes, int m, const int *jobs, int n, double share, double noise, long visits)
{
	struct part *q = p->part;
	double now;

	q->p = p;
	q->nodes = nodes;
	q->jobs = jobs;
	q->n = n;
	q->m = m;
	q->resources = p->g->resources;
	q->visits = visits;
	q->found = false;
	for (int j = 0; j < n; j++)
		q->order[j] = j;
	mark(p, q, true);
	now = collect(p, noise, q);
	/* Plans as good as the present one count as better: they lead away from where nothing gets better. */
	q->limit = share * (now - find_prices(q, now) + 1e-7 * (1 + fabs(now)));
	arrange(q);
	mark(p, q, true);
	search(q, 0, 0);
	mark(p, q, false);
	for (int d = 0; d < n && q->found; d++) {
		struct gap_change c = { jobs[q->order[d]], q->best[d] < m ? nodes[q->best[d]] : p->g->nodes, -1, -1 };

		if (c.to != p->at[c.j] && gap_plan_make(p, &c))
			return -1;
	}
	return q->visits >= 0;
}
