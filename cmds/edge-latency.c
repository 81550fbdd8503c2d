/* SPDX-License-Identifier: MIT */
/* Measures how far nodes are: node records in, the same and latency records out; and what users of services feel: user
 * records out. */
#include <limits.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#include "lib/base/crowd.h"
#include "lib/base/json_scan.h"
#include "lib/base/lines.h"
#include "lib/base/opt.h"
#include "lib/discover/names.h"
#include "lib/discover/node.h"
#include "lib/discover/position.h"
#include "lib/engine/service.h"
#include "lib/measure/coord.h"
#include "lib/measure/group.h"
#include "lib/measure/probe.h"
#include "lib/measure/watch.h"
#include "lib/move/via.h"

#define SILENT_WINDOWS 6 /* after which a user has left */
#define VIA_AT_ONCE 8    /* nodes that measure for us */

static struct probe_plan plan = { .method = "icmp", .count = 5, .interval_ms = 200, .timeout_ms = 1000, .rate = 5000 };
static struct watch_plan watched = { .every_s = 10 };
static bool watching;
static const char *geo;
static struct opt_list via;
static bool predict;
static double bound_ms, radius_km = 50;

static const struct opt opts[] = {
	{ "How far nodes are", 0, OPT_GROUP, NULL, NULL, NULL },
	{ "method", 'm', OPT_STR, &plan.method, "METHOD", "icmp, tcp:PORT or http:URL (default icmp)" },
	{ "count", 'c', OPT_INT, &plan.count, "N", "probes to each target (default 5)" },
	{ "interval", 'i', OPT_NUM, &plan.interval_ms, "MS", "between two probes to one target (default 200)" },
	{ "timeout", 't', OPT_NUM, &plan.timeout_ms, "MS", "after which a probe counts as lost (default 1000)" },
	{ "rate", 'r', OPT_NUM, &plan.rate, "N", "probes a second, to all targets together (default 5000)" },
	{ "lost-as", 0, OPT_NUM, &plan.lost_as_ms, "MS", "count a lost probe as that much in the mean" },
	{ "via", 0, OPT_LIST, &via, "NODE", "measure from that node; may be given several times" },
	{ "registry", 0, OPT_ENV, "EDGE_REGISTRY", "URL", "where nodes and services are written down" },
	{ "predict", 'p', OPT_FLAG, &predict, NULL, "estimate the pairs of nodes that nobody has measured" },
	{ "What users feel", 0, OPT_GROUP, NULL, NULL, NULL },
	{ "watch", 'w', OPT_FLAG, &watching, NULL, "see what the users of the services here feel" },
	{ "every", 'e', OPT_NUM, &watched.every_s, "SEC", "with --watch: the length of a window (default 10)" },
	{ "windows", 0, OPT_INT, &watched.windows, "N", "with --watch: end after so many" },
	{ "poll", 0, OPT_FLAG, &watched.poll, NULL, "with --watch: look at sockets, do not attach to the kernel" },
	{ "Where they are", 0, OPT_GROUP, NULL, NULL, NULL },
	{ "geo", 'g', OPT_STR, &geo, "FILE", "say where nodes and users are: a MaxMind database or FILE.csv" },
	{ "bound", 'b', OPT_NUM, &bound_ms, "MS", "group the users whose median is more than that" },
	{ "radius", 0, OPT_NUM, &radius_km, "KM", "how far from a group's centre a user may be (default 50)" },
	{ 0 },
};

static bool is_watching(void)
{
	return watching;
}

static const struct cmd cmd = {
	.name = "edge-latency",
	.synopsis = "[TARGET...] | [SERVICE...]",
	.about = "Measures how far nodes are, and what users of services feel.",
	.opts = opts,
	.filter = true,
	.source = is_watching,
	.notes = "Without operands it measures the nodes among the records on standard input, and passes all of them on.",
	.example = "edge-latency --count 3 edge2",
	.names = names_print,
};

struct run {
	struct probe *probe;
	struct position *places; /* NULL: not asked for */
	struct groups *groups;   /* NULL: not asked for */
	struct coords *coords;   /* NULL: not asked for */
	struct json *nodes;      /* with coords: held back until theirs are known */
	bool bounds_read;        /* with groups, of --watch: of the services here, in this window */
};

static void complain(int code, const char *target, const char *why)
{
	struct err e;

	err_set(&e, code, "%s: %s", target, why);
	cmd_fail(&cmd, &e);
}

static int print(void *ctx, struct json *made, struct err *e)
{
	AUTO_JSON struct json *rec = made;

	(void)ctx;
	return record_print(stdout, rec, e);
}

static void take_latency(struct run *r, const struct json *rec)
{
	const char *from = json_str(rec, "from"), *to = json_str(rec, "to"), *method = json_str(rec, "method");

	if (from && to && method && strcmp(method, "predicted"))
		coords_measured(r->coords, from, to, json_num(rec, "rtt_ms.p50", 0));
}

