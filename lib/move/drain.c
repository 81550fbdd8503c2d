/* SPDX-License-Identifier: MIT */
#include "lib/move/drain.h"

#include <string.h>
#include <time.h>

#include "lib/base/proc.h"
#include "lib/discover/grant.h"
#include "lib/discover/node.h"
#include "lib/engine/engine.h"
#include "lib/engine/swarm.h"
#include "lib/measure/containers.h"
#include "lib/measure/inventory.h"
#include "lib/move/remote.h"
#include "lib/move/survey.h"
#include "lib/place/plan_text.h"

#define WINDOW_S "60"

/* ---- what is known ---- */

struct picture {
	const struct drain *d;
	const char *leaving;
	struct world *world;
};

/* The one that leaves is to be left by the services of this fleet; nothing else moves. */
static void mark(const struct picture *p, struct json *rec)
{
	const char *kind = json_str(rec, "kind"), *name = json_str(rec, "name"), *node = json_str(rec, "node");

	if (kind && name && !strcmp(kind, "node") && !strcmp(name, p->leaving)) {
		struct json *taints = json_array();

		json_add(taints, json_string("leaving"));
		json_set(rec, "taints", taints);
	} else if (kind && node && !strcmp(kind, "service") && strcmp(node, p->leaving)) {
		json_set_str(rec, "needs.node", node);
	}
}

static bool is_ours(const struct picture *p, const struct json *rec)
{
	const char *kind = json_str(rec, "kind"), *node = json_str(rec, "node"), *fleet = json_str(rec, "fleet");

	if (!kind || strcmp(kind, "service") || !node || strcmp(node, p->leaving))
		return true;
	return fleet && !strcmp(fleet, node_fleet());
}

static int take(void *ctx, struct json *made, struct err *e)
{
	AUTO_JSON struct json *rec = made;
	struct picture *p = ctx;
	struct err odd = { 0 };

	if (!is_ours(p, rec))
		return 0;
	mark(p, rec);
	AUTO_FREE char *text = json_text(rec);
	if (!text)
		return err_set(e, EX_OSERR, "out of memory");
	if (world_take(p->world, text, strlen(text), NULL, NULL, &odd))
		p->d->failed(&odd);
	return 0;
}

static void missing(void *ctx, const struct err *e)
{
	const struct picture *p = ctx;

	p->d->failed(e);
}

/* All members and this node. Those that do not answer take nothing. */
static int look(struct picture *p, struct err *e)
{
	static const char *const args[] = { "--window", WINDOW_S, "--services" };
	const struct inventory here = { .window_s = 60, .services = true };
	AUTO_JSON struct json *all = grant_list(e), *nodes = json_array(), *words = json_array(), *own = NULL;
	struct survey s = { .nodes = nodes, .args = words, .at_once = p->d->at_once, .timeout_ms = p->d->timeout_ms,
			    .say = p->d->say, .record = take, .failed = missing, .ctx = p };

	for (size_t i = 0; i < sizeof(args) / sizeof(*args); i++)
		json_add(words, json_string(args[i]));
	for (size_t i = 0; all && i < json_len(all, NULL); i++) {
		AUTO_JSON struct json *one = json_at(all, i);

		if (json_has(one, "member"))
			json_add(nodes, json_string(json_str(one, "name")));
	}
	if (!all || survey_run(&s, e) < 0)
		return -1;
	own = inventory(&here, NULL);
	for (size_t i = 0; i < json_len(own, NULL); i++)
		if (take(p, json_at(own, i), e))
			return -1;
	world_index(p->world);
	return 0;
}

/* ---- the moves ---- */

/* By this node. */
static int migrate_from_here(const struct drain *d, const char *service, const char *to, struct err *e)
{
	const char *const argv[] = { "edge-migrate", "--quiet", "--to", to, "--", service, NULL };
	AUTO_FREE char *said = NULL;

	if (proc_run(argv, &said, 0, e))
		return 1;
	fputs(said, d->out);
	return fflush(d->out) ? -1 : 0;
}

static int migrate_there(const struct drain *d, const char *node, const char *service, const char *to)
{
	AUTO_JSON struct json *args = json_array();
	struct err e = { 0 };
	int rc;

	if (engine_governs(service)) {
		rc = migrate_from_here(d, service, to, &e);
		if (rc > 0)
			d->failed(&e);
		return rc;
	}
	json_add(args, json_string("--to"));
	json_add(args, json_string(to));
	json_add(args, json_string("--"));
	json_add(args, json_string(service));
	rc = remote_run(node, "edge-migrate", args, d->out, d->say, &e);
	if (rc < 0)
		d->failed(&e);
	return rc;
}

