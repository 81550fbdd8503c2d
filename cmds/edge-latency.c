/* SPDX-License-Identifier: MIT */
/* Measures how far nodes are: node records in, the same and latency records out; and what users of services feel: user
 * records out. */
#include <stdio.h>
#include <string.h>

#include "lib/base/opt.h"
#include "lib/discover/node.h"
#include "lib/measure/probe.h"
#include "lib/measure/watch.h"

static struct probe_plan plan = { .method = "icmp", .count = 5, .interval_ms = 200, .timeout_ms = 1000, .rate = 5000 };

static bool watching;
static struct watch_plan watched = { .every_s = 10 };

static const struct opt opts[] = {
	{ "method", 'm', OPT_STR, &plan.method, "METHOD", "icmp, tcp:PORT or http:URL (default icmp)" },
	{ "count", 'c', OPT_INT, &plan.count, "N", "probes to each target (default 5)" },
	{ "interval", 'i', OPT_NUM, &plan.interval_ms, "MS", "between two probes to one target (default 200)" },
	{ "timeout", 't', OPT_NUM, &plan.timeout_ms, "MS", "after which a probe counts as lost (default 1000)" },
	{ "rate", 'r', OPT_NUM, &plan.rate, "N", "probes a second, to all targets together (default 5000)" },
	{ "lost-as", 0, OPT_NUM, &plan.lost_as_ms, "MS", "count a lost probe as that much in the mean" },
	{ "watch", 'w', OPT_FLAG, &watching, NULL, "see what the users of the services here feel" },
	{ "every", 'e', OPT_NUM, &watched.every_s, "SEC", "with --watch: the length of a window (default 10)" },
	{ "windows", 0, OPT_INT, &watched.windows, "N", "with --watch: end after so many" },
	{ "poll", 0, OPT_FLAG, &watched.poll, NULL, "with --watch: look at sockets, do not attach to the kernel" },
	{ 0 },
};

static const struct cmd cmd = {
	.name = "edge-latency",
	.synopsis = "[TARGET... | SERVICE...]",
	.about = "Measures how far nodes are, and what users of services feel.",
	.opts = opts,
	.filter = true,
	.source = &watching,
};

static void complain(int code, const char *target, const char *why)
{
	struct err e;

	err_set(&e, code, "%s: %s", target, why);
	cmd_fail(&cmd, &e);
}

/* Passes all records on and takes the nodes among them as targets. Gives how many cannot be one; -1 for bad input. */
static int take_nodes(struct probe *p, struct err *e)
{
	AUTO_RECORDS struct records *in = records_open(stdin, "stdin");
	int rc, failed = 0;

	for (;;) {
		AUTO_JSON struct json *rec = NULL;

		if ((rc = records_next(in, &rec, e)) <= 0)
			return rc < 0 ? -1 : failed;
		if (record_pass(stdout, records_line(in), e))
			return -1;
		const char *kind = json_str(rec, "kind"), *name = json_str(rec, "name"), *addr = json_str(rec, "addr");
		if (!kind || strcmp(kind, "node"))
			continue;
		if (name && addr) {
			probe_add(p, name, addr);
		} else {
			complain(EX_DATAERR, name ? name : "node", name ? "has no address" : "has no name");
			failed++;
		}
	}
}

/* Gives how many could not be measured; -1 when nothing can be written. */
static int print_all(const struct probe *p, struct err *e)
{
	int failed = 0;

	for (size_t i = 0; i < probe_targets(p); i++) {
		AUTO_JSON struct json *rec = probe_record(p, i, node_self());

		if (probe_dead(p, i)) {
			complain(EX_UNAVAILABLE, probe_name(p, i), probe_why(p, i));
			failed++;
		}
		if (rec && record_print(stdout, rec, e))
			return -1;
	}
	return failed;
}

static int measure(int n, char **targets, struct err *e)
{
	AUTO_PROBE struct probe *p = NULL;
	int skipped = 0, failed;

	if (probe_new(&p, &plan, e))
		return -1;
	for (int i = 0; i < n; i++)
		probe_add(p, targets[i], targets[i]);
	if (!n && (skipped = take_nodes(p, e)) < 0)
		return -1;
	if (probe_run(p, e) || (failed = print_all(p, e)) < 0)
		return -1;
	if (probe_dropped(p))
		fprintf(stderr, "edge-latency: %lu answers came faster than they could be read; a lower --rate loses none\n",
			probe_dropped(p));
	return skipped + failed;
}

static void note(void *ctx, const struct err *e)
{
	(void)ctx;
	cmd_fail(&cmd, e);
}

static int print_user(void *ctx, struct json *user, struct err *e)
{
	AUTO_JSON struct json *rec = user;

	(void)ctx;
	return record_print(stdout, rec, e);
}

static int windowed(void *ctx, struct err *e)
{
	(void)ctx;
	(void)e;
	return 0;
}

static int watch(int n, char **services, struct err *e)
{
	struct watch_calls calls = { .user = print_user, .windowed = windowed, .note = note };

	if (watched.every_s < 0.1 || watched.every_s > 86400)
		return err_set(e, EX_USAGE, "every %g: not between 0.1 and 86400 seconds", watched.every_s);
	watched.services = (const char *const *)services;
	watched.n = n;
	return watch_run(&watched, &calls, e);
}

int main(int argc, char **argv)
{
	int status, failed, first = cmd_parse(&cmd, argc, argv, &status);
	struct err e;

	if (first < 0)
		return status;
	failed = (watching ? watch : measure)(argc - first, argv + first, &e);
	return failed < 0 ? cmd_fail(&cmd, &e) : cmd_done(&cmd, failed ? EX_NO : 0);
}
