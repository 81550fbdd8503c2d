/* SPDX-License-Identifier: MIT */
/* What holds for every plan, over random worlds and all policies. */
#include "lib/place/plan.h"

#include <stdlib.h>

#include "tests/unit/world_lab.h"

static unsigned long seed = 1;

static unsigned draw(unsigned below)
{
	seed = seed * 6364136223846793005u + 1442695040888963407u;
	return (unsigned)(seed >> 33) % below;
}

static double steps(void *ctx, long done)
{
	(void)ctx;
	return (double)done / 20000;
}

static const struct gap_budget budget = { steps, NULL };

static void add_node(struct world *w, int i, const char *network)
{
	take(w, "{'kind':'node','name':'n%d','network':'%s','role':'%s','arch':'%s','cpu':{'cores':%u,'score':%u,"
		 "'use':%.2f},'mem':{'available_bytes':%u000000},'geo':{'lat':%u,'lon':%u}}",
		 i, network, draw(5) ? "edge" : "cloud", draw(4) ? "x86_64" : "aarch64", 1 + draw(8), 500 + draw(1000),
		 draw(60) / 100.0, 1 + draw(900), draw(50), draw(50));
}

static void add_service(struct world *w, int j, int node)
{
	char at[32] = "";

	if (node >= 0)
		snprintf(at, sizeof(at), ",'node':'n%d'", node);
	take(w, "{'kind':'service','id':'%016x','name':'s%d'%s,'usage':{'cpu':%.2f,'mem_bytes':%u000000},"
		 "'needs':{'arch':['x86_64'%s]%s}}",
		 j, j % 7, at, draw(40) / 100.0, 1 + draw(300), draw(3) ? ",'aarch64'" : "",
		 draw(4) ? "" : ",'avoid':['s3']");
	for (unsigned k = draw(3); k > 0; k--) {
		take(w, "{'kind':'user','addr':'10.0.%d.%u','service':'s%d','demand':%u,'geo':{'lat':%u,'lon':%u}}",
			 j, k, j % 7, draw(900), draw(50), draw(50));
	}
}

static struct problem_options options(void)
{
	struct problem_options o = { .rules = { NAN, NAN }, .limit = 0.5 + draw(6) / 10.0, .margin = 0.05, .payback = 3600 };

	if (o.limit > 1)
		o.limit = 1;
	problem_defaults(o.weight);
	return o;
}

/* Plays the moves: is any node, at any time, given more than it has? The service is at both nodes while it moves. */
static bool safe(const struct problem *p, const struct plan *plan)
{
	AUTO_BEARING struct bearing b = { 0 };

	if (bearing_init(&b, p, p->at))
		return false;
	for (int k = 0; k < plan->n; k++) {
		const struct plan_move *m = &plan->moves[k];

		if (b.at[m->job] != m->from || m->from == m->to || !bearing_fits(&b, m->job, m->to))
			return false;
		bearing_move(&b, m->job, m->to);
	}
	return !memcmp(b.at, plan->end, (size_t)p->g.jobs * sizeof(int));
}

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

static void test_random(int count)
{
	int unsafe = 0, barred = 0, unlike = 0, wrong = 0, pointless = 0, many = 0, moves = 0;

	for (int n = 0; n < count; n++) {
		AUTO_WORLD struct world *w = world_new();
		struct problem_options o = options();
		int nodes = 1 + (int)draw(7), services = (int)draw(12);
		enum policy policy = (enum policy)(n % POLICIES);

		for (int i = 0; i < nodes; i++)
			add_node(w, i, draw(2) ? "a" : "b");
		for (int j = 0; j < services; j++)
			add_service(w, j, (int)draw((unsigned)nodes + 1) - 1);
		world_index(w);
		AUTO_PROBLEM struct problem *p = problem_new(w, &o);
		AUTO_PLAN struct plan *plan = plan_new(p, policy, 1000, &budget), *same = plan_new(p, policy, 1000, &budget);
		AUTO_PLAN struct plan *few = plan_new(p, policy, 2, &budget);

		unsafe += !safe(p, plan) || !safe(p, few);
		many += few->n > 2;
		for (int k = 0; k < plan->n; k++)
			barred += !(p->cost[plan->moves[k].job * p->g.nodes + plan->moves[k].to] < GAP_NEVER);
		unlike += plan->n != same->n || memcmp(plan->end, same->end, (size_t)p->g.jobs * sizeof(int)) != 0;
		/* The bound holds for the plan that was found, if it was carried out and places all. */
		wrong += policy == POLICY_OPTIMAL && !plan->unplaced && plan->bound > gap_check(&p->g, plan->end, NULL) + 1e-3;
		if (policy == POLICY_OPTIMAL || policy == POLICY_GREEDY)
			pointless += again(w, p, plan, policy, &o);
		moves += plan->n;
	}
	is_int(unsafe, 0, "no node ever gets more than it has, at any step of any plan");
	is_int(barred, 0, "nothing goes where it may not be");
	is_int(many, 0, "no more moves than are allowed");
	is_int(unlike, 0, "the same input gives the same plan");
	is_int(wrong, 0, "the bound is never above a plan");
	is_int(pointless, 0, "a world as it was planned has no moves that gain nothing");
	ok(moves > count, "... and there were moves");
}

