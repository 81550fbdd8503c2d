/* SPDX-License-Identifier: MIT */
#include "lib/place/score.h"

#include <stdlib.h>
#include <string.h>

/* One instance, as the models see it. */
struct scoring {
	const struct world *w;
	const struct world_service *s;
	const struct world_node *home; /* NULL: unknown, or no record of it */
	const struct score_options *o;
	int service;
};

static void lacks(struct score *r, const char *what)
{
	if (r->n_missing < SCORE_MISSING)
		r->missing[r->n_missing++] = what;
}

static void add_part(struct score *r, const char *name, double value)
{
	if (!isnan(value) && r->n_parts < SCORE_PARTS)
		r->part[r->n_parts++] = (struct score_part){ name, value };
}

static bool known(struct score *r, double v, const char *what)
{
	if (isnan(v))
		lacks(r, what);
	return !isnan(v);
}

static double power(const struct world_node *n)
{
	return n->cores * n->score;
}

/* Seconds, from the local node. */
static double rtt_s(const struct scoring *c, const struct world_node *n, struct score *r)
{
	int i = world_latency(c->w, c->home->name, n->name);
	const struct world_latency *l;

	if (i < 0)
		return NAN;
	l = &c->w->latency[i];
	r->predicted |= l->predicted;
	return (isnan(l->mean) ? l->p50 : l->mean) / 1000;
}

static void score_offload(const struct scoring *c, const struct world_node *n, struct score *r)
{
	double net = isnan(c->s->net_bps) ? 0 : c->s->net_bps, local, there, rtt, cpu, network;
	bool all;

	if (n == c->home) {
		r->value = 0;
		return;
	}
	local = c->home && power(c->home) > 0 ? power(c->home) : NAN;
	there = power(n);
	rtt = net > 0 && c->home ? rtt_s(c, n, r) : 0;
	all = known(r, local, "local.cpu");
	all &= known(r, there, "node.cpu");
	all &= known(r, c->s->cpu, "usage.cpu");
	all &= known(r, rtt, "latency.rtt_ms");
	if (!all)
		return;
	cpu = (there - local) / local * 100 * c->s->cpu;
	network = net / (SCORE_WINDOW_BYTES / rtt) * 100;
	add_part(r, "cpu", cpu);
	add_part(r, "network", -network);
	r->value = cpu - network;
}

static void score_latency(const struct scoring *c, const struct world_node *n, struct score *r)
{
	double bound = c->s->want_rtt_ms;

	(void)n;
	if (isnan(bound))
		bound = c->s->needs.rtt_ms;
	if (isnan(bound) || bound <= 0)
		bound = c->o->bound_ms;
	if (!known(r, r->rtt_ms, "users"))
		return;
	add_part(r, "rtt_ms", r->rtt_ms);
	add_part(r, "bound_ms", bound);
	r->value = 100 * (1 - r->rtt_ms / bound);
}

/* Cores that the instance keeps busy at a node: what it uses at home, by the speed of both; else its quota. NAN. */
static double busy_cores(const struct scoring *c, const struct world_node *n)
{
	const struct world_node *h = c->home;
	double cores;

	if (!h || isnan(c->s->cpu) || isnan(h->cores))
		return c->s->quota_cpu;
	cores = c->s->cpu * h->cores;
	return h->score > 0 && n->score > 0 ? cores * h->score / n->score : cores;
}

static double memory(const struct scoring *c)
{
	double mem = isnan(c->s->mem) ? c->s->quota_mem : c->s->mem;

	return isnan(mem) ? c->s->needs.mem : mem;
}

static void score_load(const struct scoring *c, const struct world_node *n, struct score *r)
{
	bool here = n == c->home;
	double more = here ? 0 : busy_cores(c, n), mem = here ? 0 : memory(c);
	double cpu = n->use + (more > 0 ? more / n->cores : more);
	double full = (n->mem_total - n->mem_available + (isnan(mem) ? 0 : mem)) / n->mem_total;

	if (!known(r, n->use, "node.cpu.use") || !known(r, more, "usage.cpu") || !known(r, cpu, "node.cpu.cores"))
		return;
	add_part(r, "cpu", cpu);
	add_part(r, "memory", full);
	r->value = 100 * (1 - fmax(cpu, full));
}

