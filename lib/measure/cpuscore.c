/* SPDX-License-Identifier: MIT */
#include "lib/measure/cpuscore.h"

#include <math.h>
#include <stdint.h>
#include <stdlib.h>
#include <time.h>

#define ROUNDS 4
#define ROUND_S 0.04
#define LINES (1u << 18)  /* of 64 bytes: 16 MB, more than a core's own cache */
#define SIDE 48           /* of the matrices */
#define ITEMS 4096        /* to sort */

struct line {
	uint32_t next;
	uint32_t pad[15];
};

struct work {
	struct line *lines;
	uint32_t items[ITEMS];
	double a[SIDE][SIDE], b[SIDE][SIDE], c[SIDE][SIDE];
	uint64_t state;
};

static double cpu_s(void)
{
	struct timespec t;

	clock_gettime(CLOCK_THREAD_CPUTIME_ID, &t);
	return (double)t.tv_sec + (double)t.tv_nsec / 1e9;
}

static uint64_t random64(uint64_t *state)
{
	uint64_t x = *state += 0x9e3779b97f4a7c15;

	x = (x ^ x >> 30) * 0xbf58476d1ce4e5b9;
	x = (x ^ x >> 27) * 0x94d049bb133111eb;
	return x ^ x >> 31;
}

/* Each does a piece of work and gives how much it was. */

static unsigned do_integer(struct work *w)
{
	uint64_t a = w->state | 1, b = a * 3, c = a ^ b;

	for (unsigned i = 0; i < 20000; i++) {
		a = (a << 13 | a >> 51) * 0x2545f4914f6cdd1d + b;
		b ^= a >> 7 ^ c;
		c += b / ((a & 0xffff) | 1);
	}
	w->state += a ^ b ^ c;
	return 20000;
}

static unsigned do_float(struct work *w)
{
	for (int i = 0; i < SIDE; i++)
		for (int j = 0; j < SIDE; j++) {
			double sum = 0;

			for (int k = 0; k < SIDE; k++)
				sum += w->a[i][k] * w->b[j][k];
			w->c[i][j] = sqrt(fabs(sum)) / (1 + fabs(sum));
		}
	w->a[w->state % SIDE][0] = w->c[0][w->state % SIDE];
	return SIDE * SIDE * SIDE;
}

static unsigned do_memory(struct work *w)
{
	uint32_t a = (uint32_t)w->state % LINES, b = (a + LINES / 2) % LINES;

	for (unsigned i = 0; i < 20000; i++) { /* two walks at a time, as programs have a few */
		a = w->lines[a].next;
		b = w->lines[b].next;
	}
	w->state += a ^ b;
	return 40000;
}

static unsigned do_branch(struct work *w)
{
	uint32_t *v = w->items;

	for (unsigned i = 0; i < ITEMS; i++)
		v[i] = (uint32_t)random64(&w->state);
	for (unsigned gap = 1750; gap; gap = gap > 1 ? gap * 4 / 9 : 0) /* Shell's sort */
		for (unsigned i = gap; i < ITEMS; i++) {
			uint32_t x = v[i];
			unsigned j = i;

			for (; j >= gap && v[j - gap] > x; j -= gap)
				v[j] = v[j - gap];
			v[j] = x;
		}
	return ITEMS;
}

/* Each kind, and how much of it the core of reference does in a second. */
static const struct {
	const char *name;
	unsigned (*run)(struct work *w);
	double reference;
} kinds[] = {
	{ "integer", do_integer, 1.7e8 },
	{ "float", do_float, 1.33e9 },
	{ "memory", do_memory, 2.9e7 },
	{ "branch", do_branch, 1.37e7 },
};

static double rate(struct work *w, unsigned (*run)(struct work *w))
{
	double best = 0;

	for (int round = 0; round < ROUNDS; round++) {
		double from = cpu_s(), took = 0, done = 0;

		while (took < ROUND_S) {
			done += run(w);
			took = cpu_s() - from;
		}
		best = fmax(best, done / took);
	}
	return best;
}

/* One circle through all lines, in random order (Sattolo). */
static void link_lines(struct work *w)
{
	for (uint32_t i = 0; i < LINES; i++)
		w->lines[i].next = i;
	for (uint32_t i = LINES - 1; i > 0; i--) {
		uint32_t j = (uint32_t)(random64(&w->state) % i), swap = w->lines[i].next;

		w->lines[i].next = w->lines[j].next;
		w->lines[j].next = swap;
	}
}

struct json *cpuscore_measure(void)
{
	AUTO_FREE struct work *w = calloc(1, sizeof(*w));
	AUTO_FREE struct line *lines = calloc(LINES, sizeof(*lines));
	struct json *scores = json_object();
	double product = 1;

	if (!w || !lines) {
		json_free(scores);
		return NULL;
	}
	w->lines = lines;
	link_lines(w);
	for (int i = 0; i < SIDE * SIDE; i++) {
		w->a[i / SIDE][i % SIDE] = (double)(random64(&w->state) >> 40) / 1e6;
		w->b[i / SIDE][i % SIDE] = (double)(random64(&w->state) >> 40) / 1e6;
	}
	for (size_t i = 0; i < sizeof(kinds) / sizeof(*kinds); i++) {
		double score = 1000 * rate(w, kinds[i].run) / kinds[i].reference;

		json_set_num(scores, kinds[i].name, round(score));
		product *= score;
	}
	json_set_num(scores, "score", round(pow(product, 0.25)));
	return scores;
}
