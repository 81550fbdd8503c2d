/* SPDX-License-Identifier: MIT */
#include <stdlib.h>
#include <string.h>

#include "lib/place/gap_search.h"

double gap_nowhere(const struct gap *g)
{
	double low = 0, high = 0;

	for (size_t i = 0; i < (size_t)g->jobs * g->nodes; i++)
		if (g->cost[i] < GAP_NEVER) {
			low = fmin(low, g->cost[i]);
			high = fmax(high, g->cost[i]);
		}
	high += 10 * (1 + high - low);
	for (int l = 0; l < g->n_links; l++)
		if (isfinite(g->links[l].weight))
			high += g->links[l].weight;
	return high;
}

struct ranked {
	double value;
	int what;
};

static int by_value(const void *a, const void *b)
{
	const struct ranked *x = a, *y = b;

	return x->value != y->value ? (x->value > y->value) - (x->value < y->value) : x->what - y->what;
}

double gap_plan_priced(const struct gap_plan *p, int j, int i)
{
	double c = gap_cost(p->g, j, i);

	for (int r = 0; r < p->g->resources; r++)
		c += p->price[(size_t)i * p->g->resources + r] * gap_use(p->g, j, i, r);
	return c;
}

static int choose_nodes(struct gap_plan *p)
{
	const struct gap *g = p->g;
	AUTO_FREE struct ranked *row = malloc((size_t)(g->nodes + 1) * sizeof(*row));

	p->choice = calloc((size_t)g->jobs * p->choices + 1, sizeof(int));
	if (!row || !p->choice)
		return -1;
	for (int j = 0; j < g->jobs; j++) {
		int n = 0;

		for (int i = 0; i < g->nodes; i++)
			if (gap_cost(g, j, i) < GAP_NEVER)
				row[n++] = (struct ranked){ gap_plan_priced(p, j, i), i };
		qsort(row, (size_t)n, sizeof(*row), by_value);
		for (int k = 0; k < p->choices; k++)
			p->choice[(size_t)j * p->choices + k] = k < n ? row[k].what : g->nodes;
	}
	return 0;
}

/* A unit too much costs at least its price, and never nothing: else an unpriced capacity would not hold at all. */
static void set_rates(struct gap_plan *p)
{
	const struct gap *g = p->g;
	double gaps = 0;

	for (int j = 0; j < g->jobs; j++) {
		const int *c = p->choice + (size_t)j * p->choices;
		double least = INFINITY, most = -INFINITY;

		for (int k = 0; k < p->choices && c[k] < g->nodes; k++) {
			least = fmin(least, gap_cost(g, j, c[k]));
			most = fmax(most, gap_cost(g, j, c[k]));
		}
		gaps += most > least ? most - least : 0;
	}
	for (int r = 0; r < g->resources; r++) {
		double use = 0, mean = 0;

		for (int j = 0; j < g->jobs; j++)
			use += p->choice[(size_t)j * p->choices] < g->nodes ?
				       gap_use(g, j, p->choice[(size_t)j * p->choices], r) : 0;
		for (int i = 0; i < g->nodes; i++)
			mean += p->price[(size_t)i * g->resources + r] / g->nodes;
		mean += use > 0 ? 0.1 * (fabs(gaps) + 1e-6) / use : 0;
		for (int i = 0; i < g->nodes; i++)
			p->rate[(size_t)i * g->resources + r] =
				fmax(p->price[(size_t)i * g->resources + r], 0.5 * mean);
	}
}

int gap_links(const struct gap *g, int **link_of, int **link_end)
{
	*link_of = malloc((2 * (size_t)g->n_links + 1) * sizeof(int));
	*link_end = calloc((size_t)g->jobs + 2, sizeof(int));
	if (!*link_of || !*link_end)
		return -1;
	int *end = *link_end + 1; /* shifted, so that end[j - 1] is there for job 0 */

	for (int l = 0; l < g->n_links; l++) {
		end[g->links[l].a + 1]++;
		end[g->links[l].b + 1]++;
	}
	for (int j = 0; j < g->jobs; j++)
		end[j + 1] += end[j];
	for (int l = 0; l < g->n_links; l++) {
		(*link_of)[end[g->links[l].a]++] = l;
		(*link_of)[end[g->links[l].b]++] = l;
	}
	return 0;
}

