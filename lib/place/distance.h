/* SPDX-License-Identifier: MIT */
/* How far things are from each other: measured where somebody has measured, else predicted (edge-latency --predict), else estimated from
 * positions. */
#ifndef EDGE_PLACE_DISTANCE_H
#define EDGE_PLACE_DISTANCE_H

#include "lib/place/world.h"

#define EARTH_KM 6371.0
/* Light in glass needs 0.01 ms for a kilometre there and back; cables and detours take about as much again. */
#define RTT_MS_PER_KM 0.02

/* Great circle; NAN when a position is unknown. */
double distance_km(struct geo a, struct geo b);
/* A position as a point of the unit sphere, for many distances: NAN when unknown. */
struct point {
	double x, y, z;
};
struct point distance_point(struct geo g);

/* Half a chord of the unit sphere, squared, as an angle: the series of 2 asin(sqrt(x)), exact to 1e-12, up to 3200 km. */
static inline double distance_angle(double x)
{
	if (!(x < 0.0625))
		return 2 * asin(x > 1 ? 1 : sqrt(x));
	return 2 * sqrt(x) *
	       (1 + x * (1 / 6.0 + x * (3 / 40.0 + x * (15 / 336.0 + x * (105 / 3456.0 + x * (945 / 42240.0 +
	       x * (10395 / 599040.0 + x * (135135 / 9676800.0 + x * 2027025 / 175472640.0))))))));
}

static inline double distance_points_km(const struct point *a, const struct point *b)
{
	double x = a->x - b->x, y = a->y - b->y, z = a->z - b->z;

	return EARTH_KM * distance_angle((x * x + y * y + z * z) / 4);
}

/* RTT in ms between two nodes (names): 0 from a node to itself; the median measured in either direction, else the mean;
 * else what is predicted; else from positions; NAN when nothing is known. */
double distance_nodes_ms(const struct world *w, int a, int b);
/* The same; sets *predicted when it is: such a figure ranks nodes, and decides nothing. Never clears it. */
double distance_nodes_estimate(const struct world *w, int a, int b, bool *predicted);
/* What of a user's RTT does not come from the distance to where it is served now (its radio, its queue): at least 0, and
 * 0 when unknown. */
double distance_access_ms(const struct world *w, const struct world_user *u);
/* RTT in ms that the user has, or would have, to that node (a name): its own median where it is served now; what was
 * measured between the node and its address; positions, and its access; its median and the way from there to the node;
 * NAN. */
double distance_user_ms(const struct world *w, const struct world_user *u, int node);
double distance_user_estimate(const struct world *w, const struct world_user *u, int node, bool *predicted); /* as above */

#endif
