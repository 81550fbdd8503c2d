/* SPDX-License-Identifier: MIT */
#include "lib/place/choice.h"

#include <stdlib.h>
#include <string.h>

struct rated {
	int node;
	double cost;
};

static int by_cost(const void *a, const void *b)
{
	const struct rated *x = a, *y = b;

	return x->cost != y->cost ? (x->cost > y->cost) - (x->cost < y->cost) : x->node - y->node;
}

/* The cost of moving decides, too, and what other services are near. */
static double rate(const struct reasons *r, int i)
{
	double part[PARTS] = { 0 }, sum = gap_cost(&r->b->p->g, r->job, i);

	reasons_link_parts(r, i, part);
	for (int k = 0; k < PARTS; k++)
		sum += part[k];
	return sum;
}

static void weigh(const struct reasons *r, int i, struct choice *c)
{
	const struct problem *p = r->b->p;
	size_t at = (size_t)r->job * p->g.nodes + (size_t)i;

	*c = (struct choice){ .node = i, .rtt_ms = NAN, .free_cores = NAN };
	c->refused = reasons_refused(r, i, true, c->why);
	if (c->refused)
		return;
	problem_parts(p, r->job, i, c->part);
	c->part[WEIGHT_SCORE] = -p->o->weight[WEIGHT_SCORE] * r->score[i];
	reasons_link_parts(r, i, c->part);
	c->cost = p->cost[at] + c->part[WEIGHT_TRAFFIC] + c->part[PART_TOGETHER] + c->part[PART_SPREAD];
	c->rtt_ms = p->rtt[at];
	if (p->g.capacity[i * TAKES] < HUGE_CAPACITY)
		c->free_cores = p->g.capacity[i * TAKES] - r->b->load[i * TAKES];
	if (!(p->paid[at] < GAP_NEVER))
		snprintf(c->why, sizeof(c->why), "%s",
			 problem_unmeasured(p, r->job, i) ? REASON_UNMEASURED : "it has moved a short time ago");
	else
		reasons_hindered(r, i, true, c->why);
}

struct choice *choices_new(const struct problem *p, const struct plan *plan, int job, int most, int *n)
{
	AUTO_FREE struct rated *order = malloc(((size_t)p->g.nodes + 1) * sizeof(*order));
	AUTO_BEARING struct bearing b = { 0 };
	AUTO_REASONS struct reasons r = { 0 };
	struct choice *all;

	*n = most < p->g.nodes ? most : p->g.nodes;
	all = malloc(((size_t)*n + 1) * sizeof(*all));
	if (!order || !all || bearing_init(&b, p, plan->end))
		abort();
	bearing_move(&b, job, -1);
	reasons_init(&r, &b, job);
	for (int i = 0; i < p->g.nodes; i++)
		order[i] = (struct rated){ i, rate(&r, i) };
	qsort(order, (size_t)p->g.nodes, sizeof(*order), by_cost);
	for (int k = 0; k < *n; k++)
		weigh(&r, order[k].node, &all[k]);
	return all;
}

/* --- for people */

void choice_show_cost(FILE *f, double cost, const double part[PARTS])
{
	const char *before = " (";

	fprintf(f, "cost %.6g", cost);
	for (int k = 0; k < PARTS; k++) {
		if (k == WEIGHT_MOVE || part[k] == 0)
			continue;
		fprintf(f, "%s%s %.4g", before, problem_part(k), part[k]);
		before = ", ";
	}
	if (*before == ',')
		fputc(')', f);
	if (part[WEIGHT_MOVE] > 0)
		fprintf(f, " + %.4g to move", part[WEIGHT_MOVE]);
}

static void show(FILE *f, const struct problem *p, const struct plan *plan, int job)
{
	int n;
	AUTO_FREE struct choice *all = choices_new(p, plan, job, p->g.nodes, &n);

	fprintf(f, "%s: now at %s, then at %s\n", problem_name(p, job), problem_node_name(p, p->at[job]),
		problem_node_name(p, plan->end[job]));
	for (int k = 0; k < n; k++) {
		const struct choice *c = &all[k];

		fprintf(f, "%c %-20s ", c->node == plan->end[job] ? '*' : ' ', problem_node_name(p, c->node));
		if (c->refused) {
			fprintf(f, "no: %s\n", c->why);
			continue;
		}
		choice_show_cost(f, c->cost, c->part);
		if (!isnan(c->rtt_ms))
			fprintf(f, ", users' RTT %.4g ms", c->rtt_ms);
		if (c->why[0])
			fprintf(f, ", no: %s", c->why);
		else if (!isnan(c->free_cores))
			fprintf(f, ", %.4g of %.4g cores free", c->free_cores, p->g.capacity[c->node * TAKES]);
		fputc('\n', f);
	}
}

int choices_show(FILE *f, const struct problem *p, const struct plan *plan, const char *service)
{
	int n = 0;

	for (int j = 0; j < p->g.jobs; j++)
		if (!strcmp(problem_name(p, j), service)) {
			show(f, p, plan, j);
			n++;
		}
	return n;
}
