/* SPDX-License-Identifier: MIT */
#include "lib/place/problem.h"

#include <stdlib.h>
#include <string.h>

#include "lib/place/distance.h"
#include "lib/place/score.h"

#define ENDLESS    1e18    /* a capacity that nobody has told */
#define LINK_BPS   125e6   /* of a node that does not tell: 1 Gbit/s */
#define PAUSE_MS   60.0    /* of a move of nothing; this and the next line as measured with edge-migrate (README) */
#define PAUSE_MB   1.65    /* ms for each MB of memory, which is looked at once more inside the freeze */
#define SETTLE_MS  1000.0  /* of a move, beside the transfer */
#define HOUR       3600.0
#define OVER_WANTED 10.0  /* a millisecond beyond wants.rtt_ms counts as so many */
#define QUANTILE   0.95    /* of the users' RTT, which needs.rtt_ms bounds */
#define SPREAD     1e4     /* user ms for two instances on one network that should be spread */
#define TOGETHER   1e4     /* user ms for each ms between services that should be on one node */

static const char *const names[WEIGHTS] = { "latency", "score", "load", "energy", "price", "traffic", "move" };
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
	static const char *const what[TAKES] = { "processors", "memory", "graphics processors", "network" };

	return what[r];
}

static double known_or(double v, double otherwise)
{
	return isnan(v) ? otherwise : v;
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
	c[TAKES_NET] = known_or(n->net_bps, ENDLESS);
	for (int r = 0; r < TAKES; r++)
		c[r] = fmax(0, c[r]);
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

/* Users' mean RTT at each node; where nothing is known it counts as the worst that is. */
static int latency(struct problem *p, int j)
{
	const struct world *w = p->w;
	const struct world_service *s = &w->service[p->service[j]];
	size_t room = (size_t)w->app[s->app].n_users + (size_t)w->app[s->app].n_groups + 1;
	AUTO_FREE struct crowd *c = malloc(room * sizeof(*c));
	float *rtt = p->rtt + (size_t)j * p->g.nodes, *cost = p->cost + (size_t)j * p->g.nodes, worst = 0;
	unsigned char *predicted = p->predicted + (size_t)j * p->g.nodes;
	double all = 0;
	int n;

	if (!c)
		return -1;
	n = crowd_of(w, s, c);
	for (int k = 0; k < n; k++)
		all += c[k].weight;
	p->users[j] = fmax(1, all);
	for (int i = 0; i < p->g.nodes; i++) {
		double sum = 0, known = 0;
		bool guessed = false;

		for (int k = 0; k < n; k++) {
			double ms = distance_user_estimate(w, &c[k].u, w->node[i].name, &guessed);

			sum += isnan(ms) ? 0 : c[k].weight * ms;
			known += isnan(ms) ? 0 : c[k].weight;
		}
		rtt[i] = known > 0 ? (float)(sum / known) : NAN;
		predicted[i] = guessed ? PREDICTED_USERS : 0;
		worst = fmaxf(worst, rtt[i]);
	}
	for (int i = 0; i < p->g.nodes; i++) {
		double ms = isnan(rtt[i]) ? worst : rtt[i], over = fmax(0, ms - known_or(s->want_rtt_ms, INFINITY));

		cost[i] = (float)(p->o->weight[WEIGHT_LATENCY] * all * (ms + (OVER_WANTED - 1) * over));
	}
	return 0;
}

double problem_running_cost(const struct problem *p, int j, int i)
{
	const struct world_node *n = &p->w->node[i];
	const struct world_service *s = &p->w->service[p->service[j]];
	const double *weight = p->o->weight;
	double cores = gap_use(&p->g, j, i, TAKES_CPU), part = known_or(cores / n->cores, 0);
	double price = known_or(n->cpu_hour, 0) * cores + known_or(n->gb_hour, 0) * memory_of(s) / 1e9 +
		       known_or(n->egress_gb, 0) * known_or(s->net_bps, 0) / 2 * HOUR / 1e9;

	return weight[WEIGHT_LOAD] * 100 * part + weight[WEIGHT_ENERGY] * known_or(n->max_w - n->idle_w, 0) * part +
	       weight[WEIGHT_PRICE] * price;
}

static void scores(struct problem *p)
{
	const struct world *w = p->w;

	for (int k = 0; k < w->n_scored; k++) {
		int i = world_node(w, w->scored[k].node);

		for (int j = 0; i >= 0 && j < p->g.jobs; j++) {
			size_t at = (size_t)j * p->g.nodes + i;
			float *c = &p->cost[at];

			if (w->scored[k].service >= 0 ? p->service[j] != w->scored[k].service :
							w->service[p->service[j]].app != w->scored[k].app)
				continue;
			if (!w->scored[k].eligible)
				*c = GAP_NEVER;
			else
				*c -= (float)(p->o->weight[WEIGHT_SCORE] * known_or(w->scored[k].score, 0));
			p->predicted[at] |= w->scored[k].predicted ? PREDICTED_SCORE : 0;
		}
	}
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

static int prices(struct problem *p, int j)
{
	const struct world_service *s = &p->w->service[p->service[j]];
	AUTO_FREE double *rtt = malloc(((size_t)p->g.nodes + 1) * sizeof(*rtt));
	AUTO_FREE int *all = malloc(((size_t)p->g.nodes + 1) * sizeof(*all));
	float *cost = p->cost + (size_t)j * p->g.nodes;
	const unsigned char *predicted = p->predicted + (size_t)j * p->g.nodes;

	if (!rtt || !all)
		return -1;
	for (int i = 0; i < p->g.nodes; i++) {
		all[i] = i;
		rtt[i] = NAN;
	}
	if (!isnan(s->needs.rtt_ms))
		score_users_rtt(p->w, p->service[j], all, p->g.nodes, QUANTILE, rtt, NULL);
	for (int i = 0; i < p->g.nodes; i++)
		cost[i] = refused(p, j, i, predicted[i] & PREDICTED_USERS ? NAN : rtt[i]) ? GAP_NEVER : cost[i] + (float)problem_running_cost(p, j, i);
	p->rests[j] = !isnan(s->moved) && p->o->rules.now - s->moved < p->o->cooldown;
	return 0;
}

bool problem_unmeasured(const struct problem *p, int job, int node)
{
	size_t row = (size_t)job * p->g.nodes;
	int at = p->at[job];

	return at >= 0 && node != at && (p->predicted[row + node] || (p->predicted[row + at] && p->cost[row + at] < GAP_NEVER));
}

/* With the cost of moving, and not at all while it rests, or to where it is not known how far that is. A service that may not be where it is must move whatever it costs. */
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
						   p->users[j] / HOUR +
					   p->o->margin * fabs((double)now));
	}
}

