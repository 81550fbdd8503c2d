/* SPDX-License-Identifier: MIT */
#include "lib/place/users.h"

#include <stdlib.h>
#include <string.h>

#include "lib/place/world_int.h"

#define ENDLESS 1e15
#define PASSES  3
#define FAR     0.05 /* above the bound: better from the beginning */

/* The users of one service and the nodes that may serve them. */
struct crowd {
	int *user;        /* [users]: index in the world */
	int users, user_room;
	int *node;        /* [nodes]: index in the world */
	struct geo *geo;  /* [nodes] */
	double *capacity; /* [nodes] */
	int nodes;
	struct assigner *a;
};

struct users {
	const struct world *w;
	const struct users_options *o;
	struct crowd *crowd; /* by index of the service */
	int crowds;
	int *seat;           /* [users]: its number in its crowd, */
	int *app;            /* and which crowd that is */
	int *served;         /* word: the node that the last plan gave it; -1 */
	int known, room;     /* users */
	int *changed, n_changed, changed_room;
	bool nodes_changed;
};

static void drop_nodes(struct crowd *c)
{
	free(c->node);
	free(c->geo);
	free(c->capacity);
	c->node = NULL;
	c->geo = NULL;
	c->capacity = NULL;
	c->nodes = 0;
}

struct users *users_new(const struct world *w, const struct users_options *o)
{
	struct users *s = calloc(1, sizeof(*s));

	if (s) {
		s->w = w;
		s->o = o;
		s->nodes_changed = true;
	}
	return s;
}

void users_free(struct users *s)
{
	for (int k = 0; k < s->crowds; k++) {
		drop_nodes(&s->crowd[k]);
		free(s->crowd[k].user);
		if (s->crowd[k].a)
			assigner_free(s->crowd[k].a);
	}
	free(s->crowd);
	free(s->seat);
	free(s->app);
	free(s->served);
	free(s->changed);
	free(s);
}

void users_release(struct users_plan *p)
{
	free(p->node);
	*p = (struct users_plan){ 0 };
}

void users_changed(struct users *s, struct world *w, int user)
{
	if (user >= s->known) /* new ones are found at once */
		return;
	if (w->user[user].node < 0)
		w->user[user].node = s->served[user];
	s->changed = world_room(s->changed, s->n_changed, &s->changed_room, sizeof(int));
	s->changed[s->n_changed++] = user;
}

void users_moved_nodes(struct users *s)
{
	s->nodes_changed = true;
}

void users_done(struct users *s, struct world *w, const struct users_plan *p)
{
	for (int u = 0; u < s->known; u++)
		if (p->node[u] >= 0)
			s->served[u] = w->user[u].node = w->node[p->node[u]].name;
}

int users_ready(struct users *s, struct err *e)
{
	for (int k = 0; k < s->crowds; k++)
		if (s->crowd[k].a && assigner_ready(s->crowd[k].a))
			return err_set(e, EX_OSERR, "out of memory");
	return 0;
}

/* --- nodes */

static void add_node(const struct users *s, struct crowd *c, int *at, int i, double capacity)
{
	if ((s->o->failed && s->o->failed[i]) || (!isnan(s->w->since) && !(s->w->node[i].seen >= s->w->since)))
		capacity = 0;
	if (at[i] >= 0) { /* a second instance there */
		c->capacity[at[i]] += capacity;
		return;
	}
	at[i] = c->nodes;
	c->node[c->nodes] = i;
	c->geo[c->nodes] = s->w->node[i].geo;
	c->capacity[c->nodes++] = capacity;
}

/* The nodes of a service, and what they can do for it. */
static int find_nodes(const struct users *s, const struct world_app *app, struct crowd *c)
{
	const struct world *w = s->w;
	size_t nodes = (size_t)w->n_nodes + 1;
	AUTO_FREE int *at = malloc(nodes * sizeof(int));
	int instances = 0;

	c->node = malloc(nodes * sizeof(int));
	c->geo = malloc(nodes * sizeof(*c->geo));
	c->capacity = malloc(nodes * sizeof(double));
	if (!at || !c->node || !c->geo || !c->capacity)
		return -1;
	for (int i = 0; i < w->n_nodes; i++)
		at[i] = -1;
	for (int k = 0; k < app->n_services; k++) {
		const struct world_service *x = &w->service[w->of_app[app->first_service + k]];
		int i = x->node < 0 ? -1 : world_node(w, x->node);

		instances += x->running;
		if (x->running && i >= 0)
			add_node(s, c, at, i, isnan(x->users_max) ? ENDLESS : x->users_max);
	}
	for (int i = 0; i < w->n_nodes && !instances; i++)
		if (!isnan(w->node[i].users_max))
			add_node(s, c, at, i, ENDLESS);
	return 0;
}

