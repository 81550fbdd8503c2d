/* SPDX-License-Identifier: MIT */
#include "lib/place/world_read.h"

#include <string.h>

#include "lib/place/world_int.h"

#define WORDS_MAX 1024
#define CORNERS_MAX 1024
#define PEERS_MAX 256
#define ANY 1e18 /* of bytes, counts, prices: more is a mistake */

static void bad(struct taking *t, const char *path, const char *what)
{
	if (!t->bad)
		err_set(t->e, EX_DATAERR, "%s%s: %s", t->within, path, what);
	t->bad = true;
}

/* The token of that path and type, -1. */
static int find(struct taking *t, const char *path, enum json_type type, const char *not_one)
{
	int tok = json_scan_find(t->s, t->at, path);

	if (tok < -1 || (tok >= 0 && t->s->tok[tok].type != type)) {
		bad(t, path, tok < -1 ? "not in an object" : not_one);
		return -1;
	}
	return tok;
}

static double num(struct taking *t, const char *path, double min, double max)
{
	int tok = find(t, path, JSON_NUMBER, "not a number");
	double v = tok < 0 ? NAN : json_scan_number(t->s, tok);
	char what[80];

	if (v < min || v > max) {
		snprintf(what, sizeof(what), "%.10g: not from %.10g to %.10g", v, min, max);
		bad(t, path, what);
	}
	return v;
}

static int word_at(struct taking *t, int tok)
{
	size_t len;
	const char *s = json_scan_string(t->s, tok, &len);

	return memchr(s, '\0', len) ? -1 : world_word_of(t->w, s, len);
}

static int word(struct taking *t, const char *path)
{
	int tok = find(t, path, JSON_STRING, "not a string");

	return tok < 0 ? -1 : word_at(t, tok);
}

static int must(struct taking *t, const char *path)
{
	int id = word(t, path);

	if (id < 0)
		bad(t, path, "missing");
	return id;
}

static double when(struct taking *t, const char *path)
{
	int tok = find(t, path, JSON_STRING, "not a string");
	double v = NAN;
	size_t len;

	if (tok >= 0) {
		const char *s = json_scan_string(t->s, tok, &len);

		if (world_time(s, len, &v))
			bad(t, path, "not a time as 2026-01-01T00:00:00Z");
	}
	return v;
}

static bool flag(struct taking *t, const char *path, bool otherwise)
{
	int tok = json_scan_find(t->s, t->at, path);

	if (tok < 0)
		return otherwise;
	if (t->s->tok[tok].type != JSON_TRUE && t->s->tok[tok].type != JSON_FALSE)
		bad(t, path, "not true or false");
	return t->s->tok[tok].type == JSON_TRUE;
}

/* The next item of the array, or its first when *item is 0; false behind the last. */
static bool next_item(const struct taking *t, int array, int *item)
{
	*item = *item ? t->s->tok[*item].next : array + 1;
	return array >= 0 && *item < t->s->tok[array].next;
}

/* An array of strings; one string is a list of one. */
static int list(struct taking *t, const char *path)
{
	int words[WORDS_MAX], n = 0, tok = json_scan_find(t->s, t->at, path), item = 0;

	if (tok >= 0 && t->s->tok[tok].type == JSON_STRING) {
		words[0] = word_at(t, tok);
		return words[0] < 0 ? -1 : world_list_of(t->w, words, 1);
	}
	tok = find(t, path, JSON_ARRAY, "not an array");
	if (tok < 0)
		return -1;
	while (next_item(t, tok, &item)) {
		int id = t->s->tok[item].type == JSON_STRING ? word_at(t, item) : -1;

		if (id < 0)
			bad(t, path, "an item that is not a word");
		else if (n == WORDS_MAX)
			bad(t, path, "more than 1024 words");
		else
			words[n++] = id;
	}
	return world_list_of(t->w, words, n);
}

static struct geo geo(struct taking *t, const char *lat, const char *lon)
{
	struct geo g = { num(t, lat, -90, 90), num(t, lon, -180, 180) };

	if (isnan(g.lat) != isnan(g.lon))
		bad(t, isnan(g.lat) ? lat : lon, "missing");
	return g;
}

static void take_gpus(struct taking *t, struct world_node *n)
{
	int array = find(t, "gpu", JSON_ARRAY, "not an array"), item = 0;
	struct taking in = *t;

	n->gpus = array < 0 ? NAN : 0;
	n->gpu_mem = n->gpus;
	in.within = "gpu[].";
	while (next_item(t, array, &item)) {
		n->gpus++;
		in.at = item;
		n->gpu_mem += t->s->tok[item].type == JSON_OBJECT ? num(&in, "mem_bytes", 0, ANY) : NAN;
	}
	t->bad = in.bad;
}

