/* SPDX-License-Identifier: MIT */
/* gap FILE MS: solves an instance in OR-Library's format within so many milliseconds and prints one JSON object. */
#include <stdio.h>
#include <stdlib.h>

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
	if (gap_solve(&g, NULL, &budget, &a, NULL))
		return 71;
	printf("{\"cost\":%.0f,\"bound\":%.3f,\"unplaced\":%d,\"steps\":%ld,\"ms\":%.0f}\n", a.cost, a.bound, a.unplaced,
	       a.steps, cpu_ms());
	return 0;
}
