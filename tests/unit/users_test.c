/* SPDX-License-Identifier: MIT */
/* Users of several services that share nodes, in random small worlds: who may be served where, who stays, and the bound against all plans. */
#include "lib/place/users.h"

#include <stdlib.h>

#include "tests/unit/world_lab.h"

#define NODES    4
#define SERVICES 3
#define USERS    7
#define ENOUGH   1e9
#define BATCHES  4

static double steps(void *ctx, long done)
{
	(void)ctx;
	return (double)done / 3000;
}

static const struct gap_budget budget = { steps, NULL };

/* The same world in other words. */
struct lab {
	struct world *w;
	bool failed[NODES];
	double may[SERVICES][NODES]; /* how many of its users the service can serve there; 0: none */
	double node[NODES];          /* ... and of all services */
	double ms[USERS][NODES], demand[USERS];
	int app[USERS], now[USERS];  /* now: -1; */
	int sent[USERS];             /* by the last plan that found a node for it, -1 */
	int nodes, users, services;
};

static void add_nodes(struct lab *l)
{
	for (int i = 0; i < l->nodes; i++) {
		l->node[i] = draw(4) ? 1 + draw(8) : ENOUGH;
		l->failed[i] = !draw(8);
		take(l->w, l->node[i] < ENOUGH ? "{'kind':'node','name':'n%d','geo':{'lat':%u,'lon':11},'users_max':%.0f}" :
						 "{'kind':'node','name':'n%d','geo':{'lat':%u,'lon':11}}",
		     i, 40 + draw(12), l->node[i]);
	}
}

/* Instances; of a service that has none, any node that tells how many it can serve will do. */
static void add_services(struct lab *l)
{
	for (int a = 0; a < l->services; a++) {
		unsigned instances = draw(4);

		for (unsigned k = 0; k < instances; k++) {
			int i = (int)draw((unsigned)l->nodes), most = 1 + (int)draw(5);
			bool stopped = !draw(9), any = !draw(3);

			take(l->w, "{'kind':'service','id':'%08x%08x','name':'s%d','node':'n%d'%s}", a, k, a, i, stopped ? ",'state':'stopped'" : "");
			if (!any)
				take(l->w, "{'kind':'service','id':'%08x%08x','name':'s%d','node':'n%d','users_max':%d%s}", a, k, a, i, most,
				     stopped ? ",'state':'stopped'" : "");
			if (!stopped)
				l->may[a][i] += any ? ENOUGH : most;
		}
	}
	for (int a = 0; a < l->services; a++) {
		double all = 0;

		for (int i = 0; i < l->nodes; i++)
			all += l->may[a][i];
		for (int i = 0; i < l->nodes; i++) {
			if (!(all > 0) && l->node[i] < ENOUGH)
				l->may[a][i] = ENOUGH;
			if (l->failed[i])
				l->may[a][i] = 0;
		}
	}
}

/* A record of the user; the first also tells where it is served. */
static void tell_user(struct lab *l, int u, bool first)
{
	char node[24] = "";

	l->demand[u] = 1 + draw(3);
	if (first && l->now[u] >= 0)
		snprintf(node, sizeof(node), ",'node':'n%d'", l->now[u]);
	take(l->w, "{'kind':'user','addr':'%d','service':'s%d'%s,'demand':%.0f,'geo':{'lat':%u,'lon':%u}}", u, l->app[u], node, l->demand[u],
	     40 + draw(12), 9 + draw(5));
	for (int i = 0; i < l->nodes; i++)
		l->ms[u][i] = distance_km(l->w->user[u].geo, l->w->node[i].geo) * RTT_MS_PER_KM;
}

static void add_users(struct lab *l)
{
	for (int u = 0; u < l->users; u++) {
		l->app[u] = (int)draw((unsigned)l->services);
		l->now[u] = (int)draw((unsigned)l->nodes + 1) - 1;
		l->sent[u] = -1;
		tell_user(l, u, true);
	}
}

static struct lab *lab_new(int services)
{
	struct lab *l = calloc(1, sizeof(*l));

	l->w = world_new();
	l->nodes = 1 + (int)draw(NODES);
	l->users = 1 + (int)draw(USERS);
	l->services = 1 + (int)draw((unsigned)services);
	add_nodes(l);
	add_services(l);
	add_users(l);
	world_index(l->w);
	return l;
}

static void lab_free(struct lab *l)
{
	world_free(l->w);
	free(l);
}

/* Room at a node for users of a service. */
static double room(const struct lab *l, const int *at, int app, int node)
{
	double here = l->may[app][node], all = l->node[node];

	for (int u = 0; u < l->users; u++) {
		here -= at[u] == node && l->app[u] == app ? l->demand[u] : 0;
		all -= at[u] == node ? l->demand[u] : 0;
	}
	return fmin(here, all);
}

