/* SPDX-License-Identifier: MIT */
/* What a trace tells, and what our moves make of it. */
#include <stdlib.h>
#include <string.h>

#include "lib/place/distance.h"
#include "lib/place/simulate_int.h"
#include "lib/place/world_int.h"

/* --- what is told */

static bool says(struct simulation *s, const char *member, const char *word)
{
	int tok = json_scan_find(&s->scan, 0, member);
	size_t len;

	if (tok < 0 || s->scan.tok[tok].type != JSON_STRING)
		return false;
	return !strncmp(json_scan_string(&s->scan, tok, &len), word, strlen(word)) && len == strlen(word);
}

static void note_node(struct simulation *s, int i)
{
	bool fresh = i >= s->n_nodes;

	s->node = world_room(s->node, i, &s->nodes_room, sizeof(*s->node));
	s->gone = world_room(s->gone, i, &s->gone_room, sizeof(*s->gone));
	s->n_nodes = s->w->n_nodes;
	s->node[i] = s->w->node[i];
	s->gone[i] = says(s, "state", "failed");
	for (int k = 0; k < s->n_services; k++) {
		struct sim_service *v = &s->service[k];

		if (s->gone[i] && v->at == i)
			v->at = -1;
		if (fresh && v->at < 0 && !v->ended && v->told.node == s->node[i].name && !s->gone[i])
			v->at = i; /* its service was told first */
	}
}

static void add_service(struct simulation *s, int k, int at)
{
	s->service = world_room(s->service, k, &s->services_room, sizeof(*s->service));
	s->service[k] = (struct sim_service){ .at = at, .from = -1, .left = NAN, .moved = s->w->service[k].moved };
	s->n_services = s->w->n_services;
}

static void note_service(struct simulation *s, int k)
{
	const struct world_service *told = &s->w->service[k];
	int at = told->node < 0 ? -1 : world_node(s->w, told->node);

	if (k >= s->n_services)
		add_service(s, k, at >= 0 && !s->gone[at] ? at : -1);
	s->service[k].told = *told;
}

void simulate_copy(struct simulation *s, int service, int node)
{
	int k = world_copy_service(s->w, service, -1);

	add_service(s, k, node);
	s->service[k].moved = s->now;
	s->service[k].told = s->w->service[k];
}

static int own_group(struct simulation *s, int user)
{
	const struct world_group g = { .node = -1, .app = s->user[user].told.app, .geo = s->user[user].told.geo };

	return world_add_group(s->w, &g);
}

static void add_group(struct simulation *s, int k, int user)
{
	s->group = world_room(s->group, k, &s->groups_room, sizeof(*s->group));
	s->group[k] = (struct sim_group){ .told = s->w->group[k], .node = s->w->group[k].node, .user = user };
	s->n_groups = s->w->n_groups;
}

static void note_user(struct simulation *s, int k)
{
	bool fresh = k >= s->n_users;

	s->user = world_room(s->user, k, &s->users_room, sizeof(*s->user));
	if (fresh)
		s->user[k].node = s->w->user[k].node;
	s->user[k].told = s->w->user[k];
	s->user[k].seen = s->now;
	s->n_users = s->w->n_users;
	/* The policy nearest knows groups only: each user is one. */
	if (fresh && s->o.policy == POLICIES)
		add_group(s, own_group(s, k), k);
}

static void note_group(struct simulation *s, int k)
{
	if (k >= s->n_groups)
		add_group(s, k, -1);
	s->group[k].told = s->w->group[k];
	s->group[k].seen = s->now;
}

int simulate_note(struct simulation *s, const char *line, size_t len, struct err *e)
{
	enum world_kind kind;
	int k, rc = world_take(s->w, line, len, &kind, &k, e);

	if (rc || k < 0)
		return rc;
	if (kind == WORLD_NODE)
		note_node(s, k);
	else if (kind == WORLD_SERVICE)
		note_service(s, k);
	else if (kind == WORLD_USER)
		note_user(s, k);
	else if (kind == WORLD_GROUP)
		note_group(s, k);
	return 0;
}

/* --- what is */

/* Cores that it keeps busy at node i: what was told of where it was told to be, by the scores of both. */
static double cores_at(const struct simulation *s, const struct sim_service *v, int i)
{
	int home = v->told.node < 0 ? -1 : world_node(s->w, v->told.node);
	double cores;

	if (home < 0 || i < 0)
		return NAN;
	cores = v->told.cpu * s->node[home].cores;
	return i == home ? cores : cores * known_or(s->node[home].score / s->node[i].score, 1);
}

static bool runs(const struct sim_service *v)
{
	return v->told.running && !v->ended;
}

static void settle_service(struct simulation *s, int k)
{
	struct world_service *now = &s->w->service[k];
	const struct sim_service *v = &s->service[k];

	*now = v->told;
	now->node = v->at < 0 ? -1 : s->node[v->at].name;
	now->running = runs(v);
	now->moved = v->moved;
	now->cpu = v->at < 0 ? NAN : cores_at(s, v, v->at) / s->node[v->at].cores;
	if (now->cpu > 1)
		now->cpu = 1;
	if (v->at < 0)
		now->mem = NAN; /* it is nowhere: what it needs is in its profile */
	if (v->at < 0 && isnan(now->quota_mem))
		now->quota_mem = v->told.mem;
}