/* Other nodes, or elsewhere: the plan is made from the beginning. Node 3 of the crowd stays node 3 if not. */
static bool same_nodes(const struct crowd *a, const struct crowd *b)
{
	if (a->nodes != b->nodes || memcmp(a->node, b->node, (size_t)a->nodes * sizeof(int)) != 0)
		return false;
	for (int i = 0; i < a->nodes; i++) {
		struct geo x = a->geo[i], y = b->geo[i];

		if (!(x.lat == y.lat && x.lon == y.lon) && !(isnan(x.lat) && isnan(y.lat)))
			return false;
	}
	return true;
}

static int renew_nodes(const struct users *s, int app)
{
	struct crowd fresh = { 0 }, *c = &s->crowd[app];

	if (find_nodes(s, &s->w->app[app], &fresh)) {
		drop_nodes(&fresh);
		return -1;
	}
	if (c->a && !same_nodes(c, &fresh)) {
		assigner_free(c->a);
		c->a = NULL;
	}
	drop_nodes(c);
	c->node = fresh.node;
	c->geo = fresh.geo;
	c->capacity = fresh.capacity;
	c->nodes = fresh.nodes;
	return 0;
}

/* How many users it can serve, of all services together. */
static double room_of(const struct users *s, int node)
{
	return isnan(s->w->node[node].users_max) ? ENDLESS : s->w->node[node].users_max;
}

/* --- users */

static float demand_of(const struct world_user *u)
{
	return (float)(u->demand > 0 ? u->demand : 1);
}

/* Those that are new join the crowds of their services. */
static void join(struct users *s)
{
	const struct world *w = s->w;

	if (s->crowds < w->n_apps) {
		s->crowd = realloc(s->crowd, (size_t)w->n_apps * sizeof(*s->crowd));
		if (!s->crowd)
			abort();
		memset(s->crowd + s->crowds, 0, (size_t)(w->n_apps - s->crowds) * sizeof(*s->crowd));
		s->crowds = w->n_apps;
		s->nodes_changed = true;
	}
	for (int u = s->known; u < w->n_users; u++) {
		struct crowd *c = &s->crowd[w->user[u].app];
		int room = s->room;

		s->seat = world_room(s->seat, u, &room, sizeof(int));
		room = s->room;
		s->served = world_room(s->served, u, &room, sizeof(int));
		s->served[u] = -1;
		s->app = world_room(s->app, u, &s->room, sizeof(int));
		c->user = world_room(c->user, c->users, &c->user_room, sizeof(int));
		s->app[u] = w->user[u].app;
		s->seat[u] = c->users;
		c->user[c->users++] = u;
	}
}

static int update(struct users *s, int u)
{
	const struct world_user *x = &s->w->user[u];
	struct crowd *c = &s->crowd[s->app[u]];

	return c->a ? assigner_user(c->a, s->seat[u], x->geo, demand_of(x)) : 0;
}

/* From the beginning. */
static int open_crowd(const struct users *s, struct crowd *c, const double *capacity, const struct gap_budget *budget)
{
	AUTO_FREE struct geo *user = malloc(((size_t)c->users + 1) * sizeof(*user));
	AUTO_FREE float *demand = malloc(((size_t)c->users + 1) * sizeof(*demand));
	const struct assign a = { c->users, c->nodes, user, c->geo, demand, capacity };

	if (!user || !demand)
		return -1;
	for (int k = 0; k < c->users; k++) {
		user[k] = s->w->user[c->user[k]].geo;
		demand[k] = demand_of(&s->w->user[c->user[k]]);
	}
	c->a = assigner_new(&a, budget);
	return c->a ? 0 : -1;
}

/* Where the user is served now, as a node of the crowd; -1: nowhere, or at none of them. */
static int served_by(const struct users *s, const int *at, int u)
{
	int i = s->w->user[u].node < 0 ? -1 : world_node(s->w, s->w->user[u].node);

	return i < 0 ? -1 : at[i];
}

/* Who would hardly gain stays, where there is still room; who stays makes room for others to stay. */
static void stay(const struct users *s, struct crowd *c, const int *at)
{
	bool again = true;

	for (int pass = 0; pass < PASSES && again; pass++) {
		again = false;
		for (int k = 0; k < c->users; k++) {
			int now = served_by(s, at, c->user[k]), to = assigner_node(c->a, k);

			if (now >= 0 && to >= 0 && now != to &&
			    !(assigner_ms(c->a, k, now) * (1 - s->o->margin) > assigner_ms(c->a, k, to)))
				again |= assigner_send(c->a, k, now);
		}
	}
}

