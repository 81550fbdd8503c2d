/* SPDX-License-Identifier: MIT */
#include "lib/place/replicas.h"

#include <stdlib.h>
#include <string.h>

#include "lib/place/distance.h"

#define ENDLESS     1e15
#define OVER_WANTED 9.0  /* beyond wants.rtt_ms a millisecond counts ten times, as in problem.c */
#define SITES_MAX   4e7  /* users x nodes that are looked at; of more users every second, third ... one speaks for its neighbours */

/* A user, or a group. */
struct client {
	struct world_user u;
	int user, group;  /* index in the world; the other is -1 */
	double weight;
	int at;           /* node that serves it, -1 */
};

/* One service: who uses it, and where it is. */
struct serving {
	const struct problem *p;
	const struct world *w;
	const struct world_app *app;
	struct bearing *b;
	struct near_plan *plan;
	struct client *client;
	int n;
	int job;           /* one of its instances, which others are copies of */
	int *job_at;       /* [nodes]: its instance there, -1 */
	int *then;         /* [nodes]: to where an instance moves from there, or where it stays; -1 */
	bool *open;        /* [nodes]: an instance is or will be there */
	const char **why;  /* [nodes]: why the one there ends, NULL */
	double *left;      /* [nodes]: users that it may still take */
	float *ms;         /* [sampled][nodes]: what a sampled client waits there; NAN */
	double *least;     /* [sampled]: where it is nearest now */
	int sampled, stride;
	int *room;         /* starts and ends that may still be */
};

static const struct world_service *service_of(const struct serving *x)
{
	return &x->w->service[x->p->service[x->job]];
}

/* What one user costs who waits so long. */
static double price(const struct serving *x, double ms)
{
	double over = ms - known_or(service_of(x)->want_rtt_ms, INFINITY);

	return x->p->o->weight[WEIGHT_LATENCY] * (ms + (over > 0 ? OVER_WANTED * over : 0));
}

static double ms_at(const struct serving *x, const struct client *c, int node)
{
	return distance_user_ms(x->w, &c->u, x->w->node[node].name);
}

static double capacity(const struct serving *x, int node)
{
	return fmin(known_or(service_of(x)->users_max, ENDLESS), known_or(x->w->node[node].users_max, ENDLESS));
}

static int count(const struct serving *x)
{
	int n = 0;

	for (int i = 0; i < x->p->g.nodes; i++)
		n += x->open[i];
	return n;
}

/* --- how many, and where */

static void sample(struct serving *x)
{
	for (int k = 0; k < x->sampled; k++) {
		const struct client *c = &x->client[k * x->stride];

		for (int i = 0; i < x->p->g.nodes; i++)
			x->ms[(size_t)k * x->p->g.nodes + i] = (float)ms_at(x, c, i);
	}
}

/* What clients cost with the instances that are open, but for `without` (-1: none is left out). INFINITY: of a client nobody knows
 * how far it is to the others. */
static double waiting(struct serving *x, int without)
{
	double sum = 0;

	for (int k = 0; k < x->sampled; k++) {
		const float *row = x->ms + (size_t)k * x->p->g.nodes;
		double least = NAN;

		for (int i = 0; i < x->p->g.nodes; i++)
			if (x->open[i] && i != without)
				least = fmin(least, row[i]);
		x->least[k] = least;
		if (isnan(least) && without >= 0 && !isnan(row[without]))
			return INFINITY;
		sum += isnan(least) ? 0 : x->client[k * x->stride].weight * x->stride * price(x, least);
	}
	return sum;
}

/* By how much an instance at node i would lessen what clients cost; after waiting(). */
static double saving(const struct serving *x, int i)
{
	double sum = 0;

	for (int k = 0; k < x->sampled; k++) {
		double ms = x->ms[(size_t)k * x->p->g.nodes + i];

		if (ms < x->least[k])
			sum += x->client[k * x->stride].weight * x->stride * (price(x, x->least[k]) - price(x, ms));
	}
	return sum;
}

static bool may_open(const struct serving *x, int i)
{
	return !x->open[i] && x->job_at[i] < 0 && bearing_fits(x->b, x->job, i);
}

/* Users that the open ones cannot take. */
static double too_many(const struct serving *x)
{
	double sum = 0;

	for (int k = 0; k < x->n; k++)
		sum += x->client[k].weight;
	for (int i = 0; i < x->p->g.nodes; i++)
		sum -= x->open[i] ? capacity(x, i) : 0;
	return sum;
}

static int start(struct serving *x, int i, const char *why)
{
	x->open[i] = true;
	--*x->room;
	for (int r = 0; r < TAKES; r++)
		x->b->load[i * TAKES + r] += gap_use(&x->p->g, x->job, i, r);
	return near_plan_add(x->plan, (struct near_step){ NEAR_REPLICATE, service_of(x)->app, x->job, -1, -1, x->b->at[x->job], i, NAN, why });
}

