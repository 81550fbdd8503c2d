/* SPDX-License-Identifier: MIT */
#include "lib/place/problem.h"

#include <stdlib.h>
#include <string.h>

#include "lib/place/distance.h"
#include "lib/place/score.h"

#define ENDLESS    1e18    /* a capacity that nobody has told */
#define LINK_BPS   125e6   /* of a node that does not tell: 1 Gbit/s */
/* Of a move, as the first table of the README's "How long clients wait" has it (a client's gap, and the whole, of 8, 64 and 512 MB
 * that are written at 10 MB/s, over 1 Gbit/s: 35, 36 and 30 ms, and 0.4, 1.05 and 5.6 s), to 25 % of the gaps and 9 % of the times: */
#define PAUSE_MS   32.0    /* of nothing */
#define PAUSE_MB   0.01    /* for each MB of memory: its page tables are looked at once more */
#define SETTLE_MS  300.0   /* beside what is brought */
#define BRING_MB   1.9     /* for each MB of it, beside its way over the link: it is read, checked and written */
#define HOUR       3600.0
#define OVER_WANTED 10.0  /* a millisecond beyond wants.rtt_ms counts as so many */
#define QUANTILE   0.95    /* of the users' RTT, which needs.rtt_ms bounds */

static const char *const names[PARTS] = { "latency", "score", "load", "energy", "price", "traffic", "move", "together", "spread" };
static const double defaults[WEIGHTS] = { 1, 1, 0.01, 0.1, 100, 1, 1 };

void problem_defaults(double weight[WEIGHTS])
{
	memcpy(weight, defaults, sizeof(defaults));
}

int problem_weights(const char *text, double weight[WEIGHTS], struct err *e)
{
	while (*text) {
		size_t len = strcspn(text, "="), k = 0;
		char *end;
		double v = text[len] ? strtod(text + len + 1, &end) : -1;

		while (k < WEIGHTS && (strlen(names[k]) != len || strncmp(names[k], text, len) != 0))
			k++;
		if (k == WEIGHTS)
			return err_set(e, EX_USAGE, "--weights: %.*s: not one of latency, score, load, energy, price, traffic, move",
				       (int)strcspn(text, "=,"), text);
		if (!(v >= 0 && v < 1e12) || (*end && *end != ','))
			return err_set(e, EX_USAGE, "--weights: %s: not a number from 0 on", names[k]);
		weight[k] = v;
		text = *end ? end + 1 : end;
	}
	return 0;
}

const char *problem_resource(int r)
{
	static const char *const what[TAKES] = { "processors", "memory", "graphics processors", "graphics memory", "network" };

	return what[r];
}

const char *problem_part(int part)
{
	return names[part];
}

/* Cores that the service takes at node i; its work is known at the node where it is, whose cores may be faster or slower. */
static double cores_at(const struct world *w, const struct world_service *s, int i)
{
	int home = s->node < 0 ? -1 : world_node(w, s->node);
	double quota = known_or(s->quota_cpu, known_or(s->needs.cpu, 0)), used;

	if (!isnan(s->quota_cpu) || isnan(s->cpu) || home < 0 || isnan(w->node[home].cores))
		return quota;
	used = s->cpu * w->node[home].cores;
	return fmax(quota, used * known_or(w->node[home].score / w->node[i].score, 1));
}

static double memory_of(const struct world_service *s)
{
	return fmax(known_or(s->quota_mem, 0), fmax(known_or(s->mem, 0), known_or(s->needs.mem, 0)));
}

static void take(struct problem *p, int j)
{
	const struct world *w = p->w;
	const struct world_service *s = &w->service[p->service[j]];

	for (int i = 0; i < p->g.nodes; i++)
		p->use[TAKES_CPU][(size_t)j * p->g.nodes + i] = (float)cores_at(w, s, i);
	p->use[TAKES_MEM][j] = (float)memory_of(s);
	p->use[TAKES_GPU][j] = (float)known_or(s->needs.gpus, 0);
	p->use[TAKES_GPU_MEM][j] = (float)known_or(s->needs.gpu_mem, 0);
	p->use[TAKES_NET][j] = (float)known_or(s->net_bps, 0);
}

