/* SPDX-License-Identifier: MIT */
#include "lib/place/eligible.h"

#include <stdio.h>
#include <string.h>

#include "lib/engine/ability.h"

struct asking {
	const struct world *w;
	const struct world_service *s;
	const struct world_needs *needs;
	const struct world_node *n, *home; /* home: where it is, NULL when unknown */
	bool at_home;
	double rtt_ms;
	const struct eligible_rules *rules;
	char *why; /* of 200, or NULL: nobody wants to know */
};

#define WHY 200

/* True: it refuses. The words are made only if somebody reads them. */
#define refuse(a, ...) ((a)->why ? ((void)snprintf((a)->why, WHY, __VA_ARGS__), true) : true)

static const char *said(const struct asking *a, int word)
{
	return word < 0 ? "nothing" : world_text(a->w, word);
}

/* "4.3 GB" */
struct size_text {
	char s[24];
};

static struct size_text size(double bytes)
{
	static const char *const unit[] = { "bytes", "kB", "MB", "GB", "TB", "PB" };
	struct size_text t = { "unknown" };
	int u = 0;

	while (bytes >= 1000 && u < 5) {
		bytes /= 1000;
		u++;
	}
	if (!isnan(bytes))
		snprintf(t.s, sizeof(t.s), "%.*f %s", u && bytes < 10 ? 1 : 0, bytes, unit[u]);
	return t;
}

/* "x86_64 or aarch64" */
static const char *any_of(const struct asking *a, int list, char buf[96])
{
	int n;
	const int *word = world_list(a->w, list, &n);
	size_t at = 0;

	buf[0] = '\0';
	for (int i = 0; i < n && at < 96; i++)
		at += (size_t)snprintf(buf + at, 96 - at, "%s%s", i ? " or " : "", world_text(a->w, word[i]));
	return n ? buf : "nothing that there is";
}

static bool not_one_of(const struct asking *a, int list, int word)
{
	char buf[96];

	if (list < 0 || (word >= 0 && world_list_has(a->w, list, word)))
		return false;
	return refuse(a, "needs %s, is %s", a->why ? any_of(a, list, buf) : "", said(a, word));
}

/* The first word of `list` that `within` lacks. */
static const char *lacking(const struct asking *a, int list, int within)
{
	int n;
	const int *word = world_list(a->w, list, &n);

	for (int i = 0; i < n; i++)
		if (!world_list_has(a->w, within, word[i]))
			return world_text(a->w, word[i]);
	return "";
}

static bool less(const struct asking *a, double has, double needs, const char *what)
{
	if (isnan(needs) || has >= needs)
		return false;
	return refuse(a, isnan(has) ? "needs %.10g %s, tells of none" : "needs %.10g %s, has %.10g", needs, what, has);
}

static bool check_arch(const struct asking *a)
{
	return not_one_of(a, a->needs->arch, a->n->arch);
}

static bool check_gpu(const struct asking *a)
{
	if (less(a, a->n->gpus, a->needs->gpus > 0 ? a->needs->gpus : NAN, "graphics processors"))
		return true;
	if (isnan(a->needs->gpu_mem) || a->n->gpu_mem >= a->needs->gpu_mem)
		return false;
	return refuse(a, "needs %s on graphics processors, has %s", size(a->needs->gpu_mem).s, size(a->n->gpu_mem).s);
}

static bool check_memory(const struct asking *a)
{
	double needs = fmax(fmax(a->s->mem, a->needs->mem), a->s->quota_mem); /* fmax passes over NAN */

	if (a->at_home || isnan(needs) || needs < a->n->mem_available)
		return false;
	return refuse(a, "needs %s, available %s", size(needs).s, size(a->n->mem_available).s);
}

static bool check_space(const struct asking *a)
{
	if (a->at_home || isnan(a->needs->disk) || a->n->disk_free >= a->needs->disk)
		return false;
	return refuse(a, "needs %s, free %s", size(a->needs->disk).s, size(a->n->disk_free).s);
}

