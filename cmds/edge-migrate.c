/* SPDX-License-Identifier: MIT */
/* Moves running services to another node, live, and prints their records. */
#include <signal.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#include "lib/base/opt.h"
#include "lib/discover/names.h"
#include "lib/discover/node.h"
#include "lib/move/migrate.h"
#include "lib/move/remote.h"

#define CONNECT_MS 10000

static const char *to, *from;
static bool dry_run, tcp_close, ship_base, quiet;

static const struct opt opts[] = {
	{ "to", 't', OPT_STR | OPT_REQUIRED, &to, "NODE", "the destination" },
	{ "from", 'f', OPT_STR, &from, "NODE", "the service runs on that node (default: this one)" },
	{ "dry-run", 'n', OPT_FLAG, &dry_run, NULL, "check at the destination, and move nothing" },
	{ "ship-base", 0, OPT_FLAG, &ship_base, NULL, "bring files of the lower layer that differ there" },
	{ "tcp-close", 0, OPT_FLAG, &tcp_close, NULL, "close open connections instead of moving them" },
	{ "quiet", 'q', OPT_FLAG, &quiet, NULL, "no progress on the terminal" },
	{ "registry", 0, OPT_ENV, "EDGE_REGISTRY", "URL", "where nodes and services are written down" },
	{ 0 },
};

static const struct cmd cmd = {
	.name = "edge-migrate",
	.synopsis = "SERVICE... | -",
	.about = "Moves running services to another node, with their memory, files and open connections.",
	.opts = opts,
	.notes = "With - it does what the records on standard input want moved, and passes the rest on.",
	.example = "edge-migrate web --to edge2",
	.names = names_print,
};

static volatile sig_atomic_t interrupted;

static void on_signal(int number)
{
	(void)number;
	interrupted = 1;
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
	if (!strcmp(phase, "done"))
		fputs("\r\033[K", stderr);
	return interrupted;
}

static int move_elsewhere(const char *service, const char *node, const char *dest)
{
	AUTO_JSON struct json *args = json_array();
	struct err e = { 0 };
	int rc;

	json_add(args, json_string("--to"));
	json_add(args, json_string(dest));
	if (dry_run)
		json_add(args, json_string("--dry-run"));
	if (ship_base)
		json_add(args, json_string("--ship-base"));
	if (tcp_close)
		json_add(args, json_string("--tcp-close"));
	json_add(args, json_string("--"));
	json_add(args, json_string(service));
	rc = remote_run(node, "edge-migrate", args, stdout, cmd_relay, &e);
	return rc < 0 ? cmd_fail(&cmd, &e) : rc;
}

/* One service; its exit status, an error being told already. */
static int move_one(const char *service, const char *node, const char *dest)
{
	struct move_options opt = {
		.dry_run = dry_run,
		.tcp_close = tcp_close,
		.ship_base = ship_base,
		.connect_ms = CONNECT_MS,
		.progress = progress,
		.ctx = (void *)(uintptr_t)service,
	};
	AUTO_JSON struct json *rec = NULL;
	struct err e = { 0 }, out = { 0 };
	int status = 0;

	if (node && strcmp(node, node_self()))
		return move_elsewhere(service, node, dest);
	if (migrate(service, dest, &opt, &rec, &e))
		status = e.code;
	progress(opt.ctx, "done", 0, 0);
	if (status)
		cmd_fail(&cmd, &e);
	if (rec && record_print(stdout, rec, &out))
		status = cmd_fail(&cmd, &out);
	return status;
}

static int move_records(void)
{
	AUTO_RECORDS struct records *in = records_open(stdin, "stdin");
	int status = 0, rc;
	struct err e;

	for (;;) {
		AUTO_JSON struct json *rec = NULL;

		if ((rc = records_next(in, &rec, &e)) <= 0)
			break;
		const char *kind = json_str(rec, "kind"), *action = json_str(rec, "action");
		const char *service = json_str(rec, "service"), *dest = to ? to : json_str(rec, "to");
		if (!kind || !action || strcmp(kind, "move") || strcmp(action, "migrate")) {
			if (record_pass(stdout, records_line(in), &e))
				return cmd_fail(&cmd, &e);
		} else if (!service || !dest) {
			err_set(&e, EX_DATAERR, "move without a service or a destination");
			cmd_fail(&cmd, &e);
			status = EX_NO;
		} else if (move_one(service, from ? from : json_str(rec, "from"), dest)) {
			status = EX_NO;
		}
	}
	return rc < 0 ? cmd_fail(&cmd, &e) : cmd_done(&cmd, status);
}

int main(int argc, char **argv)
{
	int status = 0, first = cmd_parse(&cmd, argc, argv, &status);

	if (first < 0)
		return status;
	signal(SIGPIPE, SIG_IGN);
	/* A move that is interrupted is undone, not left half done. */
	signal(SIGINT, on_signal);
	signal(SIGTERM, on_signal);
	signal(SIGHUP, on_signal);
	if (argc - first == 1 && !strcmp(argv[first], "-"))
		return move_records();
	if (first == argc || !to)
		return cmd_usage(&cmd, first == argc ? "no service named" : "--to is missing");
	for (int i = first; i < argc && !interrupted; i++) {
		int rc = move_one(argv[i], from, to);

		if (rc)
			status = argc - first == 1 ? rc : EX_NO;
	}
	return cmd_done(&cmd, status);
}
