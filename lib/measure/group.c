/* SPDX-License-Identifier: MIT */
/* Positions are points on the unit sphere, so that neither the poles nor the date line are special: distances are chords, the
 * centre of a group is the mean of its points, and a grid of cubes as wide as the radius finds the groups that are near. */
#include "lib/measure/group.h"

#include <arpa/inet.h>
#include <math.h>
#include <string.h>
#include <xxhash.h>

#include "lib/base/clock.h"
#include "lib/measure/stats.h"
#include "lib/measure/table.h"

#define EARTH_KM 6371.0
#define NONE UINT32_MAX

struct instance { /* of a service at a node */
	uint64_t key[2]; /* digests of both names */
	uint32_t number;
	char *service, *node;
	double bound; /* 0: that of all */
};

struct cell {
	struct {
		uint32_t instance;
		int32_t at[3];
	} key;
	uint32_t first;
};

struct group {
	uint32_t instance, users; /* users 0: free */
	double sum[3], excess;    /* of all its users */
	int32_t cell[3];
	uint32_t next;            /* in its cell, or among the free */
	bool placed;              /* false: of those whose position is not known */
};

struct member {
	struct {
		uint32_t instance;
		uint8_t addr[16];
	} key;
	uint32_t group; /* NONE: its service is near enough */
	double at[3], p50, excess;
	unsigned seen;
};

struct groups {
	double bound, chord;
	struct table services, instances, members, cells;
	struct group *v;
	uint32_t n, room, spare; /* spare: the first free one */
	unsigned window;
};

struct groups *groups_new(double bound_ms, double radius_km)
{
	struct groups *g = calloc(1, sizeof(*g));

	if (!g)
		abort();
	g->bound = bound_ms;
	g->spare = NONE;
	g->chord = 2 * sin(fmin(radius_km / EARTH_KM, M_PI) / 2);
	g->services = (struct table){ .entry = sizeof(struct instance), .key = sizeof(uint64_t[2]) };
	g->instances = (struct table){ .entry = sizeof(struct instance), .key = sizeof(uint64_t[2]) };
	g->members = (struct table){ .entry = sizeof(struct member), .key = sizeof(((struct member *)0)->key) };
	g->cells = (struct table){ .entry = sizeof(struct cell), .key = sizeof(((struct cell *)0)->key) };
	return g;
}

static void names_free(struct table *t)
{
	for (size_t i = 0; i < t->room; i++) {
		struct instance *s = table_slot(t, i);

		if (s) {
			free(s->service);
			free(s->node);
		}
	}
	table_clear(t);
}

void groups_free(struct groups *g)
{
	if (!g)
		return;
	names_free(&g->services);
	names_free(&g->instances);
	table_clear(&g->members);
	table_clear(&g->cells);
	free(g->v);
	free(g);
}

/* The entry of a service at a node; node "": of the service as such. */
static struct instance *instance_of(struct table *t, const char *service, const char *node)
{
	uint64_t key[2] = { XXH64(service, strlen(service), 0), XXH64(node, strlen(node), 0) };
	bool fresh;
	struct instance *s = table_at(t, key, &fresh);

	if (fresh) {
		s->number = (uint32_t)t->n - 1;
		s->service = strdup(service);
		s->node = strdup(node);
		if (!s->service || !s->node)
			abort();
	}
	return s;
}

void groups_service(struct groups *g, const struct json *service)
{
	const char *name = json_str(service, "name");
	double bound = json_num(service, "needs.rtt_ms", 0);

	if (name && bound > 0)
		instance_of(&g->services, name, "")->bound = bound;
}

static double bound_of(struct groups *g, const char *service)
{
	double own = g->services.n ? instance_of(&g->services, service, "")->bound : 0;

	return own > 0 ? own : g->bound;
}

static void centre(const struct group *v, double at[3])
{
	double length = sqrt(v->sum[0] * v->sum[0] + v->sum[1] * v->sum[1] + v->sum[2] * v->sum[2]);

	for (int i = 0; i < 3; i++) /* points all over the world may cancel out: then anywhere is as good */
		at[i] = length > 1e-9 ? v->sum[i] / length : i == 0;
}

static void cell_at(const struct groups *g, const double at[3], int32_t cell[3])
{
	for (int i = 0; i < 3; i++)
		cell[i] = (int32_t)floor(at[i] / fmax(g->chord, 1e-6));
}

static struct cell *cell_of(struct groups *g, uint32_t instance, const int32_t at[3], bool make)
{
	struct cell key = { .key = { instance, { at[0], at[1], at[2] } } };
	bool fresh = false;
	struct cell *c = make ? table_at(&g->cells, &key, &fresh) : table_find(&g->cells, &key);

