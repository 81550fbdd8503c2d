/* SPDX-License-Identifier: MIT */
#include "lib/place/gap.h"

#include <stdint.h>
#include <stdlib.h>

#include "tests/unit/tap.h"

#define JOBS  6
#define NODES 4

static uint64_t seed = 1;

static unsigned draw(unsigned below)
{
	seed = seed * 6364136223846793005u + 1442695040888963407u;
	return (unsigned)(seed >> 33) % below;
}

static double steps(void *ctx, long done)
{
	return (double)done / (double)*(const long *)ctx;
}

struct instance {
	struct gap g;
	float cost[JOBS * NODES], by_node[JOBS * NODES], even[JOBS], distance[NODES * NODES];
	double capacity[NODES * 2];
	int network[NODES];
	struct gap_link link[3];
};

static void make(struct instance *x, int tight)
{
	*x = (struct instance){ .g = { .jobs = 1 + (int)draw(JOBS), .nodes = 1 + (int)draw(NODES), .resources = (int)draw(3) } };
	struct gap *g = &x->g;

	for (int i = 0; i < g->jobs * g->nodes; i++) {
		x->cost[i] = draw(8) ? (float)draw(1000) / 10 - 20 : GAP_NEVER;
		x->by_node[i] = (float)draw(50) / 7;
	}
	for (int j = 0; j < g->jobs; j++)
		x->even[j] = (float)draw(9) * 1e8f;
	for (int i = 0; i < g->nodes; i++)
		for (int r = 0; r < g->resources; r++)
			x->capacity[i * g->resources + r] = draw((unsigned)tight) * (r ? 1e8 : 1);
	for (int a = 0; a < g->nodes; a++)
		for (int b = 0; b < g->nodes; b++)
			x->distance[a * g->nodes + b] = a == b ? 0 : (float)(5 + abs(a - b));
	g->cost = x->cost;
	g->use[0].of = x->by_node;
	g->use[0].by_node = true;
	g->use[1].of = x->even;
	g->capacity = x->capacity;
	g->distance = x->distance;
	for (int i = 0; i < g->nodes; i++)
		x->network[i] = (int)draw(3) - 1;
	g->network = x->network;
	g->links = x->link;
	for (int l = 0; g->jobs > 1 && l < (int)draw(4); l++) {
		int a = (int)draw((unsigned)g->jobs - 1), b = a + 1 + (int)draw((unsigned)(g->jobs - a - 1));

		x->link[g->n_links++] = (struct gap_link){ a, b, (float)draw(9) + 1, false };
		if (draw(2))
			x->link[g->n_links - 1].weight = INFINITY;
		else
			x->link[g->n_links - 1].apart = draw(2);
	}
}

/* The cheapest plan that leaves the fewest jobs out, by trying all. */
static double best_of_all(const struct gap *g, int *fewest)
{
	int node[JOBS];
	long plans = 1;
	double best = INFINITY;

	*fewest = g->jobs;
	for (int j = 0; j < g->jobs; j++)
		plans *= g->nodes + 1;
	for (long p = 0; p < plans; p++) {
		long rest = p;
		int out;
		double cost;

		for (int j = 0; j < g->jobs; j++, rest /= g->nodes + 1)
			node[j] = (int)(rest % (g->nodes + 1)) - 1;
		cost = gap_check(g, node, &out);
		if (isfinite(cost) && (out < *fewest || (out == *fewest && cost < best))) {
			*fewest = out;
			best = cost;
		}
	}
	return best;
}

static void test_small(int count)
{
	int broken = 0, left = 0, dear = 0, wrong = 0, unlike = 0;
	long budget = 20000;
	const struct gap_budget b = { steps, &budget };

	for (int n = 0; n < count; n++) {
		struct instance x;
		AUTO_GAP struct gap_answer a = { 0 }, again = { 0 };
		int out, fewest;

		make(&x, n % 2 ? 12 : 30);
		if (gap_solve(&x.g, NULL, &b, &a, NULL) || gap_solve(&x.g, NULL, &b, &again, NULL))
			break;
		double cost = gap_check(&x.g, a.node, &out), best = best_of_all(&x.g, &fewest);

		broken += !isfinite(cost) || out != a.unplaced || fabs(cost - a.cost) > 1e-3;
		left += out != fewest;
		dear += out == fewest && cost > best + 1e-3;
		wrong += fewest == 0 && a.bound > best + 1e-3;
		unlike += memcmp(a.node, again.node, (size_t)x.g.jobs * sizeof(int)) != 0;
	}
	is_int(broken, 0, "no plan breaks a capacity, goes to a forbidden node or puts together what must be apart");
	is_int(left, 0, "no plan leaves out more jobs than it must");
	ok(dear <= count / 500, "plans are the cheapest, but for a few in a thousand");
	is_int(wrong, 0, "the bound is never above the cost of a plan");
	is_int(unlike, 0, "the same input and steps give the same plan");
	if (dear)
		printf("# %d of %d are not the cheapest\n", dear, count);
}

