/* SPDX-License-Identifier: MIT */
#include <string.h>

#include "lib/discover/node.h"
#include "lib/move/hold.h"
#include "lib/move/journal.h"
#include "lib/move/refusal.h"
#include "lib/move/remote.h"

static int send_all(struct outgoing *o, const char *dest, const struct ssh_target *t, struct json **record,
		    struct err *e)
{
	AUTO_JSON struct json *refusals = NULL;
	int rc;

	if (outgoing_connect(o, t, e))
		return -1;
	rc = outgoing_prepare(o, &refusals, e);
	if (rc > 0)
		return refusal_error(dest, refusals, e);
	return rc || outgoing_ship(o, record, e) ? -1 : 0;
}

/* Its holder will want to know where it went, to take it back if need be. */
static int tell_holder(const char *id, const char *dest, struct err *e)
{
	AUTO_JSON struct json *more = json_object();

	json_set_str(more, "to", dest);
	if (!journal_turn(id, "frozen shipped", "shipped", more, NULL))
		return 0;
	ship_undo(dest, id);
	return err_set(e, EX_UNAVAILABLE, HOLD_OVER, id);
}

static int ship_opened(struct outgoing *o, const char *dest, struct json **record, struct err *e)
{
	AUTO_REGISTRY struct registry *r = NULL;
	AUTO_JSON struct json *made = NULL;
	const struct checkpoint *ck = outgoing_checkpoint(o);
	struct ssh_target t;

	if (!dest)
		return err_set(e, EX_USAGE, "checkpoint %s: no destination (--to)", ck->id);
	if (registry_open(&r, NULL, e) || node_target(r, dest, &t, e) || send_all(o, dest, &t, &made, e) ||
	    (ck->held && tell_holder(ck->id, dest, e)))
		return -1;
	*record = TAKE_PTR(made);
	return 0;
}

int ship(const struct json *checkpoint, const char *to, const struct move_options *opt, struct json **record,
	 struct err *e)
{
	const char *id = json_str(checkpoint, "id"), *dest = to ? to : json_str(checkpoint, "to");
	AUTO_OUTGOING struct outgoing *o = NULL;

	if (!id)
		return err_set(e, EX_DATAERR, "checkpoint without an id");
	if (!outgoing_open_checkpoint(&o, id, opt, e) && !ship_opened(o, dest, record, e))
		return 0;
	/* Nobody waits for what will not come. */
	journal_turn(id, "frozen shipped", "failed", NULL, NULL);
	return -1;
}

void ship_undo(const char *node, const char *id)
{
	AUTO_STREAM struct stream *s = remote_open(node, NULL);
	AUTO_JSON struct json *call = wire_request("drop"), *answer = NULL;

	json_set_str(call, "checkpoint", id);
	if (s)
		answer = wire_call(s, TAKE_PTR(call), NULL);
}