int world_read_node(struct taking *t, struct world_node *n)
{
	*n = (struct world_node){
		.name = must(t, "name"), .addr = word(t, "addr"), .role = word(t, "role"), .network = word(t, "network"),
		.site = word(t, "site"), .arch = word(t, "arch"), .country = word(t, "geo.country"),
		.member = word(t, "member"), .criu = word(t, "criu"), .taints = list(t, "taints"),
		.engines = list(t, "engines"), .cpu_flags = list(t, "cpu.flags"), .cores = num(t, "cpu.cores", 0, 1e6),
		.score = num(t, "cpu.score", 0, 1e9), .use = num(t, "cpu.use", 0, 1.1),
		.mem_total = num(t, "mem.total_bytes", 0, ANY), .mem_available = num(t, "mem.available_bytes", 0, ANY),
		.disk_free = num(t, "disk.free_bytes", 0, ANY), .net_bps = num(t, "net_bps", 0, ANY),
		.users_max = num(t, "users_max", 0, ANY), .geo = geo(t, "geo.lat", "geo.lon"),
		.idle_w = num(t, "power.idle_w", 0, 1e9), .max_w = num(t, "power.max_w", 0, 1e9),
		.cpu_hour = num(t, "price.cpu_hour", 0, ANY), .gb_hour = num(t, "price.gb_hour", 0, ANY),
		.egress_gb = num(t, "price.egress_gb", 0, ANY), .seen = when(t, "seen"),
	};
	take_gpus(t, n);
	if (n->max_w < n->idle_w)
		bad(t, "power.max_w", "less than power.idle_w");
	if (n->mem_total < n->mem_available)
		bad(t, "mem.available_bytes", "more than mem.total_bytes");
	if (n->site < 0)
		n->site = n->network;
	return n->name;
}

static void take_area(struct taking *t, struct world_needs *n)
{
	int array = find(t, "needs.area", JSON_ARRAY, "not an array"), item = 0;
	struct world *w = t->w;
	struct taking in = *t;

	n->area = array < 0 ? -1 : w->n_corners;
	in.within = "needs.area[].";
	while (next_item(t, array, &item)) {
		in.at = item;
		w->corner = world_room(w->corner, w->n_corners, &w->in->corners_room, sizeof(*w->corner));
		w->corner[w->n_corners] = geo(&in, "lat", "lon");
		if (isnan(w->corner[w->n_corners].lat))
			bad(&in, "lat", "missing");
		w->n_corners++;
		n->n_area++;
	}
	t->bad = in.bad;
	if (array >= 0 && (n->n_area < 3 || n->n_area > CORNERS_MAX))
		bad(t, "needs.area", "not from 3 to 1024 corners");
}

static void take_needs(struct taking *t, struct world_needs *n)
{
	*n = (struct world_needs){
		.arch = list(t, "needs.arch"), .role = list(t, "needs.role"), .network = list(t, "needs.network"),
		.country = list(t, "needs.country"), .member = list(t, "needs.member"),
		.tolerates = list(t, "needs.tolerates"), .cpu_flags = list(t, "needs.cpu_flags"),
		.cpu = num(t, "needs.cpu", 0, 1e6), .mem = num(t, "needs.mem_bytes", 0, ANY),
		.disk = num(t, "needs.disk_bytes", 0, ANY), .gpus = num(t, "needs.gpu", 0, 1e6),
		.gpu_mem = num(t, "needs.gpu_mem_bytes", 0, ANY), .rtt_ms = num(t, "needs.rtt_ms", 0, 1e9),
		.avoid = list(t, "needs.avoid"), .together = list(t, "needs.together"), .pinned = word(t, "needs.node"),
		.min = num(t, "needs.min", 0, 1e6), .max = num(t, "needs.max", 0, 1e6),
	};
	if (json_scan_find(t->s, t->at, "needs") == -1) {
		n->area = -1;
		return;
	}
	n->spread = flag(t, "needs.spread", false);
	take_area(t, n);
	if (n->min > n->max)
		bad(t, "needs.min", "more than needs.max");
}

