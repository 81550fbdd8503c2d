/* SPDX-License-Identifier: MIT */
/* Restoring a checkpoint that lies at a node. Of the frozen service it came from, three parties must know the same: the
 * destination, the holder at the source, and this program, which may be at a third place. */
#include <errno.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/wait.h>
#include <unistd.h>

#include "lib/discover/node.h"
#include "lib/move/hold.h"
#include "lib/move/outcome.h"
#include "lib/move/pulse.h"
#include "lib/move/remote.h"

#define OUTCOME_MS 10000 /* how long the destination is asked for it after a broken connection */

struct restoring {
	const char *id;
	char node[256];     /* where the checkpoint lies; "" is this node */
	struct stream *s;   /* to it */
	struct pulse *pulse;
	pid_t child;        /* edge-serve, when it is this node */
	struct json *facts; /* the destination's answer to "open": service, instance, from, held */
	char from[256];     /* the source; "" until it is known */
	bool held;          /* there, the frozen service waits for the outcome */
};

static void restoring_clear(struct restoring *r)
{
	pulse_end(r->pulse);
	if (r->s)
		stream_free(r->s);
	while (r->child > 0 && waitpid(r->child, NULL, 0) < 0 && errno == EINTR)
		;
	json_free(r->facts);
}

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

/* Tells the holder of the frozen source. */
static int tell_source(const struct restoring *r, const char *step, struct err *e)
{
	AUTO_JSON struct json *call = NULL, *answer = NULL;
	AUTO_STREAM struct stream *s = NULL;
	const char *to = r->node[0] ? r->node : node_self();

	if (!r->held || !r->from[0])
		return 0;
	if (!strcmp(r->from, node_self()))
		return hold_note(r->id, step, to, e);
	s = remote_open(r->from, e);
	if (!s)
		return -1;
	call = wire_request("note");
	json_set_str(call, "move", r->id);
	json_set_str(call, "step", step);
	json_set_str(call, "to", to);
	answer = wire_call(s, TAKE_PTR(call), e);
	return answer ? 0 : -1;
}

/* A snapshot is not restored while the instance it was taken of runs: promise 1. */
static int check_instance(const struct restoring *r, struct err *e)
{
	AUTO_REGISTRY struct registry *reg = NULL;
	AUTO_JSON struct json *rec = NULL;
	char key[64];

	if (r->held)
		return 0;
	snprintf(key, sizeof(key), "service/%.40s", json_str(r->facts, "instance"));
	if (registry_open(&reg, NULL, e) || registry_get(reg, key, &rec, NULL, e))
		return -1;
	if (rec && json_str(rec, "state") && !strcmp(json_str(rec, "state"), "running"))
		return err_set(e, EX_UNAVAILABLE, "checkpoint %s: instance %s of service %s runs on node %s", r->id,
			       json_str(r->facts, "instance"), json_str(r->facts, "service"),
			       json_str(rec, "node") ? json_str(rec, "node") : "(unknown)");
	return 0;
}

static int ask(struct restoring *r, const char *verb, struct json **answer, struct err *e)
{
	struct json *call = wire_request(verb);

	if (!strcmp(verb, "open"))
		json_set_str(call, "checkpoint", r->id);
	return wire_ask(r->s, call, answer, e);
}

static void stop_stream(void *ctx)
{
	const struct restoring *r = ctx;

	stream_stop(r->s);
}

static int open_there(struct restoring *r, struct err *e)
{
	r->s = r->node[0] ? remote_open(r->node, e) : local_session(&r->child, e);
	if (!r->s || pulse_start(&r->pulse, r->s, NULL, stop_stream, r, e) || ask(r, "open", &r->facts, e))
		return -1;
	if (!json_str(r->facts, "from") || !json_str(r->facts, "service") || !json_str(r->facts, "instance"))
		return err_set(e, EX_DATAERR, "%s: no facts in its answer", stream_peer(r->s));
	r->held = json_bool(r->facts, "held", false);
	snprintf(r->from, sizeof(r->from), "%s", json_str(r->facts, "from"));
	return 0;
}