/* Is there work at the node beside this instance? */
static bool awake(const struct scoring *c, const struct world_node *n)
{
	bool here = n == c->home;

	return n->running > (here && c->s->running) || n->use - (here && c->s->cpu > 0 ? c->s->cpu : 0) >= WORLD_ASLEEP;
}

static void score_energy(const struct scoring *c, const struct world_node *n, struct score *r)
{
	double watts = n->max_w - n->idle_w, cores = busy_cores(c, n), wake = awake(c, n) ? 0 : n->idle_w;

	if (!known(r, watts, "node.power") || !known(r, n->cores, "node.cpu.cores") || !known(r, cores, "usage.cpu"))
		return;
	add_part(r, "work_w", watts * cores / n->cores);
	add_part(r, "wake_w", wake);
	r->value = -(watts * cores / n->cores + wake);
}

/* A price that is absent beside others is 0, as is a use that nobody knows. */
static double price(double each, double used)
{
	return isnan(each) || isnan(used) ? 0 : each * used;
}

static void score_cost(const struct scoring *c, const struct world_node *n, struct score *r)
{
	double cpu = price(n->cpu_hour, busy_cores(c, n)), mem = price(n->gb_hour, memory(c) / 1e9);
	double net = price(n->egress_gb, c->s->net_bps / 2 * 3600 / 1e9);

	if (isnan(n->cpu_hour) && isnan(n->gb_hour) && isnan(n->egress_gb)) {
		lacks(r, "node.price");
		return;
	}
	add_part(r, "cpu", cpu);
	add_part(r, "memory", mem);
	add_part(r, "network", net);
	r->value = -(cpu + mem + net);
}

static const struct {
	const char *name;
	void (*score)(const struct scoring *c, const struct world_node *n, struct score *r);
} models[SCORE_MODELS] = {
	[SCORE_OFFLOAD] = { "offload", score_offload }, [SCORE_LATENCY] = { "latency", score_latency },
	[SCORE_LOAD] = { "load", score_load },          [SCORE_ENERGY] = { "energy", score_energy },
	[SCORE_COST] = { "cost", score_cost },
};

enum score_model score_model(const char *name)
{
	enum score_model m = 0;

	while (m < SCORE_MODELS && strcmp(models[m].name, name) != 0)
		m++;
	return m;
}

const char *score_model_name(enum score_model m)
{
	return models[m].name;
}

int score_weights(const char *text, double weight[SCORE_MODELS], struct err *e)
{
	double sum = 0;

	memset(weight, 0, SCORE_MODELS * sizeof(*weight));
	while (*text) {
		char name[32];
		size_t n = strcspn(text, "=,");
		enum score_model m;
		char *end;

		snprintf(name, sizeof(name), "%.*s", (int)n, text);
		m = score_model(name);
		if (m == SCORE_MODELS)
			return err_set(e, EX_USAGE, "weight %s: no such model", name);
		if (text[n] != '=')
			return err_set(e, EX_USAGE, "weight %s: write %s=NUMBER", name, name);
		weight[m] = strtod(text + n + 1, &end);
		if (end == text + n + 1 || (*end && *end != ',') || !(weight[m] >= 0 && weight[m] <= 1e9))
			return err_set(e, EX_USAGE, "weight %s: not a number from 0 on", name);
		sum += weight[m];
		text = end + (*end == ',');
	}
	return sum > 0 ? 0 : err_set(e, EX_USAGE, "weights: none is over 0");
}

static bool is_blend(const struct score_options *o)
{
	for (int m = 0; m < SCORE_MODELS; m++)
		if (o->weight[m] > 0)
			return true;
	return false;
}