/* Users whose RTT wobbles by a twentieth: what is about as good stays where it is. */
static void test_noise(int rounds)
{
	AUTO_WORLD struct world *w = world_new();
	struct problem_options o = { .rules = { NAN, NAN }, .limit = 1, .margin = 0.15, .payback = 1e9 };
	int moves = 0;

	problem_defaults(o.weight);
	for (int i = 0; i < 4; i++) {
		take(w, "{'kind':'node','name':'n%d','cpu':{'cores':8}}", i);
	}
	for (int j = 0; j < 6; j++) {
		take(w, "{'kind':'service','name':'s%d','node':'n0','usage':{'cpu':0.1}}", j);
		take(w, "{'kind':'user','addr':'192.0.2.%d','service':'s%d','demand':1000}", j, j);
	}
	for (int n = 0; n < rounds; n++) {
		for (int i = 0; i < 4; i++)
			for (int j = 0; j < 6; j++) {
				take(w, "{'kind':'latency','from':'n%d','to':'192.0.2.%d','rtt_ms':{'p50':%.2f}}", i, j,
					 20 * (0.95 + draw(100) / 1000.0) + (i == j % 4 ? 0 : 0.5));
			}
		world_index(w);
		AUTO_PROBLEM struct problem *p = problem_new(w, &o);
		AUTO_PLAN struct plan *plan = plan_new(p, POLICY_OPTIMAL, 1000, &budget);

		moves += plan->n;
		for (int j = 0; j < p->g.jobs; j++)
			w->service[p->service[j]].node = w->node[plan->end[j]].name;
	}
	is_int(moves, 0, "noise within the margin moves nothing, over 1000 rounds");
}

/* Where there is room, a node that goes moves only what was on it. */
static void test_removal(int count)
{
	int unrelated = 0, left = 0;

	for (int n = 0; n < count; n++) {
		AUTO_WORLD struct world *w = world_new();
		struct problem_options o = { .rules = { NAN, NAN }, .limit = 1, .margin = 0.05, .payback = 3600 };
		bool failed[6] = { false };
		problem_defaults(o.weight);
		for (int i = 0; i < 6; i++) {
			take(w, "{'kind':'node','name':'n%d','cpu':{'cores':64},'geo':{'lat':%u,'lon':%u}}", i,
				 draw(50), draw(50));
		}
		for (int j = 0; j < 10; j++) {
			take(w, "{'kind':'service','name':'s%d','node':'n%u','usage':{'cpu':0.01}}", j, draw(6));
			take(w, "{'kind':'user','addr':'10.0.0.%d','service':'s%d','demand':100,'geo':{'lat':%u,'lon':%u}}",
				 j, j, draw(50), draw(50));
		}
		world_index(w);
		AUTO_PROBLEM struct problem *p = problem_new(w, &o);
		AUTO_PLAN struct plan *plan = plan_new(p, POLICY_OPTIMAL, 1000, &budget);

		for (int j = 0; j < p->g.jobs; j++)
			w->service[p->service[j]].node = w->node[plan->end[j]].name;
		failed[draw(6)] = true;
		o.failed = failed;
		AUTO_PROBLEM struct problem *q = problem_new(w, &o);
		AUTO_PLAN struct plan *next = plan_new(q, POLICY_OPTIMAL, 1000, &budget);

		left += next->unplaced;
		for (int k = 0; k < next->n; k++)
			unrelated += next->moves[k].from >= 0;
	}
	is_int(unrelated, 0, "a node that goes moves nothing but what was there");
	is_int(left, 0, "... all of which finds a place");
}

int main(void)
{
	test_random(2000);
	test_noise(1000);
	test_removal(200);
	return done();
}