struct gap_plan *gap_plan_new(const struct gap *g, const double *price, int choices)
{
	AUTO(gap_plan_free_auto) struct gap_plan *p = calloc(1, sizeof(*p));
	size_t all = (size_t)g->nodes * g->resources + 1;

	if (!p)
		return NULL;
	p->g = g;
	p->price = price;
	p->nowhere = gap_nowhere(g);
	p->clash = 1.5 * p->nowhere;
	p->seed = 0x9e3779b97f4a7c15u;
	p->strict = 1;
	p->choices = choices < g->nodes ? choices : g->nodes > 0 ? g->nodes : 1;
	p->rate = calloc(all, sizeof(double));
	p->load = calloc(all, sizeof(double));
	p->fine = calloc((size_t)g->nodes + 1, sizeof(double));
	p->at = malloc(((size_t)g->jobs + 1) * sizeof(int));
	p->slot = malloc(((size_t)g->jobs + 1) * sizeof(int));
	p->member = malloc(((size_t)g->jobs + 1) * sizeof(int));
	p->list = calloc((size_t)g->nodes + 1, sizeof(*p->list));
	if (!p->rate || !p->load || !p->fine || !p->at || !p->slot || !p->member || !p->list || choose_nodes(p) || gap_links(g, &p->link_of, &p->link_end))
		return NULL;
	p->list[g->nodes].jobs = malloc(((size_t)g->jobs + 1) * sizeof(int));
	p->list[g->nodes].room = g->jobs;
	if (!p->list[g->nodes].jobs)
		return NULL;
	set_rates(p);
	gap_plan_clear(p);
	return TAKE_PTR(p);
}

void gap_plan_free(struct gap_plan *p)
{
	for (int i = 0; p->list && i <= p->g->nodes; i++)
		free(p->list[i].jobs);
	free(p->list);
	free(p->rate);
	free(p->load);
	free(p->fine);
	free(p->at);
	free(p->slot);
	free(p->member);
	free(p->choice);
	free(p->link_of);
	free(p->link_end);
	free(p);
}

void gap_plan_clear(struct gap_plan *p)
{
	const struct gap *g = p->g;

	memset(p->load, 0, (size_t)g->nodes * g->resources * sizeof(double));
	memset(p->fine, 0, (size_t)g->nodes * sizeof(double));
	for (int i = 0; i <= g->nodes; i++)
		p->list[i].n = 0;
	for (int j = 0; j < g->jobs; j++) {
		p->at[j] = g->nodes;
		p->slot[j] = j;
		p->member[j] = -1;
		p->list[g->nodes].jobs[j] = j;
	}
	p->list[g->nodes].n = g->jobs;
	p->cost = g->jobs * p->nowhere;
	p->overfull = p->clashes = 0;
	for (int i = 0; i < g->nodes; i++) {
		p->fine[i] = gap_plan_fine(p, i, -1, -1);
		p->overfull += p->fine[i] > 0;
	}
}

double gap_plan_cost(const struct gap_plan *p, int j, int i)
{
	return i == p->g->nodes ? p->nowhere : gap_cost(p->g, j, i);
}

double gap_plan_fine(const struct gap_plan *p, int i, int in, int out)
{
	const struct gap *g = p->g;
	double sum = 0;

	for (int r = 0; r < g->resources; r++) {
		size_t at = (size_t)i * g->resources + r;
		double load = p->load[at];

		if (in >= 0)
			load += gap_use(g, in, i, r);
		if (out >= 0)
			load -= gap_use(g, out, i, r);
		if (gap_over(load, g->capacity[at]))
			sum += p->rate[at] * (load - g->capacity[at]);
	}
	return sum;
}

