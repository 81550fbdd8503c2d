/* SPDX-License-Identifier: MIT */
/* Shows a fleet as it is: nodes, services, users and moves, and lets a person move, stop and start services. */
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "lib/base/opt.h"
#include "lib/base/proc.h"
#include "lib/discover/names.h"
#include "lib/view/top.h"

static bool once;
static double every = 5, red = 50;
static long moves = 10;
static const char *log_file;

static const struct opt opts[] = {
	{ "every", 'e', OPT_NUM, &every, "SEC", "look every SEC seconds (default 5)" },
	{ "once", '1', OPT_FLAG, &once, NULL, "print it once, as text" },
	{ "red", 0, OPT_NUM, &red, "PCT", "call a node red when more than that of anything is in use (default 50)" },
	{ "log", 'l', OPT_STR, &log_file, "FILE", "also take the records that others write to FILE, such as decisions" },
	{ "moves", 0, OPT_INT, &moves, "N", "show the last N moves (default 10)" },
	{ "registry", 0, OPT_ENV, "EDGE_REGISTRY", "URL", "where nodes and services are written down" },
	{ 0 },
};

static const struct cmd cmd = {
	.name = "edge-top",
	.synopsis = "[NODE...] | -",
	.about = "Shows nodes, services, users and moves as they are, in a terminal.",
	.opts = opts,
	.notes = "Without operands it shows the nodes of the registry; with - what the records on standard input say. Keys: q leaves,\n"
		 "up and down select a service, m migrates it, s stops it, d deploys another; each is confirmed by y.",
	.example = "edge-top --every 2 edge1 edge2",
	.names = names_print,
};

/* Nodes of the registry as words; NULL when there are none. Of one that cannot be read there are none. */
static char **known_nodes(size_t *n)
{
	char *text = NULL, **all = NULL, *at, *rest;
	size_t size = 0;
	FILE *f = open_memstream(&text, &size);

	*n = 0;
	if (!f)
		return NULL;
	names_print("nodes", f);
	fclose(f);
	for (at = strtok_r(text, "\n", &rest); at; at = strtok_r(NULL, "\n", &rest)) {
		char **bigger = realloc(all, (*n + 1) * sizeof(*all));

		if (!bigger)
			break;
		all = bigger;
		all[(*n)++] = strdup(at);
	}
	free(text);
	return all;
}

/* edge-probe, as it is to be run; kept until the end of this program. */
static char **probe_command(char **nodes, size_t n)
{
	static char seconds[32];
	char **argv = calloc(n + 6, sizeof(*argv));
	size_t k = 0;

	snprintf(seconds, sizeof(seconds), "%g", every);
	if (!argv)
		return NULL;
	argv[k++] = "edge-probe";
	argv[k++] = "--services";
	if (!once) {
		argv[k++] = "--every";
		argv[k++] = seconds;
	}
	argv[k++] = "--";
	memcpy(argv + k, nodes, n * sizeof(*argv));
	return argv;
}

int main(int argc, char **argv)
{
	int status = 0, first = cmd_parse(&cmd, argc, argv, &status);
	struct err e = { 0 };

	if (first < 0)
		return status;
	bool records = argc - first == 1 && !strcmp(argv[first], "-");
	if (!(every >= 0.5 && every <= 3600))
		return cmd_usage(&cmd, "--every %g: not between 0.5 and 3600 seconds", every);
	if (red > 100)
		return cmd_usage(&cmd, "--red %g: more than 100", red);
	if (!once && !isatty(STDOUT_FILENO))
		return cmd_usage(&cmd, "standard output is no terminal: --once prints text");
	proc_fellows();
	size_t n = (size_t)(argc - first);
	char **nodes = n ? argv + first : known_nodes(&n);
	struct top_options o = {
		.probe = records ? NULL : probe_command(nodes, n),
		.log = log_file,
		.red = red / 100,
		.every_s = every,
		.moves = (int)(moves < 1000 ? moves : 1000),
		.say = cmd_relay,
	};
	signal(SIGPIPE, SIG_IGN);
	if (once ? top_print(&o, &status, &e) : top_watch(&o, &e))
		return cmd_fail(&cmd, &e);
	return cmd_done(&cmd, status);
}
