/* SPDX-License-Identifier: MIT */
#include <string.h>

#include "lib/place/gap_part.h"

#define LOADS  GAP_PART_LOADS
#define ROUNDS 40 /* of the part's own bound */

static double priced(const struct part *q, int j, int i)
{
	double c = q->cost[j][i];

	for (int r = 0; r < q->resources && i < q->m; r++)
		c += q->price[r * q->m + i] * q->use[j][r * q->m + i];
	return c;
}

/* The bound that the prices prove, and by what part of itself each room would be exceeded. */
static double bound(const struct part *q, double *over)
{
	double sum = 0;

	for (int l = 0; l < q->loads; l++) {
		over[l] = -q->room[l];
		sum -= q->price[l] * q->room[l];
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
			over[r * q->m + best] += q->use[j][r * q->m + best];
	}
	for (int l = 0; l < q->loads; l++)
		over[l] /= q->room[l];
	return sum;
}

/* Prices that prove a good bound, and that bound. */
static double find_prices(struct part *q, double target)
{
	double over[LOADS], kept[LOADS], best = -INFINITY, pace = 1;

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
		for (int l = 0; l < q->loads; l++)
			if (over[l] > 0 || q->price[l] > 0)
				square += over[l] * over[l];
		for (int l = 0; l < q->loads; l++)
			q->price[l] = fmax(0, q->price[l] + pace * (target - v) / square * over[l] / q->room[l]);
	}
	memcpy(q->price, kept, sizeof(kept));
	return best;
}

static void rank_choices(struct part *q, int j)
{
	int *choice = q->choice[j];
	double *above = q->above[j];

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
	for (int k = q->m; k >= 0; k--)
		above[k] -= above[0];
}

static bool has(const struct part *q, int node)
{
	for (int i = 0; i < q->m; i++)
		if (q->nodes[i] == node)
			return true;
	return false;
}

/* One more node, which competes with the others for jobs: a good one for a job of theirs, or any. */
static int draw_near(struct gap_plan *p, const struct part *q)
{
	const struct gap_list *l = &p->list[q->m ? q->nodes[gap_draw(p, (uint32_t)q->m)] : p->g->nodes];

	return l->n && gap_draw(p, 4) ? gap_draw_choice(p, l->jobs[gap_draw(p, (uint32_t)l->n)]) :
					(int)gap_draw(p, (uint32_t)p->g->nodes);
}

static void draw_nodes(struct part *q, struct gap_plan *p, int size)
{
	size = size < p->g->nodes ? size : p->g->nodes;
	if (size * p->g->resources > LOADS)
		size = LOADS / p->g->resources;
	q->m = 0;
	for (int tries = 0; q->m < size && tries < 8 * size; tries++) {
		int i = draw_near(p, q);

		if (i < p->g->nodes && !has(q, i))
			q->nodes[q->m++] = i;
	}
}

/* Job j comes into the part, if its links allow it: into the half where those are to which it has some. */
static void add_job(struct part *q, struct gap_plan *p, int j)
{
	int before[2] = { q->n_links[0], q->n_links[1] };
	int half = gap_draw(p, (uint32_t)(q->space[0] + q->space[1])) < (uint32_t)q->space[0] ? 0 : 1;

	for (int n = p->link_end[j]; n < p->link_end[j + 1]; n++) {
		const struct gap_link *l = &p->g->links[p->link_of[n]];
		int other = p->member[l->a == j ? l->b : l->a], at = other < 0 ? 0 : q->half[other];

		if (other >= 0 && q->n_links[at] < GAP_PART_LINKS)
			q->links[at][q->n_links[at]++] = (struct part_link){ l, q->n, other };
	}
	for (int h = 0; h < 2; h++)
		if (q->n_links[h] > before[h])
			half = h;
	if (q->n_links[!half] > before[!half] || q->n_links[half] == GAP_PART_LINKS) {
		memcpy(q->n_links, before, sizeof(before));
		return;
	}
	q->half[q->n] = half;
	q->space[half] -= q->space[half] > 0;
	p->member[j] = q->n;
	q->jobs[q->n++] = j;
}

