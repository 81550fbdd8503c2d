/* SPDX-License-Identifier: MIT */
/* Decides where services should be: node, service, latency, user, group and score records in, move records behind them. */
#include <errno.h>
#include <fcntl.h>
#include <math.h>
#include <signal.h>
#include <stdio.h>
#include <string.h>
#include <time.h>

#include "lib/base/clock.h"
#include "lib/base/lines.h"
#include "lib/base/opt.h"
#include "lib/place/choice.h"
#include "lib/place/decision.h"
#include "lib/place/plan_text.h"
#include "lib/place/replicas.h"
#include "lib/place/simulate_text.h"
#include "lib/place/what_if.h"

static const char *policy = "optimal", *weights, *now, *explain, *fleet, *log_file;
static double limit = 100, margin = 5, cooldown = 300, bound = 100, payback = 3600, stale = NAN, budget = 1000, every = 60;
static long budget_steps = -1, max_moves = 1000000;
static struct opt_list questions;
static bool dry_run, users, follow, simulated;

static const struct opt opts[] = {
	{ "policy", 'p', OPT_STR, &policy, "POLICY", "optimal, greedy, same-network-first, pack, spread, nearest (default: optimal)" },
	{ "users", 'u', OPT_FLAG, &users, NULL, "leave services where they are, and say which node is to serve which user" },
	{ "follow", 'f', OPT_FLAG, &follow, NULL, "with --users: a plan for each batch of records; an empty line ends one" },
	{ "weights", 'w', OPT_STR, &weights, "WEIGHT=N,...", "what counts: latency, score, load, energy, price, traffic, move" },
	{ "limit", 'l', OPT_NUM, &limit, "PERCENT", "how much of a node's processors may be used (default: 100)" },
	{ "margin", 'm', OPT_NUM, &margin, "PERCENT", "by how much a move must lessen its service's cost (default: 5)" },
	{ "cooldown", 0, OPT_NUM, &cooldown, "SEC", "leave services alone that have moved within this time (default: 300)" },
	{ "payback", 0, OPT_NUM, &payback, "SEC", "a move must have paid after this time (default: 3600)" },
	{ "bound", 0, OPT_NUM, &bound, "MS", "for nearest: the RTT of services that tell none (default: 100)" },
	{ "fleet", 0, OPT_STR, &fleet, "NAME", "invite nodes to this fleet that are not of it (default: that of the source)" },
	{ "max-moves", 'n', OPT_INT, &max_moves, "N", "at most so many, the best first" },
	{ "budget", 0, OPT_NUM, &budget, "MS", "how long to look for something better (default: 1000)" },
	{ "budget-steps", 0, OPT_INT, &budget_steps, "N", "so many steps instead, for the same output at every run" },
	{ "dry-run", 0, OPT_FLAG, &dry_run, NULL, "print what would change for people to read, and no records" },
	{ "explain", 0, OPT_STR, &explain, "SERVICE", "print what this service would cost at each node, or why not" },
	{ "log", 0, OPT_STR, &log_file, "FILE", "also append moves to FILE, with what else there was to choose; --explain reads it" },
	{ "what-if", 0, OPT_LIST, &questions, "TEXT", "as --dry-run, supposing that: 'node NAME fails', 'users xN at LAT,LON'" },
	{ "simulate", 0, OPT_FLAG, &simulated, NULL, "play the traces of records through the policies (P,P,...), and print what came of it" },
	{ "every", 0, OPT_NUM, &every, "SEC", "how often --simulate decides (default: 60)" },
	{ "stale", 0, OPT_NUM, &stale, "SEC", "refuse nodes that were last seen longer ago, or that do not tell" },
	{ "now", 0, OPT_STR, &now, "TIME", "what time it is, as 2026-01-01T00:00:00Z (default: by the clock)" },
	{ 0 },
};

static bool reads_log(void)
{
	return explain && log_file;
}

static const struct cmd cmd = {
	.name = "edge-place",
	.synopsis = "[FILE...]",
	.about = "Adds a move record for each service that should be elsewhere, in an order that is safe.",
	.opts = opts,
	.filter = true,
	.source = reads_log,
};

