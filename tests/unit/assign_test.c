/* SPDX-License-Identifier: MIT */
#include "lib/place/assign.h"

#include <stdlib.h>

#include "lib/place/users.h"
#include "tests/unit/world_lab.h"

static uint64_t seed = 1;

static double uniform(void)
{
	seed = seed * 6364136223846793005u + 1442695040888963407u;
	return (double)(seed >> 11) / 9007199254740992.0;
}

static double steps(void *ctx, long done)
{
	return (double)done / *(const double *)ctx;
}

#define USERS 3000
#define NODES 60
static struct geo user[USERS], node[NODES];
static float demand[USERS];
static double capacity[NODES];

/* The cheapest that each user could have without the others: no plan is below. */
static double alone(const struct assign *s)
{
	double sum = 0;

	for (int u = 0; u < s->users; u++) {
		double least = INFINITY;

		for (int i = 0; i < s->nodes; i++)
			least = fmin(least, distance_km(s->user[u], s->node[i]) * RTT_MS_PER_KM);
		sum += isfinite(least) ? least * s->demand[u] : 0;
	}
	return sum;
}

/* Is any node given more than it has, or the cost told wrongly? */
static bool wrong(const struct assign *s, const struct assign_answer *a)
{
	double load[NODES] = { 0 }, cost = 0;
	int out = 0;

	for (int u = 0; u < s->users; u++) {
		if (a->node[u] < 0) {
			out++;
			continue;
		}
		double ms = distance_km(s->user[u], s->node[a->node[u]]) * RTT_MS_PER_KM;

		load[a->node[u]] += s->demand[u];
		cost += isnan(ms) ? 0 : ms * s->demand[u];
	}
	for (int i = 0; i < s->nodes; i++)
		if (gap_over(load[i], s->capacity[i]))
			return true;
	return out != a->unplaced || fabs(cost - a->cost) > 1e-6 * (1 + cost);
}

static void test_random(int count)
{
	int broken = 0, low = 0, left = 0, far = 0;
	double budget = 3000;
	const struct gap_budget b = { steps, &budget };

	for (int n = 0; n < count; n++) {
		struct assign s = { 1 + (int)(USERS * uniform() * uniform()), 1 + (int)(NODES * uniform()), user, node, demand, capacity };
		AUTO_ASSIGN struct assign_answer a = { 0 };
		double wanted = 0, all = 0;

		for (int u = 0; u < s.users; u++) {
			user[u] = n % 5 == 4 && u % 7 == 0 ? (struct geo){ NAN, NAN } :
							    (struct geo){ 48 + 3 * uniform() * uniform(), 11 + 4 * uniform() };
			demand[u] = (float)(1 + (int)(3 * uniform()));
			wanted += demand[u];
		}
		for (int i = 0; i < s.nodes; i++) {
			node[i] = n % 7 == 6 ? node[0] : (struct geo){ 48 + 3 * uniform(), 11 + 4 * uniform() };
			capacity[i] = uniform() < 0.1 ? 0 : uniform();
			all += capacity[i];
		}
		for (int i = 0; i < s.nodes; i++)
			capacity[i] = floor(capacity[i] * (n % 3 ? 1.3 : 0.7) * wanted / (all + 1e-9));
		if (assign_solve(&s, &b, &a, NULL))
			break;
		broken += wrong(&s, &a);
		low += a.unplaced == 0 && (a.bound > a.cost * (1 + 1e-6) + 1e-6 || a.bound < alone(&s) * 0.9 - 1e-6);
		left += n % 3 && all > 0 && s.users > 1000 && s.nodes < 20 && a.unplaced > 5;
		far += s.users > 2000 && s.nodes < 40 && a.unplaced == 0 && n % 5 != 4 && a.cost > 1.05 * a.bound;
	}
	is_int(broken, 0, "no node serves more than it can, and the cost is what it is");
	is_int(low, 0, "the bound is not above the cost, nor senselessly low");
	is_int(left, 0, "where there is room, all are served");
	is_int(far, 0, "with many users the cost is within 5 % of the bound");
}

/* A tenth of all is elsewhere, asks for more or less, or is new; nodes have more or less. */
static void change(struct assigner *a, struct assign *s)
{
	for (int k = s->users / 10; k >= 0; k--) {
		int u = s->users < USERS && k % 3 == 0 ? s->users++ : (int)(s->users * uniform());

		user[u] = uniform() < 0.01 ? (struct geo){ NAN, NAN } : (struct geo){ 48 + 3 * uniform() * uniform(), 11 + 4 * uniform() };
		demand[u] = (float)(1 + (int)(3 * uniform()));
		assigner_user(a, u, user[u], demand[u]);
	}
	for (int i = 0; i < s->nodes; i++)
		if (uniform() < 0.1) {
			capacity[i] = uniform() < 0.05 ? 0 : floor(4.0 * s->users / s->nodes * (0.7 + 0.6 * uniform()));
			assigner_capacity(a, i, capacity[i]);
		}
}