/* What is left for services, all of ours gone: others' use is what the node says, less what ours use there. */
static void give(struct problem *p, int i)
{
	const struct world_node *n = &p->w->node[i];
	double *c = p->capacity + (size_t)i * TAKES, ours = 0, memory = 0;

	for (int j = 0; j < p->g.jobs; j++)
		if (p->at[j] == i) {
			const struct world_service *s = &p->w->service[p->service[j]];

			ours += known_or(s->cpu, 0) * known_or(n->cores, 0);
			memory += known_or(s->mem, 0);
		}
	c[TAKES_CPU] = known_or(n->cores * p->o->limit - fmax(0, known_or(n->use * n->cores, ours) - ours), ENDLESS);
	c[TAKES_MEM] = known_or(n->mem_available + memory, known_or(n->mem_total, ENDLESS));
	c[TAKES_GPU] = known_or(n->gpus, ENDLESS);
	c[TAKES_GPU_MEM] = known_or(n->gpu_mem, ENDLESS);
	c[TAKES_NET] = known_or(n->net_bps, ENDLESS);
	for (int r = 0; r < TAKES; r++)
		c[r] = fmax(0, c[r]);
}

/* Has some job no node, and could have one if that were empty? */
static bool homeless(const struct problem *p)
{
	for (int j = 0; j < p->g.jobs; j++)
		for (int i = 0, r = 0; p->at[j] < 0 && i < p->g.nodes; i++, r = 0) {
			while (r < TAKES && !gap_over(gap_use(&p->g, j, i, r), p->capacity[i * TAKES + r]))
				r++;
			if (r == TAKES && p->cost[(size_t)j * p->g.nodes + i] < GAP_NEVER)
				return true;
		}
	return false;
}

/* Use of processors is measured, and wobbles: what is there may stay up to the limit, but more comes only up to the margin below it, or
 * what had to go when use was high would come back when it is low. Who has no node yet need not wait for that. */
static void steady(struct problem *p)
{
	for (int i = homeless(p) ? p->g.nodes : 0; i < p->g.nodes; i++) {
		const struct world_node *n = &p->w->node[i];
		double *all = &p->capacity[i * TAKES + TAKES_CPU], less = *all - p->o->margin * known_or(n->use * n->cores, 0), load = 0;

		for (int j = 0; j < p->g.jobs; j++)
			load += p->at[j] == i ? gap_use(&p->g, j, i, TAKES_CPU) : 0;
		*all = load > *all ? *all : fmax(0, fmax(load, less));
	}
}

/* --- what it costs */

struct crowd {
	struct world_user u;
	double weight;
};

/* The users of an instance: those that its node serves, that none serves, or all when it is the only one of its name. */
static int crowd_of(const struct world *w, const struct world_service *s, struct crowd *c)
{
	const struct world_app *app = &w->app[s->app];
	int n = 0;

	for (int k = 0; k < app->n_users; k++) {
		const struct world_user *u = &w->user[w->of_app[app->first_user + k]];

		if (app->n_services == 1 || u->node < 0 || u->node == s->node)
			c[n++] = (struct crowd){ *u, known_or(u->demand, 1) };
	}
	for (int k = 0; k < app->n_groups && !app->n_users; k++) {
		const struct world_group *g = &w->group[w->of_app[app->first_group + k]];

		if (app->n_services == 1 || g->node < 0 || g->node == s->node)
			c[n++] = (struct crowd){ { .addr = -1, .node = g->node, .app = g->app, .p50 = g->p50, .geo = g->geo },
						 known_or(g->users, 1) };
	}
	return n;
}

/* What its users cost that wait so long. */
static double waiting(const struct problem *p, int j, double ms)
{
	double over = fmax(0, ms - known_or(p->w->service[p->service[j]].want_rtt_ms, INFINITY));

	return p->o->weight[WEIGHT_LATENCY] * p->users[j] * (ms + (OVER_WANTED - 1) * over);
}

/* Users' mean RTT where nothing is known of it. */
static float worst_rtt(const struct problem *p, int j)
{
	const float *rtt = p->rtt + (size_t)j * p->g.nodes;
	float worst = 0;

	for (int i = 0; i < p->g.nodes; i++)
		worst = fmaxf(worst, rtt[i]);
	return worst;
}