/* The instances that are missing, and those that pay. -1: out of memory. */
static int add(struct serving *x, double min, double max)
{
	while (count(x) < max && *x->room > 0) {
		double now = waiting(x, -1), most = -INFINITY;
		bool few = count(x) < min, full = too_many(x) > 0;
		int best = -1;

		for (int i = 0; i < x->p->g.nodes; i++) {
			double gain = may_open(x, i) ? saving(x, i) - problem_running_cost(x->p, x->job, i) : -INFINITY;

			if (gain > most) {
				best = i;
				most = gain;
			}
		}
		if (best < 0 || (!few && !full && most <= x->p->o->margin * now))
			break;
		if (start(x, best, few ? "there are too few" : full ? "the others have too many users" : "users are nearer to it"))
			return -1;
	}
	return 0;
}

/* Those that are too many, and those that cost more than they spare. What is new stays, and what has just moved. */
static void drop(struct serving *x, double min, double max)
{
	while (count(x) > min && *x->room > 0) {
		double now = waiting(x, -1), most = -INFINITY, spare = -too_many(x);
		bool many = count(x) > max;
		int best = -1;

		for (int i = 0; i < x->p->g.nodes; i++) {
			double gain;

			if (!x->open[i] || x->job_at[i] < 0 || x->p->rests[x->job_at[i]] || (!many && capacity(x, i) > spare))
				continue;
			gain = problem_running_cost(x->p, x->job, i) - (waiting(x, i) - now);
			if (gain > most) {
				best = i;
				most = gain;
			}
		}
		if (best < 0 || (!many && most <= x->p->o->margin * now))
			break;
		x->open[best] = false;
		x->why[best] = many ? "there are too many" : "others are near enough to its users";
		--*x->room;
	}
}

/* After its users have been sent elsewhere. */
static int end(struct serving *x)
{
	for (int i = 0; i < x->p->g.nodes; i++)
		if (x->why[i] && near_plan_add(x->plan, (struct near_step){ NEAR_TERMINATE, service_of(x)->app, x->job_at[i], -1, -1, i, -1, NAN,
									    x->why[i] }))
			return -1;
	return 0;
}

/* --- who goes where */

struct regret {
	double loses; /* what it costs not to get its best */
	int client;
};

static int by_regret(const void *a, const void *b)
{
	const struct regret *x = a, *y = b;

	return x->loses != y->loses ? (x->loses < y->loses) - (x->loses > y->loses) : x->client - y->client;
}

/* The nearest open node with room for it, or the second nearest; -1. What nobody knows is farthest. */
static int nearest_room(const struct serving *x, const struct client *c, int but)
{
	double least = INFINITY;
	int best = -1;

	for (int i = 0; i < x->p->g.nodes; i++) {
		double ms = x->open[i] && i != but && x->left[i] >= c->weight ? known_or(ms_at(x, c, i), 1e9) : INFINITY;

		if (ms < least) {
			best = i;
			least = ms;
		}
	}
	return best;
}

static void assign(struct serving *x, struct regret *order, int *to)
{
	for (int i = 0; i < x->p->g.nodes; i++)
		x->left[i] = x->open[i] ? capacity(x, i) : 0;
	for (int k = 0; k < x->n; k++) {
		const struct client *c = &x->client[k];
		int best = nearest_room(x, c, -1), next = best < 0 ? -1 : nearest_room(x, c, best);

		order[k] = (struct regret){ next < 0 ? 0 : c->weight * known_or(ms_at(x, c, next) - ms_at(x, c, best), 0), k };
	}
	qsort(order, (size_t)x->n, sizeof(*order), by_regret);
	for (int k = 0; k < x->n; k++) {
		const struct client *c = &x->client[order[k].client];
		int best = nearest_room(x, c, -1);

		to[order[k].client] = best;
		if (best >= 0)
			x->left[best] -= c->weight;
	}
}

/* Who would hardly gain, or only by an estimate, stays while there is room. */
static void stay(struct serving *x, int *to)
{
	for (int k = 0; k < x->n; k++) {
		const struct client *c = &x->client[k];
		bool predicted = false;
		double was, is;

		if (c->at < 0 || to[k] == c->at || !x->open[c->at] || x->left[c->at] < c->weight)
			continue;
		was = ms_at(x, c, c->at);
		is = to[k] < 0 ? NAN : distance_user_estimate(x->w, &c->u, x->w->node[to[k]].name, &predicted);
		if (was * (1 - x->p->o->margin) > is && !predicted)
			continue;
		if (to[k] >= 0)
			x->left[to[k]] += c->weight;
		x->left[c->at] -= c->weight;
		to[k] = c->at;
	}
}

static int redirect(struct serving *x)
{
	AUTO_FREE struct regret *order = malloc(((size_t)x->n + 1) * sizeof(*order));
	AUTO_FREE int *to = malloc(((size_t)x->n + 1) * sizeof(*to));

	if (!order || !to)
		return -1;
	assign(x, order, to);
	stay(x, to);
	for (int k = 0; k < x->n; k++) {
		const struct client *c = &x->client[k];

		x->plan->unsolved += to[k] < 0;
		if (to[k] < 0 || to[k] == c->at)
			continue;
		const char *why = c->at < 0 ? "no instance serves it" : x->open[c->at] ? "a better instance" : "its instance ends, or has moved";
		if (near_plan_add(x->plan, (struct near_step){ NEAR_REDIRECT, service_of(x)->app, -1, c->group, c->user, c->at, to[k],
							       ms_at(x, c, to[k]), why }))
			return -1;
	}
	return 0;
}

