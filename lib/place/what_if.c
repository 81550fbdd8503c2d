/* SPDX-License-Identifier: MIT */
#include "lib/place/what_if.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "lib/place/distance.h"

#define AROUND_KM 50.0

static double more(double asked, double times)
{
	return (isnan(asked) ? 1 : asked) * times;
}

/* More users, of all or of those there: positions that nobody knows are nowhere near. */
struct crowd {
	double times, km; /* km: NAN, everywhere */
	struct geo at;
};

static double grown(const struct crowd *c, double asked, struct geo geo)
{
	return more(asked, isnan(c->km) || distance_km(geo, c->at) <= c->km ? c->times : 1);
}

/* How many times as much its users ask of an instance: those that its node serves, that none serves, or all of its service if there is
 * no other; groups where there are no users. */
static double growth(const struct world *w, const struct world_service *s, const struct crowd *c)
{
	const struct world_app *app = &w->app[s->app];
	double before = 0, after = 0;

	for (int k = 0; k < app->n_users; k++) {
		const struct world_user *u = &w->user[w->of_app[app->first_user + k]];
		bool ours = app->n_services == 1 || u->node < 0 || u->node == s->node;

		before += ours ? more(u->demand, 1) : 0;
		after += ours ? grown(c, u->demand, u->geo) : 0;
	}
	for (int k = 0; k < app->n_groups && !app->n_users; k++) {
		const struct world_group *g = &w->group[w->of_app[app->first_group + k]];
		bool ours = app->n_services == 1 || g->node < 0 || g->node == s->node;

		before += ours ? more(g->users, 1) : 0;
		after += ours ? grown(c, g->users, g->geo) : 0;
	}
	return before > 0 ? after / before : 1;
}

/* Who is asked more uses more, of its node, too. */
static void work_more(struct world *w, struct world_service *s, double times)
{
	int node = s->running ? world_node(w, s->node) : -1;

	if (node >= 0 && !isnan(s->cpu + w->node[node].use))
		w->node[node].use = fmax(0, w->node[node].use + (times - 1) * s->cpu);
	s->cpu *= times;
	s->net_bps *= times;
}

static void more_users(struct world *w, const struct crowd *c)
{
	for (int s = 0; s < w->n_services; s++)
		work_more(w, &w->service[s], growth(w, &w->service[s], c));
	for (int u = 0; u < w->n_users; u++)
		w->user[u].demand = grown(c, w->user[u].demand, w->user[u].geo);
	for (int g = 0; g < w->n_groups; g++)
		w->group[g].users = grown(c, w->group[g].users, w->group[g].geo);
}

int what_if(struct world *w, bool *failed, const char *question, struct err *e)
{
	struct crowd c = { .km = AROUND_KM, .at = { NAN, NAN } };
	char name[256], verb[16];
	int end = 0, fields;

	if (sscanf(question, "node %255s %15s %n", name, verb, &end) == 2 && !question[end]) {
		int word = world_find(w, name), node = word < 0 ? -1 : world_node(w, word);

		if (node < 0)
			return err_set(e, EX_USAGE, "--what-if: node %s: no record of it", name);
		if (!strcmp(verb, "fails"))
			failed[node] = true;
		else if (!strcmp(verb, "fills"))
			w->node[node].use = 1;
		if (!strcmp(verb, "fails") || !strcmp(verb, "fills"))
			return 0;
	}
	end = 0;
	fields = sscanf(question, "users x%lf%n at %lf,%lf%n within %lf%n", &c.times, &end, &c.at.lat, &c.at.lon, &end, &c.km, &end);
	if ((fields == 1 || fields >= 3) && !question[end] && c.times >= 0 && c.times < 1e9 && !(c.km < 0)) {
		c.km = fields == 1 ? NAN : c.km;
		more_users(w, &c);
		return 0;
	}
	return err_set(e, EX_USAGE, "--what-if: %s: not \"node NAME fails\", \"node NAME fills\", \"users xN\" or \"users xN at LAT,LON [within KM]\"", question);
}
