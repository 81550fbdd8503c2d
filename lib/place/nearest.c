/* SPDX-License-Identifier: MIT */
#include "lib/place/nearest.h"

#include <stdlib.h>
#include <string.h>

#include "lib/place/distance.h"

#define ROOMY 1e15 /* users, of a node that tells no limit */

struct nearest {
	const struct problem *p;
	const struct world *w;
	struct bearing b;
	struct near_plan *plan;
	double bound_ms, *room; /* [nodes]: users that it may still serve */
	bool *has;              /* [apps][nodes]: an instance is or will be there */
	bool *refuses;          /* [apps][nodes]: the node has refused one of that name, or its users */
	int *served;            /* [groups]: by which node */
	int left;               /* steps that may still be taken */
	bool failed;            /* out of memory */
};

static bool *has(const struct nearest *x, int app, int node)
{
	return &x->has[(size_t)app * x->p->g.nodes + node];
}

static double users_of(const struct world_group *g)
{
	return isnan(g->users) ? 1 : g->users;
}

bool near_may_vary(const struct world_service *s)
{
	return !s->stateful || !isnan(s->needs.max);
}

const char *near_action_name(enum near_action action)
{
	static const char *const names[] = { "redirect", "replicate", "terminate", "stay" };

	return names[action];
}

int near_plan_add(struct near_plan *p, struct near_step s)
{
	struct near_step *more = realloc(p->steps, ((size_t)p->n + 1) * sizeof(*more));

	if (!more)
		return -1;
	p->steps = more;
	more[p->n++] = s;
	return 0;
}

static void add(struct nearest *x, struct near_step s)
{
	x->failed |= near_plan_add(x->plan, s) != 0;
	x->left -= s.action != NEAR_STAY;
}

/* An instance of the service at that node, else any; -1. */
static int instance(const struct nearest *x, int app, int node)
{
	int any = -1;

	for (int j = 0; j < x->p->g.jobs; j++)
		if (x->w->service[x->p->service[j]].app == app) {
			if (x->p->at[j] == node)
				return j;
			if (any < 0)
				any = j;
		}
	return any;
}

static double bound_of(const struct nearest *x, int app)
{
	int j = instance(x, app, -1);
	const struct world_service *s = j < 0 ? NULL : &x->w->service[x->p->service[j]];

	if (s && !isnan(s->want_rtt_ms))
		return s->want_rtt_ms;
	return s && !isnan(s->needs.rtt_ms) ? s->needs.rtt_ms : x->bound_ms;
}

/* RTT of the group at a node: by distance, and what it has now beside that; NAN where it is only predicted. */
static double ms_at(const struct nearest *x, int group, int node)
{
	const struct world_group *g = &x->w->group[group];
	const struct world_user u = { .addr = -1, .node = g->node, .app = g->app, .p50 = g->p50, .geo = g->geo };
	bool predicted = false;
	double ms = distance_user_estimate(x->w, &u, x->w->node[node].name, &predicted);

	return predicted ? NAN : ms;
}

static bool takes(const struct nearest *x, int group, int node)
{
	return x->room[node] >= users_of(&x->w->group[group]) && !bearing_over(&x->b, node) &&
	       !x->refuses[(size_t)x->w->group[group].app * x->p->g.nodes + node] &&
	       !(x->p->o->failed && x->p->o->failed[node]);
}

static void redirect(struct nearest *x, int group, int to, const char *why)
{
	const struct world_group *g = &x->w->group[group];
	int from = x->served[group];

	add(x, (struct near_step){ NEAR_REDIRECT, g->app, -1, group, -1, from, to, ms_at(x, group, to), why });
	if (from >= 0)
		x->room[from] += users_of(g);
	x->room[to] -= users_of(g);
	x->served[group] = to;
}

/* The instance nearest to the group that would serve it within the limit; -1. */
static int nearer_instance(const struct nearest *x, int group, double limit)
{
	int best = -1;

	for (int i = 0; i < x->p->g.nodes; i++) {
		double ms = ms_at(x, group, i);

		if (i == x->served[group] || !*has(x, x->w->group[group].app, i) || !(ms < limit) || !takes(x, group, i))
			continue;
		if (best < 0 || ms < ms_at(x, group, best))
			best = i;
	}
	return best;
}

static int count(const struct nearest *x, int app)
{
	int n = 0;

	for (int i = 0; i < x->p->g.nodes; i++)
		n += *has(x, app, i);
	return n;
}

