/* SPDX-License-Identifier: MIT */
/* Post-copy: the service runs there before all of its memory is there, and what lacks is sent from its frozen processes. */
#include <stdio.h>

#include "lib/base/clock.h"
#include "lib/move/outgoing_int.h"

bool outgoing_may_be_late(const struct outgoing *o)
{
	return o->opt.post_copy || o->opt.on_hot == HOT_POST_COPY;
}

int outgoing_late_open(struct outgoing *o, const struct json *armed, struct err *e)
{
	const char *why = json_str(armed, "whole");

	if (why)
		return err_set(e, EX_UNAVAILABLE, "node %s: no post-copy there: %s", o->to, why);
	return late_open(&o->late, &o->target, o->ck->id, o->opt.connect_ms, e) ? -1 : 0;
}

int outgoing_late_round(struct outgoing *o, struct pages_stats *st, struct err *e)
{
	struct page_runs shared = { 0 };
	int rc = outgoing_find_runs(o, true, e);

	for (size_t i = 0; i < o->runs.n && !rc; i++) {
		const struct page_run *r = &o->runs.run[i];

		if (!(r->object & OBJECT_SHARED))
			image_unuse(o->im, r->object, r->addr, r->pages);
		else if (page_runs_add(&shared, r))
			rc = err_set(e, EX_OSERR, "out of memory");
	}
	if (!rc)
		rc = sender_round(o->sender, &shared, false, true, st, e);
	page_runs_clear(&shared);
	return rc;
}

int outgoing_late_begin(struct outgoing *o, struct err *e)
{
	return o->post_copy ? late_begin(o->late, o->svc, o->im, e) : 0;
}

int outgoing_late_deliver(struct outgoing *o, struct err *e)
{
	const struct late_hooks hooks = { o->opt.interrupted, o->opt.late, o->opt.ctx };
	struct err why = { 0 };
	enum late_end how;

	if (!o->post_copy)
		return 0;
	if (outgoing_turn(o, "go", "paging", e))
		return -1;
	how = late_deliver(o->late, o->opt.deadline_ms, &hooks, &why);
	o->rep.late = late_stats(o->late);
	switch (how) {
	case LATE_DONE:
		return 0;
	case LATE_DIED:
		return err_set(e, EX_UNAVAILABLE, "service %s: has died with node %s, where it ran; it is frozen here as it was before "
			       "(move %s; edge-migrate --recover --force)", o->svc->name, o->to, o->ck->id);
	case LATE_LOST:
		break;
	}
	return err_set(e, EX_TEMPFAIL, "service %s: runs on %s, but the rest of its memory is here still, and is brought on (move %s; "
		       "edge-migrate --status): %s", o->svc->name, o->to, o->ck->id, why.text);
}