/* All of it up to the point where it runs at our word. */
static int make_ready(struct restoring *r, struct err *e)
{
	AUTO_JSON struct json *armed = NULL, *ready = NULL, *catch = wire_request("catch");

	if (open_there(r, e) || check_instance(r, e) || ask(r, "arm", &armed, e) ||
	    (r->held && wire_send_json(r->s, FRAME_CALL, catch, e)) || ask(r, "restore", &ready, e) ||
	    tell_source(r, "go", e)) {
		/* Counts only while nobody has said "go" to the source: if that came through, it asks the destination. */
		tell_source(r, "refused", NULL);
		return -1;
	}
	return 0;
}

/* The connection broke at "go". 1 it runs there, 0 it does not, -1 nobody knows. */
static int learn_outcome(struct restoring *r)
{
	AUTO_REGISTRY struct registry *reg = NULL;
	struct ssh_target to;

	if (!r->node[0] || registry_open(&reg, NULL, NULL) || node_target(reg, r->node, &to, NULL))
		return -1;
	enum outcome outcome = outcome_learn(&to, r->id, OUTCOME_MS, NULL);
	return outcome == OUTCOME_RUNNING ? 1 : outcome == OUTCOME_NOT ? 0 : -1;
}

static struct json *plain_record(const struct restoring *r)
{
	struct json *j = json_object();

	json_set_str(j, "kind", "service");
	json_set_str(j, "id", json_str(r->facts, "instance"));
	json_set_str(j, "name", json_str(r->facts, "service"));
	json_set_str(j, "node", r->node);
	json_set_str(j, "state", "running");
	return j;
}

/* 0 it runs there; -1 it does not, or nobody knows (*unknown). */
static int go(struct restoring *r, struct json **record, bool *unknown, struct err *e)
{
	AUTO_JSON struct json *done = NULL;
	int rc = ask(r, "go", &done, e);

	*unknown = false;
	if (rc < 0) {
		int known = learn_outcome(r);

		*unknown = known < 0;
		rc = known == 1 ? 0 : -1;
		if (*unknown && r->held)
			err_wrap(e, "service %s: stays frozen on node %s, as nobody knows whether it runs",
				 json_str(r->facts, "service"), r->from);
	}
	if (rc)
		return -1;
	*record = done ? json_get(done, "service") : NULL;
	if (!*record)
		*record = plain_record(r);
	return 0;
}

static int restore_one(struct restoring *r, struct json **record, struct err *e)
{
	AUTO_JSON struct json *said = NULL;
	bool unknown = false;

	if (make_ready(r, e))
		return -1;
	if (go(r, record, &unknown, e)) {
		if (!unknown)
			tell_source(r, "failed", NULL);
		return -1;
	}
	/* If this does not reach the holder, it asks the destination itself, which must still know. */
	if (!tell_source(r, "handed-over", NULL))
		ask(r, "done", &said, NULL);
	json_set_str(*record, "restored.checkpoint", r->id);
	json_set_str(*record, "restored.from", r->from);
	return 0;
}

int restore(const struct json *shipment, struct json **record, struct err *e)
{
	const char *to = json_str(shipment, "to"), *from = json_str(shipment, "from");
	struct restoring r = { .id = json_str(shipment, "checkpoint"), .held = json_bool(shipment, "held", false) };
	int rc;

	if (!r.id)
		r.id = json_str(shipment, "id");
	if (!r.id)
		return err_set(e, EX_DATAERR, "shipment without a checkpoint");
	if (to && strcmp(to, node_self()))
		snprintf(r.node, sizeof(r.node), "%s", to);
	snprintf(r.from, sizeof(r.from), "%s", from ? from : "");
	rc = restore_one(&r, record, e);
	restoring_clear(&r);
	return rc;
}
