/* SPDX-License-Identifier: MIT */
/* Ships checkpoints to another node: checkpoint records in, shipment records out. */
#include <signal.h>
#include <stdio.h>
#include <string.h>

#include "lib/base/opt.h"
#include "lib/discover/names.h"
#include "lib/discover/node.h"
#include "lib/move/filter.h"
#include "lib/move/hold.h"
#include "lib/move/remote.h"

#define CONNECT_MS 10000

static const char *to;
static bool ship_base;

static const struct opt opts[] = {
	{ "to", 't', OPT_STR, &to, "NODE", "the destination (default: the one that the record names)" },
	{ "ship-base", 0, OPT_FLAG, &ship_base, NULL, "bring files of the lower layer that differ there" },
	{ "registry", 0, OPT_ENV, "EDGE_REGISTRY", "URL", "where nodes and services are written down" },
	{ 0 },
};

static const struct cmd cmd = {
	.name = "edge-ship",
	.synopsis = "[CHECKPOINT...]",
	.about = "Ships checkpoints to another node, sending only what it lacks.",
	.opts = opts,
	.filter = true,
	.notes = "Without operands it ships what the records on standard input name, and passes the rest on.",
	.example = "edge-checkpoint web | edge-ship --to edge2 | edge-restore",
	.names = names_print,
};

static void tell(const struct err *e)
{
	cmd_fail(&cmd, e);
}

/* The checkpoint lies on another node: edge-ship there does it, and its record comes back. */
static int ship_elsewhere(const char *node, const struct json *rec, struct json **out, struct err *e)
{
	AUTO_JSON struct json *args = json_array();
	const char *dest = to ? to : json_str(rec, "to");
	AUTO_FREE char *text = NULL;
	size_t len = 0;

	if (dest) {
		json_add(args, json_string("--to"));
		json_add(args, json_string(dest));
	}
	if (ship_base)
		json_add(args, json_string("--ship-base"));
	json_add(args, json_string("--"));
	json_add(args, json_string(json_str(rec, "id") ? json_str(rec, "id") : ""));
	AUTO_FILE FILE *f = open_memstream(&text, &len);
	int rc = remote_run(node, "edge-ship", args, f, cmd_relay, e);
	fflush(f);
	if (rc) /* edge-ship there has said why */
		return rc < 0 ? -1 : 1;
	*out = json_parse(text, strcspn(text, "\n"), e);
	return *out ? 0 : -1;
}

static int ship_record(const struct json *rec, void *ctx, struct json **out, struct err *e)
{
	const struct move_options *opt = ctx;
	const char *from = json_str(rec, json_has(rec, "node") ? "node" : "from");

	if (from && strcmp(from, node_self()))
		return ship_elsewhere(from, rec, out, e);
	return ship(rec, to, opt, out, e);
}

int main(int argc, char **argv)
{
	static const char *const kinds[] = { "checkpoint", NULL };
	int status = 0, failed = 0, first = cmd_parse(&cmd, argc, argv, &status);
	struct move_options opt = { .connect_ms = CONNECT_MS, .ship_base = ship_base };
	struct err e = { 0 };

	if (first < 0)
		return status;
	signal(SIGPIPE, SIG_IGN);
	if (first == argc)
		return filter_records(stdin, stdout, kinds, ship_record, &opt, tell, &failed, &e)
			       ? cmd_fail(&cmd, &e)
			       : cmd_done(&cmd, failed ? EX_NO : 0);
	for (int i = first; i < argc; i++) {
		AUTO_JSON struct json *rec = json_object(), *made = NULL;

		json_set_str(rec, "id", argv[i]);
		if (ship(rec, to, &opt, &made, &e) || record_print(stdout, made, &e))
			status = argc - first == 1 ? cmd_fail(&cmd, &e) : (tell(&e), EX_NO);
	}
	return cmd_done(&cmd, status);
}