/* What runs at the node now instead of what was told to. */
static void settle_node(struct simulation *s, int i)
{
	struct world_node *now = &s->w->node[i];
	const struct world_node *told = &s->node[i];
	double cores = told->use * told->cores, mem = told->mem_available;

	for (int k = 0; k < s->n_services; k++) {
		const struct sim_service *v = &s->service[k];

		if (v->told.running && v->told.node == told->name) {
			cores -= known_or(cores_at(s, v, i), 0);
			mem += known_or(v->told.mem, 0);
		}
		if (runs(v) && v->at == i) {
			cores += known_or(cores_at(s, v, i), 0);
			mem -= known_or(v->told.mem, 0);
		}
	}
	*now = *told;
	now->use = fmax(0, cores) / told->cores;
	if (isnan(cores))
		now->use = NAN;
	now->mem_available = isnan(mem) ? NAN : fmax(0, mem);
}

/* The node whose instance serves it: the one that it is sent to, else the nearest; -1: none runs. Its RTT there, NAN. */
static int serving(const struct simulation *s, const struct world_user *u, double *ms)
{
	const struct world_app *app = &s->w->app[u->app];
	int best = -1;

	*ms = NAN;
	for (int k = 0; k < app->n_services; k++) {
		const struct sim_service *v = &s->service[s->w->of_app[app->first_service + k]];
		double there;

		if (!runs(v) || v->at < 0)
			continue;
		there = distance_user_ms(s->w, u, s->node[v->at].name);
		if (best < 0 || there < *ms || s->node[v->at].name == u->node) {
			best = v->at;
			*ms = there;
		}
		if (s->node[v->at].name == u->node)
			break;
	}
	return best;
}

static bool left(const struct simulation *s, double seen)
{
	return s->now - seen > s->problem.rules.stale;
}

static void settle_user(struct simulation *s, int k)
{
	struct world_user *now = &s->w->user[k];
	const struct sim_user *v = &s->user[k];

	*now = v->told;
	if (left(s, v->seen))
		now->demand = 0;
	if (v->node == v->told.node)
		return;
	now->p50 = v->node < 0 ? NAN : distance_user_ms(s->w, &v->told, v->node);
	now->p95 = NAN;
	now->node = v->node;
}

static void settle_group(struct simulation *s, int k)
{
	struct world_group *now = &s->w->group[k];
	const struct sim_group *v = &s->group[k];

	*now = v->told;
	if (v->user >= 0) {
		const struct world_user *u = &s->w->user[v->user];
		int at = serving(s, u, &now->p50);

		now->node = at < 0 ? -1 : s->node[at].name;
		now->users = u->demand;
		now->geo = u->geo;
		return;
	}
	const struct world_user as = { .addr = -1, .node = v->told.node, .p50 = v->told.p50, .geo = v->told.geo };

	if (left(s, v->seen))
		now->users = 0;
	now->node = v->node;
	now->p50 = v->node < 0 ? NAN : distance_user_ms(s->w, &as, v->node);
}

void simulate_settle(struct simulation *s)
{
	for (int k = 0; k < s->n_services; k++)
		settle_service(s, k);
	for (int i = 0; i < s->n_nodes; i++)
		settle_node(s, i);
	for (int k = 0; k < s->n_users; k++)
		settle_user(s, k);
	world_index(s->w);
	for (int k = 0; k < s->n_groups; k++)
		settle_group(s, k);
}

/* --- what is felt */

static double bound_of(const struct simulation *s, int app)
{
	const struct world_app *a = &s->w->app[app];
	const struct world_service *v = a->n_services ? &s->w->service[s->w->of_app[a->first_service]] : NULL;

	return v ? known_or(v->want_rtt_ms, known_or(v->needs.rtt_ms, s->o.bound_ms)) : s->o.bound_ms;
}

static void measure_one(struct simulation *s, const struct world_user *u, double weight)
{
	double ms;

	s->rate.user_s += weight;
	s->rate.unserved_s += serving(s, u, &ms) < 0 ? weight : 0;
	if (isnan(ms))
		return;
	s->rate.felt_s += weight;
	s->rate.ms_s += weight * ms;
	s->rate.over_s += ms > bound_of(s, u->app) ? weight : 0;
}

static void measure_users(struct simulation *s)
{
	const struct world *w = s->w;

	for (int k = 0; k < s->n_users; k++)
		measure_one(s, &w->user[k], w->user[k].demand);
	for (int k = 0; k < s->n_groups; k++) {
		const struct world_group *g = &w->group[k];
		const struct world_user u = { .addr = -1, .node = g->node, .app = g->app, .p50 = g->p50, .geo = g->geo };

		if (!w->app[g->app].n_users)
			measure_one(s, &u, known_or(g->users, 1));
	}
}

static void measure_node(struct simulation *s, int i)
{
	const struct world_node *n = &s->w->node[i];
	double memory = n->mem_total, use = 0;
	int instances = 0;

	for (int k = 0; k < s->n_services; k++)
		if (runs(&s->service[k]) && s->service[k].at == i) {
			instances++;
			memory -= known_or(s->service[k].told.mem, 0);
			use += known_or(cores_at(s, &s->service[k], i) / n->cores, 0);
		}
	if (s->gone[i])
		return;
	use = known_or(n->use, use);
	s->rate.overload_s += use > s->problem.limit + 1e-9 || memory < 0;
	if (!instances && use < WORLD_ASLEEP) {
		if (!isnan(n->max_w - n->idle_w))
			s->rate.joules = known_or(s->rate.joules, 0);
		return;
	}
	s->rate.awake_s++;
	if (!isnan(n->max_w - n->idle_w))
		s->rate.joules = known_or(s->rate.joules, 0) + n->idle_w + (n->max_w - n->idle_w) * use;
}

void simulate_measure(struct simulation *s)
{
	simulate_settle(s);
	s->rate = (struct simulate_totals){ .joules = NAN };
	measure_users(s);
	for (int i = 0; i < s->n_nodes; i++)
		measure_node(s, i);
	for (int k = 0; k < s->n_services; k++)
		s->rate.down_s += runs(&s->service[k]) && s->service[k].at < 0;
}