static int print_latency(void *ctx, struct json *latency, struct err *e)
{
	struct run *r = ctx;

	if (r->coords)
		take_latency(r, latency);
	return print(NULL, latency, e);
}

/* Is it of that kind? */
static bool is(const char *kind, size_t len, const char *word)
{
	return len == strlen(word) && !memcmp(kind, word, len);
}

/* A string of the record that was scanned, copied; NULL when it has none. */
static char *text_of(struct json_scan *s, const char *member)
{
	int tok = json_scan_find(s, 0, member);
	size_t len;

	if (tok < 0 || s->tok[tok].type != JSON_STRING)
		return NULL;
	const char *text = json_scan_string(s, tok, &len);
	char *copy = malloc(len + 1);
	if (!copy)
		abort();
	memcpy(copy, text, len);
	copy[len] = 0;
	return copy;
}

/* 1: it cannot be a target. */
static int add_target(struct run *r, struct json_scan *s)
{
	AUTO_FREE char *name = text_of(s, "name"), *addr = text_of(s, "addr");

	if (name && addr)
		return probe_add(r->probe, name, addr), 0;
	complain(EX_DATAERR, name ? name : "node", name ? "has no address" : "has no name");
	return 1;
}

/* Takes in what a record says, and passes it on. */
static int take_record(struct run *r, const char *kind, size_t n, const char *line, size_t len, struct err *e)
{
	bool node = is(kind, n, "node"), user = is(kind, n, "user"), latency = is(kind, n, "latency");
	bool wanted = (r->places && (node || user)) || (r->coords && (node || latency)) ||
		      (r->groups && (user || is(kind, n, "service")));
	AUTO_JSON struct json *rec = wanted ? json_parse(line, len, e) : NULL;

	if (!wanted)
		return lines_pass(stdout, line, len, e);
	if (!rec)
		return -1;
	bool changed = r->places && (node || user) && position_add(r->places, rec);
	if (r->coords && latency)
		take_latency(r, rec);
	if (r->groups && user)
		groups_user(r->groups, rec);
	else if (r->groups && !node && !latency)
		groups_service(r->groups, rec);
	if (r->coords && node)
		return json_add(r->nodes, TAKE_PTR(rec)), 0;
	return changed ? record_print(stdout, rec, e) : lines_pass(stdout, line, len, e);
}

/* Gives how many nodes cannot be a target; -1 for bad input. */
static int take_all(struct run *r, struct json_scan *s, struct err *e)
{
	AUTO_LINES struct lines *in = lines_open(STDIN_FILENO, "stdin", stdout);
	int rc, failed = 0;
	const char *line;
	size_t len;

	while ((rc = lines_next(in, &line, &len, e)) > 0) {
		if (json_scan(s, line, len, e))
			return lines_wrap(in, e);
		if (s->tok[0].type != JSON_OBJECT)
			return err_set(e, EX_DATAERR, "not a JSON object"), lines_wrap(in, e);
		int tok = json_scan_find(s, 0, "kind");
		size_t n = 0;
		const char *kind = tok >= 0 && s->tok[tok].type == JSON_STRING ? json_scan_string(s, tok, &n) : "";
		bool node = is(kind, n, "node");

		if (take_record(r, kind, n, line, len, e))
			return e->code == EX_IOERR ? -1 : lines_wrap(in, e);
		failed += node && add_target(r, s);
	}
	return rc < 0 ? -1 : failed;
}

/* Gives how many could not be measured; -1 when nothing can be written. */
static int print_all(struct run *r, struct err *e)
{
	const struct probe *p = r->probe;
	const char *self = node_self();
	int failed = 0;

	for (size_t i = 0; i < probe_targets(p); i++) {
		double median;

		if (probe_dead(p, i)) {
			complain(EX_UNAVAILABLE, probe_name(p, i), probe_why(p, i));
			failed++;
		}
		if (probe_put(p, i, self, &median, stdout, e))
			return -1;
		if (r->coords)
			coords_measured(r->coords, self, probe_name(p, i), median);
	}
	if (probe_dropped(p))
		fprintf(stderr, "edge-latency: %lu answers came faster than they could be read; a lower --rate loses none\n",
			probe_dropped(p));
	return failed;
}

/* --- --via */

struct elsewhere {
	struct run *r;
	int failed;
};

static int hand_over(void *out, struct json *made, struct err *e)
{
	AUTO_JSON struct json *latency = made;

	return record_print(out, latency, e);
}

static int measure_from(void *ctx, size_t i, FILE *out)
{
	const struct elsewhere *w = ctx;
	struct err why = { 0 };
	int rc = via_run(via.items[i], w->r->probe, cmd_relay, hand_over, out, &why);

	return rc < 0 ? cmd_fail(&cmd, &why) : rc;
}

static int take_from(void *ctx, size_t i, char *line, struct err *e)
{
	const struct elsewhere *w = ctx;
	struct json *latency = json_parse(line, strlen(line), e);

	(void)i;
	return latency ? print_latency(w->r, latency, e) : -1;
}