static bool feasible(const struct lab *l, const int *at)
{
	for (int u = 0; u < l->users; u++)
		if (at[u] >= 0 && (l->may[l->app[u]][at[u]] <= 0 || room(l, at, l->app[u], at[u]) < 0))
			return false;
	return true;
}

static double cost(const struct lab *l, const int *at)
{
	double sum = 0;

	for (int u = 0; u < l->users; u++)
		sum += at[u] >= 0 ? l->ms[u][at[u]] * l->demand[u] : 0;
	return sum;
}

/* The least that all users can wait together, if all are served: by trying all plans. INFINITY: they cannot. */
static double least_of_all(const struct lab *l)
{
	int at[USERS];
	long plans = 1;
	double least = INFINITY;

	for (int u = 0; u < l->users; u++)
		plans *= l->nodes;
	for (long k = 0; k < plans; k++) {
		long rest = k;

		for (int u = 0; u < l->users; u++, rest /= l->nodes)
			at[u] = (int)(rest % l->nodes);
		if (feasible(l, at))
			least = fmin(least, cost(l, at));
	}
	return least;
}

struct verdict {
	int crowded, restless, told, above, left, moves, served;
};

/* Who was sent elsewhere, gains less than the margin, and would have found room where it was. */
static int restless(const struct lab *l, const int *at, double margin)
{
	int n = 0;

	for (int u = 0; u < l->users; u++) {
		int now = l->now[u];

		n += now >= 0 && at[u] >= 0 && at[u] != now && l->may[l->app[u]][now] > 0 && room(l, at, l->app[u], now) >= l->demand[u] &&
		     !(l->ms[u][now] * (1 - margin) > l->ms[u][at[u]]);
	}
	return n;
}

static void judge(const struct lab *l, const struct users_plan *p, double margin, struct verdict *v)
{
	double least = least_of_all(l);
	int moves = 0, out = 0;

	for (int u = 0; u < l->users; u++) {
		out += p->node[u] < 0;
		moves += p->node[u] >= 0 && p->node[u] != l->now[u];
	}
	v->crowded += !feasible(l, p->node);
	v->restless += restless(l, p->node, margin);
	v->told += moves != p->moves || out != p->unplaced || fabs(cost(l, p->node) - p->after) > 1e-6 * (1 + p->after);
	v->above += p->bound > least * (1 + 1e-6) + 1e-5; /* ms; sums of floats */
	v->left += isfinite(least) && out > 0;
	v->moves += moves;
	v->served += isfinite(least);
}

/* A first plan; then users are elsewhere or want something else, some at a time. */
static void play(struct lab *l, struct verdict *v)
{
	struct users_options o = { .margin = draw(2) ? 0.05 : 0.5, .failed = l->failed };
	AUTO_USERS struct users *all = users_new(l->w, &o);

	for (int batch = 0; batch < BATCHES; batch++) {
		AUTO_USERS_PLAN struct users_plan p = { 0 };

		for (int u = 0; u < l->users && batch; u++)
			if (!draw(3)) {
				tell_user(l, u, false);
				l->now[u] = l->sent[u];
				users_changed(all, l->w, u);
			}
		if (users_place(all, &budget, &p, NULL)) {
			v->told++;
			return;
		}
		judge(l, &p, o.margin, v);
		users_done(all, l->w, &p);
		for (int u = 0; u < l->users; u++)
			if (p.node[u] >= 0)
				l->now[u] = l->sent[u] = p.node[u];
		v->told += batch % 2 && users_ready(all, NULL);
	}
}

static void test_random(int services, int count, const char *name)
{
	struct verdict v = { 0 };
	char text[128];

	for (int n = 0; n < count; n++) {
		struct lab *l = lab_new(services);

		play(l, &v);
		lab_free(l);
	}
	snprintf(text, sizeof(text), "%s: no node serves more users than it can, nor such as it may not", name);
	is_int(v.crowded, 0, text);
	is_int(v.restless, 0, "... who would hardly gain stays where there is room");
	is_int(v.told, 0, "... what is told of the plan is so");
	is_int(v.above, 0, "... the bound is not above any plan that serves all");
	printf("# %d plans: all can be served in %d, and are not in %d of these\n", count * BATCHES, v.served, v.left);
	ok(v.served > count / 2 && v.moves > count && (services > 1 || v.left <= v.served / 100), "... and users are served");
}

int main(void)
{
	test_random(1, 1500, "one service");
	test_random(SERVICES, 1500, "services that share nodes");
	return done();
}