/* Users' mean RTT at each node; where nothing is known it counts as the worst that is. */
static int latency(struct problem *p, int j)
{
	const struct world *w = p->w;
	const struct world_service *s = &w->service[p->service[j]];
	size_t room = (size_t)w->app[s->app].n_users + (size_t)w->app[s->app].n_groups + 1;
	AUTO_FREE struct crowd *c = malloc(room * sizeof(*c));
	float *rtt = p->rtt + (size_t)j * p->g.nodes, *cost = p->cost + (size_t)j * p->g.nodes, worst;
	bool *predicted = p->predicted + (size_t)j * p->g.nodes;
	int n;

	if (!c)
		return -1;
	n = crowd_of(w, s, c);
	for (int k = 0; k < n; k++)
		p->users[j] += c[k].weight;
	for (int i = 0; i < p->g.nodes; i++) {
		double sum = 0, known = 0;

		for (int k = 0; k < n; k++) {
			double ms = distance_user_estimate(w, &c[k].u, w->node[i].name, &predicted[i]);

			sum += isnan(ms) ? 0 : c[k].weight * ms;
			known += isnan(ms) ? 0 : c[k].weight;
		}
		rtt[i] = known > 0 ? (float)(sum / known) : NAN;
	}
	worst = worst_rtt(p, j);
	for (int i = 0; i < p->g.nodes; i++)
		cost[i] = (float)waiting(p, j, isnan(rtt[i]) ? worst : rtt[i]);
	return 0;
}

static void running(const struct problem *p, int j, int i, double part[PARTS])
{
	const struct world_node *n = &p->w->node[i];
	const struct world_service *s = &p->w->service[p->service[j]];
	const double *weight = p->o->weight;
	double cores = gap_use(&p->g, j, i, TAKES_CPU), used = known_or(cores / n->cores, 0);
	double price = known_or(n->cpu_hour, 0) * cores + known_or(n->gb_hour, 0) * memory_of(s) / 1e9 +
		       known_or(n->egress_gb, 0) * known_or(s->net_bps, 0) / 2 * HOUR / 1e9;

	part[WEIGHT_LOAD] = weight[WEIGHT_LOAD] * 100 * used;
	part[WEIGHT_ENERGY] = weight[WEIGHT_ENERGY] * known_or(n->max_w - n->idle_w, 0) * used;
	part[WEIGHT_PRICE] = weight[WEIGHT_PRICE] * price;
}

double problem_running_cost(const struct problem *p, int j, int i)
{
	double part[PARTS];

	running(p, j, i, part);
	return part[WEIGHT_LOAD] + part[WEIGHT_ENERGY] + part[WEIGHT_PRICE];
}

void problem_parts(const struct problem *p, int j, int i, double part[PARTS])
{
	size_t at = (size_t)j * p->g.nodes + i;

	memset(part, 0, PARTS * sizeof(*part));
	running(p, j, i, part);
	part[WEIGHT_LATENCY] = waiting(p, j, isnan(p->rtt[at]) ? worst_rtt(p, j) : p->rtt[at]);
	if (p->paid[at] < GAP_NEVER)
		part[WEIGHT_MOVE] = p->paid[at] - p->cost[at];
}

static void score(struct problem *p, const struct world_score *c, int j, int i)
{
	size_t at = (size_t)j * p->g.nodes + (size_t)i;
	float *cost = &p->cost[at];

	p->predicted[at] |= c->predicted;
	if (!c->eligible && c->why >= 0 && p->at[j] == i)
		return; /* it came there all the same, later */
	if (!c->eligible)
		*cost = GAP_NEVER;
	else
		*cost -= (float)(p->o->weight[WEIGHT_SCORE] * known_or(c->score, 0));
}

