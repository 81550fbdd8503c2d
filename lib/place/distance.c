/* SPDX-License-Identifier: MIT */
#include "lib/place/distance.h"

#define RADIAN (M_PI / 180)

struct point distance_point(struct geo g)
{
	double lat = g.lat * RADIAN, lon = g.lon * RADIAN;

	return (struct point){ cos(lat) * cos(lon), cos(lat) * sin(lon), sin(lat) };
}

double distance_km(struct geo a, struct geo b)
{
	struct point p = distance_point(a), q = distance_point(b);

	return distance_points_km(&p, &q);
}

/* Sets *predicted if nobody has measured it. */
static double told(const struct world *w, int from, int to, bool *predicted)
{
	int i = world_latency(w, from, to);

	if (i < 0)
		return NAN;
	*predicted |= w->latency[i].predicted;
	return isnan(w->latency[i].p50) ? w->latency[i].mean : w->latency[i].p50;
}

static struct geo place_of(const struct world *w, int node)
{
	int i = world_node(w, node);

	return i < 0 ? (struct geo){ NAN, NAN } : w->node[i].geo;
}

double distance_nodes_estimate(const struct world *w, int a, int b, bool *predicted)
{
	double ms = a == b ? 0 : told(w, a, b, predicted);

	return isnan(ms) ? distance_km(place_of(w, a), place_of(w, b)) * RTT_MS_PER_KM : ms;
}

double distance_nodes_ms(const struct world *w, int a, int b)
{
	bool any = false;

	return distance_nodes_estimate(w, a, b, &any);
}

double distance_access_ms(const struct world *w, const struct world_user *u)
{
	double ms = u->p50 - distance_km(u->geo, place_of(w, u->node)) * RTT_MS_PER_KM;

	return ms > 0 ? ms : 0;
}

double distance_user_estimate(const struct world *w, const struct world_user *u, int node, bool *predicted)
{
	double ms = u->node >= 0 && u->node == node ? u->p50 : NAN;

	if (isnan(ms) && u->addr >= 0)
		ms = told(w, node, u->addr, predicted);
	if (isnan(ms))
		ms = distance_km(u->geo, place_of(w, node)) * RTT_MS_PER_KM + distance_access_ms(w, u);
	if (isnan(ms) && u->node >= 0)
		ms = u->p50 + distance_nodes_estimate(w, u->node, node, predicted);
	return ms;
}

double distance_user_ms(const struct world *w, const struct world_user *u, int node)
{
	bool any = false;

	return distance_user_estimate(w, u, node, &any);
}
