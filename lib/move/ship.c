/* SPDX-License-Identifier: MIT */
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include "lib/discover/node.h"
#include "lib/move/hold.h"
#include "lib/move/journal.h"
#include "lib/move/refusal.h"
#include "lib/move/remote.h"

/* Tells the holder of the frozen source. */
static int tell_source(const char *from, const char *move, const char *step, struct err *e)
{
	AUTO_JOURNAL struct journal *j = NULL;
	AUTO_STREAM struct stream *s = NULL;
	AUTO_JSON struct json *call = NULL, *answer = NULL;

	if (!strcmp(from, node_self()))
		return journal_open(&j, move, e) || journal_step(j, step, e) ? -1 : 0;
	s = remote_open(from, e);
	if (!s)
		return -1;
	call = wire_request("note");
	json_set_str(call, "move", move);
	json_set_str(call, "step", step);
	answer = wire_call(s, TAKE_PTR(call), e);
	return answer ? 0 : -1;
}

static int ship_to(const char *id, const char *dest, const struct move_options *opt, struct json **record, struct err *e)
{
	AUTO_REGISTRY struct registry *r = NULL;
	AUTO_OUTGOING struct outgoing *o = NULL;
	AUTO_JSON struct json *refusals = NULL;
	struct ssh_target t;
	int rc;

	if (registry_open(&r, NULL, e) || node_target(r, dest, &t, e) || outgoing_open_checkpoint(&o, id, opt, e) ||
	    outgoing_connect(o, &t, e))
		return -1;
	rc = outgoing_prepare(o, &refusals, e);
	if (rc > 0)
		return refusal_error(dest, refusals, e);
	return rc || outgoing_ship(o, record, e) ? -1 : 0;
}

/* A failure is told to the holder at once: it need not wait until its time is over. */
int ship(const struct json *checkpoint, const char *to, const struct move_options *opt, struct json **record,
	 struct err *e)
{
	const char *id = json_str(checkpoint, "id"), *dest = to ? to : json_str(checkpoint, "to");
	struct err note = { 0 };

	if (!id)
		return err_set(e, EX_DATAERR, "checkpoint without an id");
	if (!dest)
		err_set(e, EX_USAGE, "checkpoint %s: no destination (--to)", id);
	else if (!ship_to(id, dest, opt, record, e))
		return 0;
	if (json_bool(checkpoint, "held", false))
		tell_source(node_self(), id, "failed", &note);
	return -1;
}

/* ---- restore ---- */

/* A session with this node itself: edge-serve as a child. */
static struct stream *local_session(pid_t *pid, struct err *e)
{
	int pair[2];

	if (socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, pair)) {
		err_sys(e, "socketpair");
		return NULL;
	}
	*pid = fork();
	if (!*pid) {
		dup2(pair[1], 0);
		dup2(pair[1], 1);
		execlp("edge-serve", "edge-serve", (char *)NULL);
		_exit(127);
	}
	close(pair[1]);
	AUTO_STREAM struct stream *s = *pid < 0 ? NULL : stream_fds(pair[0], pair[0], "this node");
	if (!s || wire_greet(s, e))
		return NULL;
	return TAKE_PTR(s);
}

/* A snapshot is not restored while the instance it was taken of runs: promise 1. */
static int check_instance(const char *instance, struct err *e)
{
	AUTO_REGISTRY struct registry *r = NULL;
	AUTO_JSON struct json *rec = NULL;
	char key[64];

	snprintf(key, sizeof(key), "service/%.40s", instance);
	if (registry_open(&r, NULL, e) || registry_get(r, key, &rec, NULL, e))
		return -1;
	if (rec && json_str(rec, "state") && !strcmp(json_str(rec, "state"), "running"))
		return err_set(e, EX_UNAVAILABLE, "instance %s: runs on node %s", instance,
			       json_str(rec, "node") ? json_str(rec, "node") : "unknown");
	return 0;
}

static struct json *call_verb(struct stream *s, const char *verb, const char *key, const char *value, struct err *e)
{
	struct json *call = wire_request(verb);

	if (key)
		json_set_str(call, key, value);
	return wire_call(s, call, e);
}

static int restore_over(struct stream *s, const char *id, const char *from, bool held, struct json **record,
			struct err *e)
{
	AUTO_JSON struct json *opened = NULL, *armed = NULL, *ready = NULL, *done = NULL, *said = NULL;
	struct err note = { 0 };
	int rc;

	if (!(opened = call_verb(s, "open", "checkpoint", id, e)) || !(armed = call_verb(s, "arm", NULL, NULL, e)) ||
	    !(ready = call_verb(s, "restore", NULL, NULL, e))) {
		if (held)
			tell_source(from, id, "failed", &note);
		return -1;
	}
	if (held && tell_source(from, id, "go", e))
		return -1;
	rc = wire_ask(s, wire_request("go"), &done, e);
	if (rc) {
		/* A broken stream says nothing of the outcome: then the source stays frozen. */
		if (held && rc > 0)
			tell_source(from, id, "failed", &note);
		return -1;
	}
	if (held && tell_source(from, id, "handed-over", e))
		return -1;
	said = wire_request("done");
	wire_send_json(s, FRAME_CALL, said, NULL);
	*record = json_get(done, "service");
	return *record ? 0 : err_set(e, EX_DATAERR, "%s: no service in its answer", stream_peer(s));
}

int restore(const struct json *shipment, const struct move_options *opt, struct json **record, struct err *e)
{
	const char *id = json_str(shipment, "checkpoint"), *to = json_str(shipment, "to");
	const char *from = json_str(shipment, "from"), *instance = json_str(shipment, "instance");
	bool held = json_bool(shipment, "held", false);
	AUTO_STREAM struct stream *s = NULL;
	struct err note = { 0 };
	pid_t child = 0;

	(void)opt;
	if (!id)
		id = json_str(shipment, "id");
	if (!id)
		return err_set(e, EX_DATAERR, "record without a checkpoint's id");
	if (!held && instance && check_instance(instance, e))
		return -1;
	s = to && strcmp(to, node_self()) ? remote_open(to, e) : local_session(&child, e);
	if (!s && held && from)
		tell_source(from, id, "failed", &note);
	if (!s || restore_over(s, id, from ? from : node_self(), held, record, e))
		return -1;
	json_set_str(*record, "restored.checkpoint", id);
	json_set_str(*record, "restored.from", from);
	return 0;
}