static int ended_at(void *ctx, size_t i, int status, struct err *e)
{
	struct elsewhere *w = ctx;

	(void)i;
	(void)e;
	w->failed += status != 0;
	return 0;
}

/* Gives how many nodes could not measure, or not all of it. */
static int measure_elsewhere(struct run *r, struct err *e)
{
	struct elsewhere w = { .r = r };
	const struct crowd c = {
		.n = (size_t)via.n,
		.at_once = VIA_AT_ONCE,
		.timeout_ms = INT_MAX,
		.work = measure_from,
		.line = take_from,
		.ended = ended_at,
		.ctx = &w,
	};

	return crowd_run(&c, e) ? -1 : w.failed;
}

static int print_predicted(struct run *r, struct err *e)
{
	coords_fit(r->coords);
	for (size_t i = 0; i < json_len(r->nodes, NULL); i++) {
		AUTO_JSON struct json *node = json_at(r->nodes, i);
		const char *name = json_str(node, "name");
		long k = name ? coords_find(r->coords, name) : -1;

		if (k >= 0)
			json_set(node, "coord", coords_json(r->coords, (size_t)k));
		if (record_print(stdout, node, e))
			return -1;
	}
	for (size_t i = 0; i < coords_count(r->coords); i++)
		for (size_t j = i + 1; j < coords_count(r->coords); j++)
			if (!coords_known(r->coords, i, j) && print(NULL, coords_record(r->coords, i, j), e))
				return -1;
	return 0;
}

static int measure(struct run *r, int n, char **targets, struct err *e)
{
	struct json_scan scan = { 0 };
	int skipped = 0, failed;

	if (probe_new(&r->probe, &plan, e))
		return -1;
	for (int i = 0; i < n; i++)
		probe_add(r->probe, targets[i], targets[i]);
	if (!n)
		skipped = take_all(r, &scan, e);
	json_scan_clear(&scan);
	if (skipped < 0)
		return -1;
	if (via.n)
		failed = measure_elsewhere(r, e);
	else
		failed = probe_run(r->probe, e) ? -1 : print_all(r, e);
	if (failed < 0 || (r->coords && print_predicted(r, e)))
		return -1;
	if (r->groups && groups_each(r->groups, print, NULL, e))
		return -1;
	return skipped + failed;
}

/* --- --watch */

static void note(void *ctx, const struct err *e)
{
	(void)ctx;
	cmd_fail(&cmd, e);
}

/* The bounds that the services here have themselves: other services may have come. */
/* Without a list those that are known stay. */
static void read_bounds(struct run *r)
{
	AUTO_JSON struct json *all = service_list(NULL);

	for (size_t i = 0; all && i < json_len(all, NULL); i++) {
		AUTO_JSON struct json *service = json_at(all, i);

		groups_service(r->groups, service);
	}
	r->bounds_read = true;
}

static int take_user(void *ctx, struct json *user, struct err *e)
{
	struct run *r = ctx;

	if (r->groups && !r->bounds_read)
		read_bounds(r);
	if (r->places)
		position_add(r->places, user);
	if (r->groups)
		groups_user(r->groups, user);
	return print(NULL, user, e);
}

static int windowed(void *ctx, struct err *e)
{
	struct run *r = ctx;

	if (!r->groups)
		return 0;
	r->bounds_read = false;
	groups_window(r->groups, SILENT_WINDOWS);
	return groups_each(r->groups, print, NULL, e);
}

static int watch(struct run *r, int n, char **services, struct err *e)
{
	struct watch_calls calls = { .user = take_user, .windowed = windowed, .note = note, .ctx = r };

	if (watched.every_s < 0.1 || watched.every_s > 86400)
		return err_set(e, EX_USAGE, "every %g: not between 0.1 and 86400 seconds", watched.every_s);
	watched.services = (const char *const *)services;
	watched.n = n;
	return watch_run(&watched, &calls, e);
}

static int run(int n, char **operands, struct err *e)
{
	struct run r = { 0 };
	int rc = -1;

	if (!(radius_km > 0))
		err_set(e, EX_USAGE, "radius %g: not more than 0", radius_km);
	else if (!geo || !position_open(&r.places, geo, e)) {
		r.groups = bound_ms > 0 ? groups_new(bound_ms, radius_km) : NULL;
		r.coords = predict ? coords_new() : NULL;
		r.nodes = json_array();
		rc = (watching ? watch : measure)(&r, n, operands, e);
	}
	probe_free(r.probe);
	position_free(r.places);
	groups_free(r.groups);
	coords_free(r.coords);
	json_free(r.nodes);
	return rc;
}

int main(int argc, char **argv)
{
	int status, failed, first = cmd_parse(&cmd, argc, argv, &status);
	struct err e = { 0 };

	if (first < 0)
		return status;
	failed = run(argc - first, argv + first, &e);
	if (failed < 0 && e.code == EX_USAGE)
		return cmd_usage(&cmd, "%s", e.text);
	return failed < 0 ? cmd_fail(&cmd, &e) : cmd_done(&cmd, failed ? EX_NO : 0);
}
