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

/* One user or group, what of it does not depend on the node. */
struct one {
	struct world_user u;
	struct point at;
	double access, weight;
	bool plain; /* its position is all there is to go by, except to where it is served now */
};

/* Of a user or a group; false when another instance serves it. */
static bool prepare(const struct world *w, const struct world_service *s, struct world_user u, double weight,
		    struct one *one)
{
	if (w->app[s->app].n_services > 1 && u.node >= 0 && u.node != s->node)
		return false;
	one->u = u;
	one->at = distance_point(u.geo);
	one->access = distance_access_ms(w, &u);
	one->weight = isnan(weight) ? 1 : weight;
	one->plain = !isnan(u.geo.lat) && !world_measured(w, u.addr);
	return true;
}

static int collect(const struct world *w, const struct world_service *s, struct one *one)
{
	const struct world_app *app = &w->app[s->app];
	int n = 0;

	for (int i = 0; i < app->n_users; i++)
		n += prepare(w, s, w->user[w->of_app[app->first_user + i]], 1, &one[n]);
	for (int i = 0; i < app->n_groups && !app->n_users; i++) {
		const struct world_group *g = &w->group[w->of_app[app->first_group + i]];
		struct world_user u = { .addr = -1, .node = g->node, .app = g->app, .p50 = g->p50, .geo = g->geo };

		n += prepare(w, s, u, g->users, &one[n]);
	}
	return n;
}

/* distance_user_estimate(), without its trigonometry where that can be. */
static double felt_at(const struct world *w, const struct one *one, const struct world_node *node, const struct point *at, bool *predicted)
{
	double ms = NAN;

	if (one->plain && one->u.node != node->name)
		ms = distance_points_km(at, &one->at) * RTT_MS_PER_KM + one->access;
	return isnan(ms) ? distance_user_estimate(w, &one->u, node->name, predicted) : ms;
}

void score_users_rtt(const struct world *w, int service, const int *node, int n, double quantile, double *rtt_ms, bool *predicted)
{
	const struct world_service *s = &w->service[service];
	size_t room = (size_t)w->app[s->app].n_users + (size_t)w->app[s->app].n_groups + 1;
	AUTO_FREE struct felt *felt = malloc(room * sizeof(*felt));
	AUTO_FREE struct one *one = malloc(room * sizeof(*one));
	int ones;

	if (!felt || !one)
		abort();
	ones = collect(w, s, one);
	for (int i = 0; i < n; i++) {
		struct point at = distance_point(w->node[node[i]].geo);
		bool guessed = false;
		int known = 0;

		for (int k = 0; k < ones; k++) {
			felt[known] = (struct felt){ felt_at(w, &one[k], &w->node[node[i]], &at, &guessed), one[k].weight };
			known += !isnan(felt[known].ms);
		}
		rtt_ms[i] = weighted_quantile(felt, known, quantile);
		if (predicted)
			predicted[i] |= guessed;
	}
}