static bool check_engine(const struct asking *a)
{
	const struct ability *can = a->s->engine < 0 ? NULL : ability_of(said(a, a->s->engine));
	char buf[96];

	if (a->at_home || a->s->engine < 0)
		return false;
	if (!can || !(a->home ? can->moves : can->starts))
		return refuse(a, "%s services cannot be %s", said(a, a->s->engine), a->home ? "moved" : "started");
	if (a->home && !can->memory && !a->s->stateless)
		return refuse(a, "only stateless %s services can be moved", said(a, a->s->engine));
	if (a->home && can->addr && a->s->addr < 0 && !a->s->stateless)
		return refuse(a, "only stateless %s services can be moved without an address of their own", said(a, a->s->engine));
	if (a->s->foreign)
		return refuse(a, "a %s container that edge-run has not started cannot be moved", said(a, a->s->engine));
	if (a->n->engines < 0 || world_list_has(a->w, a->n->engines, a->s->engine))
		return false;
	return refuse(a, "needs %s, has %s", said(a, a->s->engine), a->why ? any_of(a, a->n->engines, buf) : "");
}

static bool check_criu(const struct asking *a)
{
	if (a->at_home || !a->s->stateful || !a->home || a->home->criu < 0 || a->home->criu == a->n->criu)
		return false;
	return refuse(a, "needs version %s, as at %s, has %s", said(a, a->home->criu), said(a, a->home->name),
		      said(a, a->n->criu));
}

static bool check_cpu(const struct asking *a)
{
	int flags = a->n->cpu_flags;

	if (less(a, a->n->cores, a->needs->cpu, "cores"))
		return true;
	if (!world_list_within(a->w, a->needs->cpu_flags, flags))
		return refuse(a, "needs the flag %s", lacking(a, a->needs->cpu_flags, flags));
	if (a->at_home || !a->s->stateful || !a->home || world_list_within(a->w, a->home->cpu_flags, flags))
		return false;
	return refuse(a, "needs the flag %s, as at %s", lacking(a, a->home->cpu_flags, flags), said(a, a->home->name));
}

static bool check_role(const struct asking *a)
{
	if (a->needs->role >= 0)
		return not_one_of(a, a->needs->role, a->n->role);
	return !a->at_home && a->n->role >= 0 && a->n->role == world_find(a->w, "client") && refuse(a, "is a client");
}

static bool check_network(const struct asking *a)
{
	return not_one_of(a, a->needs->network, a->n->network);
}

/* How many edges are crossed going east from the point, which is x degrees east of the first corner. Going around, each
 * corner is taken to be the nearest to the one before it, so that a polygon may lie across 180 degrees. */
static int edges_east(const struct geo *corner, int n, double x, double lat)
{
	double x1 = 0, x2;
	int crossed = 0;

	for (int i = 0; i < n; i++, x1 = x2) {
		const struct geo *a = &corner[i], *b = &corner[(i + 1) % n];

		x2 = x1 + remainder(b->lon - a->lon, 360);
		if ((a->lat > lat) != (b->lat > lat) && x1 + (x2 - x1) * (lat - a->lat) / (b->lat - a->lat) > x)
			crossed++;
	}
	return crossed;
}

bool eligible_inside(const struct geo *corner, int n, struct geo at)
{
	double x = remainder(at.lon - corner->lon, 360);

	return (edges_east(corner, n, x, at.lat) | edges_east(corner, n, x + 360, at.lat) |
		edges_east(corner, n, x - 360, at.lat)) & 1;
}

static bool check_position(const struct asking *a)
{
	if (not_one_of(a, a->needs->country, a->n->country))
		return true;
	if (a->needs->area < 0)
		return false;
	if (isnan(a->n->geo.lat))
		return refuse(a, "needs to be within an area, tells no position");
	if (eligible_inside(a->w->corner + a->needs->area, a->needs->n_area, a->n->geo))
		return false;
	return refuse(a, "%.4f,%.4f is not within the area", a->n->geo.lat, a->n->geo.lon);
}