	if (fresh)
		c->first = NONE;
	return c;
}

static void cell_leave(struct groups *g, uint32_t i)
{
	uint32_t *at = &cell_of(g, g->v[i].instance, g->v[i].cell, true)->first;

	while (*at != i)
		at = &g->v[*at].next;
	*at = g->v[i].next;
}

static void cell_enter(struct groups *g, uint32_t i)
{
	struct cell *c = cell_of(g, g->v[i].instance, g->v[i].cell, true);

	g->v[i].next = c->first;
	c->first = i;
}

/* Its centre has moved, perhaps to another cell. */
static void regroup(struct groups *g, uint32_t i)
{
	double at[3];
	int32_t cell[3];

	if (!g->v[i].placed)
		return;
	centre(&g->v[i], at);
	cell_at(g, at, cell);
	if (!memcmp(cell, g->v[i].cell, sizeof(cell)))
		return;
	cell_leave(g, i);
	memcpy(g->v[i].cell, cell, sizeof(cell));
	cell_enter(g, i);
}

/* The nearest group of the cell within the square of a distance, which it lessens. */
static void nearest_in(const struct groups *g, const struct cell *c, const double at[3], double *best, uint32_t *found)
{
	for (uint32_t i = c ? c->first : NONE; i != NONE; i = g->v[i].next) {
		double to[3], d = 0;

		centre(&g->v[i], to);
		for (int k = 0; k < 3; k++)
			d += (to[k] - at[k]) * (to[k] - at[k]);
		if (d <= *best) {
			*best = d;
			*found = i;
		}
	}
}

static uint32_t nearest(struct groups *g, uint32_t instance, const double at[3])
{
	double best = g->chord * g->chord;
	uint32_t found = NONE;
	int32_t mid[3];

	cell_at(g, at, mid);
	for (int k = 0; k < 27; k++) {
		int32_t cell[3] = { mid[0] + k % 3 - 1, mid[1] + k / 3 % 3 - 1, mid[2] + k / 9 - 1 };

		nearest_in(g, cell_of(g, instance, cell, false), at, &best, &found);
	}
	return found;
}

/* `at` NULL: nowhere. */
static uint32_t begin(struct groups *g, uint32_t instance, const double *at)
{
	uint32_t i = g->spare;

	if (i != NONE)
		g->spare = g->v[i].next;
	else
		i = g->n++;
	if (i >= g->room) {
		g->room = g->room ? 2 * g->room : 64;
		g->v = realloc(g->v, g->room * sizeof(*g->v));
		if (!g->v)
			abort();
	}
	g->v[i] = (struct group){ .instance = instance, .placed = at, .next = NONE };
	if (at) {
		cell_at(g, at, g->v[i].cell);
		cell_enter(g, i);
	}
	return i;
}

/* The one group of an instance whose users are nobody knows where. */
static uint32_t unplaced(struct groups *g, uint32_t instance)
{
	static const int32_t nowhere[3] = { INT32_MAX, 0, 0 };
	struct cell *c = cell_of(g, instance, nowhere, true);
	uint32_t i = c->first;

	if (i == NONE) {
		i = begin(g, instance, NULL);
		cell_of(g, instance, nowhere, true)->first = i;
	}
	return i;
}

static void leave(struct groups *g, struct member *m)
{
	struct group *v = &g->v[m->group];

	v->users--;
	v->excess -= m->excess;
	for (int i = 0; i < 3; i++)
		v->sum[i] -= m->at[i];
	if (v->users) {
		regroup(g, m->group);
	} else if (v->placed) {
		cell_leave(g, m->group);
		v->next = g->spare;
		g->spare = m->group;
	}
	m->group = NONE;
}

static void join(struct groups *g, struct member *m, const double *at)
{
	uint32_t i = at ? nearest(g, m->key.instance, at) : unplaced(g, m->key.instance);

	if (i == NONE)
		i = begin(g, m->key.instance, at);
	struct group *v = &g->v[i];
	v->users++;
	v->excess += m->excess;
	for (int k = 0; k < 3; k++)
		v->sum[k] += m->at[k] = at ? at[k] : 0;
	m->group = i;
	regroup(g, i);
}

static bool position_of(const struct json *user, double at[3])
{
	double lat = json_num(user, "geo.lat", NAN) * M_PI / 180, lon = json_num(user, "geo.lon", NAN) * M_PI / 180;

	if (!(fabs(lat) <= M_PI / 2) || !(fabs(lon) <= M_PI))
		return false;
	at[0] = cos(lat) * cos(lon);
	at[1] = cos(lat) * sin(lon);
	at[2] = sin(lat);
	return true;
}

