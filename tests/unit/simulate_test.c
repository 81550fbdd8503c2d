/* SPDX-License-Identifier: MIT */
/* Traces through policies, and what holds for every decision about replicas; records of all kinds of nonsense. */
#include "lib/place/simulate.h"

#include <math.h>
#include <stdlib.h>

#include "lib/place/replicas.h"
#include "tests/unit/trace_lab.h"

static double steps(void *ctx, long done)
{
	(void)ctx;
	return (double)done / 3000;
}

static const struct gap_budget budget = { steps, NULL };

static struct problem_options defaults(void)
{
	struct problem_options o = { .rules = { NAN, NAN }, .limit = 1, .margin = 0.05, .cooldown = 300, .payback = 3600 };

	problem_defaults(o.weight);
	return o;
}

static struct simulation *begin(const struct problem_options *o, enum policy policy)
{
	const struct simulate_options s = { .problem = o, .policy = policy, .max_moves = 1000, .bound_ms = 20, .every = 60, .budget = &budget };

	return simulation_new(&s);
}

static void test_account(void)
{
	struct problem_options o = defaults();
	AUTO_SIMULATION struct simulation *s = begin(&o, POLICY_OPTIMAL);
	const struct simulate_totals *t = simulation_totals(s);

	tell(s, "{'kind':'node','name':'a','at':'%s','cpu':{'cores':4,'score':1000},'geo':{'lat':48,'lon':11},'power':{'idle_w':50,'max_w':150}}", at(0));
	tell(s, "{'kind':'node','name':'b','cpu':{'cores':8,'score':1000},'geo':{'lat':57,'lon':11},'power':{'idle_w':50,'max_w':150}}");
	tell(s, "{'kind':'service','name':'w','node':'a','usage':{'cpu':0.5,'mem_bytes':1e6},'wants':{'rtt_ms':10}}");
	tell(s, "{'kind':'user','addr':'192.0.2.1','service':'w','demand':100,'geo':{'lat':57,'lon':11}}");
	tell(s, "{'kind':'end','at':'%s'}", at(3600));
	is_int(t->decisions, 60, "a decision a minute");
	is_int(t->moves, 1, "the service goes to its user");
	is_int((long)t->user_s, 360000, "a user counts as its demand");
	is_int((long)t->over_s, 0, "it is served well from the first decision on");
	/* Two of four cores are two of eight: a quarter of the way from 50 to 150 W. */
	is_int(lround(t->joules / 3600), 75, "its work is converted, and the node that it left sleeps");
	is_int((long)t->awake_s, 3600, "... from then on");
	tell(s, "{'kind':'node','name':'b','state':'failed','at':'%s'}", at(3601));
	tell(s, "{'kind':'end','at':'%s'}", at(3660));
	is_int((long)t->down_s, 59, "a node that fails has its services nowhere");
	tell(s, "{'kind':'end','at':'%s'}", at(7200));
	is_int((long)t->down_s, 59, "... until the next decision");
	is_int(t->starts, 1, "... which starts it elsewhere");
	is_int((long)t->over_s, 360000 - 6000, "... where its users wait too long");
	is_str(tell(s, "{'kind':'node','name':'a','at':'%s'}", at(7100)), "100 s earlier than the record before it", "time does not go back");
	is_str(tell(s, "{'kind':'node','name':'a','at':'soon'}"), "at: not a time as 2026-01-01T00:00:00Z", "a time that is none");
	is_str(tell(s, "{'kind':'node','name':'a','cpu':{'cores':-1}}"), "node a: cpu.cores: -1: not from 0 to 1000000", "nor do numbers make sense");
}

/* The same lines through two simulations. Load stays, nodes come and go, users wander. */
static void chance(struct simulation *s, unsigned long from)
{
	int nodes, services;

	draw_seed = from;
	nodes = 2 + (int)draw(5);
	services = 1 + (int)draw(6);
	for (int i = 0; i < nodes; i++)
		tell(s, "{'kind':'node','name':'n%d','at':'%s','network':'%c','role':'%s','cpu':{'cores':%u,'score':%u},'mem':{'available_bytes':%u000000000},"
			"'geo':{'lat':%u,'lon':%u},'power':{'idle_w':40,'max_w':90}}", i, at(0), draw(2) ? 'a' : 'b', draw(5) ? "edge" : "cloud",
		     8 + draw(8), 900 + draw(200), 10 + draw(9), draw(50), draw(50));
	for (int j = 0; j < services; j++)
		tell(s, "{'kind':'service','name':'s%d','node':'n%u','usage':{'cpu':%.3f,'mem_bytes':%u},'needs':{%s}}", j, draw((unsigned)nodes),
		     draw(60) / 1000.0, 1 + draw(1000000), draw(2) ? "'max':3" : "");
	for (int n = 1; n < 20; n++) {
		tell(s, "{'kind':'user','addr':'10.0.0.%u','service':'s%u','demand':%u,'at':'%s','geo':{'lat':%u,'lon':%u}}", draw(9),
		     draw((unsigned)services), draw(30), at(60 * n + (int)draw(60)), draw(50), draw(50));
	}
	tell(s, "{'kind':'end','at':'%s'}", at(1800));
}