static double at_end(void *ctx, long done)
{
	(void)done;
	++*(int *)ctx;
	return 1;
}

/* Prices are made within the budget, too. */
static void test_budget(const struct gap *g, int nodes)
{
	AUTO_FREE double *price = calloc((size_t)nodes * 4, sizeof(*price));
	long budget = 1;
	int asked = 0;
	const struct gap_budget none = { at_end, &asked }, some = { steps, &budget };
	double all = gap_bound(g, INFINITY, 600, NULL, price), few, stopped, stepped;

	few = gap_bound(g, INFINITY, 1 + 1000000 / (g->jobs * g->nodes), NULL, price + nodes);
	stopped = gap_bound(g, INFINITY, 600, &none, price + 2 * (size_t)nodes);
	stepped = gap_bound(g, INFINITY, 600, &some, price + 3 * (size_t)nodes);
	ok(few < all && stopped == few && asked > 0, "a budget that is spent ends the making of prices after a few rounds");
	ok(stepped == all, "... but one of steps does not, so that the same steps give the same prices");
}

/* A larger one, with real numbers, where the answer is known to fit: capacities are those of a plan that was made first. */
static void test_larger(void)
{
	enum { N = 300, M = 30 };
	static float cost[N * M], use[N * M];
	static double capacity[M * 1];
	static int was[N];
	long budget = 3000000;
	const struct gap_budget b = { steps, &budget };
	struct gap g = { .jobs = N, .nodes = M, .resources = 1, .cost = cost, .capacity = capacity };
	AUTO_GAP struct gap_answer a = { 0 }, again = { 0 };

	for (int i = 0; i < N * M; i++) {
		cost[i] = (float)draw(10000) / 37;
		use[i] = 1 + (float)draw(1000) / 100;
	}
	for (int j = 0; j < N; j++) {
		was[j] = (int)draw(M);
		for (int k = 0; k < 6; k++) {
			int i = (int)draw(M);

			was[j] = cost[j * M + i] < cost[j * M + was[j]] ? i : was[j];
		}
		capacity[was[j]] += use[j * M + was[j]];
	}
	g.use[0].of = use;
	g.use[0].by_node = true;
	ok(gap_solve(&g, NULL, &b, &a, NULL) == 0 && a.unplaced == 0, "300 jobs on 30 full nodes are all placed");
	ok(a.cost <= gap_check(&g, was, NULL), "... not worse than the plan that is known");
	ok(a.bound <= a.cost && a.cost - a.bound < 0.02 * fabs(a.cost), "... within 2 % of the proven bound");
	printf("# cost %.2f bound %.2f known %.2f\n", a.cost, a.bound, gap_check(&g, was, NULL));
	ok(gap_solve(&g, was, &b, &again, NULL) == 0 && again.cost <= gap_check(&g, was, NULL),
	   "a plan to begin with is not made worse");
	test_budget(&g, M);
}

/* What takes little costs much, and every node is full: it is all about what fits together. */
static void test_tight(void)
{
	enum { N = 100, M = 10 };
	static float cost[N * M], use[N * M];
	static double capacity[M];
	long budget = 200000;
	const struct gap_budget b = { steps, &budget };
	struct gap g = { .jobs = N, .nodes = M, .resources = 1, .cost = cost, .capacity = capacity };
	AUTO_GAP struct gap_answer a = { 0 };

	for (int k = 0; k < N * M; k++) {
		use[k] = 1 + (float)draw(100);
		cost[k] = 111 - use[k] + (float)draw(21) - 10;
		capacity[k % M] += 0.8 * use[k] / M;
	}
	g.use[0].of = use;
	g.use[0].by_node = true;
	ok(gap_solve(&g, NULL, &b, &a, NULL) == 0 && a.unplaced == 0 && isfinite(gap_check(&g, a.node, NULL)),
	   "100 jobs on 10 nodes that must be filled are all placed");
	ok(a.cost - a.bound < 0.008 * a.bound, "... within 0.8 % of the proven bound");
	printf("# cost %.0f bound %.2f: %.3f %%\n", a.cost, a.bound, 100 * (a.cost / a.bound - 1));
}

int main(void)
{
	test_small(2000);
	test_larger();
	test_tight();
	return done();
}
