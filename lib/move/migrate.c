/* SPDX-License-Identifier: MIT */
#include "lib/move/migrate.h"

#include <poll.h>
#include <string.h>

#include "lib/base/clock.h"
#include "lib/discover/node.h"
#include "lib/engine/engine.h"
#include "lib/engine/service.h"
#include "lib/move/contained.h"
#include "lib/move/here.h"
#include "lib/move/refusal.h"
#include "lib/move/stateless.h"
#include "lib/move/worker.h"

#define FREEZE_MS 2000 /* unless something else is said */
#define FREEZE_MS_WHOLE 30000 /* their engines take seconds for a checkpoint */
#define FIRST_PAUSE_MS 200
#define PAUSE_MS 5000 /* between two tries, at most */
#define FREEZES_MAX 3 /* that came to nothing */
#define DEATH_MS 100  /* from the thaw until a death of it shows */

static int live(struct outgoing *o, const char *to, const struct ssh_target *t, const struct move_options *opt,
		struct json **record, struct err *e)
{
	AUTO_JSON struct json *refusals = NULL;
	int rc;

	if (outgoing_connect(o, t, e))
		return -1;
	rc = outgoing_prepare(o, &refusals, e);
	if (rc < 0)
		return -1;
	if (rc) {
		if (refusals && json_len(refusals, NULL))
			refusal_error(to, refusals, e);
		rc = refusals && json_len(refusals, NULL) ? -1 : 0;
		*record = refusal_record(outgoing_checkpoint(o)->service, node_self(), to, TAKE_PTR(refusals));
		return opt->dry_run ? 0 : rc;
	}
	if (outgoing_precopy(o, e) || outgoing_freeze(o, e) || outgoing_hand_over(o, record, e))
		return -1;
	return 0;
}

/* What a failed try says about the next one. */
struct attempt {
	bool lost;      /* the connection, or there was none to be had */
	bool connected; /* there was one */
	bool froze;     /* the service stood still for a while */
};

static int once(const char *name, const char *to, const struct ssh_target *t, const struct move_options *opt,
		struct json **record, struct attempt *a, struct err *e)
{
	AUTO_OUTGOING struct outgoing *o = NULL;

	*a = (struct attempt){ false };
	if (outgoing_open(&o, name, opt, e))
		return -1;
	int rc = live(o, to, t, opt, record, e);
	if (rc) {
		a->lost = outgoing_lost(o, &a->connected);
		a->froze = outgoing_report(o)->freeze > 0;
		outgoing_reason(o, e);
	}
	return rc;
}

/* A service can die of its move: when criu is killed while it puts code of its own into it. */
static bool died(const char *name)
{
	double end = clock_ms() + DEATH_MS;

	for (;; poll(NULL, 0, 5)) {
		AUTO_SERVICE struct service *s = NULL;

		if (service_load(&s, name, NULL) || s->moved)
			return false;
		if (!service_running(s))
			return true;
		if (clock_ms() > end)
			return false;
	}
}

/* Waits between two tries; false when there is to be none. */
static bool again(const struct move_options *opt, int pause_ms, double end)
{
	double until = clock_ms() + pause_ms;

	for (; clock_ms() < until; poll(NULL, 0, 50))
		if (opt->interrupted && opt->interrupted(opt->ctx))
			return false;
	return until < end;
}

int migrate(const char *name, const char *to, const struct move_options *opt, struct json **record, struct err *e)
{
	AUTO_REGISTRY struct registry *r = NULL;
	AUTO_SERVICE struct service *s = NULL;
	struct move_options with = *opt;
	struct ssh_target t;
	double end = 0;
	bool connected = false;
	int rc, pause_ms = 0, freezes = 0;

	*record = NULL;
	with.to = to;
	if (here_load(&s, name, "--from", e))
		return -1;
	const struct engine *engine = engine_find(s->engine);
	if (engine_span(s->engine) && s->stateless)
		return migrate_assigned(s, to, &with, record, e);
	if (registry_open(&r, NULL, e) || node_target(r, to, &t, e))
		return -1;
	if (!strcmp(to, node_self()) && !service_running(s))
		return here_running(s, "--from", e);
	if (!strcmp(to, node_self()))
		return err_set(e, EX_USAGE, "service %s: is on node %s already", name, to);
	if (engine && engine->whole && !s->stateless && !engine->whole->memory)
		return err_set(e, EX_UNAVAILABLE, "service %s: engine %s: only stateless services of it can be moved (engine process "
			       "moves the same image live)", name, s->engine);
	if (with.max_freeze_ms < 0)
		with.max_freeze_ms = engine && engine->whole ? FREEZE_MS_WHOLE : FREEZE_MS;
	if (engine && engine->whole && !s->stateless)
		return migrate_contained(s, to, &t, &with, record, e);
	if (s->stateless)
		return migrate_stateless(s, to, &t, &with, record, e);
	/* A connection that was lost on the way: what has arrived is there, and the next try begins where this one stopped. One
	 * that cannot be made in the first place is an error at once. */
	for (;;) {
		struct attempt a;

		rc = once(name, to, &t, &with, record, &a, e);
		connected |= a.connected;
		freezes += a.froze;
		if (rc && a.froze && died(name))
			return err_wrap(e, "service %s: has ended, it did not survive its move", name);
		if (!rc || !a.lost || !connected || freezes >= FREEZES_MAX || opt->dry_run || e->code == EX_NOPERM)
			return rc;
		if (opt->interrupted && opt->interrupted(opt->ctx))
			return rc;
		if (!end)
			end = clock_ms() + opt->deadline_ms;
		pause_ms = !pause_ms ? FIRST_PAUSE_MS : pause_ms * 2 > PAUSE_MS ? PAUSE_MS : pause_ms * 2;
		if (opt->retrying)
			opt->retrying(opt->ctx, e->text, pause_ms);
		if (again(opt, pause_ms, end))
			continue;
		return opt->interrupted && opt->interrupted(opt->ctx) ?
			       err_set(e, EX_TEMPFAIL, "service %s: interrupted: it goes on here", name) : -1;
	}
}