static void test_chance(int count)
{
	int full = 0, unlike = 0, odd = 0, down = 0, acts = 0;

	for (int n = 0; n < count; n++) {
		struct problem_options o = defaults();
		enum policy policy = (enum policy)(n % (POLICIES + 1));
		AUTO_SIMULATION struct simulation *a = begin(&o, policy), *b = begin(&o, policy);
		const struct simulate_totals *t = simulation_totals(a), *u = simulation_totals(b);

		chance(a, (unsigned long)n);
		chance(b, (unsigned long)n);
		full += t->overload_s > 0;
		down += t->down_s > 0;
		unlike += memcmp(t, u, sizeof(*t)) != 0; /* NOLINT: both zeroed, and set by the same code */
		odd += t->over_s > t->user_s + 1e-6 || t->felt_s > t->user_s + 1e-6 || !(t->joules >= 0) || t->decisions != 30;
		acts += t->moves + t->replicas + t->redirects;
	}
	is_int(full, 0, "with room for all, no policy fills a node beyond what it has, over all traces");
	is_int(down, 0, "... nor leaves a service without a node");
	is_int(unlike, 0, "the same trace gives the same outcome");
	is_int(odd, 0, "sums are what they can be");
	ok(acts > count, "... and things happened");
}

/* --- replicas */

static struct world *crowd(int nodes, int services)
{
	struct world *w = world_new();

	for (int i = 0; i < nodes; i++)
		take(w, "{'kind':'node','name':'n%d','arch':'%s','cpu':{'cores':%u},'users_max':%u,'geo':{'lat':%u,'lon':%u}}", i,
		     draw(5) ? "x86_64" : "aarch64", 1 + draw(6), 5 + draw(60), draw(50), draw(50));
	for (int j = 0; j < services; j++) {
		unsigned min = draw(3), have = 1 + draw(3);

		for (unsigned k = 0; k < have; k++)
			take(w, "{'kind':'service','id':'%08x%08x','name':'s%d','node':'n%u','profile':{'cpu':%u},'users_max':%u,"
				"'needs':{'arch':'x86_64','min':%u,'max':%u}}", j, k, j, (unsigned)(j + (int)k) % (unsigned)nodes, draw(2), 5 + draw(30), min,
			     min + draw(3));
	}
	for (int u = 0; u < 30; u++)
		take(w, "{'kind':'user','addr':'10.0.0.%d','service':'s%u'%s,'demand':%u,'geo':{'lat':%u,'lon':%u}}", u, draw((unsigned)services),
		     draw(3) ? ",'node':'n0'" : "", draw(4), draw(50), draw(50));
	world_index(w);
	return w;
}

struct tally {
	int *instances;   /* [apps][nodes] */
	double *users;    /* [apps][nodes] */
	int wrong;
};

static void play(const struct problem *p, const struct near_plan *near, struct tally *t)
{
	for (int k = 0; k < near->n; k++) {
		const struct near_step *s = &near->steps[k];
		int *there = &t->instances[s->app * p->g.nodes + (s->action == NEAR_TERMINATE ? s->from : s->to)];

		if (s->action == NEAR_REPLICATE) {
			t->wrong += (*there)++ > 0 || !(gap_cost(&p->g, s->job, s->to) < GAP_NEVER);
		} else if (s->action == NEAR_TERMINATE) {
			t->wrong += (*there)-- != 1;
		} else if (s->action == NEAR_REDIRECT) {
			t->wrong += *there != 1;
			t->users[s->app * p->g.nodes + s->to] += p->w->user[s->user].demand;
		}
	}
}

static void test_replicas(int count)
{
	int wrong = 0, outside = 0, crowded = 0, made = 0;

	for (int n = 0; n < count; n++) {
		int nodes = 3 + (int)draw(4);
		AUTO_WORLD struct world *w = crowd(nodes, 1 + (int)draw(3));
		struct problem_options o = defaults();
		AUTO_PROBLEM struct problem *p = problem_new(w, &o);
		AUTO_PLAN struct plan *plan = plan_new(p, POLICY_OPTIMAL, 1000, &budget);
		AUTO_NEAR struct near_plan *near = replicas_new(p, plan, 1000);
		AUTO_FREE int *instances = calloc((size_t)w->n_apps * (size_t)nodes, sizeof(int));
		AUTO_FREE double *users = calloc((size_t)w->n_apps * (size_t)nodes, sizeof(double));
		struct tally t = { instances, users, 0 };

		for (int j = 0; j < p->g.jobs; j++)
			if (plan->end[j] >= 0)
				instances[w->service[p->service[j]].app * nodes + plan->end[j]]++;
		play(p, near, &t);
		wrong += t.wrong;
		made += near->n;
		for (int a = 0; a < w->n_apps; a++) {
			const struct world_service *s = &w->service[w->of_app[w->app[a].first_service]];
			int sum = 0;

			for (int i = 0; i < nodes; i++) {
				sum += instances[a * nodes + i];
				crowded += users[a * nodes + i] > fmin(w->node[i].users_max, s->users_max) + 1e-9;
			}
			outside += sum > s->needs.max && sum > 1;
		}
	}
	is_int(wrong, 0, "instances start where they may, one at a node, and users go where one is");
	is_int(outside, 0, "there are never more than needs.max");
	is_int(crowded, 0, "no instance gets more users than it can serve");
	ok(made > count, "... and there were steps");
}

