/* SPDX-License-Identifier: MIT */
#include "lib/measure/coord.h"

#include <math.h>
#include <stdint.h>
#include <string.h>
#include <xxhash.h>

#include "lib/base/clock.h"
#include "lib/measure/stats.h"
#include "lib/measure/table.h"

#define DIMS 8
#define PARTS (DIMS + 1)     /* the last one: the logarithm of the height */
#define BEND 0.15            /* the error of a logarithm from which on more of it pulls no harder */
#define OUTLYING 1.1         /* what a measurement's logarithm may be above what the others say, about three times as long ... */
#define OUTLYING_TIMES 10    /* ... and as a multiple of how far off they are themselves, half of them at most */
#define TWIN 0.04            /* how much worse a twin's coordinates may explain one's measurements */
#define UPDATES 5e6          /* of pairs, in all rounds: about a quarter of a second */
#define ROUNDS_MIN 60
#define ROUNDS_MAX 400
#define STEP 0.03            /* of coordinates, whose unit is the median measurement */
#define STEP_HEIGHT 0.05
#define HEIGHT_FIRST 0.03
#define HOME 1.0             /* the pull of the middle, at a unit from it, as a multiple of what measurements are off */

struct name {
	uint64_t digest; /* the key */
	uint32_t number;
};

struct pair {
	uint32_t a, b; /* the key; a < b */
	double rtt;
};

struct node {
	char *name;
	double x[PARTS], misfit, error; /* misfit: what its own coordinates leave unexplained */
	uint32_t first, n; /* its measurements, in `near` */
};

struct near {
	uint32_t to;
	double log_rtt;
};

struct coords {
	struct table names, pairs;
	struct node *v;
	size_t room;
	double unit; /* ms */
	struct near *near;
};

struct coords *coords_new(void)
{
	struct coords *c = calloc(1, sizeof(*c));

	if (!c)
		abort();
	c->names = (struct table){ .entry = sizeof(struct name), .key = sizeof(uint64_t) };
	c->pairs = (struct table){ .entry = sizeof(struct pair), .key = 2 * sizeof(uint32_t) };
	return c;
}

void coords_free(struct coords *c)
{
	if (!c)
		return;
	for (size_t i = 0; i < c->names.n; i++)
		free(c->v[i].name);
	free(c->v);
	free(c->near);
	table_clear(&c->names);
	table_clear(&c->pairs);
	free(c);
}

static uint32_t number_of(struct coords *c, const char *name)
{
	uint64_t digest = XXH64(name, strlen(name), 0);
	bool fresh;
	struct name *n = table_at(&c->names, &digest, &fresh);

	if (!fresh)
		return n->number;
	n->number = (uint32_t)c->names.n - 1;
	if (n->number >= c->room) {
		c->room = c->room ? 2 * c->room : 64;
		c->v = realloc(c->v, c->room * sizeof(*c->v));
		if (!c->v)
			abort();
	}
	c->v[n->number] = (struct node){ .name = strdup(name) };
	if (!c->v[n->number].name)
		abort();
	return n->number;
}

void coords_measured(struct coords *c, const char *from, const char *to, double rtt_ms)
{
	struct pair key, *p;
	bool fresh;

	if (!(rtt_ms >= 1e-3 && rtt_ms <= 60e3) || !strcmp(from, to)) /* also for NaN */
		return;
	uint32_t a = number_of(c, from), b = number_of(c, to);
	key = (struct pair){ .a = a < b ? a : b, .b = a < b ? b : a };
	p = table_at(&c->pairs, &key, &fresh);
	p->rtt = fresh ? rtt_ms : fmin(p->rtt, rtt_ms);
}

/* splitmix64: the same start everywhere. */
static double chance(uint64_t *state)
{
	uint64_t z = *state += 0x9e3779b97f4a7c15u;

	z = (z ^ z >> 30) * 0xbf58476d1ce4e5b9u;
	z = (z ^ z >> 27) * 0x94d049bb133111ebu;
	return (double)((z ^ z >> 31) >> 11) / 9007199254740992.0;
}

static double distance(const double *a, const double *b)
{
	double d = 1e-12;

	for (int k = 0; k < DIMS; k++)
		d += (a[k] - b[k]) * (a[k] - b[k]);
	return sqrt(d);
}

static double plain(const struct node *a, const struct node *b)
{
	return distance(a->x, b->x) + exp(a->x[DIMS]) + exp(b->x[DIMS]);
}

/* Adds one pair's pull to both nodes' gradients; how far off the pair is. */
static double pull(const struct node *v, double (*gradient)[PARTS], const struct pair *p, double log_rtt)
{
	const double *a = v[p->a].x, *b = v[p->b].x;
	double d = distance(a, b), high_a = exp(a[DIMS]), high_b = exp(b[DIMS]), all = d + high_a + high_b;
	double off = fmax(-BEND, fmin(BEND, log(all) - log_rtt)), force = off / all;

	for (int k = 0; k < DIMS; k++) {
		double part = force * (a[k] - b[k]) / d;

		gradient[p->a][k] += part;
		gradient[p->b][k] -= part;
	}
	gradient[p->a][DIMS] += force * high_a;
	gradient[p->b][DIMS] += force * high_b;
	return fabs(off);
}

