/* SPDX-License-Identifier: MIT */
/* Says how well each service would be at each node, and why not where it may not be: score records behind the rest. */
#include <math.h>
#include <signal.h>
#include <stdio.h>
#include <string.h>
#include <time.h>

#include "lib/base/json_put.h"
#include "lib/base/json_query.h"
#include "lib/base/lines.h"
#include "lib/base/opt.h"
#include "lib/place/score_jq.h"

#define DIGITS 7 /* of scores; nobody measures better */

static const char *model, *weights, *where, *local, *now;
static long top = -1;
static double stale = NAN, quantile = 0.95, bound = 100;
static bool prune;

static const struct opt opts[] = {
	{ "model", 'm', OPT_STR, &model, "MODEL", "offload (default), latency, load, energy, cost, blend, or a jq program" },
	{ "weights", 'w', OPT_STR, &weights, "MODEL=N,...", "what the blend is made of, as latency=3,load=1" },
	{ "where", 0, OPT_STR, &where, "JQ", "only nodes for whose record this jq program gives neither false nor null" },
	{ "top", 'n', OPT_INT, &top, "K", "only the best K eligible nodes of each service" },
	{ "prune", 0, OPT_FLAG, &prune, NULL, "leave out nodes that are weaker than the one where the service is" },
	{ "local", 0, OPT_STR, &local, "NODE", "where services are whose records do not tell" },
	{ "bound", 0, OPT_NUM, &bound, "MS", "the RTT of services that tell no bound (default: 100)" },
	{ "quantile", 0, OPT_NUM, &quantile, "Q", "the users whose RTT counts, from 0 to 1 (default: 0.95)" },
	{ "stale", 0, OPT_NUM, &stale, "SEC", "refuse nodes, and do not use other records, that were seen longer ago" },
	{ "now", 0, OPT_STR, &now, "TIME", "what time it is, as 2026-01-01T00:00:00Z (default: by the clock)" },
	{ 0 },
};

static const struct cmd cmd = {
	.name = "edge-score",
	.synopsis = "",
	.about = "Adds a score record for each service and node: how well it would be there, or why it may not.",
	.opts = opts,
	.filter = true,
};

struct job {
	struct world *w;
	struct score_options o;
	struct score_jq *own;     /* NULL: a model by name */
	struct json_query *where; /* NULL: all nodes */
	bool *wanted;             /* by index of the node */
	int room;
	const char *model;
	bool failed;
};

static void tell(struct job *j, const struct err *e)
{
	cmd_fail(&cmd, e);
	j->failed = true;
}

static int choose_model(struct job *j, struct err *e)
{
	j->model = model ? model : weights ? "blend" : "offload";
	if (!strcmp(j->model, "blend"))
		return weights ? score_weights(weights, j->o.weight, e) : err_set(e, EX_USAGE, "blend: needs --weights");
	if (weights)
		return err_set(e, EX_USAGE, "--weights: only for the blend");
	j->o.model = score_model(j->model);
	if (j->o.model < SCORE_MODELS)
		return 0;
	j->own = score_jq_new(j->model, e);
	if (!j->own)
		return err_wrap(e, "model %s: none of ours", model);
	j->o.own = score_jq;
	j->o.ctx = j->own;
	j->model = "jq";
	return 0;
}

static int choose(struct job *j, struct err *e)
{
	if (choose_model(j, e))
		return -1;
	if (quantile > 1 || bound <= 0 || top == 0)
		return err_set(e, EX_USAGE, "--quantile is from 0 to 1, --bound over 0, --top at least 1");
	j->o.quantile = quantile;
	j->o.bound_ms = bound;
	j->o.prune = prune;
	j->o.rules = (struct eligible_rules){ .now = (double)time(NULL), .stale = stale };
	if (now && world_time(now, strlen(now), &j->o.rules.now))
		return err_set(e, EX_USAGE, "--now: not a time as 2026-01-01T00:00:00Z");
	j->w->since = j->o.rules.now - stale;
	if (where && !(j->where = json_query_new(where, e)))
		return err_wrap(e, "--where");
	return 0;
}

/* Is it one of the nodes that --where wants? */
static void filter_node(struct job *j, int index, const char *line, size_t len)
{
	AUTO_JSON struct json *rec = NULL, *result = NULL;
	AUTO_FREE char *text = NULL;
	struct err e = { 0 };

	if (index >= j->room || !j->wanted) {
		j->room = j->room * 2 + 64;
		j->wanted = realloc(j->wanted, (size_t)j->room * sizeof(bool));
		if (!j->wanted)
			abort();
	}
	j->wanted[index] = true;
	if (!j->where)
		return;
	rec = json_parse(line, len, &e);
	j->wanted[index] = rec && !json_query_run(j->where, rec, &result, &e) && result;
	if (e.code) {
		err_wrap(&e, "--where: node %s", world_text(j->w, j->w->node[index].name));
		tell(j, &e);
	}
	text = result ? json_text(result) : NULL;
	if (text && (!strcmp(text, "null") || !strcmp(text, "false")))
		j->wanted[index] = false;
}