/* The bound of one service's users. What others have taken of its nodes is not certain, so it is asked for all that these have. */
static double bound_of(const struct users *s, struct crowd *c, const double *capacity)
{
	AUTO_FREE double *all = malloc(((size_t)c->nodes + 1) * sizeof(*all));
	bool shared = false;

	if (!all)
		return NAN;
	for (int i = 0; i < c->nodes; i++) {
		all[i] = fmax(0, fmin(c->capacity[i], room_of(s, c->node[i])));
		shared |= all[i] != capacity[i];
	}
	return shared ? assigner_bound(c->a, all) : assigner_answer(c->a).bound;
}

static void tell(const struct users *s, const struct crowd *c, const int *at, double *room, struct users_plan *p)
{
	struct assign_answer answer = assigner_answer(c->a);

	for (int k = 0; k < c->users; k++) {
		int u = c->user[k], now = served_by(s, at, u), to = assigner_node(c->a, k);
		double was = now < 0 ? NAN : assigner_ms(c->a, k, now), demand = demand_of(&s->w->user[u]);

		p->node[u] = to < 0 ? -1 : c->node[to];
		p->moves += to >= 0 && now != to;
		p->before += isnan(was) ? 0 : was * demand;
		if (to >= 0)
			room[c->node[to]] -= demand;
	}
	p->unplaced += answer.unplaced;
	p->after += answer.cost;
	p->services++;
}

static int place_crowd(const struct users *s, struct crowd *c, const struct gap_budget *budget, double *room, struct users_plan *p)
{
	AUTO_FREE double *capacity = malloc(((size_t)c->nodes + 1) * sizeof(*capacity));
	AUTO_FREE int *at = malloc(((size_t)s->w->n_nodes + 1) * sizeof(int));
	double bound;

	if (!capacity || !at)
		return -1;
	for (int i = 0; i < s->w->n_nodes; i++)
		at[i] = -1;
	for (int i = 0; i < c->nodes; i++) {
		capacity[i] = fmax(0, fmin(c->capacity[i], room[c->node[i]]));
		at[c->node[i]] = i;
		if (c->a && assigner_capacity(c->a, i, capacity[i]))
			return -1;
	}
	if (c->a) {
		struct assign_answer answer;

		p->first = NAN;
		if (assigner_again(c->a, s->o->margin, budget))
			return -1;
		answer = assigner_answer(c->a);
		if (!answer.unplaced && answer.cost > (1 + FAR) * answer.bound) {
			assigner_free(c->a);
			c->a = NULL;
		}
	}
	if (!c->a && open_crowd(s, c, capacity, budget))
		return -1;
	p->first += assigner_answer(c->a).first;
	stay(s, c, at);
	bound = bound_of(s, c, capacity);
	if (isnan(bound))
		return -1;
	p->bound += bound;
	tell(s, c, at, room, p);
	return 0;
}

static int place_all(struct users *s, const struct gap_budget *budget, double *room, struct users_plan *p)
{
	int known = s->known;

	join(s);
	for (int k = 0; s->nodes_changed && k < s->crowds; k++)
		if (s->crowd[k].users && renew_nodes(s, k))
			return -1;
	s->nodes_changed = false;
	for (int k = 0; k < s->n_changed; k++)
		if (update(s, s->changed[k]))
			return -1;
	s->n_changed = 0;
	for (s->known = s->w->n_users; known < s->known; known++)
		if (update(s, known))
			return -1;
	for (int k = 0; k < s->crowds; k++)
		if (s->crowd[k].users && place_crowd(s, &s->crowd[k], budget, room, p))
			return -1;
	return 0;
}

int users_place(struct users *s, const struct gap_budget *budget, struct users_plan *p, struct err *e)
{
	AUTO_USERS_PLAN struct users_plan made = { 0 };
	AUTO_FREE double *room = malloc(((size_t)s->w->n_nodes + 1) * sizeof(*room));

	made.node = malloc(((size_t)s->w->n_users + 1) * sizeof(int));
	for (int i = 0; room && i < s->w->n_nodes; i++)
		room[i] = room_of(s, i);
	if (!room || !made.node || place_all(s, budget, room, &made))
		return err_set(e, EX_OSERR, "out of memory");
	*p = made;
	made = (struct users_plan){ 0 };
	return 0;
}
