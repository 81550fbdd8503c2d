/* SPDX-License-Identifier: MIT */
/* users USERS NODES: users of a few cities, and nodes; prints what they wait, demand x RTT, if first come are first served by the nearest
 * with room (Swirly's rule), and how many nodes would have too much if everybody took the nearest: one JSON object.
 * users USERS NODES records [BATCHES]: prints the records of that world instead. Demand is 90 % of all capacity. */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "lib/place/assign.h"

#define CITIES 7

static uint64_t seed = 42;

static double uniform(void)
{
	seed = seed * 6364136223846793005u + 1442695040888963407u;
	return (double)(seed >> 11) / 9007199254740992.0;
}

static double normal(void)
{
	return sqrt(-2 * log(1 - uniform())) * cos(2 * M_PI * uniform());
}

static struct geo near(const struct geo *city, double spread)
{
	return (struct geo){ city->lat + spread * normal(), city->lon + spread * normal() };
}

/* Users are more concentrated than nodes. */
struct cities {
	struct geo at[CITIES];
	double share[CITIES], all;
};

static struct geo somewhere(const struct cities *c)
{
	double x = c->all * uniform();
	int k = 0;

	while (k < CITIES - 1 && (x -= c->share[k]) > 0)
		k++;
	return near(&c->at[k], 0.9);
}

static float some(void)
{
	return (float)(1 + (int)(4 * uniform()));
}

static void make(struct assign *s, struct cities *c, struct geo *user, struct geo *node, float *demand, double *capacity)
{
	double all = 0, wanted = 0;

	for (int k = 0; k < CITIES; k++) {
		c->at[k] = (struct geo){ 40 + 15 * uniform(), -5 + 25 * uniform() };
		c->all += c->share[k] = pow(k + 1, -0.7);
	}
	for (int i = 0; i < s->nodes; i++) {
		node[i] = near(&c->at[i % CITIES], 1.2);
		capacity[i] = 0.5 + uniform();
		all += capacity[i];
	}
	for (int u = 0; u < s->users; u++) {
		user[u] = somewhere(c);
		wanted += demand[u] = some();
	}
	for (int i = 0; i < s->nodes; i++)
		capacity[i] = floor(capacity[i] * wanted / 0.9 / all);
}

static void print_node(const struct assign *s, int i, double part)
{
	printf("{\"kind\":\"node\",\"name\":\"n%d\",\"geo\":{\"lat\":%.5f,\"lon\":%.5f},\"users_max\":%.0f}\n", i, s->node[i].lat,
	       s->node[i].lon, floor(part * s->capacity[i]));
}

static void print_user(int u, struct geo at, float demand)
{
	printf("{\"kind\":\"user\",\"addr\":\"10.%d.%d.%d\",\"service\":\"game\",\"demand\":%.0f,\"geo\":{\"lat\":%.5f,\"lon\":%.5f}}\n", u >> 16,
	       u >> 8 & 255, u & 255, demand, at.lat, at.lon);
}

/* Everything; then batches, an empty line before each, in which one per cent of all records is told anew: users are elsewhere and
 * want something else, nodes have 95 to 105 % of what they had. */
static void print_records(const struct assign *s, const struct cities *c, int batches)
{
	for (int i = 0; i < s->nodes; i++)
		print_node(s, i, 1);
	for (int u = 0; u < s->users; u++)
		print_user(u, s->user[u], s->demand[u]);
	for (int b = 0; b < batches; b++) {
		putchar('\n');
		for (int i = 0; i < s->nodes; i++)
			if (uniform() < 0.01)
				print_node(s, i, 0.95 + 0.1 * uniform());
		for (int u = 0; u < s->users; u++)
			if (uniform() < 0.01)
				print_user(u, somewhere(c), some());
	}
}

static double first_come(const struct assign *s, double *room, int *overfull)
{
	struct point *node = malloc((size_t)s->nodes * sizeof(*node));
	double *wanted = calloc((size_t)s->nodes, sizeof(*wanted)), cost = 0;

	for (int i = 0; i < s->nodes; i++) {
		node[i] = distance_point(s->node[i]);
		room[i] = s->capacity[i];
	}
	for (int u = 0; u < s->users; u++) {
		struct point at = distance_point(s->user[u]);
		double least = INFINITY, nearest = INFINITY;
		int to = -1, first = 0;

		for (int i = 0; i < s->nodes; i++) {
			double x = at.x - node[i].x, y = at.y - node[i].y, z = at.z - node[i].z, d = x * x + y * y + z * z;

			if (d < nearest) {
				nearest = d;
				first = i;
			}
			if (d < least && room[i] >= s->demand[u]) {
				least = d;
				to = i;
			}
		}
		wanted[first] += s->demand[u];
		if (to < 0)
			continue;
		room[to] -= s->demand[u];
		cost += distance_points_km(&at, &node[to]) * RTT_MS_PER_KM * s->demand[u];
	}
	for (int i = 0; i < s->nodes; i++)
		*overfull += wanted[i] > s->capacity[i];
	free(node);
	free(wanted);
	return cost;
}

int main(int argc, char **argv)
{
	struct assign s = { .users = argc > 1 ? atoi(argv[1]) : 0, .nodes = argc > 2 ? atoi(argv[2]) : 0 };
	struct cities cities = { 0 };
	int overfull = 0;

	if (s.users <= 0 || s.nodes <= 0)
		return 64;
	struct geo *user = malloc((size_t)s.users * sizeof(*user)), *node = malloc((size_t)s.nodes * sizeof(*node));
	float *demand = malloc((size_t)s.users * sizeof(*demand));
	double *capacity = malloc((size_t)s.nodes * sizeof(*capacity)), *room = malloc((size_t)s.nodes * sizeof(*room));

	make(&s, &cities, user, node, demand, capacity);
	s.user = user;
	s.node = node;
	s.demand = demand;
	s.capacity = capacity;
	if (argc > 3 && !strcmp(argv[3], "records")) {
		print_records(&s, &cities, argc > 4 ? atoi(argv[4]) : 0);
		return 0;
	}
	double cost = first_come(&s, room, &overfull);

	printf("{\"users\":%d,\"nodes\":%d,\"first_come\":%.1f,\"overfull_percent\":%.1f}\n", s.users, s.nodes, cost, 100.0 * overfull / s.nodes);
	return 0;
}
