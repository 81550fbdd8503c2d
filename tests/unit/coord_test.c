/* SPDX-License-Identifier: MIT */
/* Estimates for the pairs that nobody has measured. */
#include "lib/measure/coord.h"

#include <math.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include "tests/unit/tap.h"

#define NODES 60

static double at[NODES][2], line[NODES];

static double chance(void)
{
	return (double)random() / RAND_MAX;
}

/* Nodes in a plane, each behind a line of its own; two of them, 0 and 1, at one site behind a slow one. */
static void make_world(void)
{
	srandom(5);
	for (int i = 0; i < NODES; i++) {
		at[i][0] = chance() * 100;
		at[i][1] = chance() * 60;
		line[i] = chance() * 4;
	}
	at[1][0] = at[0][0];
	at[1][1] = at[0][1];
	line[0] = line[1] = 40;
}

static double rtt(int i, int j)
{
	if (i + j == 1)
		return 0.3;
	return hypot(at[i][0] - at[j][0], at[i][1] - at[j][1]) + line[i] + line[j];
}

static const char *name(int i)
{
	static char names[2][16];
	static int next;
	char *n = names[next++ % 2];

	snprintf(n, 16, "n%d", i);
	return n;
}

/* A third of all pairs, not that of 0 and 1; `extra` measures something more. */
static struct coords *learn(void (*extra)(struct coords *))
{
	struct coords *c = coords_new();

	srandom(6);
	for (int i = 0; i < NODES; i++)
		for (int j = i + 1; j < NODES; j++)
			if (chance() < 0.33 && i + j != 1)
				coords_measured(c, name(i), name(j), rtt(i, j));
	if (extra)
		extra(c);
	coords_fit(c);
	return c;
}

static double estimate(const struct coords *c, int i, int j)
{
	return coords_estimate(c, (size_t)coords_find(c, name(i)), (size_t)coords_find(c, name(j)), NULL);
}

/* The mean relative error over the unmeasured pairs, but that of the twins. */
static double error_of(const struct coords *c)
{
	double sum = 0;
	int n = 0;

	for (int i = 0; i < NODES; i++)
		for (int j = i + 1; j < NODES; j++)
			if (i + j != 1 && !coords_known(c, (size_t)coords_find(c, name(i)), (size_t)coords_find(c, name(j)))) {
				sum += fabs(estimate(c, i, j) - rtt(i, j)) / rtt(i, j);
				n++;
			}
	return sum / n;
}

static void nonsense(struct coords *c)
{
	coords_measured(c, "n0", "n2", NAN);
	coords_measured(c, "n0", "n2", INFINITY);
	coords_measured(c, "n0", "n2", -5);
	coords_measured(c, "n0", "n2", 0);
	coords_measured(c, "n0", "n2", 1e9);
	coords_measured(c, "n3", "n3", 10);
	coords_measured(c, "alone", "alone", 10);
}

/* A pair of every fourth node that has not been measured took half a minute, or ten times as long as it should. */
static void outliers(struct coords *c)
{
	for (int i = 0; i < NODES - 1; i += 4) {
		int j = i + 2;

		while (j < NODES - 1 && coords_known(c, (size_t)coords_find(c, name(i)), (size_t)coords_find(c, name(j))))
			j++;
		coords_measured(c, name(i), name(j), i % 8 ? 30e3 : 10 * rtt(i, j));
	}
}

static bool same_places(const struct coords *a, const struct coords *b)
{
	bool same = coords_count(a) == coords_count(b);

	for (size_t i = 0; same && i < coords_count(a); i++) {
		AUTO_JSON struct json *x = coords_json(a, i), *y = coords_json(b, i);
		AUTO_FREE char *s = json_text(x), *t = json_text(y);

		same = s && t && !strcmp(s, t);
	}
	return same;
}

int main(void)
{
	make_world();
	AUTO_COORDS struct coords *c = learn(NULL), *again = learn(NULL), *odd = learn(nonsense), *out = learn(outliers);
	bool same = true, unmoved = true;
	double error;

	ok(error_of(c) < 0.05, "two thirds of the pairs are estimated within 5 % on average");
	printf("# %.1f %%\n", error_of(c) * 100);

	ok(estimate(c, 0, 1) < 20, "two nodes behind one line of 40 ms are known to be near each other");
	for (int i = 2; i < 12; i++) {
		same &= estimate(c, i, i + 20) == estimate(again, i, i + 20);
		unmoved &= estimate(c, i, i + 20) == estimate(odd, i, i + 20);
	}
	ok(same, "the same measurements give the same estimates");
	ok(unmoved, "what cannot be a round trip moves nothing");
	is_int(coords_find(odd, "alone"), -1, "... and names nobody");
	ok(same_places(c, out), "measurements that are far off move no coordinate");
	is_int(estimate(c, 3, 50) == estimate(out, 3, 50), true, "... and change no estimate");
	coords_estimate(c, 5, 6, &error);
	ok(error > 0 && error < 0.6, "the error is told");

	AUTO_COORDS struct coords *few = coords_new();
	coords_fit(few);
	is_int((long long)coords_count(few), 0, "nothing measured, nothing to say");
	coords_measured(few, "a", "b", 0.2);
	coords_measured(few, "b", "a", 0.1);
	coords_measured(few, "b", "c", 0.3);
	coords_fit(few);
	double d = coords_estimate(few, 0, 2, &error);
	ok(isfinite(d) && d >= 0 && d < 1 && error > 0.5, "of three nodes in a room: little, and not trusted much");
	ok(coords_known(few, 0, 1) && coords_known(few, 1, 0) && !coords_known(few, 0, 2), "a pair is the same both ways");
	AUTO_JSON struct json *j = coords_json(few, 0);
	is_int((long long)json_len(j, "at"), 8, "coordinates have eight numbers");
	return done();
}
