/* SPDX-License-Identifier: MIT */
#include "lib/move/stateless.h"

#include <poll.h>
#include <string.h>

#include "lib/base/clock.h"
#include "lib/base/random.h"
#include "lib/discover/node.h"
#include "lib/discover/registry.h"
#include "lib/engine/engine.h"
#include "lib/engine/net.h"
#include "lib/move/check.h"
#include "lib/move/decide.h"
#include "lib/move/guard.h"
#include "lib/move/here.h"
#include "lib/move/image_send.h"
#include "lib/move/journal.h"
#include "lib/move/layer.h"
#include "lib/move/layer_send.h"
#include "lib/move/outcome.h"
#include "lib/move/pulse.h"
#include "lib/move/recover.h"
#include "lib/move/refusal.h"
#include "lib/move/remote.h"
#include "lib/move/wire.h"

#define LOCK_MS 2000
#define GRACE_MS 10000
#define TAKE_MS 5000     /* for the answer to "take": then it is asked over a new connection */
#define READY_MS 10000   /* until it must listen on its ports at the destination */

/* ---- the source ---- */

struct leaving {
	struct service *s;
	const char *to;
	const struct ssh_target *target;
	const struct move_options *opt;
	char move[33];
	struct stream *stream;
	struct pulse *pulse;
	struct guard guard;
	double asked_at; /* when it was told to take the address */
	bool unknown; /* nobody knows who has the address */
	double start, started, gap;
};

static const char *look(void *ctx)
{
	const struct leaving *l = ctx;

	if (l->asked_at)
		return clock_ms() > l->asked_at + TAKE_MS ? "no answer to \"take\"" : NULL;
	return l->opt->interrupted && l->opt->interrupted(l->opt->ctx) ? "interrupted" : NULL;
}

static void stop_leaving(void *ctx)
{
	const struct leaving *l = ctx;

	stream_stop(l->stream);
}

static int leaving_connect(struct leaving *l, struct err *e)
{
	l->stream = ssh_open(l->target, l->opt->connect_ms, e);
	return l->stream && !wire_greet(l->stream, e) && !pulse_start(&l->pulse, l->stream, look, stop_leaving, l, e) ? 0 : -1;
}

static struct json *call_start(struct leaving *l, struct err *e)
{
	AUTO_JSON struct json *call = wire_request("start");

	if (check_facts(l->s, NULL, 0, call, e))
		return NULL;
	json_set_str(call, "move", l->move);
	json_set_str(call, "from", node_self());
	json_set_bool(call, "dry_run", l->opt->dry_run);
	json_set(call, "service", service_to_json(l->s));
	return wire_call(l->stream, TAKE_PTR(call), e);
}

/* The address goes over: it is nowhere for as long as one question and its answer take. */
static int give_address(struct leaving *l, struct err *e)
{
	AUTO_JSON struct json *answer = NULL;
	double from = clock_ms();
	enum outcome outcome;

	/* From here on it has no address until it knows who has. */
	if (journal_turn(l->move, "begun", "go", NULL, e))
		return -1;
	l->asked_at = clock_ms();
	int rc = net_hold(l->s, e) ? 1 : wire_ask(l->stream, wire_request("take"), &answer, e);
	if (rc < 0) {
		outcome = outcome_learn(l->target, l->move, l->opt->deadline_ms, NULL);
		l->unknown = outcome != OUTCOME_RUNNING && outcome != OUTCOME_NOT;
		rc = outcome == OUTCOME_RUNNING ? 0 : 1;
	}
	l->gap = clock_ms() - from;
	if (!rc)
		return 0;
	if (l->unknown)
		return err_wrap(e, "service %s: stays without its address here, as nobody knows whether it runs there",
				l->s->name);
	net_attach(l->s, NULL);
	return -1;
}

static int end_here(struct service *s, struct err *e)
{
	if (service_stop(s, GRACE_MS, e))
		return -1;
	s->moved = true;
	return service_save(s, e);
}

static struct json *moved(const struct leaving *l)
{
	struct json *j = json_object();

	json_set_str(j, "from", node_self());
	json_set_str(j, "to", l->to);
	json_set_ms(j, "frozen_ms", l->gap);
	json_set_ms(j, "started_ms", l->started);
	json_set_ms(j, "total_ms", clock_ms() - l->start);
	return j;
}