/* A node for a copy of job j, the one with the least way; NAN ways do not count. -1. */
static int copy_node(const struct nearest *x, int j, const double *way, double limit)
{
	const struct world_service *s = &x->w->service[x->p->service[j]];
	int app = s->app, best = -1;
	double most = near_may_vary(s) ? s->needs.max : 0;

	for (int i = 0; i < x->p->g.nodes && !(count(x, app) >= most); i++)
		if (!*has(x, app, i) && way[i] < limit && bearing_fits(&x->b, j, i) && (best < 0 || way[i] < way[best]))
			best = i;
	return best;
}

static void replicate(struct nearest *x, int j, int to, const char *why)
{
	int app = x->w->service[x->p->service[j]].app;

	add(x, (struct near_step){ NEAR_REPLICATE, app, j, -1, -1, x->p->at[j], to, NAN, why });
	*has(x, app, to) = true;
	for (int r = 0; r < TAKES; r++)
		x->b.load[to * TAKES + r] += gap_use(&x->p->g, j, to, r);
}

/* --- the three anomalies */

static void bad_group(struct nearest *x, int group, double bound)
{
	const struct world_group *g = &x->w->group[group];
	AUTO_FREE double *way = malloc(((size_t)x->p->g.nodes + 1) * sizeof(*way));
	/* What is hardly better may be worse at the next look. */
	double better = g->p50 * (1 - x->p->o->margin);
	int to = nearer_instance(x, group, fmin(better, bound)), j = instance(x, g->app, x->served[group]);

	if (to >= 0) {
		redirect(x, group, to, "served badly: a nearer instance");
		return;
	}
	for (int i = 0; way && i < x->p->g.nodes; i++)
		way[i] = takes(x, group, i) ? ms_at(x, group, i) : NAN;
	to = way && j >= 0 && x->left >= 2 ? copy_node(x, j, way, better) : -1;
	if (to >= 0) {
		replicate(x, j, to, "served badly: no instance is near enough");
		redirect(x, group, to, "served badly: a new instance");
	} else {
		add(x, (struct near_step){ NEAR_STAY, g->app, -1, group, -1, x->served[group], -1, NAN,
					   j >= 0 && !near_may_vary(&x->w->service[x->p->service[j]]) ?
						   "served badly: no instance is nearer, and there may be no more with a state" :
						   "served badly: no instance and no node is nearer" });
		x->plan->unsolved++;
	}
}

struct graded {
	double badness;
	int group;
};

static int worse(const void *a, const void *b)
{
	const struct graded *x = a, *y = b;

	return x->badness != y->badness ? (x->badness < y->badness) - (x->badness > y->badness) : x->group - y->group;
}

/* All groups, the worst served first. Badness: users x ms over the bound. */
static int grade(const struct nearest *x, struct graded *list)
{
	int n = 0;

	for (int k = 0; k < x->w->n_groups; k++) {
		const struct world_group *g = &x->w->group[k];

		list[n++] = (struct graded){ isnan(g->p50) ? -1 : users_of(g) * (g->p50 - bound_of(x, g->app)), k };
	}
	qsort(list, (size_t)n, sizeof(*list), worse);
	return n;
}

/* One replica near job j's node, then groups go there until the node has enough again, each taking along its part of the work. */
static void relieve(struct nearest *x, int j, const struct graded *list, int n)
{
	int node = x->p->at[j], app = x->w->service[x->p->service[j]].app, to;
	AUTO_FREE double *way = malloc(((size_t)x->p->g.nodes + 1) * sizeof(*way));
	double all = 0, cores = gap_use(&x->p->g, j, node, TAKES_CPU);

	for (int k = 0; k < n; k++)
		if (x->w->group[list[k].group].app == app && x->served[list[k].group] == node)
			all += users_of(&x->w->group[list[k].group]);
	if (!way || all <= 0 || cores <= 0 || x->left < 2)
		return;
	for (int i = 0; i < x->p->g.nodes; i++)
		way[i] = distance_nodes_ms(x->w, x->w->node[node].name, x->w->node[i].name);
	to = copy_node(x, j, way, INFINITY);
	if (to < 0)
		return;
	replicate(x, j, to, "the node has too much");
	for (int k = 0; k < n && x->left > 0 && bearing_over(&x->b, node); k++) {
		const struct world_group *g = &x->w->group[list[k].group];

		if (g->app != app || x->served[list[k].group] != node || !takes(x, list[k].group, to))
			continue;
		redirect(x, list[k].group, to, "the node has too much");
		x->b.load[node * TAKES + TAKES_CPU] -= cores * users_of(g) / all;
	}
}

