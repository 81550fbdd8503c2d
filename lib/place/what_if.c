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

/* Positions that nobody knows are nowhere near. */
static void more_users(struct world *w, double times, struct geo at, double km)
{
	for (int u = 0; u < w->n_users; u++)
		if (isnan(km) || distance_km(w->user[u].geo, at) <= km)
			w->user[u].demand = more(w->user[u].demand, times);
	for (int g = 0; g < w->n_groups; g++)
		if (isnan(km) || distance_km(w->group[g].geo, at) <= km)
			w->group[g].users = more(w->group[g].users, times);
}

int what_if(struct world *w, bool *failed, const char *question, struct err *e)
{
	struct geo at = { NAN, NAN };
	double times, km = AROUND_KM;
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
	fields = sscanf(question, "users x%lf%n at %lf,%lf%n within %lf%n", &times, &end, &at.lat, &at.lon, &end, &km, &end);
	if ((fields == 1 || fields >= 3) && !question[end] && times >= 0 && times < 1e9 && !(km < 0)) {
		more_users(w, times, at, fields == 1 ? NAN : km);
		return 0;
	}
	return err_set(e, EX_USAGE, "--what-if: %s: neither \"node NAME fails\" nor \"users xN at LAT,LON\"", question);
}