/* What it is made of, if that is not there. */
static int bring_root(struct leaving *l, struct err *e)
{
	if (strcmp(l->s->root, "/") && layer_send_over(l->stream, l->s->root, e))
		return -1;
	return image_send_over(l->stream, l->s, e);
}

static int leave(struct leaving *l, struct json **record, struct err *e)
{
	AUTO_JSON struct json *answer = NULL, *refusals = NULL, *made = NULL, *said = NULL;

	if (leaving_connect(l, e) || (!l->opt->dry_run && bring_root(l, e)) || !(answer = call_start(l, e)))
		return -1;
	refusals = json_get(answer, "refusals");
	bool stay = refusals && json_len(refusals, NULL);
	if (stay)
		refusal_error(l->to, refusals, e);
	if (stay || l->opt->dry_run) {
		*record = refusal_record(l->s, node_self(), l->to, TAKE_PTR(refusals));
		return stay && !l->opt->dry_run ? -1 : 0;
	}
	made = json_get(answer, "service");
	if (!made)
		return err_set(e, EX_DATAERR, "node %s: no service in its answer", l->to);
	l->started = clock_ms() - l->start;
	if (give_address(l, e))
		return -1;
	/* It runs there: what fails now is told, but no reason to go back. */
	int rc = end_here(l->s, e);
	if (!rc)
		rc = journal_turn(l->move, "go", "handed-over", NULL, e);
	wire_ask(l->stream, wire_request("done"), &said, NULL);
	json_set(made, "moved", moved(l));
	*record = TAKE_PTR(made);
	return rc;
}

int migrate_stateless(struct service *s, const char *to, const struct ssh_target *t, const struct move_options *opt,
		      struct json **record, struct err *e)
{
	struct leaving l = { .s = s, .to = to, .target = t, .opt = opt, .guard = { -1 }, .start = clock_ms() };
	AUTO_FD int lock = service_lock(s->name, LOCK_MS, e);
	int rc;

	if (lock < 0)
		return -1;
	if (here_running(s, "--from", e) || recover_instance(s->name, s->id, true, e) || random_hex(l.move, 16, e) ||
	    guard_start(&l.guard, s->name, l.move, lock, e))
		return -1;
	rc = journal_begin_source(l.move, s, to, e) ? -1 : leave(&l, record, e);
	pulse_end(l.pulse);
	if (l.stream)
		stream_free(l.stream);
	if (l.unknown) { /* the guard goes on to ask */
		close(l.guard.fd);
		return rc;
	}
	journal_forget(l.move, NULL);
	guard_end(&l.guard);
	return rc;
}

/* ---- the destination ---- */

/* Does a socket of its network listen (TCP) or is bound (UDP) on the port? */
static bool has_socket(pid_t pid, const char *table, const char *state, int port)
{
	char path[64], line[512], st[8];
	unsigned at;

	snprintf(path, sizeof(path), "/proc/%d/net/%s", (int)pid, table);
	AUTO_FILE FILE *f = fopen(path, "re");
	while (f && fgets(line, sizeof(line), f))
		if (sscanf(line, " %*d: %*[0-9A-F]:%x %*s %7s", &at, st) == 2 && (int)at == port && !strcmp(st, state))
			return true;
	return false;
}

static bool listens(pid_t pid, int port)
{
	return has_socket(pid, "tcp", "0A", port) || has_socket(pid, "tcp6", "0A", port) ||
	       has_socket(pid, "udp", "07", port) || has_socket(pid, "udp6", "07", port);
}

/* Its clients come to it when it can answer. */
static int wait_ready(const struct service *s, struct err *e)
{
	double end = clock_ms() + READY_MS;

	for (int i = 0; i < s->n_ports;) {
		if (!service_running(s))
			return err_set(e, EX_UNAVAILABLE, "service %s: has ended at once", s->name);
		if (listens(s->pid, s->ports[i])) {
			i++;
			continue;
		}
		if (clock_ms() > end)
			return err_set(e, EX_UNAVAILABLE, "service %s: does not listen on port %d after %d s", s->name,
				       s->ports[i], READY_MS / 1000);
		poll(NULL, 0, 2);
	}
	return 0;
}

