/* SPDX-License-Identifier: MIT */
#include "lib/move/serve.h"

#include <fcntl.h>
#include <poll.h>
#include <string.h>
#include <unistd.h>

#include "lib/discover/node.h"
#include "lib/engine/service.h"
#include "lib/move/bulk.h"
#include "lib/move/caller.h"
#include "lib/move/contained.h"
#include "lib/move/guest.h"
#include "lib/move/hold.h"
#include "lib/move/image_send.h"
#include "lib/move/incoming.h"
#include "lib/move/layer_send.h"
#include "lib/move/outcome.h"
#include "lib/move/recover.h"
#include "lib/move/remote.h"
#include "lib/move/stateless.h"
#include "lib/move/wire.h"
#include "lib/move/worker.h"

#define IDLE_MS 30000

static int describe(struct stream *s, struct err *e)
{
	AUTO_JSON struct json *answer = json_object();

	json_set(answer, "node", node_describe());
	return wire_send_json(s, FRAME_REPLY, answer, e);
}

/* The source's node is told how the move of a checkpoint that it holds goes on. */
static int note_step(struct stream *s, const struct json *call, struct err *e)
{
	const char *move = json_str(call, "move"), *step = json_str(call, "step");
	AUTO_JSON struct json *answer = json_object();

	if (!move || !step)
		return err_set(e, EX_DATAERR, "no move or step in the call");
	if (!checkpoint_is_held(move))
		return err_set(e, EX_UNAVAILABLE, HOLD_OVER, move);
	return hold_note(move, step, json_str(call, "to"), e) ? -1 : wire_send_json(s, FRAME_REPLY, answer, e);
}

/* 1: the call has taken over the whole session. */
static int on_call(struct stream *s, struct caller *c, const struct json *call, struct err *e)
{
	const char *verb = json_str(call, "verb");

	if (!verb)
		return err_set(e, EX_DATAERR, "a call without a verb");
	if (caller_may(c, call, e))
		return -1;
	if (guest_knows(verb))
		return guest_serve(s, caller_name(c), call, e);
	if (!strcmp(verb, "node"))
		return describe(s, e);
	if (!strcmp(verb, "run"))
		return remote_serve(s, call, e);
	if (!strcmp(verb, "start"))
		return stateless_serve(s, call, e);
	if (!strcmp(verb, "contain"))
		return contained_serve(s, call, e);
	if (!strcmp(verb, "image"))
		return image_serve(s, call, e);
	if (!strcmp(verb, "swarm"))
		return worker_serve(s, caller_name(c), call, e);
	if (!strcmp(verb, "layer"))
		return layer_serve(s, call, e);
	if (!strcmp(verb, "outcome"))
		return outcome_tell(s, call, e);
	if (!strcmp(verb, "forget"))
		return recover_known(s, call, e);
	if (!strcmp(verb, "settle"))
		return recover_serve(s, call, e);
	if (!strcmp(verb, "note"))
		return note_step(s, call, e);
	if (!strcmp(verb, "drop"))
		return incoming_drop(s, call, e);
	if (!strcmp(verb, "prepare") || !strcmp(verb, "open")) {
		incoming_serve(s, call, e); /* reports its own errors */
		return 1;
	}
	if (!strcmp(verb, "attach")) {
		const char *move = json_str(call, "move");

		return bulk_attach(s, move ? move : "", e) ? -1 : 1;
	}
	return err_set(e, EX_DATAERR, "unknown verb: %s", verb);
}

int serve_session(const char *as, struct err *e)
{
	int in = fcntl(STDIN_FILENO, F_DUPFD_CLOEXEC, 3), out = fcntl(STDOUT_FILENO, F_DUPFD_CLOEXEC, 3);
	AUTO_STREAM struct stream *s = stream_fds(in, out, "caller");
	AUTO_CALLER struct caller *c = NULL;
	AUTO_FRAME struct frame f = { 0 };
	int rc = 0;

	if (!s)
		return err_set(e, EX_OSERR, "out of memory");
	if ((as && caller_open(&c, as, s, e)) || wire_greet(s, e))
		return -1;
	while (!rc) {
		struct pollfd next = { .fd = in, .events = POLLIN };
		struct err failed = { 0 };

		/* Between two calls nobody beats a pulse: a link may have died. */
		if (!poll(&next, 1, IDLE_MS))
			return err_set(e, EX_TEMPFAIL, "caller: silent for %d s", IDLE_MS / 1000);

		if (wire_recv(s, &f, e))
			return e->code == EX_UNAVAILABLE ? 0 : -1; /* the caller has gone: that is the end */
		if (f.kind != FRAME_CALL)
			return err_set(e, EX_DATAERR, "caller: unexpected frame %d", f.kind);
		AUTO_JSON struct json *call = wire_json(&f, &failed);
		rc = call ? on_call(s, c, call, &failed) : -1;
		if (rc < 0)
			rc = wire_send_error(s, &failed, e);
	}
	return rc < 0 ? -1 : 0;
}
