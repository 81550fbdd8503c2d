/* SPDX-License-Identifier: MIT */
/* What users would feel at each node. */
#include <stdlib.h>

#include "lib/place/distance.h"
#include "lib/place/score.h"

struct felt {
	double ms, weight;
};

/* The least ms at or under which `share` of all weight lies. Reorders v. */
static double weighted_quantile(struct felt *v, int n, double share)
{
	double all = 0, below = 0;
	int from = 0, to = n;

	for (int i = 0; i < n; i++)
		all += v[i].weight;
	while (to - from > 1) {
		double pivot = v[from + (to - from) / 2].ms, less = 0, same = 0;
		int a = from, b = from, c = to; /* [from, a) < pivot, [a, b) = pivot, [c, to) > pivot */

		while (b < c) {
			struct felt x = v[b];

			if (x.ms < pivot) {
				v[b++] = v[a];
				v[a++] = x;
				less += x.weight;
			} else if (x.ms > pivot) {
				v[b] = v[--c];
				v[c] = x;
			} else {
				b++;
				same += x.weight;
			}
		}
		if (below + less >= share * all && a > from) {
			to = a;
		} else if (below + less + same >= share * all || c == to) {
			return pivot;
		} else {
			below += less + same;
			from = c;
		}
	}
	return n ? v[from].ms : NAN;
}

struct crowd {
	const struct world *w;
	const struct world_service *s;
	const int *who; /* indices of users or groups */
	int n;
	bool groups;
	struct felt *felt;
	struct point *at;
	double *access;
};

/* Does another instance serve them? */
static bool elsewhere(const struct crowd *c, int node)
{
	return c->w->app[c->s->app].n_services > 1 && node >= 0 && node != c->s->node;
}

static struct world_user as_user(const struct world_group *g)
{
	return (struct world_user){ .addr = -1, .node = g->node, .app = g->app, .p50 = g->p50, .geo = g->geo };
}

static struct world_user who(const struct crowd *c, int i)
{
	return c->groups ? as_user(&c->w->group[c->who[i]]) : c->w->user[c->who[i]];
}

static double weight(const struct crowd *c, int i)
{
	double users = c->groups ? c->w->group[c->who[i]].users : 1;

	return isnan(users) ? 1 : users;
}

/* Of those with a position the way to each node is short to compute, if what they have to one node is noted first. */
static void prepare(struct crowd *c)
{
	size_t n = (size_t)c->n + 1;

	c->felt = malloc(n * sizeof(*c->felt));
	c->at = malloc(n * sizeof(*c->at));
	c->access = malloc(n * sizeof(*c->access));
	if (!c->felt || !c->at || !c->access)
		abort();
	for (int i = 0; i < c->n; i++) {
		struct world_user u = who(c, i);

		c->at[i] = distance_point(u.geo);
		c->access[i] = distance_access_ms(c->w, &u);
	}
}

/* distance_user_ms() without its trigonometry. */
static double felt_at(const struct crowd *c, int i, const struct world_node *node, const struct point *at)
{
	const struct world_user u = who(c, i);
	bool measured = u.node == node->name ||
			(u.addr >= 0 && (world_latency(c->w, node->name, u.addr) >= 0 ||
					 world_latency(c->w, u.addr, node->name) >= 0));
	double km = measured ? NAN : distance_points_km(at, &c->at[i]);

	return isnan(km) ? distance_user_ms(c->w, &u, node->name) : km * RTT_MS_PER_KM + c->access[i];
}

static double quantile_at(struct crowd *c, int node, double quantile)
{
	const struct world_node *n = &c->w->node[node];
	struct point at = distance_point(n->geo);
	int known = 0;

	for (int i = 0; i < c->n; i++) {
		if (elsewhere(c, who(c, i).node))
			continue;
		c->felt[known].ms = felt_at(c, i, n, &at);
		c->felt[known].weight = weight(c, i);
		known += !isnan(c->felt[known].ms);
	}
	return weighted_quantile(c->felt, known, quantile);
}

void score_users_rtt(const struct world *w, int service, const int *node, int n, double quantile, double *rtt_ms)
{
	const struct world_service *s = &w->service[service];
	const struct world_app *app = &w->app[s->app];
	struct crowd c = { .w = w, .s = s, .who = w->of_app + app->first_user, .n = app->n_users };

	if (!c.n) {
		c.groups = true;
		c.who = w->of_app + app->first_group;
		c.n = app->n_groups;
	}
	if (c.n)
		prepare(&c);
	for (int i = 0; i < n; i++)
		rtt_ms[i] = c.n ? quantile_at(&c, node[i], quantile) : NAN;
	free(c.felt);
	free(c.at);
	free(c.access);
}