struct clock {
	double since; /* ms */
	double most;  /* steps that are enough for a problem of this size */
};

static double spent(void *ctx, long steps)
{
	const struct clock *c = ctx;

	if (budget_steps >= 0)
		return budget_steps ? (double)steps / (double)budget_steps : 1;
	return fmax((double)steps / c->most, budget > 0 ? (clock_ms() - c->since) / budget : 1);
}

/* POLICIES stands for nearest. */
static int choose_policy(const char *name, enum policy *p, struct err *e)
{
	*p = plan_policy(name);
	if (*p == POLICIES && strcmp(name, "nearest") != 0)
		return err_set(e, EX_USAGE, "--policy: %s: no such policy", name);
	return 0;
}

static int choose(struct problem_options *o, enum policy *p, struct err *e)
{
	problem_defaults(o->weight);
	if (weights && problem_weights(weights, o->weight, e))
		return -1;
	if (!simulated && choose_policy(policy, p, e))
		return -1;
	if (simulated && (users || explain || questions.n || !(every > 0)))
		return err_set(e, EX_USAGE, "--simulate: without --users, --explain and --what-if, and --every over 0");
	if ((users || *p == POLICIES) && explain && !log_file)
		return err_set(e, EX_USAGE, "--explain: neither for --users nor for nearest");
	if (log_file && (users || dry_run || simulated || questions.n))
		return err_set(e, EX_USAGE, "--log: without --users, --dry-run, --what-if and --simulate");
	if (follow && (!users || dry_run || simulated || questions.n))
		return err_set(e, EX_USAGE, "--follow: with --users, without --dry-run, --what-if and --simulate");
	if (limit > 100 || max_moves > 1000000)
		return err_set(e, EX_USAGE, "--limit is at most 100, --max-moves 1000000");
	o->limit = limit / 100;
	o->margin = margin / 100;
	o->cooldown = cooldown;
	o->payback = payback;
	o->fleet = fleet;
	o->rules = (struct eligible_rules){ .now = (double)time(NULL), .stale = stale };
	if (now && world_time(now, strlen(now), &o->rules.now))
		return err_set(e, EX_USAGE, "--now: not a time as 2026-01-01T00:00:00Z");
	return 0;
}

/* Told of each record that is taken, and how many there were; `changed` may be NULL. */
struct reader {
	bool pass; /* they are passed on */
	void (*changed)(void *ctx, enum world_kind kind, int index);
	void *ctx;
	long records;
};

/* Takes note of all records up to the end, or an empty line if such are given out. As lines_next(). */
static int read_records(struct world *w, struct lines *in, struct reader *r, bool *failed, struct err *e)
{
	const char *line;
	size_t len;
	int rc;

	while ((rc = lines_next(in, &line, &len, e)) > 0 && len > 0) {
		struct err bad = { 0 };
		enum world_kind kind;

		if (follow && !now)
			w->since = (double)time(NULL) - stale; /* hours may have gone by */
		int index, taken = world_take(w, line, len, &kind, &index, &bad);

		if (taken)
			lines_wrap(in, &bad);
		if (taken < 0) {
			*e = bad;
			return -1;
		}
		if (taken > 0) {
			cmd_fail(&cmd, &bad);
			*failed = true;
		}
		r->records++;
		if (r->changed && index >= 0)
			r->changed(r->ctx, kind, index);
		if (r->pass && lines_pass(stdout, line, len, e))
			return -1;
	}
	return rc;
}

static int place_users(const struct world *w, struct users *crowds, struct users_plan *p, bool *failed, struct err *e)
{
	struct clock c = { .since = clock_ms(), .most = INFINITY };
	const struct gap_budget b = { spent, &c };

	if (users_place(crowds, &b, p, e))
		return -1;
	*failed |= p->unplaced > 0;
	if (dry_run || questions.n)
		users_show(stdout, w, p);
	else
		users_put(stdout, w, p);
	return 0;
}