/* Passes all records on and takes note of them. */
static int read_records(struct job *j, struct err *e)
{
	AUTO_LINES struct lines *in = lines_open(STDIN_FILENO, "stdin", stdout);
	enum world_kind kind;
	const char *line;
	size_t len;
	int rc, index;

	while ((rc = lines_next(in, &line, &len, e)) > 0) {
		struct err bad = { 0 };

		rc = world_take(j->w, line, len, &kind, &index, &bad);
		if (rc < 0) {
			*e = bad;
			return lines_wrap(in, e);
		}
		if (rc > 0) {
			lines_wrap(in, &bad);
			tell(j, &bad);
		} else if (kind == WORLD_NODE) {
			filter_node(j, index, line, len);
		}
		if (!rc && j->own)
			score_jq_keep(j->own, kind, index, line, len);
		if (lines_pass(stdout, line, len, e))
			return -1;
	}
	return rc;
}

static void put_member(const char *name, const char *value)
{
	printf(",\"%s\":", name);
	json_put_string(stdout, value);
}

static void put_refusals(const struct job *j, int service, const struct score *r)
{
	const char *comma = "";
	char why[200];

	printf(",\"refusals\":[");
	for (int c = 0; c < ELIGIBLE_CHECKS; c++) {
		if (!(r->refusals & 1u << c))
			continue;
		eligible_why(j->w, service, r->node, score_bound_ms(r), &j->o.rules, (enum eligible_check)c, why);
		printf("%s{\"check\":\"%s\"", comma, eligible_name((enum eligible_check)c));
		put_member("why", r->why ? r->why : why);
		putchar('}');
		comma = ",";
	}
	putchar(']');
}

static void put_score(const struct job *j, int service, const struct score *r)
{
	const struct world_service *s = &j->w->service[service];

	printf("{\"kind\":\"score\"");
	put_member("service", world_text(j->w, s->name));
	if (s->id >= 0)
		put_member("id", world_text(j->w, s->id));
	put_member("node", world_text(j->w, j->w->node[r->node].name));
	put_member("model", j->model);
	printf(",\"eligible\":%s", r->refusals ? "false" : "true");
	if (!isnan(r->value)) {
		printf(",\"score\":");
		json_put_number(stdout, r->value, DIGITS);
	}
	for (int i = 0; i < r->n_parts; i++) {
		printf("%s\"%s\":", i ? "," : ",\"parts\":{", r->part[i].name);
		json_put_number(stdout, r->part[i].value, DIGITS);
	}
	printf("%s", r->n_parts ? "}" : "");
	for (int i = 0; i < r->n_missing; i++)
		printf("%s\"%s\"%s", i ? "," : ",\"missing\":[", r->missing[i], i == r->n_missing - 1 ? "]" : "");
	if (r->predicted)
		printf(",\"predicted\":true");
	if (r->refusals)
		put_refusals(j, service, r);
	puts("}");
}

/* "service web: no node will do: memory 3, arch 1" */
static void tell_none(struct job *j, int service, const struct score *row, int n)
{
	struct err e;

	err_set(&e, EX_NO, "service %s: no node will do", world_text(j->w, j->w->service[service].name));
	for (int c = 0, told = 0; c < ELIGIBLE_CHECKS; c++) {
		size_t at = strlen(e.text);
		const char *name = eligible_name((enum eligible_check)c);
		int count = 0;

		for (int i = 0; i < n; i++)
			count += (row[i].refusals & 1u << c) != 0;
		if (count)
			snprintf(e.text + at, sizeof(e.text) - at, "%s %s %d", told++ ? "," : ":", name, count);
	}
	tell(j, &e);
}

static void score_all(struct job *j)
{
	AUTO_FREE int *node = malloc(((size_t)j->w->n_nodes + 1) * sizeof(*node));
	AUTO_FREE struct score *row = malloc(((size_t)j->w->n_nodes + 1) * sizeof(*row));
	int n = 0;

	if (!node || !row)
		abort();
	for (int i = 0; j->wanted && i < j->w->n_nodes; i++)
		if (j->wanted[i])
			node[n++] = i;
	if (j->w->n_old)
		fprintf(stderr, "%s: latencies, users and groups older than %.10g s: %d not used\n", cmd.name, stale,
			j->w->n_old);
	for (int s = 0; s < j->w->n_services; s++) {
		int made = j->w->service[s].running ? score_nodes(j->w, s, node, n, &j->o, row) : 0, eligible = 0;

		while (eligible < made && !row[eligible].refusals)
			eligible++;
		for (int i = 0; i < made && (top < 0 || i < (top < eligible ? (int)top : eligible)); i++)
			put_score(j, s, &row[i]);
		if (j->w->service[s].running && !eligible)
			tell_none(j, s, row, made);
		for (int i = 0; i < made; i++)
			score_clear(&row[i]);
	}
}

int main(int argc, char **argv)
{
	int status = 0, first = cmd_parse(&cmd, argc, argv, &status);
	AUTO_WORLD struct world *w = NULL;
	struct job j = { 0 };
	struct err e = { 0 };

	if (first < 0)
		return status;
	if (first < argc) {
		err_set(&e, EX_USAGE, "%s: no operand is taken (see edge-score --help)", argv[first]);
		return cmd_fail(&cmd, &e);
	}
	signal(SIGPIPE, SIG_IGN);
	setvbuf(stdout, NULL, _IOFBF, 1 << 16);
	j.w = w = world_new();
	status = choose(&j, &e) || read_records(&j, &e) ? cmd_fail(&cmd, &e) : 0;
	if (!status) {
		for (int i = 0; local && i < w->n_services; i++)
			if (w->service[i].node < 0)
				w->service[i].node = world_word(w, local);
		world_index(w);
		score_all(&j);
	}
	score_jq_free(j.own);
	json_query_free(j.where);
	free(j.wanted);
	return status ? status : cmd_done(&cmd, j.failed ? EX_NO : 0);
}
