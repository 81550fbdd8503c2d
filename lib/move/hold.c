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

#define LOOK_MS 20 /* how often the journal is looked at */

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
	json_set_num(j, "dump_ms", (double)(long long)(r->dump * 1000) / 1000);
	return j;
}

/* 1: handed over; 0: give up, *why says it. */
static int wait_outcome(const char *move, int out, int signals, int hold_s, const char **why)
{
	double end = clock_ms() + hold_s * 1e3;
	bool gone = false;

	for (;;) {
		struct pollfd p[2] = { { gone ? -1 : out, 0, 0 }, { gone ? -1 : signals, POLLIN, 0 } };
		const char *step = journal_last(move);

		if (!strcmp(step, "handed-over"))
			return 1;
		if (!strcmp(step, "failed")) {
			*why = "its restore failed";
			return 0;
		}
		/* Once the destination may be running it, only its outcome counts. */
		gone = !strcmp(step, "go");
		if (!gone && clock_ms() > end) {
			*why = "nobody took it within the hold time";
			return 0;
		}
		if (poll(p, 2, LOOK_MS) > 0 && !gone) {
			*why = p[1].revents ? "interrupted" : "nobody reads its record any more";
			if (p[1].revents || p[0].revents & (POLLERR | POLLHUP | POLLNVAL))
				return 0;
		}
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

int hold(const char *name, const char *to, bool leave_running, int hold_s, const struct move_options *opt, FILE *out,
	 struct err *e)
{
	AUTO_OUTGOING struct outgoing *o = NULL;
	AUTO_FD int signals = catch_signals();
	const char *why = NULL;

	if (outgoing_open(&o, name, opt, e) || outgoing_capture(o, e) || outgoing_freeze(o, e) ||
	    outgoing_keep(o, leave_running, e))
		return -1;
	if (leave_running)
		outgoing_thaw(o);
	AUTO_JSON struct json *rec = checkpoint_record(o, to);
	if (record_print(out, rec, e))
		return -1;
	if (leave_running)
		return outgoing_leave(o, e);
	if (wait_outcome(outgoing_checkpoint(o)->id, fileno(out), signals, hold_s, &why))
		return outgoing_finish(o, e);
	return err_set(e, EX_TEMPFAIL, "service %s: %s: it goes on here", name, why);
}

int hold_pid(pid_t pid, const struct move_options *opt, FILE *out, struct err *e)
{
	(void)opt, (void)out;
	return err_set(e, EX_UNAVAILABLE, "process %d: is being written", pid);
}