static int place_all_users(const struct world *w, const struct problem_options *o, bool *failed, struct err *e)
{
	const struct users_options u = { .margin = o->margin, .failed = o->failed };
	AUTO_USERS struct users *crowds = users_new(w, &u);
	AUTO_USERS_PLAN struct users_plan p = { 0 };

	if (!crowds)
		return err_set(e, EX_OSERR, "out of memory");
	return place_users(w, crowds, &p, failed, e);
}

struct following {
	struct world *w;
	struct users *crowds;
	bool indexed;
};

static void note_change(void *ctx, enum world_kind kind, int index)
{
	struct following *f = ctx;

	if (kind == WORLD_USER) {
		users_changed(f->crowds, f->w, index);
	} else if (kind == WORLD_NODE || kind == WORLD_SERVICE) {
		users_moved_nodes(f->crowds);
		f->indexed = false;
	}
}

/* The plan for a batch; what it says is taken to be done. */
static int place_batch(struct following *f, bool *failed, struct err *e)
{
	AUTO_USERS_PLAN struct users_plan p = { 0 };

	*failed = false;
	if (!f->indexed)
		world_index(f->w);
	f->indexed = true;
	if (!now)
		f->w->since = (double)time(NULL) - stale;
	if (!isnan(stale))
		users_moved_nodes(f->crowds);
	if (place_users(f->w, f->crowds, &p, failed, e))
		return -1;
	if (fflush(stdout))
		return err_set(e, EX_IOERR, "cannot write: %s", strerror(errno));
	users_done(f->crowds, f->w, &p);
	return users_ready(f->crowds, e);
}

static int follow_users(struct world *w, struct lines *in, const struct users_options *o, bool *failed, struct err *e)
{
	AUTO_USERS struct users *crowds = users_new(w, o);
	struct following f = { w, crowds, false };
	bool unplaced = false;
	int rc = 1;

	if (!crowds)
		return err_set(e, EX_OSERR, "out of memory");
	lines_keep_blank(in);
	while (rc > 0) {
		struct reader r = { true, note_change, &f, 0 };

		rc = read_records(w, in, &r, failed, e);
		/* The end behind an empty line ends no batch. */
		if (rc < 0 || ((rc > 0 || r.records > 0) && place_batch(&f, &unplaced, e)))
			return -1;
	}
	*failed |= unplaced;
	return 0;
}

/* --- the log */

static int explain_log(struct err *e)
{
	AUTO_FD int fd = open(log_file, O_RDONLY | O_CLOEXEC);
	AUTO_LINES struct lines *in = NULL;
	int found = 0, rc;
	const char *line;
	size_t len;

	if (fd < 0)
		return err_set(e, EX_UNAVAILABLE, "%s: %s", log_file, strerror(errno));
	in = lines_open(fd, log_file, stdout);
	while ((rc = lines_next(in, &line, &len, e)) > 0)
		found += decision_show(stdout, line, len, explain);
	return rc < 0 ? -1 : found ? 0 : err_set(e, EX_DATAERR, "service %s: not in %s", explain, log_file);
}

/* In one write, so that those of others do not come between. */
static int log_moves(const struct problem *p, const struct plan *plan, const char *lines, struct err *e)
{
	AUTO_FILE FILE *f = fopen(log_file, "ae");

	if (!f)
		return err_sys(e, "%s", log_file);
	setvbuf(f, NULL, _IOFBF, 1 << 20);
	decision_put(f, lines, p, plan, policy);
	return fflush(f) ? err_sys(e, "%s", log_file) : 0;
}

/* All of the plan's records, which `plan` or `near` is. */
static int put_plan(const struct problem *p, const struct plan *plan, const struct near_plan *near, struct err *e)
{
	AUTO_FREE char *lines = NULL;
	size_t len = 0;
	FILE *f = log_file ? open_memstream(&lines, &len) : stdout;

	if (!f)
		return err_sys(e, "%s", log_file);
	if (plan)
		plan_put(f, p, plan, near, policy);
	else
		near_put(f, p, near);
	if (!log_file)
		return 0;
	fclose(f);
	fputs(lines, stdout);
	return log_moves(p, plan, lines, e);
}