/* Stretches one model's scores to 0..100 over the eligible nodes, and adds its share of them. */
static void blend_in(const struct scoring *c, enum score_model m, double share, struct score *row, int n, double *value)
{
	double low = INFINITY, high = -INFINITY;

	for (int i = 0; i < n; i++) {
		struct score one = { .rtt_ms = row[i].rtt_ms, .value = NAN };

		if (!row[i].refusals)
			models[m].score(c, &c->w->node[row[i].node], &one);
		value[i] = one.value;
		low = fmin(low, one.value);
		high = fmax(high, one.value);
		row[i].predicted |= one.predicted;
		for (int k = 0; k < one.n_missing; k++)
			lacks(&row[i], one.missing[k]);
	}
	for (int i = 0; i < n; i++) {
		double part = isnan(value[i]) ? 0 : high > low ? share * 100 * (value[i] - low) / (high - low) : share * 100;

		if (row[i].refusals)
			continue;
		add_part(&row[i], models[m].name, part);
		row[i].value = isnan(row[i].value) ? part : row[i].value + part;
	}
}

static void blend(const struct scoring *c, struct score *row, int n)
{
	AUTO_FREE double *value = malloc(((size_t)n + 1) * sizeof(*value));
	double sum = 0;

	if (!value)
		abort();
	for (int m = 0; m < SCORE_MODELS; m++)
		sum += c->o->weight[m];
	for (int m = 0; m < SCORE_MODELS; m++)
		if (c->o->weight[m] > 0)
			blend_in(c, m, c->o->weight[m] / sum, row, n, value);
}

static int by_rank(const struct score *a, const struct score *b)
{
	if (!a->refusals != !b->refusals)
		return a->refusals ? 1 : -1;
	if (isnan(a->value) || isnan(b->value))
		return isnan(a->value) - isnan(b->value);
	return (a->value < b->value) - (a->value > b->value);
}

static int compare(const void *p, const void *q)
{
	const struct score *a = p, *b = q;
	int rank = by_rank(a, b);

	return rank ? rank : (a->node > b->node) - (a->node < b->node);
}

static bool weaker(const struct scoring *c, const struct world_node *n)
{
	return c->o->prune && c->home && n != c->home && power(n) < power(c->home);
}

static bool feels(const struct scoring *c)
{
	return !isnan(c->s->needs.rtt_ms) || c->o->weight[SCORE_LATENCY] > 0 ||
	       (!c->o->own && !is_blend(c->o) && c->o->model == SCORE_LATENCY);
}

int score_nodes(const struct world *w, int service, const int *node, int n, const struct score_options *o,
		struct score *row)
{
	const struct world_service *s = &w->service[service];
	int home = world_node(w, s->node), made = 0;
	struct scoring c = { w, s, home < 0 ? NULL : &w->node[home], o, service };
	AUTO_FREE double *rtt = feels(&c) ? malloc(((size_t)n + 1) * sizeof(double)) : NULL;
	AUTO_FREE bool *predicted = calloc((size_t)n + 1, sizeof(bool));

	if (!predicted)
		abort();
	if (rtt)
		score_users_rtt(w, service, node, n, o->quantile, rtt, predicted);
	for (int i = 0; i < n; i++) {
		struct score *r = &row[made];

		if (weaker(&c, &w->node[node[i]]))
			continue;
		*r = (struct score){ .node = node[i], .rtt_ms = rtt ? rtt[i] : NAN, .predicted = predicted[i], .value = NAN };
		made++;
		r->refusals = eligible_refusals(w, service, node[i], score_bound_ms(r), &o->rules, false);
		if (r->refusals || is_blend(o))
			continue;
		if (!o->own)
			models[o->model].score(&c, &w->node[node[i]], r);
		else
			o->own(o->ctx, w, service, r);
	}
	if (is_blend(o))
		blend(&c, row, made);
	qsort(row, (size_t)made, sizeof(*row), compare);
	return made;
}

double score_bound_ms(const struct score *s)
{
	return s->predicted ? NAN : s->rtt_ms;
}

void score_clear(struct score *s)
{
	free(s->why);
	s->why = NULL;
}