/* Whoever has few measurements has no business far out, the less so the worse they agree. */
static void pull_home(const struct node *v, double (*gradient)[PARTS], size_t n, double off)
{
	for (size_t i = 0; i < n; i++)
		for (int k = 0; k < DIMS; k++)
			gradient[i][k] += HOME * off * v[i].x[k];
}

/* One step down the gradient for each number by itself (Adam: Kingma and Ba, 2015). */
static void step(struct coords *c, double (*gradient)[PARTS], double (*moments)[PARTS][2], int round, double size)
{
	double first = 1 - pow(0.9, round), second = 1 - pow(0.99, round);

	for (size_t i = 0; i < c->names.n; i++)
		for (int k = 0; k < PARTS; k++) {
			double g = gradient[i][k], *m = moments[i][k];

			m[0] = 0.9 * m[0] + 0.1 * g;
			m[1] = 0.99 * m[1] + 0.01 * g * g;
			c->v[i].x[k] -= size * (k < DIMS ? STEP : STEP_HEIGHT) * m[0] / first / (sqrt(m[1] / second) + 1e-9);
		}
}

static void descend(struct coords *c, const struct pair *pairs, size_t n)
{
	size_t nodes = c->names.n;
	AUTO_FREE double(*gradient)[PARTS] = calloc(nodes + 1, sizeof(*gradient));
	AUTO_FREE double(*moments)[PARTS][2] = calloc(nodes + 1, sizeof(*moments));
	AUTO_FREE double *logs = calloc(n + 1, sizeof(*logs));
	int rounds = (int)fmax(ROUNDS_MIN, fmin(ROUNDS_MAX, UPDATES / (double)n));

	if (!gradient || !moments || !logs)
		abort();
	for (size_t i = 0; i < n; i++)
		logs[i] = log(pairs[i].rtt / c->unit);
	for (int round = 1; round <= rounds; round++) {
		double left = 1 - (double)round / rounds, off = 0;

		memset(gradient, 0, nodes * sizeof(*gradient));
		for (size_t i = 0; i < n; i++)
			off += pull(c->v, gradient, &pairs[i], logs[i]);
		pull_home(c->v, gradient, nodes, off / (double)n);
		step(c, gradient, moments, round, fmin(1, left / 0.3));
	}
}

/* The measurements of each node, side by side. */
static void collect(struct coords *c, const struct pair *pairs, size_t n)
{
	uint32_t at = 0;

	for (size_t i = 0; i < c->names.n; i++)
		c->v[i].n = 0;
	for (size_t i = 0; i < n; i++) {
		c->v[pairs[i].a].n++;
		c->v[pairs[i].b].n++;
	}
	for (size_t i = 0; i < c->names.n; i++) {
		c->v[i].first = at;
		at += c->v[i].n;
		c->v[i].n = 0;
	}
	free(c->near);
	c->near = malloc((2 * n + 1) * sizeof(*c->near));
	if (!c->near)
		abort();
	for (size_t i = 0; i < n; i++) {
		struct node *a = &c->v[pairs[i].a], *b = &c->v[pairs[i].b];
		double rtt = log(pairs[i].rtt / c->unit);

		c->near[a->first + a->n++] = (struct near){ pairs[i].b, rtt };
		c->near[b->first + b->n++] = (struct near){ pairs[i].a, rtt };
	}
}

/* How badly the coordinates of `as` explain what node i has measured, on average; nothing counts for more than 1. */
static double misfit(const struct coords *c, size_t i, size_t as)
{
	const struct node *v = &c->v[i];
	double sum = 0;
	int n = 0;

	for (uint32_t k = v->first; k < v->first + v->n; k++)
		if (c->near[k].to != as) {
			sum += fmin(1, fabs(c->near[k].log_rtt - log(plain(&c->v[as], &c->v[c->near[k].to]))));
			n++;
		}
	return n ? sum / n : 1;
}

static int by_nodes(const void *p, const void *q)
{
	const struct pair *a = p, *b = q;

	return a->a != b->a ? (a->a > b->a) - (a->a < b->a) : (a->b > b->b) - (a->b < b->b);
}

/* All pairs, in an order that does not depend on what else was measured. */
static struct pair *pairs_of(const struct coords *c, size_t *n)
{
	struct pair *pairs = malloc((c->pairs.n + 1) * sizeof(*pairs));

