/* SPDX-License-Identifier: MIT */
/* gap FILE MS: solves an instance in OR-Library's format within so many milliseconds and prints one JSON object; beside it what simple
 * rules come to, job after job: "greedy" (the cheapest node with room), "least_used" (the least used one: the rule of
 * same-network-first where all nodes are one network), "filter_and_score" (half by cost, half by what stays free: as Kubernetes' scheduler does).
 * gap FILE lp: prints the instance as a linear program instead. */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <time.h>

#include "lib/place/gap.h"

static double budget_ms;

/* The time of the processor, so that whatever else runs does not count. */
static double cpu_ms(void)
{
	struct timespec t;

	clock_gettime(CLOCK_PROCESS_CPUTIME_ID, &t);
	return (double)t.tv_sec * 1e3 + (double)t.tv_nsec / 1e6;
}

static double spent(void *ctx, long steps)
{
	(void)ctx;
	(void)steps;
	return cpu_ms() / budget_ms;
}

static float *numbers(FILE *f, size_t n)
{
	float *v = malloc(n * sizeof(*v));

	for (size_t i = 0; v && i < n; i++)
		if (fscanf(f, "%f", &v[i]) != 1)
			exit(65);
	return v;
}

/* The file goes by node, the solver by job. */
static float *turned(float *v, int rows, int columns)
{
	float *t = malloc((size_t)rows * columns * sizeof(*t));

	for (int i = 0; i < rows; i++)
		for (int j = 0; j < columns; j++)
			t[(size_t)j * rows + i] = v[(size_t)i * columns + j];
	free(v);
	return t;
}

enum rule { GREEDY, LEAST_USED, FILTER_AND_SCORE };

/* How bad a node is for a job: by the part of it that is used then, and by cost between the job's least and greatest. */
static double badness(enum rule rule, double cost, double low, double high, double part)
{
	if (rule == GREEDY)
		return cost;
	return rule == LEAST_USED ? part : (high > low ? (cost - low) / (high - low) : 0) + part;
}

static double by_rule(const struct gap *g, enum rule rule, int *unplaced)
{
	double *load = calloc((size_t)g->nodes, sizeof(*load)), sum = 0;

	*unplaced = 0;
	for (int j = 0; j < g->jobs; j++) {
		double low = INFINITY, high = -INFINITY, least = INFINITY;
		int to = -1;

		for (int i = 0; i < g->nodes; i++) {
			low = fmin(low, gap_cost(g, j, i));
			high = fmax(high, gap_cost(g, j, i));
		}
		for (int i = 0; i < g->nodes; i++) {
			double then = load[i] + gap_use(g, j, i, 0);
			double b = badness(rule, gap_cost(g, j, i), low, high, then / g->capacity[i]);

			if (then <= g->capacity[i] && b < least) {
				least = b;
				to = i;
			}
		}
		*unplaced += to < 0;
		if (to >= 0) {
			load[to] += gap_use(g, j, to, 0);
			sum += gap_cost(g, j, to);
		}
	}
	free(load);
	return sum;
}

static void print_lp(const struct gap *g)
{
	printf("Minimize\n cost:");
	for (int j = 0; j < g->jobs; j++)
		for (int i = 0; i < g->nodes; i++)
			printf(" + %.0f x%d_%d%s", gap_cost(g, j, i), j, i, i % 8 == 7 ? "\n" : "");
	printf("\nSubject To\n");
	for (int j = 0; j < g->jobs; j++) {
		for (int i = 0; i < g->nodes; i++)
			printf(" + x%d_%d%s", j, i, i % 16 == 15 ? "\n" : "");
		printf(" = 1\n");
	}
	for (int i = 0; i < g->nodes; i++) {
		for (int j = 0; j < g->jobs; j++)
			printf(" + %.0f x%d_%d%s", gap_use(g, j, i, 0), j, i, j % 8 == 7 ? "\n" : "");
		printf(" <= %.0f\n", g->capacity[i]);
	}
	printf("Binary\n");
	for (int j = 0; j < g->jobs; j++)
		for (int i = 0; i < g->nodes; i++)
			printf(" x%d_%d\n", j, i);
	printf("End\n");
}

int main(int argc, char **argv)
{
	AUTO_FILE FILE *f = argc == 3 ? fopen(argv[1], "r") : NULL;
	const struct gap_budget budget = { spent, NULL };
	AUTO_GAP struct gap_answer a = { 0 };
	struct gap g = { .resources = 1 };
	int m, n;

	if (!f || fscanf(f, "%d %d", &m, &n) != 2)
		return 65;
	budget_ms = atof(argv[2]);
	float *cost = turned(numbers(f, (size_t)m * n), m, n), *use = turned(numbers(f, (size_t)m * n), m, n);
	float *room = numbers(f, (size_t)m);
	double *capacity = malloc((size_t)m * sizeof(*capacity));
	for (int i = 0; i < m; i++)
		capacity[i] = room[i];
	g.nodes = m;
	g.jobs = n;
	g.cost = cost;
	g.use[0].of = use;
	g.use[0].by_node = true;
	g.capacity = capacity;
	if (!strcmp(argv[2], "lp")) {
		print_lp(&g);
		return 0;
	}
	if (gap_solve(&g, NULL, &budget, &a, NULL))
		return 71;
	printf("{\"cost\":%.0f,\"bound\":%.3f,\"unplaced\":%d,\"ms\":%.0f", a.cost, a.bound, a.unplaced, cpu_ms());
	for (int r = 0; r < 3; r++) {
		static const char *const name[] = { "greedy", "least_used", "filter_and_score" };
		int unplaced;
		double sum = by_rule(&g, (enum rule)r, &unplaced);

		printf(",\"%s\":{\"cost\":%.0f,\"unplaced\":%d}", name[r], sum, unplaced);
	}
	printf("}\n");
	return 0;
}