static double no_budget(void *ctx, long steps)
{
	(void)ctx;
	(void)steps;
	return 0;
}

/* What has no other place is told with the reason. */
static int carry_out(const struct picture *p, const struct problem *pb, const struct plan *plan)
{
	const struct world *w = p->world;
	int left = 0;

	for (int j = 0; j < pb->g.jobs; j++) {
		const struct world_service *s = &w->service[pb->service[j]];
		const char *name = world_text(w, s->name);
		char why[WHY_SIZE];
		struct err e;

		if (strcmp(world_text(w, s->node), p->leaving))
			continue;
		if (plan->end[j] < 0 || plan->end[j] == pb->at[j]) {
			plan_why_not(pb, plan, j, why);
			err_set(&e, EX_UNAVAILABLE, "service %s: stays at node %s: %s", name, p->leaving, why);
			p->d->failed(&e);
			left++;
		} else if (migrate_there(p->d, p->leaving, name, world_text(w, w->node[plan->end[j]].name))) {
			left++;
		}
	}
	return left;
}

int drain_member(const char *node, const struct drain *d, struct err *e)
{
	AUTO_WORLD struct world *world = world_new();
	struct picture p = { .d = d, .leaving = node, .world = world };
	/* Its processors are no reason to stay: it is leaving. */
	struct problem_options o = { .limit = 1000, .payback = INFINITY, .rules = { .now = (double)time(NULL), .stale = NAN } };
	const struct gap_budget budget = { no_budget, NULL };
	AUTO_PROBLEM struct problem *pb = NULL;
	AUTO_PLAN struct plan *plan = NULL;

	problem_defaults(o.weight);
	if (!world || look(&p, e))
		return world ? -1 : err_set(e, EX_OSERR, "out of memory");
	if (world_node(world, world_find(world, node)) < 0)
		return err_set(e, EX_UNAVAILABLE, "node %s: what runs there is not known (edge-invite --expire lets it go all the same)",
			       node);
	pb = problem_new(world, &o);
	plan = pb ? plan_new(pb, POLICY_GREEDY, 1000000, &budget) : NULL;
	return plan ? carry_out(&p, pb, plan) : err_set(e, EX_OSERR, "out of memory");
}

/* ---- this node ---- */

/* The inviter, then those that it has brought. */
static struct json *homes(const char *inviter, struct err *e)
{
	AUTO_JSON struct json *all = grant_list(e);
	struct json *list = json_array();

	json_add(list, json_string(inviter));
	for (size_t i = 0; all && i < json_len(all, NULL); i++) {
		AUTO_JSON struct json *one = json_at(all, i);
		const char *by = json_str(one, "by");

		if (by && !strcmp(by, inviter))
			json_add(list, json_string(json_str(one, "name")));
	}
	return list;
}

static int send_home(const struct drain *d, const char *service, const struct json *to)
{
	struct err e = { 0 };

	for (size_t i = 0; i < json_len(to, NULL); i++) {
		AUTO_JSON struct json *node = json_at(to, i);
		int rc = migrate_from_here(d, service, json_value(node), &e);

		if (rc <= 0)
			return rc;
	}
	d->failed(&e);
	return 1;
}

/* Those of the inviter's swarm are moved by the inviter only. */
static int tell_tasks(const char *inviter, const struct drain *d)
{
	AUTO_JSON struct json *all = swarm_brought_by(inviter) ? containers_list(NULL) : NULL;
	struct err e;
	int n = 0;

	for (size_t i = 0; all && i < json_len(all, NULL); i++) {
		AUTO_JSON struct json *rec = json_at(all, i);

		if (strcmp(json_str(rec, "engine"), "swarm"))
			continue;
		err_set(&e, EX_UNAVAILABLE, "service %s: the swarm of %s has it here, and moves it by edge-invite --leave %s there",
			json_str(rec, "name"), inviter, node_self());
		d->failed(&e);
		n++;
	}
	return n;
}

int drain_self(const char *inviter, const struct drain *d, struct err *e)
{
	AUTO_JSON struct json *grant = grant_load(inviter, e), *all = grant ? service_list(e) : NULL;
	AUTO_JSON struct json *to = all ? homes(inviter, e) : NULL;
	const char *fleet = to ? json_str(grant, "fleet") : NULL;
	int left = 0;

	if (!to)
		return -1;
	for (size_t i = 0; fleet && i < json_len(all, NULL); i++) {
		AUTO_JSON struct json *s = json_at(all, i);
		const char *of = json_str(s, "fleet"), *state = json_str(s, "state");

		if (of && state && !strcmp(of, fleet) && !strcmp(state, "running"))
			left += send_home(d, json_str(s, "name"), to) != 0;
	}
	return left + tell_tasks(inviter, d);
}