static int place_groups(const struct problem *p, bool *failed, struct err *e)
{
	AUTO_NEAR struct near_plan *plan = near_plan_new(p, bound, (int)max_moves);

	if (!plan)
		return err_set(e, EX_OSERR, "out of memory");
	*failed |= plan->unsolved > 0;
	if (dry_run || questions.n)
		near_show(stdout, p, plan);
	else
		return put_plan(p, NULL, plan, e);
	return 0;
}

static int place(struct world *w, const struct problem_options *o, enum policy how, bool *failed, struct err *e)
{
	AUTO_PROBLEM struct problem *p = problem_new(w, o);
	struct clock c = { .since = clock_ms() };
	const struct gap_budget b = { spent, &c };
	AUTO_PLAN struct plan *plan = NULL;
	AUTO_NEAR struct near_plan *more = NULL;

	if (!p)
		return err_set(e, EX_OSERR, "out of memory");
	if (how == POLICIES)
		return place_groups(p, failed, e);
	c.most = 20000 + 1000.0 * p->g.jobs * fmin(p->g.nodes, 24);
	plan = plan_new(p, how, (int)max_moves, &b);
	if (plan && how == POLICY_OPTIMAL)
		more = replicas_new(p, plan, (int)max_moves - plan->n);
	if (!plan || (how == POLICY_OPTIMAL && !more))
		return err_set(e, EX_OSERR, "out of memory");
	*failed |= plan->unplaced > 0 || (more && more->unsolved > 0);
	if (explain)
		return choices_show(stdout, p, plan, explain) ? 0 : err_set(e, EX_DATAERR, "service %s: no record of it running", explain);
	if (dry_run || questions.n)
		plan_show(stdout, p, plan, more);
	else
		return put_plan(p, plan, more, e);
	return 0;
}

/* Reads all, and decides once. */
static int decide(struct world *w, struct lines *in, struct problem_options *o, enum policy how, bool *failed, struct err *e)
{
	struct reader r = { .pass = !dry_run && !explain && !questions.n };
	AUTO_FREE bool *gone = NULL;
	const struct users_options u = { .margin = o->margin };

	if (follow)
		return follow_users(w, in, &u, failed, e);
	if (read_records(w, in, &r, failed, e))
		return -1;
	gone = calloc((size_t)w->n_nodes + 1, sizeof(bool));
	if (!gone)
		return err_set(e, EX_OSERR, "out of memory");
	if (w->n_old)
		fprintf(stderr, "%s: latencies, users and groups older than %.10g s: %d not used\n", cmd.name, stale, w->n_old);
	world_index(w);
	for (int k = 0; k < questions.n; k++)
		if (what_if(w, gone, questions.items[k], e))
			return -1;
	o->failed = gone;
	return users ? place_all_users(w, o, failed, e) : place(w, o, how, failed, e);
}

/* --- a trace */

#define SIMULATED_MAX 8    /* policies at a time */
#define STEPS         20000 /* of a decision, so that a trace gives the same outcome at every run */

struct played {
	char policy[32];
	struct simulation *s;
};

static double spent_steps(void *ctx, long steps)
{
	(void)ctx;
	return (double)steps / (budget_steps > 0 ? (double)budget_steps : STEPS);
}

static void show_move(void *ctx, const struct world *w, double when, const char *action, int service, int from, int to, const char *why)
{
	const struct played *p = ctx;
	char text[32];

	simulate_time(when, text);
	printf("%s %s: %s %s %s -> %s: %s\n", text, p->policy, world_text(w, service), action, from < 0 ? "-" : world_text(w, from),
	       to < 0 ? "-" : world_text(w, to), why);
}

