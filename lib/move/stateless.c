/* SPDX-License-Identifier: MIT */
#include "lib/move/stateless.h"

#include <poll.h>
#include <string.h>
#include <sys/random.h>

#include "lib/base/clock.h"
#include "lib/discover/node.h"
#include "lib/discover/registry.h"
#include "lib/engine/engine.h"
#include "lib/engine/net.h"
#include "lib/move/check.h"
#include "lib/move/journal.h"
#include "lib/move/refusal.h"
#include "lib/move/remote.h"
#include "lib/move/wire.h"

#define LOCK_MS 2000
#define GRACE_MS 10000
#define READY_MS 10000   /* until it must listen on its ports at the destination */
#define OUTCOME_MS 10000 /* how long the destination is asked for it after a broken connection */

/* ---- the source ---- */

struct leaving {
	struct service *s;
	const char *to;
	const struct ssh_target *target;
	const struct move_options *opt;
	char move[33];
	struct stream *stream;
	double start, started, gap;
};

static int leaving_connect(struct leaving *l, struct err *e)
{
	uint8_t random[16];

	if (getrandom(random, sizeof(random), 0) != sizeof(random))
		return err_sys(e, "getrandom");
	for (size_t i = 0; i < sizeof(random); i++)
		snprintf(l->move + 2 * i, 3, "%02x", random[i]);
	l->stream = ssh_open(l->target, l->opt->connect_ms, e);
	return l->stream && !wire_greet(l->stream, e) ? 0 : -1;
}

static struct json *call_start(struct leaving *l, struct err *e)
{
	AUTO_JSON struct json *call = wire_request("start");

	if (check_facts(l->s, NULL, 0, call, e))
		return NULL;
	json_set_str(call, "move", l->move);
	json_set_bool(call, "dry_run", l->opt->dry_run);
	json_set(call, "service", service_to_json(l->s));
	return wire_call(l->stream, TAKE_PTR(call), e);
}

/* The connection broke when it was to take the address. 1 it has it, 0 it has not, -1 nobody knows. */
static int learn_outcome(const struct leaving *l)
{
	AUTO_JSON struct json *service = service_record(l->s, "running");
	double end = clock_ms() + OUTCOME_MS;

	for (int pause_ms = 100; clock_ms() < end; pause_ms *= 2) {
		AUTO_STREAM struct stream *s = ssh_open(l->target, l->opt->connect_ms, NULL);
		int known = s && !wire_greet(s, NULL) ? remote_outcome(s, l->move, service) : -1;

		if (known >= 0)
			return known;
		poll(NULL, 0, pause_ms);
	}
	return -1;
}

/* The address goes over: it is nowhere for as long as one question and its answer take. */
static int give_address(struct leaving *l, struct err *e)
{
	AUTO_JSON struct json *answer = NULL;
	double from = clock_ms();
	int rc = net_hold(l->s, e);

	if (rc)
		return -1;
	rc = wire_ask(l->stream, wire_request("take"), &answer, e);
	if (rc < 0)
		rc = learn_outcome(l) - 1;
	l->gap = clock_ms() - from;
	if (!rc)
		return 0;
	net_attach(l->s, NULL);
	if (rc < -1)
		err_wrap(e, "service %s: goes on here, and nobody knows whether it runs there, too", l->s->name);
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
	json_set_num(j, "frozen_ms", (double)(long long)(l->gap * 1000) / 1000);
	json_set_num(j, "started_ms", (double)(long long)(l->started * 1000) / 1000);
	json_set_num(j, "total_ms", (double)(long long)((clock_ms() - l->start) * 1000) / 1000);
	return j;
}

static int leave(struct leaving *l, struct json **record, struct err *e)
{
	AUTO_JSON struct json *answer = NULL, *refusals = NULL, *made = NULL, *said = NULL;

	if (leaving_connect(l, e) || !(answer = call_start(l, e)))
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
	wire_ask(l->stream, wire_request("done"), &said, NULL);
	json_set(made, "moved", moved(l));
	*record = TAKE_PTR(made);
	return rc;
}

int migrate_stateless(struct service *s, const char *to, const struct ssh_target *t, const struct move_options *opt,
		      struct json **record, struct err *e)
{
	struct leaving l = { .s = s, .to = to, .target = t, .opt = opt, .start = clock_ms() };
	AUTO_FD int lock = service_lock(s->name, LOCK_MS, e);
	int rc;

	if (lock < 0)
		return -1;
	if (!service_running(s))
		return err_set(e, EX_UNAVAILABLE, "service %s: does not run here", s->name);
	rc = leave(&l, record, e);
	if (l.stream)
		stream_free(l.stream);
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

/* The source's next word, if it is this one. */
static bool told_to(struct stream *ctl, const char *verb)
{
	AUTO_FRAME struct frame f = { 0 };

	if (wire_expect(ctl, FRAME_CALL, &f, NULL))
		return false;
	AUTO_JSON struct json *call = wire_json(&f, NULL);
	return call && json_str(call, "verb") && !strcmp(json_str(call, "verb"), verb);
}

static int say_yes(struct stream *ctl)
{
	AUTO_JSON struct json *answer = json_object();

	return wire_send_json(ctl, FRAME_REPLY, answer, NULL);
}

/* Started, and cut off until the source lets go of the address. `answer` goes to the source. */
static int start_and_take(struct service *s, struct stream *ctl, struct journal *j, struct json *answer, struct err *e)
{
	AUTO_JSON struct json *record = NULL;

	if (service_start_held(s, e))
		return -1;
	record = service_record(s, "running");
	json_set(answer, "service", json_copy(record));
	if (!wait_ready(s, e) && !wire_send_json(ctl, FRAME_REPLY, answer, e)) {
		if (!told_to(ctl, "take"))
			err_set(e, EX_TEMPFAIL, "service %s: the source has not let it go", s->name);
		else if (!journal_step(j, "running", e) && !net_attach(s, e)) {
			say_yes(ctl);
			if (!publish(s, record, e))
				return 0;
		}
		journal_step(j, "failed", NULL);
	}
	service_stop(s, 0, NULL);
	service_remove(s, NULL);
	return -1;
}

static int start_here(struct service *s, const char *move, struct stream *ctl, struct json *answer, struct err *e)
{
	AUTO_JOURNAL struct journal *j = NULL;
	AUTO_JSON struct json *head = json_object();
	AUTO_FD int lock = service_lock(s->name, LOCK_MS, e);

	json_set_str(head, "role", "destination");
	json_set_str(head, "service", s->name);
	json_set_str(head, "id", s->id);
	s->pid = 0;
	s->epoch++;
	if (lock < 0 || journal_begin(&j, move, head, e))
		return -1;
	if (start_and_take(s, ctl, j, answer, e)) {
		journal_end(j, NULL);
		return -1;
	}
	/* Until the source has heard of it, it can ask for it. */
	if (told_to(ctl, "done")) {
		journal_end(j, NULL);
		say_yes(ctl);
	}
	return 1;
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
		return start_here(s, move, ctl, answer, e);
	return wire_send_json(ctl, FRAME_REPLY, answer, e);
}