/* --- one service after another */

/* Where a client is served when all moves are made: those whose instance moves go along. */
static int then_at(const struct serving *x, int node_word)
{
	int node = node_word < 0 ? -1 : world_node(x->w, node_word);

	return node < 0 ? -1 : x->then[node] >= 0 ? x->then[node] : x->open[node] ? node : -1;
}

static void collect(struct serving *x)
{
	const struct world *w = x->w;

	for (int k = 0; k < x->app->n_users; k++) {
		int u = w->of_app[x->app->first_user + k];
		double demand = known_or(w->user[u].demand, 1);

		if (demand > 0)
			x->client[x->n++] = (struct client){ w->user[u], u, -1, demand, then_at(x, w->user[u].node) };
	}
	for (int k = 0; k < x->app->n_groups && !x->app->n_users; k++) {
		int g = w->of_app[x->app->first_group + k];
		const struct world_group *of = &w->group[g];
		const struct world_user u = { .addr = -1, .node = of->node, .app = of->app, .p50 = of->p50, .geo = of->geo };
		double users = known_or(of->users, 1);

		if (users > 0)
			x->client[x->n++] = (struct client){ u, -1, g, users, then_at(x, of->node) };
	}
}

static int allocate(struct serving *x)
{
	size_t nodes = (size_t)x->p->g.nodes + 1, clients = (size_t)x->app->n_users + (size_t)x->app->n_groups + 1;

	x->client = malloc(clients * sizeof(*x->client));
	x->job_at = malloc(nodes * sizeof(int));
	x->then = malloc(nodes * sizeof(int));
	x->open = calloc(nodes, sizeof(bool));
	x->why = calloc(nodes, sizeof(*x->why));
	x->left = calloc(nodes, sizeof(double));
	if (!x->client || !x->job_at || !x->then || !x->open || !x->why || !x->left)
		return -1;
	for (size_t i = 0; i < nodes; i++)
		x->job_at[i] = x->then[i] = -1;
	return 0;
}

static void release(struct serving *x)
{
	free(x->client);
	free(x->job_at);
	free(x->then);
	free(x->open);
	free(x->why);
	free(x->left);
	free(x->ms);
	free(x->least);
}

static int change(struct serving *x)
{
	const struct world_needs *needs = &service_of(x)->needs;
	double min = fmax(1, known_or(needs->min, 1)), max = known_or(needs->max, fmax(min, count(x)));

	x->stride = 1 + (int)((double)x->n * x->p->g.nodes / SITES_MAX);
	x->sampled = x->n / x->stride;
	x->ms = malloc(((size_t)x->sampled * x->p->g.nodes + 1) * sizeof(float));
	x->least = malloc(((size_t)x->sampled + 1) * sizeof(double));
	if (!x->ms || !x->least)
		return -1;
	sample(x);
	if (add(x, min, max))
		return -1;
	drop(x, min, max);
	return 0;
}

static int serve(const struct problem *p, struct bearing *b, int app, struct near_plan *plan, int *room)
{
	AUTO(release) struct serving x = { .p = p, .w = p->w, .app = &p->w->app[app], .b = b, .plan = plan, .job = -1, .room = room };
	const struct world_needs *needs;
	int before = plan->n, had;

	if (allocate(&x))
		return -1;
	for (int j = 0; j < p->g.jobs; j++) {
		if (p->w->service[p->service[j]].app != app || b->at[j] < 0)
			continue;
		x.job = x.job < 0 ? j : x.job;
		x.job_at[b->at[j]] = j;
		x.open[b->at[j]] = true;
		if (p->at[j] >= 0)
			x.then[p->at[j]] = b->at[j];
	}
	if (x.job < 0)
		return 0;
	collect(&x);
	had = count(&x);
	needs = &service_of(&x)->needs;
	if ((!isnan(needs->min) || !isnan(needs->max)) && near_may_vary(service_of(&x)) && change(&x))
		return -1;
	if ((count(&x) > 1 || count(&x) < had || plan->n > before) && redirect(&x))
		return -1;
	return end(&x);
}

/* There is something to decide. */
static bool varies(const struct world *w, const struct world_app *app)
{
	const struct world_service *s = app->n_services ? &w->service[w->of_app[app->first_service]] : NULL;

	return s && (app->n_services > 1 || !isnan(s->needs.min) || !isnan(s->needs.max));
}

struct near_plan *replicas_new(const struct problem *p, const struct plan *plan, int max_moves)
{
	AUTO_NEAR struct near_plan *made = calloc(1, sizeof(*made));
	AUTO_BEARING struct bearing b = { 0 };

	if (!made || bearing_init(&b, p, plan->end))
		return NULL;
	for (int k = 0; k < p->w->n_apps; k++)
		if (varies(p->w, &p->w->app[k]) && serve(p, &b, k, made, &max_moves))
			return NULL;
	return TAKE_PTR(made);
}