static void take_peers(struct taking *t, struct world_service *s)
{
	int array = find(t, "peers", JSON_ARRAY, "not an array"), item = 0;
	struct world *w = t->w;
	struct taking in = *t;

	s->peers = array < 0 ? -1 : w->n_peers;
	in.within = "peers[].";
	while (next_item(t, array, &item)) {
		in.at = item;
		w->peer = world_room(w->peer, w->n_peers, &w->in->peers_room, sizeof(*w->peer));
		w->peer[w->n_peers++] = (struct world_peer){ must(&in, "service"), num(&in, "net_bps", 0, ANY) };
		s->n_peers++;
	}
	t->bad = in.bad;
	if (s->n_peers > PEERS_MAX)
		bad(t, "peers", "more than 256");
}

int world_read_service(struct taking *t, struct world_service *s)
{
	struct world *w = t->w;
	int type, state;

	*s = (struct world_service){
		.id = word(t, "id"), .name = must(t, "name"), .node = word(t, "node"), .engine = word(t, "engine"),
		.want_rtt_ms = num(t, "wants.rtt_ms", 0, 1e9), .quota_cpu = num(t, "profile.cpu", 0, 1e6),
		.quota_mem = num(t, "profile.mem_bytes", 0, ANY), .cpu = num(t, "usage.cpu", 0, 1.1),
		.mem = num(t, "usage.mem_bytes", 0, ANY), .net_bps = num(t, "usage.net_bps", 0, ANY),
		.bytes = num(t, "size_bytes", 0, ANY),
		.users_max = num(t, "users_max", 0, ANY), .moved = when(t, "moved_at"), .came_from = word(t, "moved_from"), .epoch = num(t, "epoch", 0, 1e15),
	};
	take_needs(t, &s->needs);
	take_peers(t, s);
	type = word(t, "type");
	s->stateless = type >= 0 && type == world_find(w, "stateless");
	s->stateful = type >= 0 && type == world_find(w, "stateful");
	if (type >= 0 && !s->stateless && !s->stateful)
		bad(t, "type", "not stateful or stateless");
	s->spec = world_spec_of(w, t->s);
	s->addr = word(t, "addr");
	s->addrs = list(t, "addrs");
	s->foreign = word(t, "container") >= 0;
	state = word(t, "state");
	s->running = state < 0 || state == world_find(w, "running");
	if (s->name >= 0)
		s->app = world_app_of(w, s->name);
	return s->name;
}

int world_read_latency(struct taking *t, struct world_latency *l)
{
	int method = word(t, "method");

	*l = (struct world_latency){
		.from = must(t, "from"), .to = must(t, "to"), .mean = num(t, "rtt_ms.mean", 0, 1e9),
		.p50 = num(t, "rtt_ms.p50", 0, 1e9), .p95 = num(t, "rtt_ms.p95", 0, 1e9), .loss = num(t, "loss", 0, 1),
		.predicted = method >= 0 && method == world_find(t->w, "predicted"), .seen = when(t, "seen"),
	};
	return l->to;
}

int world_read_user(struct taking *t, struct world_user *u)
{
	int app = must(t, "service");

	*u = (struct world_user){
		.addr = word(t, "addr"), .node = word(t, "node"), .app = app < 0 ? -1 : world_app_of(t->w, app),
		.count = num(t, "count", 0, ANY), .demand = num(t, "demand", 0, ANY), .p50 = num(t, "rtt_ms.p50", 0, 1e9),
		.p95 = num(t, "rtt_ms.p95", 0, 1e9), .geo = geo(t, "geo.lat", "geo.lon"), .seen = when(t, "seen"),
	};
	if (isnan(u->demand))
		u->demand = 1;
	return u->addr;
}

int world_read_group(struct taking *t, struct world_group *g)
{
	int app = must(t, "service");

	*g = (struct world_group){
		.node = word(t, "node"), .app = app < 0 ? -1 : world_app_of(t->w, app), .users = num(t, "users", 0, ANY),
		.qoe = num(t, "qoe", -ANY, ANY), .p50 = num(t, "rtt_ms.p50", 0, 1e9), .geo = geo(t, "geo.lat", "geo.lon"),
		.seen = when(t, "seen"),
	};
	return app;
}

int world_read_score(struct taking *t, struct world_score *c)
{
	int name = must(t, "service"), id = word(t, "id");

	*c = (struct world_score){
		.app = name < 0 ? -1 : world_app_of(t->w, name), .node = must(t, "node"),
		.service = id < 0 ? -1 : map_get(&t->w->in->services, map_pair(id, -1)),
		.eligible = flag(t, "eligible", true), .predicted = flag(t, "predicted", false), .score = num(t, "score", -ANY, ANY), .why = -1,
	};
	return name;
}