static struct assign_answer answer_of(const struct assigner *a, int users, int *at)
{
	struct assign_answer answer = assigner_answer(a);

	for (int u = 0; u < users; u++)
		at[u] = assigner_node(a, u);
	answer.node = at;
	return answer;
}

/* What came of it, as one number. */
static double test_changes(int count, int *broken, int *low, int *far)
{
	static int at[USERS];
	double budget = 3000, sum = 0;
	const struct gap_budget b = { steps, &budget };

	for (int n = 0; n < count; n++) {
		struct assign s = { 100 + (int)(0.5 * USERS * uniform()), 2 + (int)((NODES - 2) * uniform()), user, node, demand, capacity };

		for (int u = 0; u < s.users; u++) {
			user[u] = (struct geo){ 48 + 3 * uniform() * uniform(), 11 + 4 * uniform() };
			demand[u] = (float)(1 + (int)(3 * uniform()));
		}
		for (int i = 0; i < s.nodes; i++) {
			node[i] = (struct geo){ 48 + 3 * uniform(), 11 + 4 * uniform() };
			capacity[i] = floor(4.0 * s.users / s.nodes * (0.5 + uniform()));
		}
		AUTO_ASSIGNER struct assigner *a = assigner_new(&s, &b);

		for (int batch = 0; a && batch < 20; batch++) {
			change(a, &s);
			assigner_again(a, 0.05, &b);
			if (batch % 3 == 0)
				assigner_ready(a);
			struct assign_answer answer = answer_of(a, s.users, at);

			*broken += wrong(&s, &answer);
			*low += answer.unplaced == 0 && answer.bound > answer.cost * (1 + 1e-6) + 1e-6;
			*far += answer.unplaced == 0 && s.users > 1000 ? (answer.cost > 1.15 * answer.bound ? 7 : -1) : 0;
			sum += answer.cost + answer.unplaced;
		}
	}
	return sum;
}

static void test_again(void)
{
	int broken = 0, low = 0, far = 0;
	uint64_t since = seed;
	double first = test_changes(8, &broken, &low, &far);

	is_int(broken, 0, "with changes, too, no node serves more than it can, and the cost is what it is");
	is_int(low, 0, "... the bound is not above it");
	ok(far <= 0, "... nor, seven times of eight, 15 % below it");
	seed = since;
	ok(test_changes(8, &broken, &low, &far) == first, "... and the same changes give the same plans");
}

static void test_world(void)
{
	AUTO_WORLD struct world *w = world_of("{'kind':'node','name':'a','geo':{'lat':48,'lon':11},'users_max':2}\n"
					      "{'kind':'node','name':'b','geo':{'lat':50,'lon':11},'users_max':2}\n"
					      "{'kind':'node','name':'c','geo':{'lat':48,'lon':11}}\n"
					      "{'kind':'user','addr':'1','service':'s','node':'b','geo':{'lat':48,'lon':11}}\n"
					      "{'kind':'user','addr':'2','service':'s','node':'a','geo':{'lat':48.9,'lon':11}}\n"
					      "{'kind':'user','addr':'3','service':'s','geo':{'lat':48.1,'lon':11}}\n");
	struct users_options o = { .margin = 0.05 };
	double budget = 10000;
	const struct gap_budget b = { steps, &budget };
	AUTO_USERS struct users *first = users_new(w, &o), *second = users_new(w, &o);
	AUTO_USERS_PLAN struct users_plan p = { 0 }, lazy = { 0 };

	is_int(users_place(first, &b, &p, NULL), 0, "users of a world are placed");
	ok(p.node[0] == 0 && p.node[1] == 1 && p.node[2] == 0 && p.moves == 3, "... where there is room, those that lose least farther away");
	ok(p.unplaced == 0 && p.bound <= p.after && p.after < p.bound * 1.01, "... at the least cost");
	o.margin = 0.99;
	for (int u = 0; u < 3; u++)
		w->user[u].node = w->node[u == 2].name;
	is_int(users_place(second, &b, &lazy, NULL), 0, "who would not gain enough");
	is_int(lazy.moves, 0, "... stays");
}

int main(void)
{
	test_random(300);
	test_again();
	test_world();
	return done();
}
