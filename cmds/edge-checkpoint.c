/* SPDX-License-Identifier: MIT */
/* Freezes services, prints their checkpoints, and holds each until it was handed over. Lists and removes those that lie here. */
#include <limits.h>
#include <signal.h>
#include <stdio.h>
#include <string.h>

#include "lib/base/opt.h"
#include "lib/discover/names.h"
#include "lib/discover/node.h"
#include "lib/move/checkpoint.h"
#include "lib/move/hold.h"
#include "lib/move/remote.h"

#define HOLD_MAX_S 86400

static const char *to, *from;
static long hold_s = 30, pid;
static bool leave_running, tcp_close, list, discard;

static const struct opt opts[] = {
	{ "to", 't', OPT_STR, &to, "NODE", "the destination that its record names" },
	{ "from", 'f', OPT_STR, &from, "NODE", "the node where all this is done (default: this one)" },
	{ "pid", 0, OPT_INT, &pid, "PID", "take a tree of processes that is no service; it goes on" },
	{ "leave-running", 0, OPT_FLAG, &leave_running, NULL, "a snapshot: the service goes on at once" },
	{ "hold", 0, OPT_INT, &hold_s, "SEC", "thaw it when nobody took it by then (default 30)" },
	{ "tcp-close", 0, OPT_FLAG, &tcp_close, NULL, "close open connections instead of keeping them" },
	{ "list", 'l', OPT_FLAG, &list, NULL, "show the checkpoints that lie at the node" },
	{ "remove", 0, OPT_FLAG, &discard, NULL, "remove checkpoints that lie there, by their ids" },
	{ "registry", 0, OPT_ENV, "EDGE_REGISTRY", "URL", "where nodes and services are written down" },
	{ 0 },
};

static const struct cmd cmd = {
	.name = "edge-checkpoint",
	.synopsis = "SERVICE | CHECKPOINT... | -",
	.about = "Freezes a running service and holds it until its checkpoint was handed over.",
	.opts = opts,
	.notes = "With - it checkpoints what the records on standard input want moved, and passes the rest on.",
	.example = "edge-checkpoint web | edge-ship --to edge2 | edge-restore",
	.names = names_print,
};

static int elsewhere(const char *service, const char *node, const char *dest)
{
	AUTO_JSON struct json *args = json_array();
	struct err e = { 0 };
	char seconds[24];
	int rc;

	snprintf(seconds, sizeof(seconds), "--hold=%ld", hold_s);
	json_add(args, json_string(seconds));
	if (dest) {
		json_add(args, json_string("--to"));
		json_add(args, json_string(dest));
	}
	if (leave_running)
		json_add(args, json_string("--leave-running"));
	if (tcp_close)
		json_add(args, json_string("--tcp-close"));
	json_add(args, json_string("--"));
	json_add(args, json_string(service));
	rc = remote_run(node, "edge-checkpoint", args, stdout, cmd_relay, &e);
	return rc < 0 ? cmd_fail(&cmd, &e) : rc;
}

static int take(const char *service, const char *node, const char *dest)
{
	struct move_options opt = { .tcp_close = tcp_close };
	struct err e = { 0 };

	if (node && strcmp(node, node_self()))
		return elsewhere(service, node, dest);
	return hold(service, dest, leave_running, (int)hold_s, &opt, stdout, &e) ? cmd_fail(&cmd, &e) : 0;
}

static int take_of_move(const struct json *rec)
{
	const char *service = json_str(rec, "service");
	struct err e;

	if (service)
		return take(service, from ? from : json_str(rec, "from"), to ? to : json_str(rec, "to"));
	err_set(&e, EX_DATAERR, "move: the record does not name its service");
	return cmd_fail(&cmd, &e);
}

/* --list or --remove, at another node. */
static int ask_there(const char *option, int n, char **ids)
{
	AUTO_JSON struct json *args = json_array();
	struct err e = { 0 };

	json_add(args, json_string(option));
	json_add(args, json_string("--"));
	for (int i = 0; i < n; i++)
		json_add(args, json_string(ids[i]));
	int rc = remote_run(from, "edge-checkpoint", args, stdout, cmd_relay, &e);
	return rc < 0 ? cmd_fail(&cmd, &e) : rc;
}

static int list_here(void)
{
	struct err e = { 0 };
	AUTO_JSON struct json *all = checkpoint_list(&e);

	return all && !record_print_all(stdout, all, &e) ? 0 : cmd_fail(&cmd, &e);
}

static int remove_here(int n, char **ids)
{
	int status = 0;

	for (int i = 0; i < n; i++) {
		AUTO_JSON struct json *rec = NULL;
		struct err e = { 0 };

		if (checkpoint_drop(ids[i], &rec, &e) || record_print(stdout, rec, &e))
			status = cmd_fail(&cmd, &e);
	}
	return n > 1 && status ? EX_NO : status;
}

static int keep_house(int n, char **ids)
{
	bool away = from && strcmp(from, node_self());

	if (list && (discard || n))
		return cmd_usage(&cmd, "--list: takes no operand and no --remove");
	if (discard && !n)
		return cmd_usage(&cmd, "no checkpoint named");
	if (away)
		return ask_there(list ? "--list" : "--remove", n, ids);
	return list ? list_here() : remove_here(n, ids);
}

int main(int argc, char **argv)
{
	int status = 0, first = cmd_parse(&cmd, argc, argv, &status);
	struct move_options opt = { 0 };
	struct err e = { 0 };

	if (first < 0)
		return status;
	signal(SIGPIPE, SIG_IGN);
	opt.tcp_close = tcp_close;
	if (list || discard)
		return cmd_done(&cmd, keep_house(argc - first, argv + first));
	if (hold_s > HOLD_MAX_S)
		return cmd_usage(&cmd, "--hold: more than %d seconds: %ld", HOLD_MAX_S, hold_s);
	if (pid && (first < argc || pid > INT_MAX))
		return cmd_usage(&cmd, first < argc ? "--pid: takes no service" : "--pid: no such process");
	if (pid)
		return hold_pid((pid_t)pid, &opt, stdout, &e) ? cmd_fail(&cmd, &e) : cmd_done(&cmd, 0);
	if (argc - first != 1)
		return cmd_usage(&cmd, "one service, or -");
	if (!strcmp(argv[first], "-"))
		return cmd_moves(&cmd, (const char *const[]){ "migrate", NULL }, take_of_move);
	return cmd_done(&cmd, take(argv[first], from, to));
}
