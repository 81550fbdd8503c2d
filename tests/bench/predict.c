/* SPDX-License-Identifier: MIT */
/* How well do coordinates say what nobody has measured? predict [-s SEED] [MATRIX]: round-trip times in ms, a line a node,
 * tab-separated (without one: made up, with detours that violate the triangle inequality). A tenth of the pairs, which the
 * seed chooses (default 7), is learnt, the others are estimated, by lib/measure/coord.c and by Vivaldi with Serf's constants (version 0.10: eight dimensions, heights,
 * adjustment over 20 samples, gravity), which sees the same pairs a hundred times in random order.
 *
 * Prints a JSON object for each: median and 90th percentile of the relative error, and of the regret, which is how many ms a
 * node loses that chooses by estimate the nearest of those that it has not measured. Exit status 1 when ours is not at most
 * 0.8 of the other's error and 0.5 of its regret, both at the 90th percentile. */
#include <math.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include "lib/base/auto.h"
#include "lib/measure/coord.h"
#include "lib/measure/stats.h"

#define SIZE_MAX_NODES 2000
#define DIMS 8
#define PASSES 100
#define WINDOW 20

static double *matrix; /* [size * size]; NAN: unknown */
static char *known;
static int size;
static uint64_t seed = 7;

static double chance(void)
{
	seed = seed * 6364136223846793005u + 1442695040888963407u;
	return (double)(seed >> 11) / 9007199254740992.0;
}

static double *rtt(int i, int j)
{
	return &matrix[i * size + j];
}

static void allocate(int n)
{
	size = n;
	matrix = malloc((size_t)n * (size_t)n * sizeof(*matrix));
	known = calloc((size_t)n * (size_t)n, 1);
	if (!matrix || !known)
		abort();
}

static int read_matrix(const char *path)
{
	AUTO_FILE FILE *f = fopen(path, "re");
	AUTO_FREE char *line = NULL;
	size_t room = 0;
	int i = 0;

	for (; f && getline(&line, &room, f) > 0 && i < SIZE_MAX_NODES && (!size || i < size); i++) {
		char *save = NULL, *word = strtok_r(line, "\t\n", &save);

		if (!size) {
			int n = 2;

			for (const char *p = save; *p; p++)
				n += *p == '\t';
			allocate(n);
		}
		for (int j = 0; j < size; j++, word = strtok_r(NULL, "\t\n", &save)) {
			double v = word ? strtod(word, NULL) : 0;

			*rtt(i, j) = v > 0 ? v : NAN;
		}
	}
	return size && i == size ? 0 : -1;
}

/* Sites in a plane, one to four nodes each behind a line of its own length; every eighth pair of sites takes a detour. */
static void make_matrix(void)
{
	double at[400][2] = { 0 }, line[400] = { 0 };
	int site[400], n = 400, sites = 0;

	allocate(n);
	for (int i = 0, left = 0; i < n; i++, left--) {
		if (!left) {
			left = 1 + (int)(chance() * 4);
			at[sites][0] = chance() * 150;
			at[sites][1] = chance() * 80;
			line[sites++] = -log(1 - chance()) * 5;
		}
		site[i] = sites - 1;
	}
	for (int i = 0; i < n; i++)
		for (int j = 0; j < n; j++) {
			int a = site[i] < site[j] ? site[i] : site[j], b = site[i] + site[j] - a;
			double detour = (a * 31 + b * 17) % 8 ? 1 : 1.6;

			*rtt(i, j) = i == j ? NAN : a == b ? 0.3 :
				     hypot(at[a][0] - at[b][0], at[a][1] - at[b][1]) * detour + line[a] + line[b] + 0.3;
		}
}

/* Both directions are one, and a tenth of the pairs is learnt. */
static void choose(void)
{
	for (int i = 0; i < size; i++)
		for (int j = i + 1; j < size; j++) {
			double a = *rtt(i, j), b = *rtt(j, i);

			*rtt(i, j) = *rtt(j, i) = isnan(a) ? b : isnan(b) ? a : (a + b) / 2;
			if (!isnan(*rtt(i, j)) && chance() < 0.1)
				known[i * size + j] = known[j * size + i] = 1;
		}
}

/* --- Vivaldi with Serf's constants; seconds */

struct serf {
	double v[DIMS], height, error, adjustment, samples[WINDOW];
	int next;
};

static double raw(const struct serf *a, const struct serf *b)
{
	double d = 0;

	for (int k = 0; k < DIMS; k++)
		d += (a->v[k] - b->v[k]) * (a->v[k] - b->v[k]);
	return sqrt(d) + a->height + b->height;
}

static double adjusted(const struct serf *a, const struct serf *b)
{
	double d = raw(a, b), with = d + a->adjustment + b->adjustment;

	return with > 0 ? with : d;
}

static void apply(struct serf *a, const struct serf *b, double force)
{
	double unit[DIMS], d = 0;

	for (int k = 0; k < DIMS; k++) {
		unit[k] = a->v[k] - b->v[k];
		d += unit[k] * unit[k];
	}
	bool apart = sqrt(d) > 1e-6;
	double length = sqrt(d);
	if (!apart) {
		d = 0;
		for (int k = 0; k < DIMS; k++) {
			unit[k] = chance() - 0.5;
			d += unit[k] * unit[k];
		}
		length = sqrt(d);
	}
	for (int k = 0; k < DIMS; k++)
		a->v[k] += force * unit[k] / length;
	if (apart)
		a->height = fmax(10e-6, (a->height + b->height) * force / length + a->height);
}