/* --- nonsense */

static const char *nonsense(void)
{
	static const char *const all[] = { "-1", "0", "1e308", "1e999", "-1e999", "NaN", "null", "\"\"", "\"x\"", "[]", "{}", "[1,2]", "true", "1e-320",
					   "9007199254740993", "181", "\"2026-01-01T00:00:00Z\"", "\"n1\"", "\"s1\"", "[\"n1\",\"n1\"]", "0.5" };

	return all[draw(sizeof(all) / sizeof(*all))];
}

static void absurd(struct world *w, struct simulation *s, int *taken)
{
	static const char *const members[] = {
		"\"cpu\":{\"cores\":%s,\"use\":%s}", "\"mem\":{\"available_bytes\":%s,\"total_bytes\":%s}", "\"geo\":{\"lat\":%s,\"lon\":%s}",
		"\"usage\":{\"cpu\":%s,\"mem_bytes\":%s}", "\"needs\":{\"min\":%s,\"max\":%s}", "\"needs\":{\"avoid\":%s,\"area\":%s}",
		"\"rtt_ms\":{\"p50\":%s,\"mean\":%s}", "\"demand\":%s,\"users\":%s", "\"users_max\":%s,\"net_bps\":%s", "\"peers\":%s,\"score\":%s",
		"\"service_spec\":%s,\"argv\":%s", "\"at\":%s,\"seen\":%s", "\"moved_at\":%s,\"state\":%s", "\"power\":{\"idle_w\":%s,\"max_w\":%s}",
		"\"addrs\":%s,\"profile\":%s", "\"eligible\":%s,\"loss\":%s",
	};
	static const char *const kinds[] = { "node", "service", "latency", "user", "group", "score" };
	char line[600], part[200];
	struct err e;
	int n;

	n = snprintf(line, sizeof(line),
		     "{\"kind\":\"%s\",\"name\":\"%c%u\",\"node\":\"n%u\",\"service\":\"s%u\",\"from\":\"n%u\",\"to\":\"n%u\",\"addr\":\"10.0.0.%u\"",
		     kinds[draw(6)], draw(2) ? 'n' : 's', draw(3), draw(3), draw(3), draw(3), draw(3), draw(3));
	for (unsigned k = draw(4); k > 0; k--) {
		snprintf(part, sizeof(part), members[draw(sizeof(members) / sizeof(*members))], nonsense(), nonsense());
		n += snprintf(line + n, sizeof(line) - (size_t)n, ",%s", part);
	}
	snprintf(line + n, sizeof(line) - (size_t)n, "}");
	*taken += world_take(w, line, strlen(line), NULL, NULL, &e) == 0;
	simulation_take(s, line, strlen(line), &e);
}

static void test_nonsense(int count)
{
	int taken = 0, broken = 0, barred = 0;

	for (int n = 0; n < count; n++) {
		struct problem_options o = defaults();
		enum policy policy = (enum policy)(n % POLICIES);
		AUTO_SIMULATION struct simulation *s = begin(&o, (enum policy)(n % (POLICIES + 1)));
		AUTO_WORLD struct world *w = world_new();

		tell(s, "{'kind':'begin','at':'2026-01-01T00:00:00Z'}");
		for (int k = 0; k < 25; k++)
			absurd(w, s, &taken);
		tell(s, "{'kind':'end','at':'2026-01-01T00:03:00Z'}");
		broken += simulation_totals(s)->user_s < 0;
		world_index(w);
		AUTO_PROBLEM struct problem *p = problem_new(w, &o);
		AUTO_PLAN struct plan *plan = plan_new(p, policy, 1000, &budget);
		AUTO_NEAR struct near_plan *more = replicas_new(p, plan, 1000), *near = near_plan_new(p, 20, 1000);

		broken += !more || !near || isnan(plan->before) || isnan(plan->after);
		for (int k = 0; k < plan->n; k++)
			barred += !(p->cost[plan->moves[k].job * p->g.nodes + plan->moves[k].to] < GAP_NEVER) || isnan(plan->moves[k].gain);
	}
	is_int(broken, 0, "whatever records say, decisions are made of what made sense");
	is_int(barred, 0, "... and all moves are such that may be");
	ok(taken > count, "... of which there was some");
}

int main(void)
{
	test_account();
	test_chance(600);
	test_replicas(2000);
	test_nonsense(2000);
	return done();
}
