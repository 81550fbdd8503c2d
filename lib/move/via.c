/* SPDX-License-Identifier: MIT */
#include "lib/move/via.h"

#include <stdio.h>
#include <string.h>

#include "lib/move/remote.h"

#define TARGETS_MAX 200 /* that a command line over there takes */

static void add_option(struct json *args, const char *option, const char *value)
{
	json_add(args, json_string(option));
	json_add(args, json_string(value));
}

static void add_number(struct json *args, const char *option, double value)
{
	char text[64];

	snprintf(text, sizeof(text), "%.6f", value); /* no exponent: the option parser takes none */
	add_option(args, option, text);
}

static struct json *options(const struct probe_plan *plan)
{
	struct json *args = json_array();
	char count[32];

	snprintf(count, sizeof(count), "%ld", plan->count);
	add_option(args, "--method", plan->method);
	add_option(args, "--count", count);
	add_number(args, "--interval", plan->interval_ms);
	add_number(args, "--timeout", plan->timeout_ms);
	add_number(args, "--rate", plan->rate);
	if (plan->lost_as_ms > 0)
		add_number(args, "--lost-as", plan->lost_as_ms);
	json_add(args, json_string("--"));
	return args;
}

/* The records of one command, in the order of its targets, of which some may have none. */
static int take(FILE *f, const struct probe *p, const size_t *targets, size_t n,
		int (*each)(void *, struct json *, struct err *), void *ctx, struct err *e)
{
	AUTO_RECORDS struct records *in = records_open(f, "records from there");
	size_t k = 0;
	int rc;

	for (;;) {
		AUTO_JSON struct json *rec = NULL;

		if ((rc = records_next(in, &rec, e)) <= 0)
			return rc;
		const char *to = json_str(rec, "to");
		while (k < n && (!to || strcmp(to, probe_host(p, targets[k]))))
			k++;
		if (k == n)
			return err_set(e, EX_DATAERR, "a record of nothing that was to be measured");
		json_set_str(rec, "to", probe_name(p, targets[k++]));
		if (each(ctx, TAKE_PTR(rec), e))
			return -1;
	}
}

static int run_some(const char *node, const struct probe *p, const size_t *targets, size_t n, void (*say)(const char *),
		    int (*each)(void *, struct json *, struct err *), void *ctx, struct err *e)
{
	AUTO_JSON struct json *args = options(probe_plan(p));
	AUTO_FREE char *text = NULL;
	size_t len = 0;

	for (size_t i = 0; i < n; i++)
		json_add(args, json_string(probe_host(p, targets[i])));
	AUTO_FILE FILE *out = open_memstream(&text, &len);
	if (!out)
		return err_sys(e, "node %s", node);
	int status = remote_run(node, "edge-latency", args, out, say, e);
	fflush(out);
	if (status < 0 || !len)
		return status;
	AUTO_FILE FILE *in = fmemopen(text, len, "r");
	if (!in)
		return err_sys(e, "node %s", node);
	return take(in, p, targets, n, each, ctx, e) ? err_wrap(e, "node %s", node) : status;
}

int via_run(const char *node, const struct probe *p, void (*say)(const char *),
	    int (*each)(void *, struct json *, struct err *), void *ctx, struct err *e)
{
	size_t targets[TARGETS_MAX], n = 0;
	int worst = 0;

	for (size_t i = 0; i < probe_targets(p); i++) {
		if (strcmp(probe_name(p, i), node))
			targets[n++] = i;
		if (n == TARGETS_MAX || (n && i + 1 == probe_targets(p))) {
			int rc = run_some(node, p, targets, n, say, each, ctx, e);

			if (rc < 0)
				return -1;
			worst = rc > worst ? rc : worst;
			n = 0;
		}
	}
	return worst;
}