static void observe(struct serf *a, const struct serf *b, double seconds)
{
	static const struct serf origin = { .height = 10e-6 };
	double d = adjusted(a, b), wrong = fabs(d - seconds) / seconds, total = fmax(1e-6, a->error + b->error);
	double weight = a->error / total, sum = 0;

	a->error = fmin(1.5, 0.25 * weight * wrong + a->error * (1 - 0.25 * weight));
	apply(a, b, 0.25 * weight * (seconds - d));
	a->samples[a->next] = seconds - raw(a, b);
	a->next = (a->next + 1) % WINDOW;
	for (int k = 0; k < WINDOW; k++)
		sum += a->samples[k];
	a->adjustment = sum / (2.0 * WINDOW);
	apply(a, &origin, -pow(adjusted(&origin, a) / 150, 2));
}

static void estimate_serf(double *estimates)
{
	AUTO_FREE struct serf *s = calloc((size_t)size, sizeof(*s));
	AUTO_FREE int *order = malloc((size_t)size * (size_t)size * sizeof(*order));
	int n = 0;

	if (!s || !order)
		abort();
	for (int i = 0; i < size; i++) {
		s[i].error = 1.5;
		s[i].height = 10e-6;
	}
	for (int i = 0; i < size * size; i++)
		if (known[i])
			order[n++] = i;
	for (int pass = 0; pass < PASSES; pass++) {
		for (int i = n - 1; i > 0; i--) {
			int j = (int)(chance() * (i + 1)), other = order[i];

			order[i] = order[j];
			order[j] = other;
		}
		for (int i = 0; i < n; i++)
			observe(&s[order[i] / size], &s[order[i] % size], matrix[order[i]] / 1e3);
	}
	for (int i = 0; i < size * size; i++)
		estimates[i] = 1e3 * adjusted(&s[i / size], &s[i % size]);
}

/* --- ours */

static void estimate_ours(double *estimates)
{
	AUTO_COORDS struct coords *c = coords_new();
	char a[16], b[16];

	for (int i = 0; i < size * size; i++)
		if (known[i]) {
			snprintf(a, sizeof(a), "%d", i / size);
			snprintf(b, sizeof(b), "%d", i % size);
			coords_measured(c, a, b, matrix[i]);
		}
	coords_fit(c);
	for (int i = 0; i < size * size; i++) {
		snprintf(a, sizeof(a), "%d", i / size);
		snprintf(b, sizeof(b), "%d", i % size);
		long x = coords_find(c, a), y = coords_find(c, b);
		estimates[i] = x < 0 || y < 0 || x == y ? NAN : coords_estimate(c, (size_t)x, (size_t)y, NULL);
	}
}

struct result {
	double error50, error90, regret50, regret90;
};

static struct result judge(const char *name, void (*estimate)(double *))
{
	AUTO_FREE double *e = calloc((size_t)size * (size_t)size, sizeof(*e));
	AUTO_FREE double *errors = malloc((size_t)size * (size_t)size * sizeof(*errors));
	AUTO_FREE double *regrets = malloc((size_t)size * sizeof(*regrets));
	clock_t began = clock();
	size_t n = 0, m = 0;
	struct stats s;
	struct result r;

	if (!e || !errors || !regrets)
		abort();
	estimate(e);
	double seconds = (double)(clock() - began) / CLOCKS_PER_SEC;
	for (int i = 0; i < size; i++) {
		int chosen = -1;
		double nearest = INFINITY;

		for (int j = 0; j < size; j++) {
			double is = *rtt(i, j);

			if (isnan(is) || known[i * size + j] || isnan(e[i * size + j]))
				continue;
			if (i < j)
				errors[n++] = fabs(e[i * size + j] - is) / is;
			nearest = fmin(nearest, is);
			if (chosen < 0 || e[i * size + j] < e[i * size + chosen])
				chosen = j;
		}
		if (chosen >= 0)
			regrets[m++] = *rtt(i, chosen) - nearest;
	}
	stats_of(errors, n, &s);
	r.error50 = s.p50;
	r.error90 = stats_quantile(errors, n, 0.9);
	stats_of(regrets, m, &s);
	r.regret50 = s.p50;
	r.regret90 = stats_quantile(regrets, m, 0.9);
	printf("{\"bench\":\"predict\",\"by\":\"%s\",\"nodes\":%d,\"pairs\":%zu,\"error_p50\":%.3f,\"error_p90\":%.3f,"
	       "\"regret_ms_p50\":%.2f,\"regret_ms_p90\":%.2f,\"cpu_s\":%.2f}\n",
	       name, size, n, r.error50, r.error90, r.regret50, r.regret90, seconds);
	fflush(stdout);
	return r;
}

int main(int argc, char **argv)
{
	if (argc > 2 && !strcmp(argv[1], "-s")) {
		seed = strtoull(argv[2], NULL, 10);
		argv += 2;
		argc -= 2;
	}
	if (argc > 1 && read_matrix(argv[1])) {
		fprintf(stderr, "predict: %s: not a square matrix\n", argv[1]);
		return 65;
	}
	if (argc < 2)
		make_matrix();
	choose();
	struct result serf = judge("serf", estimate_serf), ours = judge("edge-latency", estimate_ours);
	bool good = ours.error90 <= 0.8 * serf.error90 && ours.regret90 <= 0.5 * serf.regret90;
	fprintf(stderr, "predict: p90 of the error %.2f of Serf's (limit 0.8), of the regret %.2f (limit 0.5)\n",
		ours.error90 / serf.error90, ours.regret90 / serf.regret90);
	free(matrix);
	free(known);
	return !good;
}