	if (!pairs)
		abort();
	*n = 0;
	for (size_t i = 0; i < c->pairs.room; i++) {
		const struct pair *p = table_slot(&c->pairs, i);

		if (p)
			pairs[(*n)++] = *p;
	}
	qsort(pairs, *n, sizeof(*pairs), by_nodes);
	return pairs;
}

static void place(struct coords *c, const struct pair *pairs, size_t n)
{
	AUTO_FREE double *rtts = malloc((n + 1) * sizeof(*rtts));
	struct stats s;
	uint64_t state = 1;

	if (!rtts)
		abort();
	for (size_t i = 0; i < n; i++)
		rtts[i] = pairs[i].rtt;
	stats_of(rtts, n, &s);
	c->unit = s.p50;
	for (size_t i = 0; i < c->names.n; i++) {
		for (int k = 0; k < DIMS; k++)
			c->v[i].x[k] = chance(&state) - 0.5;
		c->v[i].x[DIMS] = log(HEIGHT_FIRST);
	}
	descend(c, pairs, n);
	collect(c, pairs, n);
}

/* Takes out the pairs that took far longer than the others say: a queue, a sleep, a wrong clock. Not the last one of a node. How many
 * are left. */
static size_t drop_outliers(struct coords *c, struct pair *pairs, size_t n)
{
	AUTO_FREE double *off = malloc((2 * n + 1) * sizeof(*off));
	size_t left = 0;
	struct stats s;

	if (!off)
		abort();
	for (size_t i = 0; i < n; i++) {
		off[i] = log(pairs[i].rtt / c->unit) - log(plain(&c->v[pairs[i].a], &c->v[pairs[i].b]));
		off[n + i] = fabs(off[i]);
	}
	stats_of(off + n, n, &s);
	for (size_t i = 0; i < n; i++) {
		struct node *a = &c->v[pairs[i].a], *b = &c->v[pairs[i].b];

		if (off[i] > fmax(OUTLYING, OUTLYING_TIMES * s.p50) && a->n > 1 && b->n > 1) {
			a->n--;
			b->n--;
		} else {
			pairs[left++] = pairs[i];
		}
	}
	return left;
}

void coords_fit(struct coords *c)
{
	size_t n, left;
	AUTO_FREE struct pair *pairs = pairs_of(c, &n);

	if (!n)
		return;
	place(c, pairs, n);
	left = drop_outliers(c, pairs, n);
	if (left < n)
		place(c, pairs, left);
	for (size_t i = 0; i < c->names.n; i++) {
		c->v[i].misfit = misfit(c, i, i);
		c->v[i].error = c->v[i].misfit + PARTS / (PARTS + (double)c->v[i].n); /* few are explained too easily */
	}
}

size_t coords_count(const struct coords *c)
{
	return c->names.n;
}

const char *coords_name(const struct coords *c, size_t i)
{
	return c->v[i].name;
}

long coords_find(const struct coords *c, const char *name)
{
	uint64_t digest = XXH64(name, strlen(name), 0);
	const struct name *n = table_find(&c->names, &digest);

	return n ? (long)n->number : -1;
}

bool coords_known(const struct coords *c, size_t i, size_t j)
{
	struct pair key = { .a = (uint32_t)(i < j ? i : j), .b = (uint32_t)(i < j ? j : i) };

	return table_find(&c->pairs, &key);
}

double coords_estimate(const struct coords *c, size_t i, size_t j, double *error)
{
	double twins = misfit(c, i, j) + misfit(c, j, i);
	double unlike = fmax(0, twins - c->v[i].misfit - c->v[j].misfit) / 2 / TWIN;

	if (error)
		*error = (c->v[i].error + c->v[j].error) / 2;
	return c->unit * plain(&c->v[i], &c->v[j]) * (1 - exp(-unlike * unlike / 2));
}

struct json *coords_json(const struct coords *c, size_t i)
{
	struct json *j = json_object(), *at = json_array();

	for (int k = 0; k < DIMS; k++)
		json_add(at, json_number(round(c->v[i].x[k] * c->unit * 1e3) / 1e3));
	json_set(j, "at", at);
	json_set_num(j, "height", round(exp(c->v[i].x[DIMS]) * c->unit * 1e3) / 1e3);
	json_set_num(j, "error", round(c->v[i].error * 1e3) / 1e3);
	return j;
}

struct json *coords_record(const struct coords *c, size_t i, size_t j)
{
	struct json *rec = json_object();
	double error, rtt = coords_estimate(c, i, j, &error);
	char seen[32];

	json_set_str(rec, "kind", "latency");
	json_set_str(rec, "from", c->v[i].name);
	json_set_str(rec, "to", c->v[j].name);
	json_set_str(rec, "method", "predicted");
	json_set_num(rec, "rtt_ms.p50", round(rtt * 1e3) / 1e3);
	json_set_num(rec, "error", round(error * 1e3) / 1e3);
	json_set_str(rec, "seen", clock_rfc3339(seen));
	return rec;
}