static void idle(struct nearest *x)
{
	for (int j = 0; j < x->p->g.jobs && x->left > 0; j++) {
		const struct world_service *s = &x->w->service[x->p->service[j]];
		const struct world_app *app = &x->w->app[s->app];
		bool used = x->p->at[j] < 0 || x->p->rests[j] || !near_may_vary(s) || app->n_users + app->n_groups == 0;

		for (int k = 0; k < app->n_users && !used; k++)
			used = x->w->user[x->w->of_app[app->first_user + k]].node == s->node;
		/* What has just lost its users may be needed again. */
		for (int k = 0; k < app->n_groups && !used; k++) {
			int group = x->w->of_app[app->first_group + k];

			used = users_of(&x->w->group[group]) > 0 &&
			       (x->served[group] == x->p->at[j] || x->w->group[group].node == s->node);
		}
		if (used || count(x, s->app) <= (isnan(s->needs.min) ? 1 : s->needs.min))
			continue;
		add(x, (struct near_step){ NEAR_TERMINATE, s->app, j, -1, -1, x->p->at[j], -1, NAN, "nobody uses it" });
		*has(x, s->app, x->p->at[j]) = false;
	}
}

static int begin(struct nearest *x)
{
	const struct world *w = x->w;

	x->has = calloc(((size_t)w->n_apps + 1) * ((size_t)x->p->g.nodes + 1), sizeof(bool));
	x->refuses = calloc(((size_t)w->n_apps + 1) * ((size_t)x->p->g.nodes + 1), sizeof(bool));
	x->room = malloc(((size_t)x->p->g.nodes + 1) * sizeof(double));
	x->served = malloc(((size_t)w->n_groups + 1) * sizeof(int));
	if (!x->has || !x->refuses || !x->room || !x->served || bearing_init(&x->b, x->p, x->p->at))
		return -1;
	for (int i = 0; i < x->p->g.nodes; i++)
		x->room[i] = isnan(w->node[i].users_max) ? ROOMY : w->node[i].users_max;
	for (int j = 0; j < x->p->g.jobs; j++)
		if (x->p->at[j] >= 0)
			*has(x, w->service[x->p->service[j]].app, x->p->at[j]) = true;
	for (int k = 0; k < w->n_scored; k++) {
		const struct world_score *c = &w->scored[k];
		int node = world_node(w, c->node);

		if (node >= 0 && c->service < 0 && c->why >= 0 && !c->eligible)
			x->refuses[(size_t)c->app * x->p->g.nodes + node] = true;
	}
	for (int k = 0; k < w->n_groups; k++) {
		x->served[k] = w->group[k].node < 0 ? -1 : world_node(w, w->group[k].node);
		if (x->served[k] >= 0)
			x->room[x->served[k]] -= users_of(&w->group[k]);
	}
	return 0;
}

static int solve(struct nearest *x)
{
	AUTO_FREE struct graded *list = malloc(((size_t)x->w->n_groups + 1) * sizeof(*list));
	int n;

	if (!list || begin(x))
		return -1;
	n = grade(x, list);
	for (int k = 0; k < n && list[k].badness > 0 && x->left > 0; k++)
		bad_group(x, list[k].group, bound_of(x, x->w->group[list[k].group].app));
	for (int j = 0; j < x->p->g.jobs; j++)
		if (x->p->at[j] >= 0 && bearing_over(&x->b, x->p->at[j]))
			relieve(x, j, list, n);
	idle(x);
	return x->failed ? -1 : 0;
}

struct near_plan *near_plan_new(const struct problem *p, double bound_ms, int max_moves)
{
	AUTO_NEAR struct near_plan *plan = calloc(1, sizeof(*plan));
	struct nearest x = { .p = p, .w = p->w, .plan = plan, .bound_ms = bound_ms, .left = max_moves };
	int rc = plan ? solve(&x) : -1;

	bearing_release(&x.b);
	free(x.has);
	free(x.refuses);
	free(x.room);
	free(x.served);
	return rc ? NULL : TAKE_PTR(plan);
}

void near_plan_free(struct near_plan *p)
{
	free(p->steps);
	free(p);
}
