/* SPDX-License-Identifier: MIT */
#include "lib/move/hold.h"

#include <errno.h>
#include <poll.h>
#include <signal.h>
#include <string.h>
#include <sys/signalfd.h>
#include <unistd.h>

#include "lib/base/clock.h"
#include "lib/engine/service.h"
#include "lib/move/journal.h"
#include "lib/move/outcome.h"
#include "lib/move/remote.h"

#define LOOK_MS 20   /* how often the journal is looked at */
#define ASK_MS 10000 /* how often the destination is asked for an outcome that nobody tells */

static struct json *checkpoint_record(struct outgoing *o, const char *to)
{
	const struct checkpoint *ck = outgoing_checkpoint(o);
	const struct move_report *r = outgoing_report(o);
	struct json *j = json_object();

	json_set_str(j, "kind", "checkpoint");
	json_set_str(j, "id", ck->id);
	json_set_str(j, "service", ck->service->name);
	json_set_str(j, "instance", ck->service->id);
	json_set_str(j, "from", ck->from);
	json_set_str(j, "to", to);
	json_set_bool(j, "held", ck->held);
	json_set_num(j, "bytes", (double)outgoing_bytes(o));
	json_set_ms(j, "dump_ms", r->dump);
	return j;
}

int hold_note(const char *move, const char *step, const char *to, struct err *e)
{
	AUTO_JSON struct json *more = json_object();
	bool early = !strcmp(step, "go") || !strcmp(step, "refused");
	int rc;

	if (!early && strcmp(step, "handed-over") && strcmp(step, "failed"))
		return err_set(e, EX_DATAERR, "move %s: %s: not a step", move, step);
	/* It may have been shipped to several nodes: this one can be asked how it went. */
	json_set_str(more, "to", to);
	rc = journal_turn(move, early ? "frozen shipped" : "go", step, more, e);
	return rc > 0 || (rc && e && e->code == EX_UNAVAILABLE) ? err_set(e, EX_UNAVAILABLE, HOLD_OVER, move) : rc;
}

/* Why a service is held. */
struct holding {
	const char *move;
	int out, signals;
	double end, asked;    /* when the time is over; when the destination was asked last */
	const char *why;      /* it was given up */
};

/* Nobody has said "go": is there a reason to give up? */
static const char *reason_to_end(const struct holding *h)
{
	struct pollfd p[2] = { { h->out, 0, 0 }, { h->signals, POLLIN, 0 } };

	if (poll(p, 2, LOOK_MS) > 0)
		return p[1].revents					  ? "interrupted"
		       : p[0].revents & (POLLERR | POLLHUP | POLLNVAL) ? "nobody reads its record any more"
									 : NULL;
	return clock_ms() > h->end ? "nobody took it in time" : NULL;
}

/* Somebody has, and only the outcome counts. Whoever was to tell it may be gone: then the destination knows. */
static int ask_outcome(struct holding *h)
{
	AUTO_FREE char *to = journal_member(h->move, "to");
	AUTO_STREAM struct stream *s = NULL;

	poll(NULL, 0, LOOK_MS);
	if (!to || clock_ms() < h->asked + ASK_MS)
		return -1;
	s = remote_open(to, NULL);
	h->asked = clock_ms();
	enum outcome outcome = s ? outcome_ask(s, h->move) : OUTCOME_UNKNOWN;
	return outcome == OUTCOME_RUNNING ? 1 : outcome == OUTCOME_NOT ? 0 : -1;
}

/* 1: handed over; 0: given up. */
static int wait_outcome(struct holding *h)
{
	for (;;) {
		const char *step = journal_last(h->move), *why = NULL;
		int known = -1;

		if (!strcmp(step, "handed-over"))
			return 1;
		if (!strcmp(step, "failed") || !strcmp(step, "refused"))
			why = "could not be handed over";
		else if (strcmp(step, "go"))
			h->asked = clock_ms();
		else if ((known = ask_outcome(h)) == 1)
			return 1;
		if (known == 0)
			why = "could not be handed over";
		/* Decided together with those who write "go": only one of us can have the next line. */
		if (!why && known < 0 && strcmp(step, "go") && (why = reason_to_end(h)) &&
		    journal_turn(h->move, "frozen shipped", "thawed", NULL, NULL))
			why = NULL;
		h->why = why;
		if (why)
			return 0;
	}
}

static int catch_signals(void)
{
	sigset_t set;

	sigemptyset(&set);
	sigaddset(&set, SIGINT);
	sigaddset(&set, SIGTERM);
	sigaddset(&set, SIGHUP);
	pthread_sigmask(SIG_BLOCK, &set, NULL);
	return signalfd(-1, &set, SFD_CLOEXEC);
}

/* Not 0: a signal came, while the checkpoint was still being made. */
static int look_for_signal(void *ctx, const char *phase, uint64_t done, uint64_t all)
{
	struct pollfd p = { *(int *)ctx, POLLIN, 0 };

	(void)phase, (void)done, (void)all;
	return poll(&p, 1, 0) > 0;
}

static int give_back(struct outgoing *o, const char *why, struct err *e)
{
	const struct checkpoint *ck = outgoing_checkpoint(o);
	AUTO_FREE char *to = journal_member(ck->id, "to");

	outgoing_thaw(o);
	if (to)
		ship_undo(to, ck->id);
	return err_set(e, EX_TEMPFAIL, "service %s: %s: it goes on here", ck->service->name, why);
}

static int print_and_wait(struct outgoing *o, const char *to, int hold_s, int signals, FILE *out, struct err *e)
{
	const struct checkpoint *ck = outgoing_checkpoint(o);
	AUTO_JSON struct json *rec = checkpoint_record(o, to);
	struct holding h = { .move = ck->id, .out = fileno(out), .signals = signals };

	if (record_print(out, rec, e))
		return -1;
	h.end = clock_ms() + hold_s * 1e3;
	return wait_outcome(&h) ? outgoing_finish(o, e) : give_back(o, h.why, e);
}

int hold(const char *name, const char *to, bool leave_running, int hold_s, const struct move_options *opt, FILE *out,
	 struct err *e)
{
	AUTO_OUTGOING struct outgoing *o = NULL;
	AUTO_FD int signals = catch_signals();
	struct move_options with = *opt;

	with.snapshot = leave_running;
	with.progress = look_for_signal;
	with.ctx = &signals;
	if (outgoing_open(&o, name, &with, e) || outgoing_capture(o, e) || outgoing_freeze(o, e))
		return -1;
	if (leave_running)
		outgoing_thaw(o);
	if (outgoing_keep(o, e))
		return -1;
	if (!leave_running)
		return print_and_wait(o, to, hold_s, signals, out, e);
	AUTO_JSON struct json *rec = checkpoint_record(o, to);
	return outgoing_leave(o, e) || record_print(out, rec, e) ? -1 : 0;
}