/* The jobs of these nodes and those that are nowhere; some of them, if they are too many. */
static void draw_jobs(struct part *q, struct gap_plan *p)
{
	int all = 0, seen = 0, room = GAP_PART_JOBS;

	q->n = q->n_links[0] = q->n_links[1] = 0;
	for (int i = 0; i <= q->m; i++)
		all += p->list[i < q->m ? q->nodes[i] : p->g->nodes].n;
	q->space[0] = q->space[1] = (all < room ? all + 1 : room) / 2;
	for (int i = 0; i <= q->m; i++) {
		const struct gap_list *l = &p->list[i < q->m ? q->nodes[i] : p->g->nodes];

		for (int k = 0; k < l->n; k++, seen++)
			if (gap_draw(p, (uint32_t)(all - seen)) < (uint32_t)room) {
				room--;
				add_job(q, p, l->jobs[k]);
			}
	}
}

/* What a link costs: two jobs that must be apart are never put together. */
static double link_cost(const struct gap_plan *p, const struct gap_link *l, int a, int b)
{
	return isinf(l->weight) && a == b && a != p->g->nodes ? INFINITY : gap_plan_link(p, l, a, b);
}

double part_links(const struct part *q, int half, const int *at)
{
	double sum = 0;

	for (int n = 0; n < q->n_links[half]; n++) {
		const struct part_link *l = &q->links[half][n];

		if (at[l->a] < q->m && at[l->b] < q->m)
			sum += link_cost(q->p, l->link, q->nodes[at[l->a]], q->nodes[at[l->b]]);
	}
	return sum;
}

/* What the links of job j with jobs outside the part cost, if it were at this node. */
static double outer_links(const struct gap_plan *p, int j, int node)
{
	double sum = 0;

	for (int n = p->link_end[j]; n < p->link_end[j + 1]; n++) {
		const struct gap_link *l = &p->g->links[p->link_of[n]];
		int other = l->a == j ? l->b : l->a;

		if (p->member[other] < 0)
			sum += link_cost(p, l, node, p->at[other]);
	}
	return sum;
}

/* Capacities, without what the other jobs take. */
static void find_room(struct part *q, const struct gap_plan *p)
{
	q->resources = p->g->resources;
	q->loads = q->m * q->resources;
	for (int r = 0; r < q->resources; r++)
		for (int i = 0; i < q->m; i++) {
			size_t at = (size_t)q->nodes[i] * q->resources + r;
			int l = r * q->m + i;

			q->price[l] = p->price[at];
			q->room[l] = p->g->capacity[at] - p->load[at];
			for (int j = 0; j < q->n; j++) {
				q->use[j][l] = gap_use(p->g, q->jobs[j], q->nodes[i], r);
				q->room[l] += p->at[q->jobs[j]] == q->nodes[i] ? q->use[j][l] : 0;
			}
			/* As gap_over() forgives. */
			q->room[l] = fmax(q->room[l], 0) + 0.5e-9 * (1 + fabs(p->g->capacity[at]));
		}
	if (!q->loads) {
		q->price[q->loads] = 0;
		q->room[q->loads++] = 1;
	}
}

/* What the part costs now; what each choice would cost is filled in. */
static double find_costs(struct part *q, struct gap_plan *p, double noise)
{
	int at[GAP_PART_JOBS];
	double now = 0;

	for (int j = 0; j < q->n; j++)
		for (int i = 0; i <= q->m; i++) {
			int node = i < q->m ? q->nodes[i] : p->g->nodes;

			q->cost[j][i] = gap_plan_cost(p, q->jobs[j], node) + noise * gap_draw(p, 1000) / 1000;
			if (p->g->n_links)
				q->cost[j][i] += outer_links(p, q->jobs[j], node);
			if (p->at[q->jobs[j]] == node) {
				now += q->cost[j][i];
				at[j] = i;
			}
		}
	return now + part_links(q, 0, at) + part_links(q, 1, at);
}

bool part_draw(struct part *q, struct gap_plan *p, int size, double noise)
{
	double now;

	q->p = p;
	draw_nodes(q, p, size);
	draw_jobs(q, p);
	find_room(q, p);
	now = find_costs(q, p, noise);
	for (int j = 0; j < q->n; j++)
		p->member[q->jobs[j]] = -1;
	/* Plans as good as the present one count as better: they lead away from where nothing gets better. */
	q->limit = now - find_prices(q, now) + 1e-7 * (1 + fabs(now));
	for (int l = 0; l < q->loads; l++)
		q->price[l] = fmax(q->price[l], 1e-300);
	for (int j = 0; j < q->n; j++)
		rank_choices(q, j);
	return q->m && q->n;
}
