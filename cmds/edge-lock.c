/* SPDX-License-Identifier: MIT */
/* Runs a command while nobody else in the fleet runs one under the same name. */
#include <errno.h>
#include <poll.h>
#include <pthread.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/eventfd.h>
#include <unistd.h>

#include "lib/base/clock.h"
#include "lib/base/errand.h"
#include "lib/base/opt.h"
#include "lib/discover/lease.h"

#define LEASE_MAX_S 86400
#define PAUSES 4 /* a lease is renewed so many times before it would be over */
#define KILLED_MS 1000
#define WATCH_MS 1000 /* a lease can also be over unnoticed: in a directory nobody tells of it */

static long lease_s = 60;
static double wait_s;
static bool quiet, listing;

static const struct opt opts[] = {
	{ "lease", 'l', OPT_INT, &lease_s, "SEC", "how long it is held after its holder has died (default 60)" },
	{ "wait", 'w', OPT_NUM, &wait_s, "SEC", "wait so long for it (default: not at all)" },
	{ "quiet", 'q', OPT_FLAG, &quiet, NULL, "do not say that another one has it" },
	{ "list", 0, OPT_FLAG, &listing, NULL, "print who has which, and run nothing" },
	{ "registry", 0, OPT_ENV, "EDGE_REGISTRY", "URL", "where nodes and services are written down" },
	{ 0 },
};

static const struct cmd cmd = {
	.name = "edge-lock",
	.synopsis = "NAME [--] COMMAND [ARG...]",
	.about = "Runs a command while nobody else in the fleet runs one under the same name.",
	.opts = opts,
	.notes = "Exits with the command's status, or 75 when another one has the name, or has got it since.",
	.example = "edge-lock --wait 50 fleet -- edge-migrate --recover",
};

static int list(struct registry *r, struct err *e)
{
	AUTO_JSON struct json *all = NULL;

	return registry_list(r, LEASE_PREFIX, &all, e) || record_print_all(stdout, all, e) ? -1 : 0;
}

static int busy(const char *name, const struct json *holder, struct err *e)
{
	const char *node = json_str(holder, "node"), *since = json_str(holder, "since");

	return err_set(e, EX_TEMPFAIL, "lock %s: busy: %s has it since %s (process %lld)", name, node ? node : "somebody",
		       since ? since : "some time", (long long)json_int(holder, "pid", 0));
}

/* One that is over by its record is waited for in any case, once: a holder that lives changes it meanwhile. */
static int take(struct lease *l, struct registry *r, const char *name, struct err *e)
{
	double end = clock_ms() + wait_s * 1e3, hope = 0;

	if (lease_init(l, r, name, (int)lease_s, e))
		return -1;
	for (;;) {
		AUTO_JSON struct json *holder = NULL;
		int rc = lease_take(l, &holder, e);
		double left = end - clock_ms();

		if (rc <= 0)
			return rc;
		if (!hope)
			hope = l->over_ms;
		if (hope && l->over_ms == hope)
			left = hope - clock_ms();
		else if (left <= 0)
			return busy(name, holder, e);
		if (registry_watch(r, LEASE_PREFIX, left < WATCH_MS ? (int)left + 1 : WATCH_MS, e) < 0)
			return -1;
	}
}

/* ---- while the command runs ---- */

/* Renews in a thread: a registry that does not answer must not keep us from seeing that the lease ends. */
struct renewal {
	struct lease *lease; /* the thread's, until it is joined */
	pthread_t thread;
	pthread_mutex_t mutex; /* of what follows */
	double until;          /* as the lease's */
	int rc;                /* of lease_renew(), and why */
	struct err why;
	int quit, lost;        /* eventfds: to the thread; from it, it is another one's */
};

static double pause_ms(void)
{
	return (double)lease_s * 1e3 / PAUSES;
}

/* Is it to end? */
static bool rest(const struct renewal *w, double till)
{
	struct pollfd p = { .fd = w->quit, .events = POLLIN };
	double left = till - clock_ms();

	return poll(&p, 1, left > 0 ? (int)left + 1 : 0) > 0;
}

static void *renew(void *arg)
{
	struct renewal *w = arg;
	double next = clock_ms() + pause_ms();
	int rc = 0;

	while (rc <= 0 && !rest(w, next)) {
		struct err why = { 0 };

		next = clock_ms() + pause_ms();
		rc = lease_renew(w->lease, &why);
		pthread_mutex_lock(&w->mutex);
		w->until = w->lease->until;
		w->rc = rc;
		w->why = why;
		pthread_mutex_unlock(&w->mutex);
	}
	if (rc > 0)
		eventfd_write(w->lost, 1);
	return NULL;
}

