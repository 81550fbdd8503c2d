/* SPDX-License-Identifier: MIT */
/* Restores shipped checkpoints at their destination: shipment records in, service records out. */
#include <signal.h>
#include <stdio.h>

#include "lib/base/opt.h"
#include "lib/base/proc.h"
#include "lib/discover/names.h"
#include "lib/move/filter.h"
#include "lib/move/hold.h"

static const char *on;

static const struct opt opts[] = {
	{ "on", 0, OPT_STR, &on, "NODE", "the node that has the checkpoint (default: the one the record names, or this)" },
	{ "registry", 0, OPT_ENV, "EDGE_REGISTRY", "URL", "where nodes and services are written down" },
	{ 0 },
};

static const struct cmd cmd = {
	.name = "edge-restore",
	.synopsis = "[CHECKPOINT...]",
	.about = "Restores checkpoints where they were shipped to, and lets their holders go.",
	.opts = opts,
	.filter = true,
	.notes = "Without operands it restores what the records on standard input name, and passes the rest on.",
	.example = "edge-checkpoint web | edge-ship --to edge2 | edge-restore",
	.names = names_print,
};

static void tell(const struct err *e)
{
	cmd_fail(&cmd, e);
}

static int restore_record(const struct json *rec, void *ctx, struct json **out, struct err *e)
{
	AUTO_JSON struct json *copy = json_copy(rec);

	(void)ctx;
	if (on)
		json_set_str(copy, "to", on);
	return restore(copy, out, e);
}

int main(int argc, char **argv)
{
	static const char *const kinds[] = { "shipment", NULL };
	int status = 0, failed = 0, first = cmd_parse(&cmd, argc, argv, &status);
	struct err e = { 0 };

	if (first < 0)
		return status;
	proc_fellows(); /* edge-serve */
	signal(SIGPIPE, SIG_IGN);
	if (first == argc)
		return filter_records(stdin, stdout, kinds, restore_record, NULL, tell, &failed, &e)
			       ? cmd_fail(&cmd, &e)
			       : cmd_done(&cmd, failed ? EX_NO : 0);
	for (int i = first; i < argc; i++) {
		AUTO_JSON struct json *rec = json_object(), *made = NULL;

		json_set_str(rec, "id", argv[i]);
		if (restore_record(rec, NULL, &made, &e) || record_print(stdout, made, &e))
			status = argc - first == 1 ? cmd_fail(&cmd, &e) : (tell(&e), EX_NO);
	}
	return cmd_done(&cmd, status);
}