/* One simulation for each policy of the list; -1. */
static int open_simulations(const struct problem_options *o, struct played *all, int *n, struct err *e)
{
	static const struct gap_budget steps = { spent_steps, NULL };

	for (const char *at = policy; *at; at += strspn(at, ",")) {
		struct played *p = &all[*n];
		struct simulate_options s = { .problem = o, .max_moves = (int)max_moves, .bound_ms = bound, .every = every, .budget = &steps,
					      .tell = dry_run ? show_move : NULL, .ctx = p };
		size_t len = strcspn(at, ",");

		if (*n == SIMULATED_MAX)
			return err_set(e, EX_USAGE, "--policy: more than %d", SIMULATED_MAX);
		snprintf(p->policy, sizeof(p->policy), "%.*s", (int)len, at);
		if (choose_policy(p->policy, &s.policy, e))
			return -1;
		p->s = simulation_new(&s);
		++*n;
		at += len;
	}
	return *n ? 0 : err_set(e, EX_USAGE, "--policy: none");
}

static int play(struct played *all, int n, int fd, const char *name, bool *failed, struct err *e)
{
	AUTO_LINES struct lines *in = lines_open(fd, name, stdout);
	const char *line;
	size_t len;
	int rc;

	while ((rc = lines_next(in, &line, &len, e)) > 0)
		for (int k = 0; k < n; k++) {
			struct err bad = { 0 };
			int taken = simulation_take(all[k].s, line, len, &bad);

			if (taken)
				lines_wrap(in, &bad);
			if (taken < 0) {
				*e = bad;
				return -1;
			}
			if (taken > 0 && !k) {
				cmd_fail(&cmd, &bad);
				*failed = true;
			}
		}
	return rc;
}

static int play_files(struct played *all, int n, char **files, int count, bool *failed, struct err *e)
{
	int rc = count ? 0 : play(all, n, STDIN_FILENO, "stdin", failed, e);

	for (int k = 0; k < count && !rc; k++) {
		AUTO_FD int fd = open(files[k], O_RDONLY | O_CLOEXEC);

		rc = fd < 0 ? err_set(e, EX_UNAVAILABLE, "%s: %s", files[k], strerror(errno)) : play(all, n, fd, files[k], failed, e);
	}
	return rc;
}

static int simulate(const struct problem_options *o, char **files, int count, bool *failed, struct err *e)
{
	struct played all[SIMULATED_MAX] = { 0 };
	int n = 0, rc = open_simulations(o, all, &n, e);

	if (!rc)
		rc = play_files(all, n, files, count, failed, e);
	for (int k = 0; k < n; k++) {
		const struct simulate_totals *t = all[k].s ? simulation_totals(all[k].s) : NULL;

		if (!rc && !(t && t->end > t->begin))
			rc = err_set(e, EX_DATAERR, "the trace: no time passes in it");
		if (!rc)
			(dry_run ? simulate_show : simulate_put)(stdout, t, all[k].policy);
		if (all[k].s)
			simulation_free(all[k].s);
	}
	return rc;
}

int main(int argc, char **argv)
{
	int status = 0, first = cmd_parse(&cmd, argc, argv, &status);
	AUTO_LINES struct lines *in = NULL;
	AUTO_WORLD struct world *w = NULL;
	struct problem_options o = { 0 };
	enum policy how = POLICY_OPTIMAL;
	struct err e = { 0 };
	bool failed = false;

	if (first < 0)
		return status;
	if (first < argc && !simulated) {
		err_set(&e, EX_USAGE, "%s: no operand is taken (see edge-place --help)", argv[first]);
		return cmd_fail(&cmd, &e);
	}
	signal(SIGPIPE, SIG_IGN);
	setvbuf(stdout, NULL, _IOFBF, 1 << 16);
	w = world_new();
	if (choose(&o, &how, &e))
		return cmd_fail(&cmd, &e);
	w->since = o.rules.now - stale;
	if (reads_log())
		return explain_log(&e) ? cmd_fail(&cmd, &e) : cmd_done(&cmd, 0);
	if (simulated)
		return simulate(&o, argv + first, argc - first, &failed, &e) ? cmd_fail(&cmd, &e) : cmd_done(&cmd, failed ? EX_NO : 0);
	in = lines_open(STDIN_FILENO, "stdin", stdout);
	if (decide(w, in, &o, how, &failed, &e))
		return cmd_fail(&cmd, &e);
	return cmd_done(&cmd, failed ? EX_NO : 0);
}
