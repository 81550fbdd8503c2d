/* SPDX-License-Identifier: MIT */
/* Moves running services to another node, live, and prints their records. */
#include <signal.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#include "lib/base/opt.h"
#include "lib/discover/names.h"
#include "lib/discover/node.h"
#include "lib/engine/engine.h"
#include "lib/move/migrate.h"
#include "lib/move/recover.h"
#include "lib/move/remote.h"
#include "lib/move/several.h"

#define CONNECT_MS 10000
#define ASK_MS 5000
#define MAX_FREEZE_MS 86400000
#define MAX_PAUSE_MS 3600000
#define MAX_DEADLINE_S 604800

static const char *to, *from;
static bool dry_run, tcp_close, ship_base, post_copy, quiet, status_only, recovering, force;
static long max_freeze = -1, deadline = 30, max_pause = 50, jobs = 1;
static const char *on_hot = "wait", *tracking = "auto";

static const struct opt opts[] = {
	{ "to", 't', OPT_STR, &to, "NODE", "the destination" },
	{ "from", 'f', OPT_STR, &from, "NODE", "the service runs on that node (default: this one)" },
	{ "dry-run", 'n', OPT_FLAG, &dry_run, NULL, "check at the destination, and move nothing" },
	{ "jobs", 'j', OPT_INT, &jobs, "N", "so many services at a time (default 1)" },
	{ "ship-base", 0, OPT_FLAG, &ship_base, NULL, "bring files of the lower layer that differ there" },
	{ "tcp-close", 0, OPT_FLAG, &tcp_close, NULL, "close open connections instead of moving them" },
	{ "max-freeze", 0, OPT_INT, &max_freeze, "MS",
	  "one that stands still longer goes on here (default 2000, containers 30000; 0: none)" },
	{ "max-pause", 0, OPT_INT, &max_pause, "MS", "copies until the pause should be as short as that (default 50)" },
	{ "on-hot", 0, OPT_STR, &on_hot, "WHAT",
	  "if it writes too fast: wait (default), throttle, post-copy, abort" },
	{ "post-copy", 0, OPT_FLAG, &post_copy, NULL, "let it run there before all of its memory has come (a risk)" },
	{ "tracking", 0, OPT_STR, &tracking, "WAY", "how changed memory is found: auto (default) or digest" },
	{ "deadline", 0, OPT_INT, &deadline, "SEC", "how long a lost connection is tried again (default 30)" },
	{ "status", 0, OPT_FLAG, &status_only, NULL, "list moves under way and interrupted ones, and what would become of them" },
	{ "recover", 0, OPT_FLAG, &recovering, NULL, "bring interrupted moves to an end" },
	{ "force", 0, OPT_FLAG, &force, NULL, "with --recover: the other node will never answer again" },
	{ "quiet", 'q', OPT_FLAG, &quiet, NULL, "no progress on the terminal" },
	{ "registry", 0, OPT_ENV, "EDGE_REGISTRY", "URL", "where nodes and services are written down" },
	{ 0 },
};

static const struct cmd cmd = {
	.name = "edge-migrate",
	.synopsis = "[SERVICE...] | -",
	.about = "Moves running services to another node, with their memory, files and open connections.",
	.opts = opts,
	.notes = "With - it does what the records on standard input want moved, and passes the rest on. To move, --to is needed;\n"
		 "--status and --recover take all services when none is named.",
	.example = "edge-migrate web --to edge2",
	.names = names_print,
};

static volatile sig_atomic_t interrupted;
static FILE *out;

static void on_signal(int number)
{
	interrupted = 1;
	several_signal(number);
}

/* Shown only on a terminal, where it overwrites itself. */
static int progress(void *ctx, const char *phase, uint64_t done, uint64_t all)
{
	const char *service = ctx;

	if (quiet || !isatty(STDERR_FILENO))
		return interrupted;
	fprintf(stderr, "\r%s: %-9s", service, phase);
	if (all)
		fprintf(stderr, " %3.0f %%", 100.0 * (double)done / (double)all);
	fputs("\033[K", stderr);
	return interrupted;
}

static void progress_end(void)
{
	if (!quiet && isatty(STDERR_FILENO))
		fputs("\r\033[K", stderr);
}

static bool is_interrupted(void *ctx)
{
	(void)ctx;
	return interrupted;
}

static void retrying(void *ctx, const char *why, int pause_ms)
{
	(void)ctx;
	if (!quiet)
		fprintf(stderr, "%sedge-migrate: %s; tries again in %.1f s\n", isatty(STDERR_FILENO) ? "\r\033[K" : "", why,
			pause_ms / 1e3);
}