/* What records say of an instance, or of all of one name. */
static int scores(struct problem *p)
{
	const struct world *w = p->w;
	AUTO_FREE int *job = malloc(((size_t)w->n_services + 1) * sizeof(*job));

	if (!job)
		return -1;
	for (int s = 0; s < w->n_services; s++)
		job[s] = -1;
	for (int j = 0; j < p->g.jobs; j++)
		job[p->service[j]] = j;
	for (int k = 0; k < w->n_scored; k++) {
		const struct world_score *c = &w->scored[k];
		const struct world_app *app = &w->app[c->app];
		int i = world_node(w, c->node);

		if (i >= 0 && c->service >= 0 && job[c->service] >= 0)
			score(p, c, job[c->service], i);
		for (int n = 0; i >= 0 && c->service < 0 && n < app->n_services; n++)
			if (job[w->of_app[app->first_service + n]] >= 0)
				score(p, c, job[w->of_app[app->first_service + n]], i);
	}
	return 0;
}

/* Why it may not be there. Memory is a capacity here: what moves away makes room. */
static bool refused(const struct problem *p, int j, int i, double rtt_ms)
{
	const unsigned memory = 1u << ELIGIBLE_MEMORY;
	unsigned why = eligible_refusals(p->w, p->service[j], i, rtt_ms, &p->o->rules, true);

	if (why == memory)
		why = eligible_refusals(p->w, p->service[j], i, rtt_ms, &p->o->rules, false) & ~memory;
	return why || (p->o->failed && p->o->failed[i]);
}

double *problem_bounded_rtt(const struct problem *p, int j)
{
	size_t nodes = (size_t)p->g.nodes + 1;
	double *rtt = malloc(nodes * sizeof(*rtt));
	AUTO_FREE bool *predicted = calloc(nodes, sizeof(*predicted));
	AUTO_FREE int *all = malloc(nodes * sizeof(*all));

	if (!rtt || !predicted || !all) {
		free(rtt);
		return NULL;
	}
	for (int i = 0; i < p->g.nodes; i++) {
		all[i] = i;
		rtt[i] = NAN;
	}
	if (!isnan(p->w->service[p->service[j]].needs.rtt_ms))
		score_users_rtt(p->w, p->service[j], all, p->g.nodes, QUANTILE, rtt, predicted);
	for (int i = 0; i < p->g.nodes; i++)
		if (predicted[i])
			rtt[i] = NAN;
	return rtt;
}

static int prices(struct problem *p, int j)
{
	const struct world_service *s = &p->w->service[p->service[j]];
	AUTO_FREE double *rtt = problem_bounded_rtt(p, j);
	float *cost = p->cost + (size_t)j * p->g.nodes;

	if (!rtt)
		return -1;
	for (int i = 0; i < p->g.nodes; i++)
		cost[i] = refused(p, j, i, rtt[i]) ? GAP_NEVER : cost[i] + (float)problem_running_cost(p, j, i);
	p->rests[j] = !isnan(s->moved) && p->o->rules.now - s->moved < p->o->cooldown;
	return 0;
}

bool problem_unmeasured(const struct problem *p, int job, int node)
{
	size_t row = (size_t)job * p->g.nodes;
	int at = p->at[job];

	return at >= 0 && node != at && (p->predicted[row + node] || (p->predicted[row + at] && p->cost[row + at] < GAP_NEVER));
}

/* With the cost of moving, and not at all while it rests, or to where a latency is to be measured first. A service that may not be where it is must move whatever it costs. */
static void pay(struct problem *p, int j)
{
	const float *cost = p->cost + (size_t)j * p->g.nodes;
	float *paid = p->paid + (size_t)j * p->g.nodes, now = p->at[j] >= 0 ? cost[p->at[j]] : GAP_NEVER;

	for (int i = 0; i < p->g.nodes; i++) {
		paid[i] = problem_unmeasured(p, j, i) ? GAP_NEVER : cost[i];
		if (i == p->at[j] || !(now < GAP_NEVER) || !(paid[i] < GAP_NEVER))
			continue;
		if (p->rests[j])
			paid[i] = GAP_NEVER;
		else
			paid[i] += (float)(p->o->weight[WEIGHT_MOVE] * problem_predict(p, j, p->at[j], i, 0).pause_ms *
						   fmax(1, p->users[j]) / HOUR +
					   p->o->margin * fabs((double)now));
	}
}

/* --- all of it */

