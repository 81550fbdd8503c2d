/* SPDX-License-Identifier: MIT */
/* Loads and RTTs that wobble, for most of a day: what is decided then goes to and fro with no policy. */
#include "lib/place/simulate.h"

#include "tests/unit/trace_lab.h"

#define NODES    5
#define SERVICES 8

static double steps(void *ctx, long done)
{
	(void)ctx;
	return (double)done / 20000;
}

static const struct gap_budget budget = { steps, NULL };

/* What wobbles, and around what. */
struct scene {
	const char *name;
	double limit, margin;
	double use[NODES];  /* with the services that are there in the beginning, */
	double use_wobble;  /* more or less */
	double rtt_ms, rtt_wobble, farther_ms; /* as a part; more from other nodes than from the one where it is least */
	double served_ms;   /* what is bad, for nearest */
	bool stray;         /* there is one more service, which no node can take */
	int near;           /* to where users are near; -1: each service's to another node */
};

static double wobble(double around, double by)
{
	return around + by * ((int)draw(2001) - 1000) / 1000;
}

static void minute(struct simulation *s, const struct scene *c, int n)
{
	for (int i = 0; i < NODES; i++)
		tell(s, "{'kind':'node','name':'n%d','at':'%s','network':'%c','role':'%s','cpu':{'cores':16,'score':1000,'use':%.4f},'geo':{'lat':%d,'lon':11}}", i,
		     at(60 * n), i % 2 ? 'a' : 'b', i == NODES - 1 ? "cloud" : "edge", wobble(c->use[i], c->use_wobble), 48 + i);
	for (int j = 0; j < SERVICES && !n; j++)
		tell(s, "{'kind':'service','name':'s%d','node':'n%d','usage':{'cpu':0.04,'mem_bytes':1e6},'needs':{'max':2}}", j, j % 3);
	if (c->stray && !n)
		tell(s, "{'kind':'service','name':'stray','usage':{'mem_bytes':1e6},'needs':{'gpu':1}}");
	for (int j = 0; j < SERVICES; j++) {
		int near = c->near < 0 ? j % NODES : c->near;

		for (int i = 0; i < NODES; i++)
			tell(s, "{'kind':'latency','from':'n%d','to':'192.0.2.%d','rtt_ms':{'p50':%.3f}}", i, j,
			     wobble(c->rtt_ms, c->rtt_ms * c->rtt_wobble) + (i == near ? 0 : c->farther_ms));
		if (!n)
			tell(s, "{'kind':'user','addr':'192.0.2.%d','service':'s%d','node':'n%d','demand':1000,'geo':{'lat':%d,'lon':11}}", j, j, j % 3,
			     48 + near);
	}
}

/* How many moves. */
static int play(const struct scene *c, enum policy policy, const char *name, int rounds)
{
	struct problem_options o = { .rules = { NAN, NAN }, .limit = c->limit, .margin = c->margin, .cooldown = 300, .payback = 3600 };
	const struct simulate_options how = { .problem = &o, .policy = policy, .max_moves = 1000, .bound_ms = c->served_ms, .every = 60,
					      .budget = &budget };
	const struct simulate_totals *t;
	char text[160];

	problem_defaults(o.weight);
	AUTO_SIMULATION struct simulation *s = simulation_new(&how);
	t = simulation_totals(s);

	for (int n = 0; n < rounds; n++)
		minute(s, c, n);
	tell(s, "{'kind':'end','at':'%s'}", at(60 * rounds));
	snprintf(text, sizeof(text), "%s, %s: nothing goes to and fro in %d noisy steps", name, c->name, rounds);
	is_int(t->returns, 0, text);
	snprintf(text, sizeof(text), "... and hardly anything moves more than once (%d moves, %d replicas, %d ended, %d redirects)", t->moves,
		 t->replicas, t->terminated, t->redirects);
	ok(t->moves <= SERVICES && t->replicas <= 2 * SERVICES && t->terminated <= 2 * SERVICES && t->redirects <= 2 * SERVICES &&
		   t->decisions == rounds,
	   text);
	return t->moves;
}

int main(void)
{
	static const struct scene scenes[] = {
		{ "far from the limit", 1, 0.15, { 0.22, 0.23, 0.22, 0.21, 0.22 }, 0.03, 20, 0.04, 0.3, 20, false, -1 },
		{ "one node around the limit", 0.5, 0.15, { 0.5, 0.4, 0.35, 0.2, 0.2 }, 0.03, 20, 0.04, 0.3, 20, false, -1 },
		{ "... and a service that no node can take", 0.5, 0.15, { 0.5, 0.4, 0.35, 0.2, 0.2 }, 0.03, 20, 0.04, 0.3, 20, true, -1 },
		{ "all nodes near the limit", 0.5, 0.15, { 0.47, 0.46, 0.45, 0.42, 0.3 }, 0.04, 20, 0.04, 0.3, 20, false, -1 },
		{ "... and each service's users near another", 0.5, 0.15, { 0.47, 0.46, 0.45, 0.42, 0.3 }, 0.04, 20, 0.04, 10, 20, false, -1 },
		{ "all users near the node around the limit", 0.5, 0.15, { 0.5, 0.4, 0.35, 0.2, 0.2 }, 0.03, 20, 0.04, 10, 20, false, 0 },
	};
	static const struct { enum policy policy; const char *name; } policies[] = {
		{ POLICY_OPTIMAL, "optimal" }, { POLICY_GREEDY, "greedy" }, { POLICY_SAME_NETWORK, "same-network-first" },
		{ POLICY_PACK, "pack" }, { POLICY_SPREAD, "spread" }, { POLICIES, "nearest" },
	};

	for (size_t k = 0; k < sizeof(scenes) / sizeof(*scenes); k++)
		for (size_t n = 0; n < sizeof(policies) / sizeof(*policies); n++)
			(void)play(&scenes[k], policies[n].policy, policies[n].name, 1000);
	is_int(play(&scenes[0], POLICY_OPTIMAL, "optimal", 1000), 0, "... nor is there any move that does not gain more than the margin");
	return done();
}
