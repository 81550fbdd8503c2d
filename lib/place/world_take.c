/* SPDX-License-Identifier: MIT */
/* One record into the world. */
#include <string.h>

#include "lib/place/world_int.h"
#include "lib/place/world_read.h"

/* Puts *thing at its place in the array: that of an earlier record with this key, or behind the last. */
#define PUT(array, n_array, rooms, thing, known)                                                               \
	({                                                                                                     \
		int at_ = (known);                                                                             \
		if (at_ < 0)                                                                                   \
			w->array = world_room(w->array, w->n_array, &w->in->rooms, sizeof(*w->array));         \
		at_ = at_ < 0 ? w->n_array++ : at_;                                                            \
		w->array[at_] = (thing);                                                                       \
		at_;                                                                                           \
	})

static int put_node(struct taking *t, int *subject)
{
	struct world *w = t->w;
	struct world_node n;

	*subject = world_read_node(t, &n);
	return t->bad ? -1 : (w->in->word[n.name].node = PUT(node, n_nodes, nodes_room, n, world_node(w, n.name)));
}

/* A service that is told anew keeps the room of its corners and peers, so that one told for days takes no more. */
static void reuse_room(struct world *w, const struct world_service *old, struct world_service *s)
{
	if (s->needs.n_area > 0 && s->needs.n_area <= old->needs.n_area) {
		memcpy(w->corner + old->needs.area, w->corner + s->needs.area, (size_t)s->needs.n_area * sizeof(*w->corner));
		w->n_corners = s->needs.area;
		s->needs.area = old->needs.area;
	}
	if (s->n_peers > 0 && s->n_peers <= old->n_peers) {
		memcpy(w->peer + old->peers, w->peer + s->peers, (size_t)s->n_peers * sizeof(*w->peer));
		w->n_peers = s->peers;
		s->peers = old->peers;
	}
}

static int put_service(struct taking *t, int *subject)
{
	struct world *w = t->w;
	int corners = w->n_corners, peers = w->n_peers;
	struct world_service s;

	*subject = world_read_service(t, &s);
	if (t->bad) {
		w->n_corners = corners;
		w->n_peers = peers;
		return -1;
	}
	/* Without an id, a name is one instance at each node. */
	uint64_t key = s.id >= 0 ? map_pair(s.id, -1) : map_pair(s.name, s.node) ^ 1ull << 63;
	int known = map_add(&w->in->services, key, w->n_services);
	/* A node that it has left still tells of it: that is the past, in whichever order it is told. */
	if (known >= 0 && s.id >= 0 && s.epoch < w->service[known].epoch) {
		w->n_corners = corners;
		w->n_peers = peers;
		return -1;
	}
	if (known >= 0)
		reuse_room(w, &w->service[known], &s);
	return PUT(service, n_services, services_room, s, known);
}

static int put_move(struct taking *t, int *subject)
{
	struct world *w = t->w;
	struct world_score c;
	uint64_t key;

	*subject = -1;
	return !world_refusal_of(w, t->s, &c, &key) ? -1 : PUT(scored, n_scored, scored_room, c, map_add(&w->in->scores, key, w->n_scored));
}

/* Of no use: it makes no sense, or is too old. */
static bool useless(const struct taking *t, double seen)
{
	bool old = !t->bad && seen < t->w->since;

	t->w->n_old += old;
	return t->bad || old;
}

static int put_latency(struct taking *t, int *subject)
{
	struct world *w = t->w;
	struct world_latency l;
	int known;

	*subject = world_read_latency(t, &l);
	if (useless(t, l.seen))
		return -1;
	w->in->word[l.from].measured = w->in->word[l.to].measured = true;
	known = map_add(&w->in->latencies, map_pair(l.from, l.to), w->n_latencies);
	if (known >= 0 && l.predicted && !w->latency[known].predicted)
		return -1; /* what was measured stays */
	return PUT(latency, n_latencies, latencies_room, l, known);
}

static int put_user(struct taking *t, int *subject)
{
	struct world *w = t->w;
	struct world_user u;

	*subject = world_read_user(t, &u);
	if (useless(t, u.seen))
		return -1;
	return PUT(user, n_users, users_room, u,
		   u.addr < 0 ? -1 : map_add(&w->in->users, map_pair(u.app, u.addr), w->n_users));
}

static int put_group(struct taking *t, int *subject)
{
	struct world *w = t->w;
	struct world_group g;
	uint64_t lat, lon, key;

	*subject = world_read_group(t, &g);
	if (useless(t, g.seen))
		return -1;
	memcpy(&lat, &g.geo.lat, sizeof(lat));
	memcpy(&lon, &g.geo.lon, sizeof(lon));
	key = map_mix(map_mix(map_mix(lat) + lon) + map_pair(g.app, g.node));
	return PUT(group, n_groups, groups_room, g, map_add(&w->in->groups, key, w->n_groups));
}

static int put_score(struct taking *t, int *subject)
{
	struct world *w = t->w;
	struct world_score c;

	*subject = world_read_score(t, &c);
	if (t->bad)
		return -1;
	uint64_t key = c.service >= 0 ? map_pair(c.service, c.node) : map_pair(c.app, c.node) ^ 1ull << 63;
	return PUT(scored, n_scored, scored_room, c, map_add(&w->in->scores, key, w->n_scored));
}

static int (*const put[])(struct taking *t, int *subject) = {
	[WORLD_NODE] = put_node,       [WORLD_SERVICE] = put_service, [WORLD_LATENCY] = put_latency,
	[WORLD_USER] = put_user,       [WORLD_GROUP] = put_group,     [WORLD_SCORE] = put_score,
	[WORLD_MOVE] = put_move,
};
static const char *const kinds[] = { NULL, "node", "service", "latency", "user", "group", "score", "move" }; /* as enum world_kind */

static enum world_kind kind_of(struct json_scan *s)
{
	int tok = json_scan_find(s, 0, "kind");
	size_t len;
	const char *text;

	if (tok < 0 || s->tok[tok].type != JSON_STRING)
		return WORLD_OTHER;
	text = json_scan_string(s, tok, &len);
	for (int k = WORLD_NODE; k <= WORLD_MOVE; k++)
		if (strlen(kinds[k]) == len && !memcmp(kinds[k], text, len))
			return (enum world_kind)k;
	return WORLD_OTHER;
}

int world_take(struct world *w, const char *line, size_t len, enum world_kind *kind, int *index, struct err *e)
{
	struct taking t = { .w = w, .s = &w->in->scan, .within = "", .e = e };
	enum world_kind k;
	int at = -1, subject = -1;

	if (json_scan(t.s, line, len, e))
		return -1;
	if (t.s->tok[0].type != JSON_OBJECT)
		return err_set(e, EX_DATAERR, "not a JSON object");
	k = kind_of(t.s);
	if (k != WORLD_OTHER)
		at = put[k](&t, &subject);
	if (kind)
		*kind = k;
	if (index)
		*index = at;
	if (!t.bad)
		return 0;
	err_wrap(e, "%s%s%s", kinds[k], subject < 0 ? "" : " ", world_text(w, subject));
	return 1;
}