static int allocate(struct problem *p)
{
	size_t jobs = (size_t)p->g.jobs + 1, all = jobs * ((size_t)p->g.nodes + 1);

	p->at = malloc(jobs * sizeof(int));
	p->cost = calloc(all, sizeof(float));
	p->paid = calloc(all, sizeof(float));
	p->rtt = calloc(all, sizeof(float));
	p->predicted = calloc(all, sizeof(bool));
	p->users = calloc(jobs, sizeof(double));
	p->rests = calloc(jobs, sizeof(bool));
	p->capacity = calloc(((size_t)p->g.nodes + 1) * TAKES, sizeof(double));
	for (int r = 0; r < TAKES; r++) {
		p->use[r] = calloc(r == TAKES_CPU ? all : jobs, sizeof(float));
		if (!p->use[r])
			return -1;
		p->g.use[r].of = p->use[r];
		p->g.use[r].by_node = r == TAKES_CPU;
	}
	return p->at && p->cost && p->paid && p->rtt && p->predicted && p->users && p->rests && p->capacity ? 0 : -1;
}

struct problem *problem_new(const struct world *w, const struct problem_options *o)
{
	AUTO_PROBLEM struct problem *p = calloc(1, sizeof(*p));

	if (!p || !(p->service = malloc(((size_t)w->n_services + 1) * sizeof(int))))
		return NULL;
	p->w = w;
	p->o = o;
	for (int s = 0; s < w->n_services; s++)
		if (w->service[s].running)
			p->service[p->g.jobs++] = s;
	p->g.nodes = w->n_nodes;
	p->g.resources = TAKES;
	if (allocate(p))
		return NULL;
	for (int j = 0; j < p->g.jobs; j++) {
		int node = w->service[p->service[j]].node;

		p->at[j] = node < 0 ? -1 : world_node(w, node);
		if (p->at[j] >= 0 && o->failed && o->failed[p->at[j]])
			p->at[j] = -1;
		take(p, j);
		if (latency(p, j))
			return NULL;
	}
	if (scores(p))
		return NULL;
	for (int i = 0; i < p->g.nodes; i++)
		give(p, i);
	for (int j = 0; j < p->g.jobs; j++)
		if (prices(p, j))
			return NULL;
	steady(p);
	if (problem_link(p))
		return NULL;
	for (int j = 0; j < p->g.jobs; j++)
		pay(p, j);
	p->g.cost = p->paid;
	p->g.capacity = p->capacity;
	p->g.distance = p->distance;
	p->g.network = p->network;
	return TAKE_PTR(p);
}

void problem_free(struct problem *p)
{
	free(p->service);
	free(p->at);
	free(p->cost);
	free(p->paid);
	free(p->rtt);
	free(p->predicted);
	for (int r = 0; r < TAKES; r++)
		free(p->use[r]);
	free(p->capacity);
	free(p->users);
	free(p->links);
	free(p->link_of);
	free(p->link_end);
	free(p->distance);
	free(p->network);
	free(p->rests);
	free(p);
}

struct prediction problem_predict(const struct problem *p, int job, int from, int to, double gain)
{
	const struct world_service *s = &p->w->service[p->service[job]];
	bool there = s->came_from >= 0 && p->w->node[to].name == s->came_from; /* its files */
	struct prediction out = { .bytes = isnan(s->mem) && isnan(s->bytes) ? NAN : known_or(s->mem, 0) + (there ? 0 : known_or(s->bytes, 0)) };
	double link = fmin(from < 0 ? LINK_BPS : known_or(p->w->node[from].net_bps, LINK_BPS), known_or(p->w->node[to].net_bps, LINK_BPS));

	out.transfer_ms = SETTLE_MS + known_or(out.bytes, 0) * (1e3 / link + BRING_MB / 1e6);
	/* A stateless one is started there before it is stopped here. */
	out.pause_ms = s->stateless || from < 0 ? 0 : PAUSE_MS + PAUSE_MB * known_or(s->mem, 0) / 1e6;
	out.break_even_s = gain > 0 ? out.pause_ms * fmax(1, p->users[job]) / gain : INFINITY;
	return out;
}