static void is_late(void *ctx, const char *why)
{
	if (!quiet)
		fprintf(stderr, "%sedge-migrate: service %s: runs there, and waits for the rest of its memory: %s; tries again\n",
			isatty(STDERR_FILENO) ? "\r\033[K" : "", (const char *)ctx, why);
}

static void is_hot(void *ctx, double dirty_bps, double link_bps)
{
	if (!quiet)
		fprintf(stderr, "%sedge-migrate: service %s: writes %.0f MB/s of memory, and %.0f MB/s get through (--on-hot %s)\n",
			isatty(STDERR_FILENO) ? "\r\033[K" : "", (const char *)ctx, dirty_bps / 1e6, link_bps / 1e6, on_hot);
}

/* The number of a word in a list; -1. */
static int word_of(const char *word, const char *const *list)
{
	for (int i = 0; list[i]; i++)
		if (!strcmp(word, list[i]))
			return i;
	return -1;
}

static const char *const hot_words[] = { [HOT_WAIT] = "wait", [HOT_THROTTLE] = "throttle", [HOT_POST_COPY] = "post-copy",
					  [HOT_ABORT] = "abort", NULL };
static const char *const tracking_words[] = { "auto", "digest", NULL };

static void heed_signals(void (*handler)(int))
{
	signal(SIGINT, handler);
	signal(SIGTERM, handler);
	signal(SIGHUP, handler);
}

/* There, the program ends cleanly when we are gone. */
static int run_there(const char *node, const struct json *args)
{
	struct err e = { 0 };

	heed_signals(SIG_DFL);
	int rc = remote_run(node, "edge-migrate", args, out, cmd_relay, &e);
	heed_signals(on_signal);
	return rc < 0 ? cmd_fail(&cmd, &e) : rc;
}

/* "--NAME" "VALUE" */
static void add_number(struct json *args, const char *name, long value)
{
	char text[32];

	snprintf(text, sizeof(text), "%ld", value);
	json_add(args, json_string(name));
	json_add(args, json_string(text));
}

static void add_word(struct json *args, const char *name, const char *word)
{
	json_add(args, json_string(name));
	json_add(args, json_string(word));
}

static int move_elsewhere(const char *service, const char *node, const char *dest)
{
	AUTO_JSON struct json *args = json_array();

	json_add(args, json_string("--to"));
	json_add(args, json_string(dest));
	if (dry_run)
		json_add(args, json_string("--dry-run"));
	if (ship_base)
		json_add(args, json_string("--ship-base"));
	if (tcp_close)
		json_add(args, json_string("--tcp-close"));
	if (post_copy)
		json_add(args, json_string("--post-copy"));
	if (quiet)
		json_add(args, json_string("--quiet"));
	if (max_freeze >= 0)
		add_number(args, "--max-freeze", max_freeze);
	add_number(args, "--deadline", deadline);
	add_number(args, "--max-pause", max_pause);
	add_word(args, "--on-hot", on_hot);
	add_word(args, "--tracking", tracking);
	json_add(args, json_string("--"));
	json_add(args, json_string(service));
	return run_there(node, args);
}

/* One service; its exit status, an error being told already. */
static int move_one(const char *service, const char *node, const char *dest)
{
	struct move_options opt = {
		.dry_run = dry_run,
		.tcp_close = tcp_close,
		.ship_base = ship_base,
		.connect_ms = CONNECT_MS,
		.max_freeze_ms = (int)max_freeze,
		.deadline_ms = (int)deadline * 1000,
		.progress = progress,
		.by_digest = word_of(tracking, tracking_words) == 1,
		.max_pause_ms = (int)max_pause,
		.on_hot = (enum on_hot)word_of(on_hot, hot_words),
		.post_copy = post_copy,
		.retrying = retrying,
		.late = is_late,
		.hot = is_hot,
		.interrupted = is_interrupted,
		.ctx = (void *)(uintptr_t)service,
	};
	AUTO_JSON struct json *rec = NULL;
	struct err e = { 0 }, unwritten = { 0 };
	int status = 0;

	if (node && strcmp(node, node_self()) && !engine_governs(service))
		return move_elsewhere(service, node, dest);
	if (migrate(service, dest, &opt, &rec, &e))
		status = e.code;
	progress_end();
	if (status)
		cmd_fail(&cmd, &e);
	if (rec && record_print(out, rec, &unwritten))
		status = cmd_fail(&cmd, &unwritten);
	return status;
}

static int migrate_move(const struct json *rec)
{
	const char *service = json_str(rec, "service"), *dest = to ? to : json_str(rec, "to");
	struct err e;

	if (service && dest)
		return move_one(service, from ? from : json_str(rec, "from"), dest);
	err_set(&e, EX_DATAERR, "move without a service or a destination");
	return cmd_fail(&cmd, &e);
}

