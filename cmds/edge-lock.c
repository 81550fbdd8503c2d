/* SPDX-License-Identifier: MIT */
/* Runs a command while nobody else in the fleet runs one under the same name. */
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "lib/base/clock.h"
#include "lib/base/errand.h"
#include "lib/base/opt.h"
#include "lib/discover/lease.h"

#define LEASE_MAX_S 86400
#define PAUSES 4 /* a lease is renewed so many times before it would be over */
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

/* Whoever has lost the lock stops what another one may begin. */
static bool lost(struct lease *l, const char *name, struct err *e)
{
	struct err why = { 0 };
	int rc = lease_renew(l, &why);

	if (!rc || (rc < 0 && clock_ms() < l->until - (double)lease_s * 1e3 / PAUSES))
		return false;
	if (rc > 0)
		err_set(e, EX_TEMPFAIL, "lock %s: lost: it was not renewed in time", name);
	else
		err_set(e, EX_TEMPFAIL, "lock %s: lost: cannot be renewed: %.700s", name, why.text);
	return true;
}

/* The command's exit status, or -1. */
static int run(struct lease *l, const char *name, char **argv, struct err *e)
{
	bool gone = false;
	struct errand job;
	int status = 0;

	if (errand_start(&job, argv, e))
		return -1;
	while (!errand_wait(&job, (int)(lease_s * 1000 / PAUSES), &status))
		if (!gone && (gone = lost(l, name, e)))
			errand_signal(&job, SIGTERM);
	if (!gone && status > 128)
		return err_set(e, EX_NO, "%s: ended by signal %d", argv[0], status - 128);
	return gone ? -1 : status;
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