static int renewal_start(struct renewal *w, struct lease *l, struct err *e)
{
	sigset_t all, before;

	*w = (struct renewal){ .lease = l, .mutex = PTHREAD_MUTEX_INITIALIZER, .until = l->until };
	w->quit = eventfd(0, EFD_CLOEXEC);
	w->lost = eventfd(0, EFD_CLOEXEC);
	sigfillset(&all);
	pthread_sigmask(SIG_BLOCK, &all, &before);
	int why = w->quit < 0 || w->lost < 0 ? errno : pthread_create(&w->thread, NULL, renew, w);
	pthread_sigmask(SIG_SETMASK, &before, NULL);
	errno = why;
	return why ? err_sys(e, "cannot start a thread") : 0;
}

/* What is being asked for is still waited for. */
static void renewal_end(struct renewal *w)
{
	eventfd_write(w->quit, 1);
	pthread_join(w->thread, NULL);
	close(w->quit);
	close(w->lost);
}

/* Until when the lock is ours, as far as is known; *robbed: it is not any more. */
static double renewal_until(struct renewal *w, bool *robbed)
{
	pthread_mutex_lock(&w->mutex);
	double until = w->until;
	*robbed = w->rc > 0;
	pthread_mutex_unlock(&w->mutex);
	return until;
}

static void tell_loss(struct renewal *w, const char *name, struct err *e)
{
	pthread_mutex_lock(&w->mutex);
	if (w->rc < 0)
		err_set(e, EX_TEMPFAIL, "lock %s: lost: cannot be renewed: %.700s", name, w->why.text);
	else
		err_set(e, EX_TEMPFAIL, "lock %s: lost: it was not renewed in time", name);
	pthread_mutex_unlock(&w->mutex);
}

/* Until nothing of it runs. Whoever is about to lose the lock stops what another one may begin: it is told in time, and killed when
 * the lease is over, whether anybody answers or not. True: that was so while the command itself ran. */
static bool attend(struct errand *job, struct renewal *w, const char *name, struct err *e)
{
	bool lost = false, told = false, killed = false, robbed;

	job->wake = w->lost;
	while (job->state != ERRAND_OVER) {
		double now = clock_ms(), until = renewal_until(w, &robbed), next = until - pause_ms();

		if (!told && (robbed || now >= next)) {
			told = true;
			if (job->state == ERRAND_RUNS) {
				lost = true;
				tell_loss(w, name, e);
			}
			errand_signal(job, SIGTERM);
		}
		if (robbed)
			job->wake = -1;
		if (now >= until) {
			killed = true;
			errand_signal(job, SIGKILL);
		}
		next = told ? until : next;
		if (errand_wait(job, killed ? KILLED_MS : next > now ? (int)(next - now) + 1 : 0) == ERRAND_REST) {
			eventfd_write(w->quit, 1); /* what it has left behind has no longer than that */
			if (killed)
				break; /* more cannot be done */
		}
	}
	return lost;
}

/* The command's exit status, or -1. */
static int run(struct lease *l, const char *name, char **argv, struct err *e)
{
	struct renewal w;
	struct errand job;
	bool lost = true;

	if (renewal_start(&w, l, e))
		return -1;
	int rc = errand_start(&job, argv, e);
	if (!rc)
		lost = attend(&job, &w, name, e);
	renewal_end(&w);
	if (!rc && !lost && job.status > 128)
		return err_set(e, EX_NO, "%s: ended by signal %d", argv[0], job.status - 128);
	return lost ? -1 : job.status;
}

static int lock_and_run(struct registry *r, const char *name, char **argv, struct err *e)
{
	struct err unwritten = { 0 };
	struct lease l;
	int status;

	if (take(&l, r, name, e))
		return -1;
	setenv("EDGE_LOCK", name, 1);
	status = run(&l, name, argv, e);
	/* It ends by itself then. */
	if (lease_release(&l, &unwritten) && status >= 0)
		cmd_fail(&cmd, &unwritten);
	return status;
}

int main(int argc, char **argv)
{
	int status = 0, first = cmd_parse(&cmd, argc, argv, &status);
	AUTO_REGISTRY struct registry *r = NULL;
	struct err e = { 0 };

	if (first < 0)
		return status;
	signal(SIGPIPE, SIG_IGN);
	if (listing ? argc - first : argc - first < 2)
		return cmd_usage(&cmd, listing ? "--list: takes no operand" : first == argc ? "no name given" : "no command given");
	if (lease_s < 2 || lease_s > LEASE_MAX_S)
		return cmd_usage(&cmd, "--lease %ld: not between 2 seconds and a day", lease_s);
	if (wait_s > LEASE_MAX_S)
		return cmd_usage(&cmd, "--wait: more than a day");
	if (registry_open(&r, NULL, &e))
		return cmd_fail(&cmd, &e);
	status = listing ? list(r, &e) : lock_and_run(r, argv[first], argv + first + 1, &e);
	if (status < 0 && quiet && e.code == EX_TEMPFAIL)
		return e.code;
	return cmd_done(&cmd, status < 0 ? cmd_fail(&cmd, &e) : status);
}