/* --- services that depend on each other */

static int add_link(struct problem *p, int *room, int a, int b, float weight, bool apart)
{
	if (a == b || weight <= 0)
		return 0;
	if (p->g.n_links == *room) {
		struct gap_link *more = realloc(p->links, (size_t)(*room = 2 * *room + 16) * sizeof(*more));

		if (!more)
			return -1;
		p->links = more;
	}
	p->links[p->g.n_links++] = (struct gap_link){ a, b, weight, apart };
	return 0;
}

/* Links of job j to all instances of that name. */
static int link_all(struct problem *p, int *room, int j, int name, float weight)
{
	for (int k = 0; k < p->g.jobs; k++)
		if (p->w->service[p->service[k]].name == name && add_link(p, room, j, k, weight, false))
			return -1;
	return 0;
}

/* A name is used once at a node; and who wants to be spread is better on different networks. */
static int link_instances(struct problem *p, int *room, int j)
{
	const struct world_service *s = &p->w->service[p->service[j]];

	for (int k = j + 1; k < p->g.jobs && p->w->app[s->app].n_services > 1; k++)
		if (p->w->service[p->service[k]].app == s->app &&
		    (add_link(p, room, j, k, INFINITY, false) || (s->needs.spread && add_link(p, room, j, k, SPREAD, true))))
			return -1;
	return 0;
}

static int links(struct problem *p)
{
	const struct world *w = p->w;
	int room = 0, n;

	for (int j = 0; j < p->g.jobs; j++) {
		const struct world_service *s = &w->service[p->service[j]];
		const int *list = world_list(w, s->needs.avoid, &n);

		for (int k = 0; k < n; k++)
			if (link_all(p, &room, j, list[k], INFINITY))
				return -1;
		if (link_instances(p, &room, j))
			return -1;
		list = world_list(w, s->needs.together, &n);
		for (int k = 0; k < n; k++)
			if (link_all(p, &room, j, list[k], TOGETHER))
				return -1;
		for (int k = 0; k < s->n_peers; k++)
			if (link_all(p, &room, j, w->peer[s->peers + k].name,
				     (float)(p->o->weight[WEIGHT_TRAFFIC] * known_or(w->peer[s->peers + k].net_bps, 0) /
					     SCORE_WINDOW_BYTES)))
				return -1;
	}
	if (!p->g.n_links)
		return 0;
	p->distance = malloc((size_t)p->g.nodes * p->g.nodes * sizeof(float));
	for (int a = 0; p->distance && a < p->g.nodes; a++)
		for (int b = 0; b < p->g.nodes; b++)
			p->distance[(size_t)a * p->g.nodes + b] =
				a == b ? 0 : (float)fmax(0.05, known_or(distance_nodes_ms(w, w->node[a].name, w->node[b].name), 1));
	p->network = malloc(((size_t)p->g.nodes + 1) * sizeof(int));
	for (int i = 0; p->network && i < p->g.nodes; i++)
		p->network[i] = w->node[i].network;
	return p->distance && p->network ? 0 : -1;
}

/* Of services that talk: how far a node is from the other's. */
static void link_predictions(struct problem *p)
{
	const struct world *w = p->w;

	for (int l = 0; l < p->g.n_links; l++) {
		const struct gap_link *k = &p->g.links[l];

		for (int i = 0; i < p->g.nodes && !isinf(k->weight) && !k->apart; i++) {
			const int job[] = { k->a, k->b }, other[] = { p->at[k->b], p->at[k->a] };

			for (int side = 0; side < 2; side++) {
				int known = other[side] < 0 ? -1 : world_latency(w, w->node[i].name, w->node[other[side]].name);

				if (known >= 0 && w->latency[known].predicted)
					p->predicted[(size_t)job[side] * p->g.nodes + i] |= PREDICTED_PEERS;
			}
		}
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
	p->predicted = calloc(all, sizeof(*p->predicted));
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
	scores(p);
	for (int i = 0; i < p->g.nodes; i++)
		give(p, i);
	for (int j = 0; j < p->g.jobs; j++)
		if (prices(p, j))
			return NULL;
	if (links(p))
		return NULL;
	p->g.links = p->links;
	link_predictions(p);
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

	out.transfer_ms = SETTLE_MS + known_or(out.bytes, 0) / link * 1e3;
	/* A stateless one is started there before it is stopped here. */
	out.pause_ms = s->stateless || from < 0 ? 0 : PAUSE_MS + PAUSE_MB * known_or(s->mem, 0) / 1e6;
	out.break_even_s = gain > 0 ? out.pause_ms * p->users[job] / gain : INFINITY;
	return out;
}