/* A registry that is gone does not stop a move; one that knows a newer epoch does. */
static int publish(const struct service *s, const struct json *record, struct err *e)
{
	AUTO_REGISTRY struct registry *r = NULL;

	if (registry_open(&r, NULL, NULL) || registry_put_service(r, record, NULL) <= 0)
		return 0;
	return err_set(e, EX_UNAVAILABLE, "service %s: another node has a newer epoch of it", s->name);
}

static int say_yes(struct stream *ctl)
{
	AUTO_JSON struct json *answer = json_object();

	return wire_send_json(ctl, FRAME_REPLY, answer, NULL);
}

/* Started, and cut off until the source lets go of the address. `answer` goes to the source. */
static int start_and_take(struct service *s, struct stream *ctl, const char *move, struct json *answer, struct err *e)
{
	AUTO_JSON struct json *record = NULL;

	if (service_start_held(s, e))
		return -1;
	record = service_record(s, "running");
	json_set(answer, "service", json_copy(record));
	if (!wait_ready(s, e) && !wire_send_json(ctl, FRAME_REPLY, answer, e)) {
		if (!wire_told(ctl, "take"))
			err_set(e, EX_TEMPFAIL, "service %s: the source has not let it go", s->name);
		else if (decide(move, DECIDED_RUNNING) == DECIDED_THAWED)
			err_set(e, EX_UNAVAILABLE, "service %s: it was forced to go on at the source", s->name);
		else if (!journal_turn(move, "begun", "running", NULL, e)) {
			net_attach(s, NULL); /* it is here now: what fails from here on is no reason to go back */
			say_yes(ctl);
			if (!publish(s, record, e))
				return 0;
		}
	}
	service_stop(s, 0, NULL);
	service_remove(s, NULL);
	return -1;
}

static void stop_stream(void *ctx)
{
	stream_stop(ctx);
}

static int start_here(struct service *s, const struct json *call, struct stream *ctl, struct json *answer, struct err *e)
{
	AUTO_JSON struct json *head = json_object();
	const char *move = json_str(call, "move"), *layer = json_str(call, "layer");
	bool need = false;
	AUTO_FD int lock = service_lock(s->name, LOCK_MS, e);
	struct guard guard = { -1 };
	struct pulse *pulse = NULL;

	json_set_str(head, "role", "destination");
	json_set_str(head, "service", s->name);
	json_set_str(head, "id", s->id);
	json_set_str(head, "from", json_str(call, "from"));
	s->pid = 0;
	service_arrive(s, json_str(call, "from"));
	if (layer && layer_place(layer, s->root, &need, e))
		return -1;
	if (need)
		return err_set(e, EX_UNAVAILABLE, "service %s: its root has not been brought here", s->name);
	if (lock < 0 || recover_instance(s->name, s->id, false, e) || guard_start(&guard, s->name, move, lock, e))
		return -1;
	int rc = journal_begin(move, head, e) || pulse_start(&pulse, ctl, NULL, stop_stream, ctl, e) ?
			 -1 :
			 start_and_take(s, ctl, move, answer, e);
	/* Until the source has heard of it, it can ask for it. */
	if (rc || wire_told(ctl, "done")) {
		decide_forget(move);
		journal_forget(move, NULL);
	}
	guard_end(&guard);
	pulse_end(pulse);
	if (!rc)
		say_yes(ctl);
	return rc ? -1 : 1;
}

int stateless_serve(struct stream *ctl, const struct json *call, struct err *e)
{
	AUTO_JSON struct json *spec = json_get(call, "service"), *answer = json_object(), *wanted = json_array();
	AUTO_JSON struct json *refusals = NULL;
	AUTO_SERVICE struct service *s = NULL;
	const char *move = json_str(call, "move");

	if (!spec || !move)
		return err_set(e, EX_DATAERR, "no service or move in the call");
	if (service_from_json(&s, spec, e))
		return -1;
	refusals = check_here(s, call, wanted);
	bool stop = json_len(refusals, NULL) > 0;
	json_set(answer, "refusals", TAKE_PTR(refusals));
	if (!stop && !json_bool(call, "dry_run", false))
		return start_here(s, call, ctl, answer, e);
	return wire_send_json(ctl, FRAME_REPLY, answer, e);
}
