/* SPDX-License-Identifier: MIT */
#include "lib/place/users.h"

#include <stdlib.h>
#include <string.h>

#define ENDLESS 1e15
#define PASSES  3

/* The users of one service and the nodes that may serve them, as assign.h wants them. */
struct one {
	const struct world *w;
	const struct users_options *o;
	const struct world_app *app;
	struct assign s;
	struct geo *user, *node;
	float *demand;
	double *capacity;
	int *index; /* [nodes]: in the world */
};

static void one_release(struct one *x)
{
	free(x->user);
	free(x->node);
	free(x->demand);
	free(x->capacity);
	free(x->index);
}

static void add_node(struct one *x, int i, double capacity)
{
	if (i < 0 || capacity <= 0 || (x->o->failed && x->o->failed[i]))
		return;
	for (int k = 0; k < x->s.nodes; k++)
		if (x->index[k] == i) { /* a second instance there */
			x->capacity[k] += capacity;
			return;
		}
	x->index[x->s.nodes] = i;
	x->node[x->s.nodes] = x->w->node[i].geo;
	x->capacity[x->s.nodes++] = capacity;
}

static int one_init(struct one *x, const struct world *w, const struct users_options *o, const struct world_app *app,
		    const double *room)
{
	size_t users = (size_t)app->n_users + 1, nodes = (size_t)w->n_nodes + 1;
	int instances = 0;

	*x = (struct one){ .w = w, .o = o, .app = app };
	x->user = malloc(users * sizeof(*x->user));
	x->demand = malloc(users * sizeof(*x->demand));
	x->node = malloc(nodes * sizeof(*x->node));
	x->capacity = malloc(nodes * sizeof(*x->capacity));
	x->index = malloc(nodes * sizeof(int));
	if (!x->user || !x->demand || !x->node || !x->capacity || !x->index)
		return -1;
	for (int k = 0; k < app->n_services; k++) {
		const struct world_service *s = &w->service[w->of_app[app->first_service + k]];
		int i = s->node < 0 ? -1 : world_node(w, s->node);

		instances += s->running;
		if (s->running && i >= 0)
			add_node(x, i, isnan(s->users_max) ? room[i] : fmin(room[i], s->users_max));
	}
	for (int i = 0; i < w->n_nodes && !instances; i++)
		add_node(x, i, isnan(w->node[i].users_max) ? 0 : room[i]);
	for (int k = 0; k < app->n_users; k++) {
		const struct world_user *u = &w->user[w->of_app[app->first_user + k]];

		x->user[k] = u->geo;
		x->demand[k] = (float)(u->demand > 0 ? u->demand : 1);
	}
	x->s = (struct assign){ app->n_users, x->s.nodes, x->user, x->node, x->demand, x->capacity };
	return 0;
}

static float way_ms(const struct one *x, int user, int node)
{
	return node < 0 ? NAN : (float)(distance_km(x->user[user], x->w->node[node].geo) * RTT_MS_PER_KM);
}

static int served_by(const struct one *x, int user)
{
	int word = x->w->user[x->w->of_app[x->app->first_user + user]].node;

	return word < 0 ? -1 : world_node(x->w, word);
}

/* Who would hardly gain stays, where there is still room. */
static void stay(const struct one *x, int k, int now, int *to, double *left)
{
	float was = way_ms(x, k, now), then = way_ms(x, k, *to < 0 ? -1 : x->index[*to]);
	int at = -1;

	for (int i = 0; i < x->s.nodes && at < 0; i++)
		if (x->index[i] == now)
			at = i;
	if (at < 0 || at == *to || left[at] < x->demand[k] || was * (1 - x->o->margin) > then)
		return;
	if (*to >= 0)
		left[*to] += x->demand[k];
	left[at] -= x->demand[k];
	*to = at;
}

static void take(const struct one *x, struct assign_answer *a, double *left, double *room, struct users_plan *p)
{
	for (int i = 0; i < x->s.nodes; i++)
		left[i] = x->capacity[i];
	for (int k = 0; k < x->s.users; k++)
		if (a->node[k] >= 0)
			left[a->node[k]] -= x->demand[k];
	/* Who stays makes room for others to stay. */
	for (int pass = 0; pass < PASSES; pass++)
		for (int k = 0; k < x->s.users; k++)
			if (served_by(x, k) >= 0)
				stay(x, k, served_by(x, k), &a->node[k], left);
	for (int k = 0; k < x->s.users; k++) {
		int u = x->w->of_app[x->app->first_user + k], to = a->node[k], now = served_by(x, k);

		p->node[u] = to < 0 ? -1 : x->index[to];
		p->was_ms[u] = way_ms(x, k, now);
		p->ms[u] = way_ms(x, k, p->node[u]);
		p->moves += to >= 0 && p->node[u] != now;
		p->unplaced += to < 0;
		p->before += isnan(p->was_ms[u]) ? 0 : p->was_ms[u] * x->demand[k];
		p->after += isnan(p->ms[u]) ? 0 : p->ms[u] * x->demand[k];
		if (to >= 0)
			room[x->index[to]] -= x->demand[k];
	}
	p->bound += a->bound;
	p->services++;
}

void users_release(struct users_plan *p)
{
	free(p->node);
	free(p->was_ms);
	free(p->ms);
	*p = (struct users_plan){ 0 };
}

int users_place(const struct world *w, const struct users_options *o, const struct gap_budget *budget, struct users_plan *p,
		struct err *e)
{
	AUTO_USERS struct users_plan made = { 0 };
	AUTO_FREE double *room = malloc(((size_t)w->n_nodes + 1) * sizeof(*room)), *left = malloc(((size_t)w->n_nodes + 1) * sizeof(*left));
	size_t users = (size_t)w->n_users + 1;

	made.node = malloc(users * sizeof(int));
	made.was_ms = malloc(users * sizeof(float));
	made.ms = malloc(users * sizeof(float));
	if (!room || !left || !made.node || !made.was_ms || !made.ms)
		return err_set(e, EX_OSERR, "out of memory");
	for (int i = 0; i < w->n_nodes; i++)
		room[i] = isnan(w->node[i].users_max) ? ENDLESS : w->node[i].users_max;
	for (int k = 0; k < w->n_apps; k++) {
		AUTO(one_release) struct one x = { 0 };
		AUTO_ASSIGN struct assign_answer a = { 0 };

		if (!w->app[k].n_users)
			continue;
		if (one_init(&x, w, o, &w->app[k], room))
			return err_set(e, EX_OSERR, "out of memory");
		if (assign_solve(&x.s, budget, &a, e))
			return -1;
		take(&x, &a, left, room, &made);
	}
	*p = made;
	made = (struct users_plan){ 0 };
	return 0;
}
