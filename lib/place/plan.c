/* SPDX-License-Identifier: MIT */
#include "lib/place/plan.h"

#include <stdlib.h>
#include <string.h>

static const char *const names[POLICIES] = { "optimal", "greedy", "same-network-first", "pack", "spread" };

enum policy plan_policy(const char *name)
{
	int k = 0;

	while (k < POLICIES && strcmp(names[k], name) != 0)
		k++;
	return (enum policy)k;
}

/* --- which moves, and in which order */

struct ordering {
	struct bearing b;
	struct plan *plan;
	bool must_pay;
	int room; /* moves that may still be made */
	bool *must; /* [jobs]: it may not stay, whatever it costs */
	int *seen, companies; /* [jobs]: the last company that it was looked for in, of so many */
	int *failed, pass;    /* [jobs]: the last pass in which its company did not pay */
};

static bool pending(const struct ordering *o, int j)
{
	return o->plan->target[j] >= 0 && o->plan->target[j] != o->b.at[j];
}

/* A job's move is forced while it may not be where it is, or its node has too much. */
static bool forced(const struct ordering *o, int j)
{
	return o->must[j] || bearing_over(&o->b, o->b.at[j]);
}

static bool pays(const struct ordering *o, int j, double gain)
{
	const struct problem *p = o->b.p;

	if (!o->must_pay || forced(o, j))
		return true;
	return gain > 0 && problem_predict(p, j, o->b.at[j], o->plan->target[j], gain).break_even_s <= p->o->payback;
}

static int make(struct ordering *o, int j, int to, int detour_of)
{
	struct plan *plan = o->plan;
	struct plan_move *more = realloc(plan->moves, ((size_t)plan->n + 1) * sizeof(*more)), *m;

	if (!more)
		return -1;
	plan->moves = more;
	m = &more[plan->n++];
	*m = (struct plan_move){ .job = j, .from = o->b.at[j], .to = to, .detour_of = detour_of };
	m->forced = m->from < 0 || forced(o, j);
	m->gain = bearing_gain(&o->b, j, to, false);
	m->predicted = problem_predict(o->b.p, j, m->from, to, m->gain);
	bearing_move(&o->b, j, to);
	o->must[j] = false;
	o->room--;
	return 0;
}

/* Would j fit where it is to go, if k were not there any more? */
static bool fits_without(struct ordering *o, int j, int k)
{
	int at = o->b.at[k];
	bool fits;

	bearing_move(&o->b, k, -1);
	fits = bearing_fits(&o->b, j, o->plan->target[j]);
	bearing_move(&o->b, k, at);
	return fits;
}

/* Another move, which makes room for that of j, and may go elsewhere first (a detour): -1 if there is none that pays. */
static int helper(struct ordering *o, int j, bool detour, int *to)
{
	const struct problem *p = o->b.p;
	double gain = bearing_gain(&o->b, j, o->plan->target[j], true);

	for (int k = 0; k < p->g.jobs; k++) {
		if (k == j || !pending(o, k) || o->b.at[k] != o->plan->target[j] || !fits_without(o, j, k))
			continue;
		if (!pays(o, j, gain + bearing_gain(&o->b, k, o->plan->target[k], true)))
			continue;
		*to = o->plan->target[k];
		if (!detour && bearing_fits(&o->b, k, *to))
			return k;
		for (*to = 0; detour && *to < p->g.nodes; ++*to)
			if (*to != o->plan->target[k] && *to != o->plan->target[j] && bearing_fits(&o->b, k, *to))
				return k;
	}
	return -1;
}

/* 1: moved; 0: not now; -1: out of memory. */
static int try_move(struct ordering *o, int j, bool detour)
{
	int to = o->plan->target[j], k, aside;

	if (bearing_fits(&o->b, j, to))
		return pays(o, j, bearing_gain(&o->b, j, to, true)) ? (make(o, j, to, -1) ? -1 : 1) : 0;
	if (o->room < (detour ? 3 : 2) || (k = helper(o, j, detour, &aside)) < 0)
		return 0;
	/* What had to go aside goes on from there when its turn comes: it is pending, and must. */
	if (make(o, k, aside, detour ? j : -1) || make(o, j, to, -1))
		return -1;
	o->must[k] = detour;
	return 1;
}

#define COMPANY 32 /* services that are tried together */