/* ---- several at a time ---- */

static struct json *waiting; /* NULL: each is moved as it comes */

static int add_move(const struct json *rec)
{
	json_add(waiting, json_copy(rec));
	return 0;
}

static int move_among_others(const struct json *rec, FILE *to_all)
{
	out = to_all;
	quiet = true; /* they would overwrite each other */
	return interrupted ? EX_TEMPFAIL : migrate_move(rec);
}

static int move_waiting(int status)
{
	struct err e;
	int failed = several_run(waiting, (int)jobs, move_among_others, &e);

	json_free(TAKE_PTR(waiting));
	return failed < 0 ? cmd_fail(&cmd, &e) : cmd_done(&cmd, failed ? EX_NO : status);
}

static int move_records(void)
{
	static const char *const actions[] = { "migrate", NULL };
	int status;

	if (jobs == 1)
		return cmd_moves(&cmd, actions, migrate_move);
	waiting = json_array();
	status = cmd_moves(&cmd, actions, add_move);
	return status == EX_DATAERR || status == EX_IOERR ? status : move_waiting(status);
}

static int move_named(char *const *services, int n)
{
	int status = 0;

	if (jobs > 1 && n > 1) {
		waiting = json_array();
		for (int i = 0; i < n; i++) {
			struct json *move = json_object();

			json_set_str(move, "service", services[i]);
			json_add(waiting, move);
		}
		return move_waiting(0);
	}
	for (int i = 0; i < n && !interrupted; i++) {
		int rc = move_one(services[i], from, to);

		if (rc)
			status = n == 1 ? rc : EX_NO;
	}
	return cmd_done(&cmd, status);
}

/* ---- interrupted moves ---- */

static int print_record(void *ctx, const struct json *record)
{
	struct err e;

	(void)ctx;
	if (!record_print(stdout, record, &e))
		return 0;
	cmd_fail(&cmd, &e);
	return -1;
}

static int recover_here(const char *service)
{
	const struct recover_options opt = { .look = status_only, .force = force, .ask_ms = ASK_MS };
	struct err e;
	int left = recover_all(service, &opt, print_record, NULL, &e);

	if (left < 0)
		return cmd_fail(&cmd, &e);
	return left && !status_only ? EX_TEMPFAIL : 0;
}

static int recover_elsewhere(const char *service)
{
	AUTO_JSON struct json *args = json_array();

	json_add(args, json_string(status_only ? "--status" : "--recover"));
	if (force)
		json_add(args, json_string("--force"));
	json_add(args, json_string("--"));
	if (service)
		json_add(args, json_string(service));
	return run_there(from, args);
}

/* All services when none is named. */
static int recover_services(char *const *services, int n)
{
	bool there = from && strcmp(from, node_self());
	int status = 0;

	for (int i = 0; i < n || i < 1; i++) {
		const char *service = n ? services[i] : NULL;
		int rc = there ? recover_elsewhere(service) : recover_here(service);

		if (rc)
			status = rc;
	}
	return cmd_done(&cmd, status);
}

int main(int argc, char **argv)
{
	int status = 0, first = cmd_parse(&cmd, argc, argv, &status);

	if (first < 0)
		return status;
	out = stdout;
	signal(SIGPIPE, SIG_IGN);
	/* A move that is interrupted is undone, not left half done. */
	heed_signals(on_signal);
	if (max_freeze > MAX_FREEZE_MS || deadline > MAX_DEADLINE_S)
		return cmd_usage(&cmd, "--max-freeze is at most a day, and --deadline a week");
	if (max_pause > MAX_PAUSE_MS)
		return cmd_usage(&cmd, "--max-pause is at most an hour");
	if (word_of(on_hot, hot_words) < 0)
		return cmd_usage(&cmd, "--on-hot: wait, throttle, post-copy or abort");
	if (word_of(tracking, tracking_words) < 0)
		return cmd_usage(&cmd, "--tracking: auto or digest");
	if (jobs < 1 || jobs > SEVERAL_MAX)
		return cmd_usage(&cmd, "--jobs %ld: not between 1 and %d", jobs, SEVERAL_MAX);
	if (force && !recovering)
		return cmd_usage(&cmd, "--force is for --recover");
	if (recovering || status_only)
		return recover_services(argv + first, argc - first);
	if (argc - first == 1 && !strcmp(argv[first], "-"))
		return move_records();
	if (first == argc || !to)
		return cmd_usage(&cmd, first == argc ? "no service named" : "--to is missing");
	return move_named(argv + first, argc - first);
}
