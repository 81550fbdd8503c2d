/* SPDX-License-Identifier: MIT */
/* Moves running services to another node, live, and prints their records. */
#include <signal.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#include "lib/base/opt.h"
#include "lib/move/migrate.h"
#include "lib/move/remote.h"

#define CONNECT_MS 10000

static const char *to, *from;
static bool dry_run, tcp_close, ship_base, quiet;

static const struct opt opts[] = {
	{ "to", 't', OPT_STR, &to, "NODE", "the destination" },
	{ "from", 'f', OPT_STR, &from, "NODE", "the service runs on that node (default: this one)" },
	{ "dry-run", 'n', OPT_FLAG, &dry_run, NULL, "check at the destination, and move nothing" },
	{ "ship-base", 0, OPT_FLAG, &ship_base, NULL, "bring files of the lower layer that differ there" },
	{ "tcp-close", 0, OPT_FLAG, &tcp_close, NULL, "close open connections instead of moving them" },
	{ "quiet", 'q', OPT_FLAG, &quiet, NULL, "no progress on the terminal" },
	{ 0 },
};

static const struct cmd cmd = {
	.name = "edge-migrate",
	.synopsis = "SERVICE... | -",
	.about = "Moves running services to another node, with their memory, files and open connections.",
	.opts = opts,
};

int main(int argc, char **argv)
{
	struct err e = { 0 };
	int status = 0, first = cmd_parse(&cmd, argc, argv, &status);
	struct move_options opt = { .connect_ms = CONNECT_MS };

	if (first < 0)
		return status;
	signal(SIGPIPE, SIG_IGN);
	opt.dry_run = dry_run;
	opt.tcp_close = tcp_close;
	opt.ship_base = ship_base;
	for (int i = first; i < argc; i++) {
		AUTO_JSON struct json *rec = NULL;

		if (migrate(argv[i], to, &opt, &rec, &e))
			status = cmd_fail(&cmd, &e);
		if (rec)
			record_print(stdout, rec, &e);
	}
	return cmd_done(&cmd, status);
}
