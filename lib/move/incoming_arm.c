/* SPDX-License-Identifier: MIT */
/* What is made ready while the service still runs at its source. */
#include <string.h>

#include "lib/base/proc.h"
#include "lib/engine/cgroup.h"
#include "lib/move/decide.h"
#include "lib/move/incoming_int.h"
#include "lib/move/lazy.h"

#define PAGES_MS 5000 /* for who gives it its pages to be there */

/* In the keeper, when this process is gone. */
static bool committed(void *ctx)
{
	struct incoming *in = ctx;

	const char *last = journal_last(in->ck->id);

	/* An entry that is gone was ended by those who knew that it runs: nobody else undoes anything under our lock. */
	return !strcmp(last, "running") || !journal_has(in->ck->id);
}

static void undone(void *ctx)
{
	struct incoming *in = ctx;
	struct err e = { 0 };

	in->orphan = true;
	in->im = NULL; /* its descriptors are not ours */
	in->back = NULL;
	incoming_unplace(in, &e);
}

/* A process of its own. */
static void serve_pages(void *ctx, int sock)
{
	const struct incoming *in = ctx;

	lazy_main(in->svc, in->ck->dir, in->engine->lazy_dir(in->svc, in->ck->dir), in->ck->late ? in->ck->id : NULL, sock);
}

int incoming_arm(struct incoming *in, const struct json *call, struct err *e)
{
	AUTO_JSON struct json *answer = json_object();
	struct service *s = in->svc;

	if (in->cgroup)
		return err_set(e, EX_DATAERR, "service %s: is armed already", s->name);
	if (cgroup_create(s, e))
		return -1;
	in->cgroup = true;
	if (net_create(s, e))
		return -1;
	in->net = true;
	in->whole = lazy_missing();
	in->ck->late = json_bool(call, "late", false) && !in->whole;
	in->orders = (struct keeper_orders){ committed, undone, serve_pages, in, in->lock };
	if (keeper_spawn(&in->keeper, s, &in->orders, e))
		return -1;
	in->armed = true;
	if (in->engine->restore_arm(s, &in->keeper, &in->criu, e) ||
	    (!in->whole && keeper_pages(&in->keeper, PAGES_MS, e)) || criu_unchanged(e))
		return -1;
	in->registry = decide_ready(in->ck->id, DECIDED_RUNNING);
	/* From the freeze on, what restores it comes before other work on this node; the restored tasks get their own
	 * priorities back. */
	proc_hurry(0);
	if (in->criu.pid > 0)
		proc_hurry(in->criu.pid);
	proc_warm();
	if (in->whole)
		json_set_str(answer, "whole", in->whole);
	return incoming_reply(in, TAKE_PTR(answer), e);
}