double gap_plan_link(const struct gap_plan *p, const struct gap_link *l, int a, int b)
{
	const struct gap *g = p->g;

	if (a == g->nodes || b == g->nodes)
		return 0;
	if (isinf(l->weight))
		return a == b ? p->clash : 0;
	return gap_link_cost(g, l, a, b);
}

/* What the links of job j cost, when it is at i, and job k (or -1) at `on`; without the link between the two if `skip`. */
static double links_at(const struct gap_plan *p, int j, int i, int k, int on, bool skip)
{
	double sum = 0;

	for (int n = p->link_end[j]; n < p->link_end[j + 1]; n++) {
		const struct gap_link *l = &p->g->links[p->link_of[n]];
		int other = l->a == j ? l->b : l->a;

		if (other != k)
			sum += gap_plan_link(p, l, i, p->at[other]);
		else if (!skip)
			sum += gap_plan_link(p, l, i, on);
	}
	return sum;
}

/* What its links cost if it were at i and the others where they are. */
static double links_now(const struct gap_plan *p, int j, int i)
{
	return links_at(p, j, i, -1, 0, false);
}

static double links_change(const struct gap_plan *p, const struct gap_change *c)
{
	double sum = links_at(p, c->j, c->to, c->k, c->on, false) - links_now(p, c->j, p->at[c->j]);

	if (c->k >= 0)
		sum += links_at(p, c->k, c->on, c->j, 0, true) - links_at(p, c->k, c->to, c->j, 0, true);
	return sum;
}

double gap_plan_price(const struct gap_plan *p, const struct gap_change *c)
{
	int none = p->g->nodes, from = p->at[c->j], back = c->on == from ? c->k : -1;
	double cost = gap_plan_cost(p, c->j, c->to) - gap_plan_cost(p, c->j, from), fine = 0;

	if (c->k >= 0)
		cost += gap_plan_cost(p, c->k, c->on) - gap_plan_cost(p, c->k, c->to);
	if (p->g->n_links)
		cost += links_change(p, c);
	if (c->to != none)
		fine += gap_plan_fine(p, c->to, c->j, c->k) - p->fine[c->to];
	if (from != none)
		fine += gap_plan_fine(p, from, back, c->j) - p->fine[from];
	if (c->k >= 0 && c->on != from && c->on != none)
		fine += gap_plan_fine(p, c->on, c->k, -1) - p->fine[c->on];
	return cost + p->strict * fine;
}

static int clashes_of(const struct gap_plan *p, int j)
{
	int n = 0;

	for (int k = p->link_end[j]; k < p->link_end[j + 1]; k++) {
		const struct gap_link *l = &p->g->links[p->link_of[k]];

		n += isinf(l->weight) && p->at[l->a] == p->at[l->b] && p->at[l->a] != p->g->nodes;
	}
	return n;
}

static void bear(struct gap_plan *p, int i, int j, double sign)
{
	const struct gap *g = p->g;

	if (i == g->nodes)
		return;
	for (int r = 0; r < g->resources; r++)
		p->load[(size_t)i * g->resources + r] += sign * gap_use(g, j, i, r);
	p->overfull -= p->fine[i] > 0;
	p->fine[i] = gap_plan_fine(p, i, -1, -1);
	p->overfull += p->fine[i] > 0;
}

/* One job to another node. */
static int put(struct gap_plan *p, int j, int to)
{
	struct gap_list *l = &p->list[p->at[j]], *m = &p->list[to];

	if (m->n == m->room) {
		int room = 2 * m->room + 8, *more = realloc(m->jobs, (size_t)room * sizeof(int));

		if (!more)
			return -1;
		m->jobs = more;
		m->room = room;
	}
	p->cost += gap_plan_cost(p, j, to) - gap_plan_cost(p, j, p->at[j]);
	if (p->g->n_links) {
		p->cost += links_now(p, j, to) - links_now(p, j, p->at[j]);
		p->clashes -= clashes_of(p, j);
	}
	l->jobs[p->slot[j]] = l->jobs[--l->n];
	p->slot[l->jobs[p->slot[j]]] = p->slot[j];
	bear(p, p->at[j], j, -1);
	p->at[j] = to;
	p->slot[j] = m->n;
	m->jobs[m->n++] = j;
	bear(p, to, j, 1);
	if (p->g->n_links)
		p->clashes += clashes_of(p, j);
	return 0;
}

