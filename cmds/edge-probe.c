/* SPDX-License-Identifier: MIT */
/* Finds out what machines have and how busy they are: node records, and service records of what runs there. */
#include <math.h>
#include <signal.h>
#include <stdio.h>
#include <string.h>

#include "lib/base/opt.h"
#include "lib/discover/names.h"
#include "lib/measure/cpuscore.h"
#include "lib/measure/inventory.h"
#include "lib/move/survey.h"

static struct inventory plan = { .window_s = 60 };
static bool verbose;
static long jobs = 16;
static double time_limit = 30;
static const char *scores_file;
static struct cpuscore_table *scores;

static const struct opt opts[] = {
	{ "services", 's', OPT_FLAG, &plan.services, NULL, "also tell what runs there, and what it uses" },
	{ "window", 'w', OPT_NUM, &plan.window_s, "SEC", "tell use over that time, as far as it has been counted (default 60)" },
	{ "jobs", 'j', OPT_INT, &jobs, "N", "ask so many nodes at a time (default 16)" },
	{ "timeout", 't', OPT_NUM, &time_limit, "SEC", "of patience with each of them (default 30)" },
	{ "cpu-scores", 0, OPT_STR, &scores_file, "FILE", "scores of processors by name, from lines \"name,mark\"" },
	{ "verbose", 'v', OPT_FLAG, &verbose, NULL, "say why something is not told" },
	{ "registry", 0, OPT_ENV, "EDGE_REGISTRY", "URL", "where nodes and services are written down" },
	{ 0 },
};

static const struct cmd cmd = {
	.name = "edge-probe",
	.synopsis = "[NODE...] | -",
	.about = "Finds out what machines have, how busy they are, and what runs there.",
	.opts = opts,
	.notes = "Without operands it tells of this machine; with - of the nodes whose records are on standard input, and passes\n"
		 "the rest on.",
	.example = "edge-probe --services edge1 edge2",
	.names = names_print,
};

static void tell_absent(void *ctx, const char *what, const char *why)
{
	struct err e;

	(void)ctx;
	err_set(&e, EX_UNAVAILABLE, "%s: absent: %s", what, why);
	cmd_fail(&cmd, &e);
}

static const struct absence absence = { .tell = tell_absent };

/* A table that has the processor says its score, and nothing else does. */
static void score(struct json *node)
{
	const char *model = json_str(node, "cpu.model");
	double mark = model ? cpuscore_table_find(scores, model) : NAN;
	AUTO_JSON struct json *cpu = json_get(node, "cpu");

	json_remove(cpu, "score");
	json_remove(cpu, "scores");
	json_remove(cpu, "scored");
	json_set_num(cpu, "score", mark);
	json_set(node, "cpu", json_copy(cpu));
	if (isnan(mark) && verbose)
		absent(&absence, "cpu.score", "%s: not in %s", model ? model : "no model", scores_file);
}

static int print(struct json *rec, struct err *e)
{
	const char *kind = json_str(rec, "kind");

	if (scores && kind && !strcmp(kind, "node"))
		score(rec);
	return record_print(stdout, rec, e);
}

static int probe_here(struct err *e)
{
	AUTO_JSON struct json *all = inventory(&plan, verbose ? &absence : NULL);

	for (size_t i = 0; i < json_len(all, NULL); i++) {
		AUTO_JSON struct json *rec = json_at(all, i);

		if (print(rec, e))
			return -1;
	}
	return 0;
}

/* ---- others ---- */

static int take(void *ctx, struct json *made, struct err *e)
{
	AUTO_JSON struct json *rec = made;

	(void)ctx;
	return print(rec, e);
}

static void failed(void *ctx, const struct err *e)
{
	(void)ctx;
	cmd_fail(&cmd, e);
}

static int probe_nodes(const struct json *nodes, struct err *e)
{
	AUTO_JSON struct json *args = json_array();
	struct survey s = { .nodes = nodes, .args = args, .at_once = (int)jobs, .timeout_ms = (int)(time_limit * 1e3),
			    .say = cmd_relay, .record = take, .failed = failed };
	char window[32];

	snprintf(window, sizeof(window), "%.3f", plan.window_s);
	json_add(args, json_string("--window"));
	json_add(args, json_string(window));
	if (plan.services)
		json_add(args, json_string("--services"));
	if (verbose)
		json_add(args, json_string("--verbose"));
	return survey_run(&s, e);
}

/* The nodes on stdin; the rest is passed on first. */
static int read_nodes(struct json *nodes, struct err *e)
{
	AUTO_RECORDS struct records *in = records_open(stdin, "stdin");
	struct json *rec;
	int rc;

	while ((rc = records_next(in, &rec, e)) > 0) {
		const char *kind = json_str(rec, "kind");

		if (kind && !strcmp(kind, "node")) {
			json_add(nodes, rec);
			continue;
		}
		json_free(rec);
		if (record_pass(stdout, records_line(in), e))
			return -1;
	}
	return rc;
}

static int probe(int n, char **operands, struct err *e)
{
	AUTO_JSON struct json *nodes = json_array();

	if (!n)
		return probe_here(e);
	if (n == 1 && !strcmp(operands[0], "-")) {
		if (read_nodes(nodes, e))
			return -1;
	} else {
		for (int i = 0; i < n; i++)
			json_add(nodes, json_string(operands[i]));
	}
	return probe_nodes(nodes, e);
}

int main(int argc, char **argv)
{
	int status = 0, first = cmd_parse(&cmd, argc, argv, &status);
	struct err e = { 0 };

	if (first < 0)
		return status;
	signal(SIGPIPE, SIG_IGN);
	if (!(plan.window_s >= 1 && plan.window_s <= 86400))
		return cmd_usage(&cmd, "--window %g: not between 1 and 86400 seconds", plan.window_s);
	if (!(time_limit >= 0.1 && time_limit <= 86400))
		return cmd_usage(&cmd, "--timeout %g: not between 0.1 and 86400 seconds", time_limit);
	if (jobs < 1 || jobs > 1000)
		return cmd_usage(&cmd, "--jobs %ld: not between 1 and 1000", jobs);
	if (scores_file && cpuscore_table_open(&scores, scores_file, &e))
		return cmd_fail(&cmd, &e);
	status = probe(argc - first, argv + first, &e);
	if (status < 0)
		status = cmd_fail(&cmd, &e);
	cpuscore_table_close(scores);
	return cmd_done(&cmd, status);
}