/* The jobs that talk to j, or to one that does, and are to move like it; j is the first. How many. */
static int company(struct ordering *o, int j, int jobs[COMPANY])
{
	const struct problem *p = o->b.p;
	int n = 1;

	jobs[0] = j;
	o->seen[j] = ++o->companies;
	for (int k = 0; k < n; k++)
		for (int l = p->link_end[jobs[k]]; l < p->link_end[jobs[k] + 1] && n < COMPANY; l++) {
			const struct gap_link *x = &p->links[p->link_of[l]];
			int other = x->a == jobs[k] ? x->b : x->a;

			if (isinf(x->weight) || x->apart || !pending(o, other) || o->seen[other] == o->companies)
				continue;
			o->seen[other] = o->companies;
			jobs[n++] = other;
		}
	return n;
}

/* Do they fit, one after the other, and pay all together? If they fit and are all, none need ask again in this pass. */
static bool pay_together(struct ordering *o, const int *jobs, int n)
{
	const struct problem *p = o->b.p;
	const int *to = o->plan->target;
	double gain = 0, break_even = 0;
	int made = 0;

	for (; made < n && bearing_fits(&o->b, jobs[made], to[jobs[made]]); made++) {
		gain += bearing_gain(&o->b, jobs[made], to[jobs[made]], true);
		bearing_move(&o->b, jobs[made], to[jobs[made]]);
	}
	for (int k = made - 1; k >= 0; k--)
		bearing_move(&o->b, jobs[k], p->at[jobs[k]]);
	for (int k = 0; k < n && gain > 0; k++)
		break_even += problem_predict(p, jobs[k], p->at[jobs[k]], to[jobs[k]], gain).break_even_s;
	if (made == n && gain > 0 && break_even <= p->o->payback)
		return true;
	for (int k = 0; k < n && made == n && n < COMPANY; k++)
		o->failed[jobs[k]] = o->pass;
	return false;
}

/* Services that talk to each other may pay together where none does alone. As try_move(). */
static int try_company(struct ordering *o, int j)
{
	int jobs[COMPANY], n = o->failed[j] == o->pass ? 0 : company(o, j, jobs);

	for (int k = 0; k < n; k++)
		if (o->b.at[jobs[k]] != o->b.p->at[jobs[k]])
			return 0; /* it has gone aside */
	if (n < 2 || n > o->room || !pay_together(o, jobs, n))
		return 0;
	for (int k = 0; k < n; k++)
		if (make(o, jobs[k], o->plan->target[jobs[k]], -1))
			return -1;
	return 1;
}

struct rated {
	int job;
	bool must;
	double gain;
};

static int better(const void *a, const void *b)
{
	const struct rated *x = a, *y = b;

	if (x->must != y->must)
		return y->must - x->must;
	return x->gain != y->gain ? (x->gain < y->gain) - (x->gain > y->gain) : x->job - y->job;
}

static int order(struct ordering *o, struct rated *list)
{
	const struct problem *p = o->b.p;

	for (bool detour = false, again = true; again && o->room > 0;) {
		int n = 0;

		for (int j = 0; j < p->g.jobs; j++)
			if (pending(o, j))
				list[n++] = (struct rated){
					j, o->must[j], o->must_pay ? bearing_gain(&o->b, j, o->plan->target[j], true) : 0
				};
		qsort(list, (size_t)n, sizeof(*list), better);
		again = false;
		o->pass++;
		for (int k = 0; k < n && o->room > 0; k++) {
			int rc = pending(o, list[k].job) ? try_move(o, list[k].job, detour) : 0;

			if (!rc && !detour && o->must_pay && p->g.n_links && pending(o, list[k].job))
				rc = try_company(o, list[k].job);
			if (rc < 0)
				return -1;
			again |= rc;
			if (rc && detour)
				break;
		}
		if (!again && !detour)
			again = detour = true;
		else
			detour = false;
	}
	return 0;
}

/* --- the whole */

/* Does any job take of it, and any node tell how much it has? */
static bool matters(const struct problem *p, int r)
{
	size_t n = (size_t)p->g.jobs * (p->g.use[r].by_node ? (size_t)p->g.nodes : 1), k = 0;
	int i = 0;

	while (k < n && !(p->use[r][k] > 0))
		k++;
	while (i < p->g.nodes && !(p->capacity[i * TAKES + r] < HUGE_CAPACITY))
		i++;
	return k < n && i < p->g.nodes;
}