int gap_plan_make(struct gap_plan *p, const struct gap_change *c)
{
	return (c->k >= 0 && put(p, c->k, c->on)) || put(p, c->j, c->to) ? -1 : 0;
}

/* Jobs that break a rule where they are go nowhere: of two that must be apart the second; of a full node the last ones. */
static int relieve(struct gap_plan *p)
{
	const struct gap *g = p->g;

	for (int l = 0; l < g->n_links; l++)
		if (isinf(g->links[l].weight) && p->at[g->links[l].a] == p->at[g->links[l].b] && put(p, g->links[l].b, g->nodes))
			return -1;
	for (int i = 0; i < g->nodes; i++)
		while (p->fine[i] > 0 && p->list[i].n)
			if (put(p, p->list[i].jobs[p->list[i].n - 1], g->nodes))
				return -1;
	return 0;
}

int gap_plan_set(struct gap_plan *p, const int *node)
{
	gap_plan_clear(p);
	for (int j = 0; j < p->g->jobs; j++)
		if (node[j] >= 0 && node[j] < p->g->nodes && gap_cost(p->g, j, node[j]) < GAP_NEVER &&
		    put(p, j, node[j]))
			return -1;
	return relieve(p);
}

static bool fits(const struct gap_plan *p, int j, int i)
{
	struct gap_change c = { j, i, -1, -1 };

	return gap_cost(p->g, j, i) < GAP_NEVER && gap_plan_fine(p, i, j, -1) <= p->fine[i] &&
	       gap_plan_price(p, &c) < 0;
}

/* The best of its good nodes with room, else the cheapest with room, else nowhere. */
static int best_room(const struct gap_plan *p, int j)
{
	const int *c = p->choice + (size_t)j * p->choices;
	int best = p->g->nodes;

	for (int k = 0; k < p->choices && c[k] < p->g->nodes; k++)
		if (fits(p, j, c[k]))
			return c[k];
	for (int i = 0; i < p->g->nodes; i++)
		if ((best == p->g->nodes || gap_cost(p->g, j, i) < gap_cost(p->g, j, best)) && fits(p, j, i))
			best = i;
	return best;
}

int gap_plan_fill(struct gap_plan *p)
{
	const struct gap *g = p->g;
	AUTO_FREE struct ranked *order = malloc(((size_t)g->jobs + 1) * sizeof(*order));
	int n = 0;

	if (!order)
		return -1;
	for (int j = 0; j < g->jobs; j++) {
		const int *c = p->choice + (size_t)j * p->choices;

		if (p->at[j] != g->nodes || c[0] == g->nodes)
			continue;
		order[n++] = (struct ranked){ p->choices > 1 && c[1] < g->nodes ?
						      gap_plan_priced(p, j, c[0]) - gap_plan_priced(p, j, c[1]) :
						      -INFINITY, j };
	}
	qsort(order, (size_t)n, sizeof(*order), by_value);
	for (int k = 0; k < n; k++) {
		int to = best_room(p, order[k].what);

		if (to < g->nodes && put(p, order[k].what, to))
			return -1;
	}
	return 0;
}

void gap_plan_keep(const struct gap_plan *p, struct gap_best *best)
{
	if (!gap_plan_holds(p) || p->cost >= best->cost - 1e-9 * fabs(best->cost))
		return;
	memcpy(best->node, p->at, (size_t)p->g->jobs * sizeof(int));
	best->cost = p->cost;
}