static bool check_taint(const struct asking *a)
{
	if (world_list_within(a->w, a->n->taints, a->needs->tolerates))
		return false;
	return refuse(a, "%s, which is not tolerated", lacking(a, a->n->taints, a->needs->tolerates));
}

static bool check_member(const struct asking *a)
{
	int of = a->n->member;

	if (of < 0 || a->at_home || (a->home && a->home->member == of) || world_list_has(a->w, a->needs->member, of))
		return false;
	return refuse(a, "belongs to %s", said(a, of));
}

static bool check_latency(const struct asking *a)
{
	int i = a->home && !a->at_home ? world_latency(a->w, a->home->name, a->n->name) : -1;

	if (a->rtt_ms > a->needs->rtt_ms)
		return refuse(a, "needs %.10g ms, users would have %.4g ms", a->needs->rtt_ms, a->rtt_ms);
	return i >= 0 && a->w->latency[i].from == a->home->name && a->w->latency[i].loss >= 1 && refuse(a, "answers nothing to %s", said(a, a->home->name));
}

static bool check_stale(const struct asking *a)
{
	if (!a->rules || isnan(a->rules->stale) || a->rules->now - a->n->seen <= a->rules->stale)
		return false;
	if (isnan(a->n->seen))
		return refuse(a, "tells no time");
	return refuse(a, "last seen %.0f s ago", a->rules->now - a->n->seen);
}

static bool check_node(const struct asking *a)
{
	if (a->needs->pinned < 0 || a->needs->pinned == a->n->name)
		return false;
	return refuse(a, "is to be at %s", said(a, a->needs->pinned));
}

static const struct {
	const char *name;
	bool (*refuses)(const struct asking *a);
} checks[] = {
	[ELIGIBLE_ARCH] = { "arch", check_arch },             [ELIGIBLE_GPU] = { "gpu", check_gpu },
	[ELIGIBLE_MEMORY] = { "memory", check_memory },       [ELIGIBLE_SPACE] = { "space", check_space },
	[ELIGIBLE_ENGINE] = { "engine", check_engine },       [ELIGIBLE_CRIU] = { "criu", check_criu },
	[ELIGIBLE_CPU] = { "cpu", check_cpu },                [ELIGIBLE_ROLE] = { "role", check_role },
	[ELIGIBLE_NETWORK] = { "network", check_network },    [ELIGIBLE_POSITION] = { "position", check_position },
	[ELIGIBLE_TAINT] = { "taint", check_taint },          [ELIGIBLE_MEMBER] = { "member", check_member },
	[ELIGIBLE_LATENCY] = { "latency", check_latency },    [ELIGIBLE_STALE] = { "stale", check_stale },
	[ELIGIBLE_NODE] = { "node", check_node },             [ELIGIBLE_MODEL] = { "model", NULL },
};

static struct asking ask(const struct world *w, int service, int node, double rtt_ms, const struct eligible_rules *rules)
{
	const struct world_service *s = &w->service[service];
	int home = world_node(w, s->node);

	return (struct asking){
		.w = w, .s = s, .needs = &s->needs, .n = &w->node[node], .home = home < 0 ? NULL : &w->node[home],
		.at_home = home == node, .rtt_ms = rtt_ms, .rules = rules,
	};
}

unsigned eligible_refusals(const struct world *w, int service, int node, double rtt_ms, const struct eligible_rules *rules,
			   bool first)
{
	struct asking a = ask(w, service, node, rtt_ms, rules);
	unsigned refusals = 0;

	for (int c = 0; c < ELIGIBLE_MODEL; c++) {
		if (!checks[c].refuses(&a))
			continue;
		refusals |= 1u << c;
		if (first)
			break;
	}
	return refusals;
}

const char *eligible_name(enum eligible_check check)
{
	return checks[check].name;
}

void eligible_why(const struct world *w, int service, int node, double rtt_ms, const struct eligible_rules *rules,
		  enum eligible_check check, char why[200])
{
	struct asking a = ask(w, service, node, rtt_ms, rules);

	why[0] = '\0';
	a.why = why;
	if (checks[check].refuses)
		checks[check].refuses(&a);
}