/* Without the resources that do not matter: each takes time in the inmost loops. */
static int solve(const struct problem *p, const struct gap_budget *budget, struct gap_answer *a)
{
	AUTO_FREE double *capacity = malloc(((size_t)p->g.nodes + 1) * TAKES * sizeof(*capacity));
	struct gap g = p->g;
	int kept[TAKES];

	if (!capacity)
		return -1;
	g.resources = 0;
	for (int r = 0; r < TAKES; r++)
		if (matters(p, r)) {
			kept[g.resources] = r;
			g.use[g.resources++] = p->g.use[r];
		}
	for (int i = 0; i < g.nodes; i++)
		for (int k = 0; k < g.resources; k++)
			capacity[i * g.resources + k] = p->capacity[i * TAKES + kept[k]];
	g.capacity = capacity;
	return gap_solve(&g, p->at, budget, a, NULL);
}

static int choose(const struct problem *p, enum policy policy, const struct gap_budget *budget, struct plan *plan)
{
	AUTO_BEARING struct bearing b = { 0 };
	AUTO_GAP struct gap_answer a = { 0 };

	plan->bound = -INFINITY;
	if (policy == POLICY_OPTIMAL) {
		if (solve(p, budget, &a))
			return -1;
		memcpy(plan->target, a.node, (size_t)p->g.jobs * sizeof(int));
		plan->bound = a.bound;
		plan->steps = a.steps;
		return 0;
	}
	if (bearing_init(&b, p, p->at))
		return -1;
	policy_apply(&b, policy);
	memcpy(plan->target, b.at, (size_t)p->g.jobs * sizeof(int));
	return 0;
}

/* Jobs that may not be where they are, or are nowhere. */
static bool *find_musts(const struct problem *p)
{
	bool *must = calloc((size_t)p->g.jobs + 1, sizeof(*must));

	for (int j = 0; must && j < p->g.jobs; j++)
		must[j] = p->at[j] < 0 || !(p->cost[(size_t)j * p->g.nodes + p->at[j]] < GAP_NEVER);
	return must;
}

static int make_plan(const struct problem *p, enum policy policy, int max_moves, const struct gap_budget *budget,
		     struct plan *plan, struct ordering *o)
{
	AUTO_FREE struct rated *list = malloc(((size_t)p->g.jobs + 1) * sizeof(*list));

	if (!list || !o->must || !o->seen || !o->failed || bearing_init(&o->b, p, p->at) || choose(p, policy, budget, plan))
		return -1;
	plan->before = bearing_cost(&o->b);
	o->plan = plan;
	/* Where the goal of a policy is not the cost, the cost does not decide. */
	o->must_pay = plan->by_cost = policy == POLICY_OPTIMAL || policy == POLICY_GREEDY;
	o->room = max_moves;
	if (order(o, list))
		return -1;
	plan->after = bearing_cost(&o->b);
	for (int j = 0; j < p->g.jobs; j++) {
		plan->end[j] = o->b.at[j];
		plan->unplaced += o->b.at[j] < 0;
		plan->withheld += pending(o, j);
	}
	return 0;
}

struct plan *plan_new(const struct problem *p, enum policy policy, int max_moves, const struct gap_budget *budget)
{
	AUTO_PLAN struct plan *plan = calloc(1, sizeof(*plan));
	struct ordering o = { .must = find_musts(p) };
	int rc = -1;

	o.seen = calloc((size_t)p->g.jobs + 1, sizeof(int));
	o.failed = calloc((size_t)p->g.jobs + 1, sizeof(int));
	if (plan) {
		plan->target = malloc(((size_t)p->g.jobs + 1) * sizeof(int));
		plan->end = malloc(((size_t)p->g.jobs + 1) * sizeof(int));
		if (plan->target && plan->end)
			rc = make_plan(p, policy, max_moves, budget, plan, &o);
	}
	bearing_release(&o.b);
	free(o.must);
	free(o.seen);
	free(o.failed);
	return rc ? NULL : TAKE_PTR(plan);
}

void plan_free(struct plan *p)
{
	free(p->target);
	free(p->end);
	free(p->moves);
	free(p);
}