void groups_user(struct groups *g, const struct json *user)
{
	const char *service = json_str(user, "service"), *node = json_str(user, "node"), *addr = json_str(user, "addr");
	double p50 = json_num(user, "rtt_ms.p50", NAN), bound, at[3];
	struct member key = { 0 }, *m;
	bool fresh;

	if (!service || !addr || !(p50 >= 0) || !((bound = bound_of(g, service)) > 0))
		return;
	key.key.instance = instance_of(&g->instances, service, node ? node : "")->number;
	if (inet_pton(AF_INET6, addr, key.key.addr) != 1 && inet_pton(AF_INET, addr, key.key.addr + 12) != 1)
		return;
	m = table_at(&g->members, &key.key, &fresh);
	if (fresh)
		m->group = NONE;
	bool placed = position_of(user, at), was = m->group != NONE;
	if (was)
		leave(g, m);
	m->p50 = p50;
	m->excess = p50 / bound - 1;
	m->seen = g->window;
	if (p50 > bound)
		join(g, m, placed ? at : NULL);
}

struct sift {
	struct groups *g;
	unsigned silent;
};

static bool heard(void *entry, void *ctx)
{
	struct member *m = entry;
	struct sift *s = ctx;

	if (m->seen + s->silent > s->g->window)
		return true;
	if (m->group != NONE)
		leave(s->g, m);
	return false;
}

static bool occupied(void *entry, void *ctx)
{
	(void)ctx;
	return ((struct cell *)entry)->first != NONE;
}

void groups_window(struct groups *g, unsigned silent)
{
	struct sift s = { g, silent };

	g->window++;
	table_sift(&g->members, heard, &s);
	table_sift(&g->cells, occupied, NULL);
}

static struct json *record(const struct groups *g, uint32_t i, const struct instance *of, double *p50, char seen[32])
{
	const struct group *v = &g->v[i];
	struct json *j = json_object();
	struct stats s;
	double at[3];

	stats_of(p50, v->users, &s);
	json_set_str(j, "kind", "group");
	json_set_str(j, "service", of->service);
	json_set_str(j, "node", of->node[0] ? of->node : NULL);
	if (v->placed) {
		centre(v, at);
		json_set_num(j, "geo.lat", round(asin(fmax(-1, fmin(1, at[2]))) * 180e4 / M_PI) / 1e4);
		json_set_num(j, "geo.lon", round(atan2(at[1], at[0]) * 180e4 / M_PI) / 1e4);
	}
	json_set_num(j, "users", v->users);
	json_set_num(j, "qoe", round(v->excess / v->users * 1e3) / 1e3);
	json_set_num(j, "rtt_ms.p50", round(s.p50 * 1e3) / 1e3);
	json_set_num(j, "rtt_ms.max", round(s.max * 1e3) / 1e3);
	json_set_str(j, "seen", seen);
	return j;
}

/* The users' medians, those of group i from start[i] on. */
static double *medians(const struct groups *g, size_t *start)
{
	double *p50 = malloc((g->members.n + 1) * sizeof(*p50));
	AUTO_FREE size_t *at = calloc((size_t)g->n + 1, sizeof(*at));

	if (!p50 || !at)
		abort();
	for (uint32_t i = 0, sum = 0; i < g->n; sum += g->v[i++].users)
		start[i] = at[i] = sum;
	for (size_t i = 0; i < g->members.room; i++) {
		const struct member *m = table_slot(&g->members, i);

		if (m && m->group != NONE)
			p50[at[m->group]++] = m->p50;
	}
	return p50;
}

int groups_each(struct groups *g, int (*each)(void *, struct json *, struct err *), void *ctx, struct err *e)
{
	AUTO_FREE const struct instance **of = calloc(g->instances.n + 1, sizeof(struct instance *));
	AUTO_FREE size_t *start = calloc((size_t)g->n + 1, sizeof(*start));
	char seen[32];
	int rc = 0;

	if (!of || !start)
		abort();
	AUTO_FREE double *p50 = medians(g, start);
	clock_rfc3339(seen);
	for (size_t i = 0; i < g->instances.room; i++) {
		const struct instance *s = table_slot(&g->instances, i);

		if (s)
			of[s->number] = s;
	}
	for (uint32_t i = 0; i < g->n && !rc; i++)
		if (g->v[i].users)
			rc = each(ctx, record(g, i, of[g->v[i].instance], p50 + start[i], seen), e);
	return rc;
}
