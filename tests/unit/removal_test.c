/* SPDX-License-Identifier: MIT */
/* A node goes: what was on it goes elsewhere, and nobody else moves, but to make room, or to where room was made. */
#include "lib/place/plan.h"

#include <stdlib.h>

#include "tests/unit/plan_lab.h"

static double steps(void *ctx, long done)
{
	(void)ctx;
	return (double)done / 5000;
}

static const struct gap_budget budget = { steps, NULL };

/* Nodes that are `full` per cent full, with services that talk to users only. */
static struct world *town(unsigned full)
{
	struct world *w = world_new();
	int nodes = 3 + (int)draw(5), services = 3 + (int)draw(10);
	double cores[16], all = 0;

	for (int j = 0; j < services; j++)
		all += cores[j] = (1 + draw(20)) / 10.0;
	for (int i = 0; i < nodes; i++)
		take(w, "{'kind':'node','name':'n%d','network':'%c','cpu':{'cores':%.2f},'mem':{'available_bytes':%u000000},"
			"'geo':{'lat':%u,'lon':%u}}", i, 'a' + (int)draw(3), all * 100 / full / nodes * (0.8 + draw(5) / 10.0),
		     1500 + draw(1000), draw(50), draw(50));
	for (int j = 0; j < services; j++) {
		take(w, "{'kind':'service','name':'s%d','profile':{'cpu':%.1f,'mem_bytes':%u000000}%s}", j, cores[j], 1 + draw(300),
		     seldom(6, ",'needs':{'avoid':['s0']}"));
		take(w, "{'kind':'user','addr':'10.0.0.%d','service':'s%d','demand':%u,'geo':{'lat':%u,'lon':%u}}", j, j, 1 + draw(100), draw(50),
		     draw(50));
	}
	world_index(w);
	return w;
}

static void carry_out(struct world *w, const struct problem *p, const struct plan *plan)
{
	for (int j = 0; j < p->g.jobs; j++)
		w->service[p->service[j]].node = plan->end[j] < 0 ? -1 : w->node[plan->end[j]].name;
}

/* Until there is nothing more to do and everything has a place. */
static bool settle(struct world *w, const struct problem_options *o, enum policy policy)
{
	for (int n = 0; n < 8; n++) {
		AUTO_PROBLEM struct problem *p = problem_new(w, o);
		AUTO_PLAN struct plan *plan = plan_new(p, policy, 1000, &budget);

		if (!plan->n)
			return !plan->unplaced;
		carry_out(w, p, plan);
	}
	return false;
}

/* Is j where k was, and would they not both have found room there? */
static bool needs_place_of(const struct ledger *all, int j, int k)
{
	const struct problem *p = all->p;
	struct ledger l = *all;
	int s = p->service[k], was = p->at[k];

	if (was != l.at[p->service[j]])
		return false;
	l.at[s] = was;
	return !fits(&l, p->service[j], was) || !fits(&l, s, was);
}

/* Does k go where j was, to room that was not there before? */
static bool takes_place_of(const struct problem *p, int j, int k, int to)
{
	struct ledger before;

	ledger_open(&before, p);
	return p->at[j] == to && !fits(&before, p->service[k], to);
}

/* Services that move without a reason. What was on the node has one; so have those in whose place such a one goes, and those that go, and
 * gain by it, in the place of one that goes. */
static int unrelated(const struct problem *p, const struct plan *plan)
{
	struct ledger l;
	bool reason[64] = { false };
	int n = 0;

	ledger_open(&l, p);
	for (int j = 0; j < p->g.jobs; j++) {
		reason[j] = p->at[j] < 0;
		l.at[p->service[j]] = plan->end[j];
	}
	for (bool more = true; more;) {
		more = false;
		for (int j = 0; j < p->g.jobs; j++)
			for (int k = 0; k < p->g.jobs && reason[j]; k++) {
				bool moves = p->at[k] >= 0 && plan->end[k] != p->at[k];

				if (moves && !reason[k] &&
				    (needs_place_of(&l, j, k) || (p->at[j] >= 0 && takes_place_of(p, j, k, plan->end[k]))))
					more = reason[k] = true;
			}
	}
	for (int j = 0; j < p->g.jobs; j++)
		n += !reason[j] && plan->end[j] != p->at[j];
	return n;
}

/* Where the goal is few nodes, others may also move so that one more gets idle. */
static bool empties(const struct problem *p, const struct plan *plan)
{
	for (int j = 0; j < p->g.jobs; j++)
		for (int k = 0; k < p->g.jobs && plan->end[j] != p->at[j]; k++)
			if (p->at[j] >= 0 && plan->end[k] == p->at[j])
				return false;
	return true;
}

static void remove_one(enum policy policy, unsigned full, int count, const char *name)
{
	int wrong = 0, homeless = 0, found = 0, aside = 0, worlds = 0;
	char text[160];

	for (int n = 0; n < count; n++) {
		AUTO_WORLD struct world *w = town(full);
		struct problem_options o = { .rules = { NAN, NAN }, .limit = 1, .margin = 0.05, .payback = 1e9 };
		bool failed[8] = { false };

		problem_defaults(o.weight);
		if (!settle(w, &o, policy))
			continue;
		worlds++;
		failed[draw((unsigned)w->n_nodes)] = true;
		o.failed = failed;
		AUTO_PROBLEM struct problem *p = problem_new(w, &o);
		AUTO_PLAN struct plan *plan = plan_new(p, policy, 1000, &budget);
		for (int j = 0; j < p->g.jobs; j++) {
			homeless += p->at[j] < 0;
			found += p->at[j] < 0 && plan->end[j] >= 0;
			aside += p->at[j] >= 0 && plan->end[j] != p->at[j];
		}
		wrong += unrelated(p, plan) > 0 && !(policy == POLICY_PACK && empties(p, plan));
	}
	printf("# %s, %u%% full: %d worlds, %d of %d homeless found a place, %d others moved\n", name, full, worlds, found, homeless, aside);
	snprintf(text, sizeof(text), "%s, %u %% full: who was not on the node that goes moves only for the room that is needed or left", name, full);
	is_int(wrong, 0, text);
	ok(worlds > count / 4 && found > worlds / 2, "... and who was on it finds a place");
}

int main(void)
{
	static const unsigned full[] = { 20, 50, 75 };

	/* Not spread: it evens out all nodes, whenever there is something else to even out. */
	for (size_t k = 0; k < sizeof(full) / sizeof(*full); k++) {
		remove_one(POLICY_OPTIMAL, full[k], 1000, "optimal");
		remove_one(POLICY_GREEDY, full[k], 1000, "greedy");
		remove_one(POLICY_SAME_NETWORK, full[k], 1000, "same-network-first");
		remove_one(POLICY_PACK, full[k], 1000, "pack");
	}
	return done();
}
