/* SPDX-License-Identifier: MIT */
/* Finds out what machines have and how busy they are: node records, and service records of what runs there. */
#include <math.h>
#include <signal.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#include "lib/base/clock.h"
#include "lib/base/file.h"
#include "lib/base/opt.h"
#include "lib/discover/discover.h"
#include "lib/discover/enlist.h"
#include "lib/discover/ldap_map.h"
#include "lib/discover/names.h"
#include "lib/measure/changes.h"
#include "lib/measure/cpuscore.h"
#include "lib/measure/exporter.h"
#include "lib/measure/inventory.h"
#include "lib/measure/prom.h"
#include "lib/move/survey.h"

static struct inventory plan = { .window_s = 60 };
static bool verbose, enlisting, changed_only, bootstrap;
static long jobs = 16;
static double time_limit = 30, every;
static long rounds, lease;
static struct opt_list from;
static const char *scores_file, *source, *ldif_base, *prom_file;

static const struct opt opts[] = {
	{ "services", 's', OPT_FLAG, &plan.services, NULL, "also tell what runs there, and what it uses" },
	{ "window", 'w', OPT_NUM, &plan.window_s, "SEC", "tell use over that time, as far as it has been counted (default 60)" },
	{ "jobs", 'j', OPT_INT, &jobs, "N", "ask so many nodes at a time (default 16)" },
	{ "timeout", 't', OPT_NUM, &time_limit, "SEC", "of patience with each of them (default 30)" },
	{ "bootstrap", 0, OPT_FLAG, &bootstrap, NULL, "where nothing of ours is installed, bring it along for this run" },
	{ "every", 'e', OPT_NUM, &every, "SEC", "do it again every SEC seconds" },
	{ "rounds", 0, OPT_INT, &rounds, "N", "with --every: end after so many" },
	{ "changes", 0, OPT_FLAG, &changed_only, NULL, "with --every: print only records that say something new" },
	{ "discover", 'd', OPT_STR, &source, "URL", "print the nodes of a registry, a DNS name (dns:NAME) or a FILE" },
	{ "from", 0, OPT_LIST, &from, "KIND:URL", "ask node-exporter:URL or cadvisor:URL; may be given several times" },
	{ "register", 'R', OPT_FLAG, &enlisting, NULL, "write the nodes to the registry, too" },
	{ "lease", 0, OPT_INT, &lease, "SEC", "with --register: forgotten unless written again in time (etcd)" },
	{ "ldif", 0, OPT_STR, &ldif_base, "DN", "print LDAP entries of the nodes, below DN, instead of records" },
	{ "prometheus", 0, OPT_STR, &prom_file, "FILE", "write metrics to FILE, for a textfile collector" },
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

/* What becomes of records. */
struct run {
	struct cpuscore_table *scores; /* NULL: not asked for; the same for the others */
	struct registry *registry;
	struct changes *changes;
	struct json *told; /* of this round, for metrics */
};

/* A table that has the processor says its score, and nothing else does. */
static void score(const struct run *r, struct json *node)
{
	const char *model = json_str(node, "cpu.model");
	double mark = model ? cpuscore_table_find(r->scores, model) : NAN;
	AUTO_JSON struct json *cpu = json_get(node, "cpu");

	if (isnan(mark) && verbose)
		absent(&absence, "cpu.score", "%s: not in %s", model ? model : "no model", scores_file);
	if (!cpu)
		return;
	json_remove(cpu, "score");
	json_remove(cpu, "scores");
	json_remove(cpu, "scored");
	json_set_num(cpu, "score", mark);
	json_set(node, "cpu", json_copy(cpu));
}

static int print(const struct json *rec, bool node, struct err *e)
{
	AUTO_FREE char *entry = NULL;

	if (!ldif_base)
		return record_print(stdout, rec, e);
	if (!node)
		return 0;
	if (!(entry = ldap_entry(rec, ldif_base, e)))
		return -1;
	return record_pass(stdout, entry, e);
}

static int take(void *ctx, struct json *made, struct err *e)
{
	AUTO_JSON struct json *rec = made;
	struct run *r = ctx;
	bool node = json_str(rec, "kind") && !strcmp(json_str(rec, "kind"), "node");

	if (r->scores && node)
		score(r, rec);
	if (r->registry && node && enlist(r->registry, rec, e))
		return -1;
	if (r->told)
		json_add(r->told, json_copy(rec));
	return r->changes && !changes_take(r->changes, rec) ? 0 : print(rec, node, e);
}

static int take_all(struct run *r, const struct json *all, struct err *e)
{
	for (size_t i = 0; i < json_len(all, NULL); i++)
		if (take(r, json_at(all, i), e))
			return -1;
	return 0;
}

static int probe_here(struct run *r, struct err *e)
{
	AUTO_JSON struct json *all = inventory(&plan, verbose ? &absence : NULL);

	return take_all(r, all, e);
}

static int discover_nodes(struct run *r, struct err *e)
{
	AUTO_JSON struct json *all = NULL;

	return discover(source, &all, e) ? -1 : take_all(r, all, e);
}

/* Of several, one that fails does not hold up the others. */
static int read_exporters(struct run *r, struct err *e)
{
	AUTO_JSON struct json *all = json_array();
	int status = 0;

	for (int i = 0; i < from.n; i++) {
		struct err why;

		if (!exporter_read(from.items[i], plan.window_s, all, &why))
			continue;
		if (why.code == EX_USAGE) {
			*e = why;
			return -1;
		}
		status = from.n > 1 ? EX_NO : why.code;
		cmd_fail(&cmd, &why);
	}
	return take_all(r, all, e) ? -1 : status;
}

/* ---- others ---- */

static void failed(void *ctx, const struct err *e)
{
	(void)ctx;
	cmd_fail(&cmd, e);
}

static int probe_nodes(struct run *r, const struct json *nodes, struct err *e)
{
	AUTO_JSON struct json *args = json_array();
	struct survey s = { .nodes = nodes, .args = args, .at_once = (int)jobs, .timeout_ms = (int)(time_limit * 1e3),
			    .bootstrap = bootstrap,
			    .say = cmd_relay, .record = take, .failed = failed, .ctx = r };
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

/* The nodes that are named; NULL when none is. */
static int named(int n, char **operands, struct json **nodes, struct err *e)
{
	if (!n)
		return 0;
	*nodes = json_array();
	if (n == 1 && !strcmp(operands[0], "-"))
		return read_nodes(*nodes, e);
	for (int i = 0; i < n; i++)
		json_add(*nodes, json_string(operands[i]));
	return 0;
}

/* ---- rounds ---- */

/* What is left to do when all records of a round have been told. */
static int finish_round(struct run *r, struct err *e)
{
	AUTO_JSON struct json *gone = r->changes ? changes_round(r->changes) : NULL;
	AUTO_FREE char *metrics = r->told ? prom_text(r->told) : NULL;

	for (size_t i = 0; gone && i < json_len(gone, NULL); i++) {
		AUTO_JSON struct json *rec = json_at(gone, i);

		if (print(rec, false, e))
			return -1;
	}
	if (!metrics)
		return 0;
	json_free(r->told);
	r->told = json_array();
	return file_write(prom_file, metrics, strlen(metrics), 0644, e);
}

static int run_round(struct run *r, const struct json *nodes, struct err *e)
{
	int status = source ? discover_nodes(r, e) :
		     from.n ? read_exporters(r, e) :
		     nodes  ? probe_nodes(r, nodes, e) :
			      probe_here(r, e);

	return status < 0 || finish_round(r, e) ? -1 : status;
}

/* An exit status, or -1. What fails in one round may do in the next. */
static int run_rounds(struct run *r, const struct json *nodes, struct err *e)
{
	double next = clock_ms();
	int status = 0;

	for (long i = 0; !rounds || i < rounds; i++) {
		int rc = run_round(r, nodes, e);

		if (rc < 0 && (!every || e->code == EX_IOERR))
			return -1;
		if (rc < 0)
			cmd_fail(&cmd, e);
		status = rc < 0 ? EX_NO : rc ? rc : status;
		if (!every || i + 1 == rounds)
			break;
		next = fmax(next + every * 1e3, clock_ms());
		usleep((useconds_t)((next - clock_ms()) * 1e3));
	}
	return status;
}

static int run(int n, char **operands, struct err *e)
{
	AUTO_JSON struct json *nodes = NULL;
	struct run r = { 0 };
	int status = -1;

	if (!(scores_file && cpuscore_table_open(&r.scores, scores_file, e)) && !named(n, operands, &nodes, e) &&
	    !(enlisting && registry_open(&r.registry, NULL, e)) && !(lease && registry_lease(r.registry, (int)lease, e))) {
		r.changes = changed_only ? changes_new() : NULL;
		r.told = prom_file ? json_array() : NULL;
		status = run_rounds(&r, nodes, e);
	}
	cpuscore_table_close(r.scores);
	registry_close(r.registry);
	changes_free(r.changes);
	json_free(r.told);
	return status;
}

/* Options that do not go together; 0 when all is well. */
static int check_use(int operands)
{
	if (!(plan.window_s >= 1 && plan.window_s <= 86400))
		return cmd_usage(&cmd, "--window %g: not between 1 and 86400 seconds", plan.window_s);
	if (!(time_limit >= 0.1 && time_limit <= 86400))
		return cmd_usage(&cmd, "--timeout %g: not between 0.1 and 86400 seconds", time_limit);
	if (every != 0 && !(every >= 0.1 && every <= 86400))
		return cmd_usage(&cmd, "--every %g: not between 0.1 and 86400 seconds", every);
	if (jobs < 1 || jobs > 1000)
		return cmd_usage(&cmd, "--jobs %ld: not between 1 and 1000", jobs);
	if ((rounds || changed_only) && every == 0)
		return cmd_usage(&cmd, "--%s is for --every", rounds ? "rounds" : "changes");
	if (lease && !enlisting)
		return cmd_usage(&cmd, "--lease is for --register");
	if (lease > 86400 * 365)
		return cmd_usage(&cmd, "--lease %ld: more than a year", lease);
	if ((source || from.n) && operands)
		return cmd_usage(&cmd, "--%s: takes no operands", source ? "discover" : "from");
	if (source && from.n)
		return cmd_usage(&cmd, "--from and --discover do not go together");
	return 0;
}

int main(int argc, char **argv)
{
	int status = 0, first = cmd_parse(&cmd, argc, argv, &status);
	struct err e = { 0 };

	if (first < 0)
		return status;
	signal(SIGPIPE, SIG_IGN);
	status = check_use(argc - first);
	if (status)
		return status;
	status = run(argc - first, argv + first, &e);
	return cmd_done(&cmd, status < 0 ? cmd_fail(&cmd, &e) : status);
}
