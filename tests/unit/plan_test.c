/* SPDX-License-Identifier: MIT */
/* What holds for every plan, over random worlds and all policies. */
#include "lib/place/plan.h"

#include <stdlib.h>

#include "tests/unit/plan_lab.h"

static double steps(void *ctx, long done)
{
	(void)ctx;
	return (double)done / 20000;
}

static const struct gap_budget budget = { steps, NULL };

/* Plans the same world again as it is after the plan: are there moves, none of them forced, that gain nothing? */
static bool again(struct world *w, const struct problem *p, const struct plan *plan, enum policy policy,
		 const struct problem_options *o)
{
	bool must = false;

	for (int j = 0; j < p->g.jobs; j++)
		w->service[p->service[j]].node = plan->end[j] < 0 ? -1 : w->node[plan->end[j]].name;
	AUTO_PROBLEM struct problem *q = problem_new(w, o);
	AUTO_PLAN struct plan *next = q ? plan_new(q, policy, 1000, &budget) : NULL;

	for (int k = 0; next && k < next->n; k++)
		must |= next->moves[k].forced;
	return !next || (next->n && !must && next->after >= next->before);
}

#define FULL_SEARCH 3000 /* plans */

/* The least cost of all plans that place everything, by trying them; INFINITY: there is none, or they are too many to try. */
static double least_of_all(const struct gap *g)
{
	int node[16] = { 0 };
	double least = INFINITY;
	long plans = 1;

	for (int j = 0; j < g->jobs && plans <= FULL_SEARCH; j++)
		plans *= g->nodes;
	for (long k = 0; k < plans && plans <= FULL_SEARCH; k++) {
		long rest = k;

		for (int j = 0; j < g->jobs; j++, rest /= g->nodes)
			node[j] = (int)(rest % g->nodes);
		least = fmin(least, gap_check(g, node, NULL));
	}
	return least;
}

struct verdict {
	int unsafe, above, unlike, pointless, many, moves, searched, by_policy[POLICIES];
};

static void judge(struct world *w, const struct problem_options *o, enum policy policy, struct verdict *v, int n)
{
	AUTO_PROBLEM struct problem *p = problem_new(w, o);
	AUTO_PLAN struct plan *plan = plan_new(p, policy, 1000, &budget), *same = plan_new(p, policy, 1000, &budget);
	AUTO_PLAN struct plan *few = plan_new(p, policy, 2, &budget);
	double least = policy == POLICY_OPTIMAL ? least_of_all(&p->g) : INFINITY;
	struct ledger l;
	const char *wrong;

	ledger_open(&l, p);
	wrong = ledger_play(&l, plan);
	if (!*wrong) {
		ledger_open(&l, p);
		wrong = ledger_play(&l, few);
	}
	if (*wrong)
		printf("# world %d, policy %d: a move %s\n", n, policy, wrong);
	v->unsafe += *wrong != '\0';
	v->many += few->n > 2;
	v->unlike += plan->n != same->n || memcmp(plan->end, same->end, (size_t)p->g.jobs * sizeof(int)) != 0;
	v->searched += policy == POLICY_OPTIMAL && isfinite(least);
	v->above += policy == POLICY_OPTIMAL &&
		    plan->bound > fmin(least, plan->unplaced ? INFINITY : gap_check(&p->g, plan->end, NULL)) + 1e-3;
	if (policy == POLICY_OPTIMAL || policy == POLICY_GREEDY)
		v->pointless += again(w, p, plan, policy, o);
	v->moves += plan->n;
	v->by_policy[policy] += plan->n;
}

static void test_random(int count)
{
	struct verdict v = { 0 };
	int idle = 0;

	for (int n = 0; n < count; n++) {
		AUTO_WORLD struct world *w = world_new();
		struct problem_options o = lab_options();
		int nodes = 1 + (int)draw(7), services = (int)draw(draw(3) ? 12 : 5);
		bool failed[8] = { false };

		for (int i = 0; i < nodes; i++)
			lab_node(w, i);
		for (int j = 0; j < services; j++)
			lab_service(w, j, (int)draw((unsigned)nodes + 1) - 1, nodes);
		world_index(w);
		failed[draw(8)] = true;
		o.failed = draw(4) ? NULL : failed;
		judge(w, &o, (enum policy)(n % POLICIES), &v, n);
	}
	for (int k = 0; k < POLICIES; k++)
		idle += v.by_policy[k] < count / POLICIES / 3;
	is_int(v.unsafe, 0, "each move goes where the service may be and where, at that moment, there is room for it");
	is_int(v.many, 0, "no more moves than are allowed");
	is_int(v.unlike, 0, "the same input gives the same plan");
	is_int(v.above, 0, "the bound is never above the cost of any plan");
	ok(v.searched > count / 50, "... of all of them, where they are few");
	is_int(v.pointless, 0, "a world as it was planned has no moves that gain nothing");
	is_int(idle, 0, "... and all policies made moves");
}

int main(void)
{
	test_random(3000);
	return done();
}
