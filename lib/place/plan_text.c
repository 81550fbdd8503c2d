/* SPDX-License-Identifier: MIT */
#include "lib/place/plan_text.h"

#include <stdlib.h>
#include <string.h>

#include "lib/base/json_put.h"
#include "lib/place/invitation.h"

#define HUGE_CAPACITY 1e17 /* nobody has told one */
#define UNMEASURED "a latency is only an estimate: measure it first (edge-latency)"

static const char *node_name(const struct problem *p, int i)
{
	return i < 0 ? "-" : world_text(p->w, p->w->node[i].name);
}

static const struct world_service *service_of(const struct problem *p, int j)
{
	return &p->w->service[p->service[j]];
}

static const char *name_of(const struct problem *p, int j)
{
	return world_text(p->w, service_of(p, j)->name);
}

/* What a record says against it. */
static void refusal_told(const struct problem *p, int j, int i, char why[200])
{
	const struct world *w = p->w;

	snprintf(why, 200, "not eligible by its score");
	for (int k = 0; k < w->n_scored; k++) {
		const struct world_score *c = &w->scored[k];

		if (c->why >= 0 && c->node == w->node[i].name && (c->service < 0 ? c->app == service_of(p, j)->app : c->service == p->service[j]))
			snprintf(why, 200, "has refused it: %s", world_text(w, c->why));
	}
}

/* The first reason against it, of any kind; false if there is none. */
static bool refusal(const struct problem *p, int j, int i, char why[200])
{
	size_t at = (size_t)j * p->g.nodes + i;
	double rtt = p->predicted[at] & PREDICTED_USERS ? NAN : p->rtt[at];
	unsigned bits = eligible_refusals(p->w, p->service[j], i, rtt, &p->o->rules, false) & ~(1u << ELIGIBLE_MEMORY);

	if (p->o->failed && p->o->failed[i]) {
		snprintf(why, 200, "not there");
		return true;
	}
	for (int c = 0; c < ELIGIBLE_CHECKS; c++)
		if (bits & 1u << c) {
			eligible_why(p->w, p->service[j], i, rtt, &p->o->rules, (enum eligible_check)c, why);
			return true;
		}
	if (p->cost[at] < GAP_NEVER)
		return false;
	refusal_told(p, j, i, why);
	return true;
}

/* The resource of which there is too much at node i, with the job if it is not -1; -1: none. */
static int lacking(const struct bearing *b, int i, int job)
{
	const struct gap *g = &b->p->g;

	for (int r = 0; r < TAKES; r++) {
		double use = job < 0 ? 0 : gap_use(g, job, i, r);

		if ((job < 0 || use > 0) && gap_over(b->load[i * TAKES + r] + use, g->capacity[i * TAKES + r]))
			return r;
	}
	return -1;
}

static void why_forced(const struct problem *p, const struct plan_move *m, char why[WHY_SIZE])
{
	AUTO_BEARING struct bearing b = { 0 };
	char text[200];
	int r;

	if (m->from < 0) {
		snprintf(why, WHY_SIZE, "has no node");
	} else if (refusal(p, m->job, m->from, text)) {
		snprintf(why, WHY_SIZE, "may not be at %s: %s", node_name(p, m->from), text);
	} else if (bearing_init(&b, p, p->at) == 0 && (r = lacking(&b, m->from, -1)) >= 0) {
		snprintf(why, WHY_SIZE, "%s has too little: %s", node_name(p, m->from), problem_resource(r));
	} else {
		snprintf(why, WHY_SIZE, "goes on from where it went aside");
	}
}

void plan_why(const struct problem *p, const struct plan *plan, const struct plan_move *m, char why[WHY_SIZE])
{
	size_t row = (size_t)m->job * p->g.nodes;
	double was = m->from < 0 ? NAN : p->rtt[row + m->from], is = p->rtt[row + m->to];
	const struct plan_move *next = m + 1 < plan->moves + plan->n ? m + 1 : NULL;

	if (m->detour_of >= 0)
		snprintf(why, WHY_SIZE, "goes aside: %s comes to where it was", name_of(p, m->detour_of));
	else if (m->forced)
		why_forced(p, m, why);
	else if (!isnan(was) && !isnan(is) && is < was)
		snprintf(why, WHY_SIZE, "users' RTT %.4g ms, was %.4g ms", is, was);
	else if (m->gain > 0)
		snprintf(why, WHY_SIZE, "costs %.4g less", m->gain);
	else if (next && next->to == m->from)
		snprintf(why, WHY_SIZE, "makes room for %s", name_of(p, next->job));
	else
		snprintf(why, WHY_SIZE, "the policy wants it there");
}

void plan_why_not(const struct problem *p, const struct plan *plan, int job, char why[WHY_SIZE])
{
	AUTO_BEARING struct bearing b = { 0 };
	int refused = 0, full[TAKES] = { 0 }, unmeasured = 0, other = 0;
	char text[200], first[200] = "";

	if (bearing_init(&b, p, plan->end))
		abort();
	for (int i = 0; i < p->g.nodes; i++) {
		int r = -1;

		if (refusal(p, job, i, text)) {
			if (!refused++)
				snprintf(first, sizeof(first), "%s: %.150s", node_name(p, i), text);
		} else if ((r = lacking(&b, i, job)) >= 0) {
			full[r]++;
		} else if (problem_unmeasured(p, job, i)) {
			unmeasured++;
		} else {
			other++;
		}
	}
	int n = snprintf(why, WHY_SIZE, "no node of %d%s", p->g.nodes, p->g.nodes ? ": " : "");

	if (refused)
		n += snprintf(why + n, WHY_SIZE - (size_t)n, "%d may not (%s)", refused, first);
	for (int r = 0; r < TAKES; r++)
		if (full[r] && n < WHY_SIZE - 60)
			n += snprintf(why + n, WHY_SIZE - (size_t)n, "%s%d lack %s", why[n - 2] == ':' ? "" : ", ", full[r],
				      problem_resource(r));
	if (unmeasured && n < WHY_SIZE - 90)
		n += snprintf(why + n, WHY_SIZE - (size_t)n, "%s%d where " UNMEASURED, why[n - 2] == ':' ? "" : ", ", unmeasured);
	if (other && n < WHY_SIZE - 60)
		snprintf(why + n, WHY_SIZE - (size_t)n, "%s%d withheld", why[n - 2] == ':' ? "" : ", ", other);
}

/* --- records */

static void put_string(FILE *f, const char *name, const char *value)
{
	fprintf(f, ",\"%s\":", name);
	json_put_string(f, value);
}

static void put_number(FILE *f, const char *name, double v, int digits)
{
	if (!isfinite(v))
		return;
	fprintf(f, ",\"%s\":", name);
	json_put_number(f, v, digits);
}

static void put_head(FILE *f, const struct problem *p, int j, const char *action)
{
	fprintf(f, "{\"kind\":\"move\",\"action\":\"%s\"", action);
	put_string(f, "service", name_of(p, j));
	if (service_of(p, j)->id >= 0)
		put_string(f, "id", world_text(p->w, service_of(p, j)->id));
}

static bool taken(const struct world *w, int addr)
{
	for (int k = 0; k < w->n_services; k++)
		if (w->service[k].addr == addr)
			return true;
	return false;
}

void plan_put_spec(FILE *f, const struct world *w, int service, int nth)
{
	const struct world_service *s = &w->service[service];
	int n, addr = s->addr;
	const int *addrs = world_list(w, s->addrs, &n);

	if (s->spec < 0)
		return;
	for (int k = 0; k < n && nth >= 0; k++)
		if (!taken(w, addrs[k]) && nth-- == 0)
			addr = addrs[k];
	fprintf(f, ",\"service_spec\":{%s", world_text(w, s->spec));
	if (addr >= 0)
		put_string(f, "addr", world_text(w, addr));
	fputc('}', f);
}

static void put_move(FILE *f, const struct problem *p, const struct plan *plan, const struct plan_move *m)
{
	char why[WHY_SIZE];

	plan_why(p, plan, m, why);
	put_head(f, p, m->job, m->from < 0 ? "start" : "migrate");
	if (m->from >= 0)
		put_string(f, "from", node_name(p, m->from));
	put_string(f, "to", node_name(p, m->to));
	if (m->from >= 0) {
		put_number(f, "gain", m->gain, 6);
		fputs(",\"predicted\":{\"pause_ms\":", f);
		json_put_number(f, m->predicted.pause_ms, 4);
		put_number(f, "transfer_ms", m->predicted.transfer_ms, 4);
		put_number(f, "bytes", m->predicted.bytes, 15);
		put_number(f, "break_even_s", m->predicted.break_even_s, 4);
		fputc('}', f);
	}
	put_string(f, "why", why);
	if (m->from < 0)
		plan_put_spec(f, p->w, p->service[m->job], -1);
	fputs("}\n", f);
}

/* What the plan costs at its end, with what its moves cost: what the bound is for. */
static double objective(const struct problem *p, const struct plan *plan)
{
	double sum = plan->after;

	for (int j = 0; j < p->g.jobs; j++) {
		size_t at = (size_t)j * p->g.nodes + (size_t)(plan->end[j] < 0 ? 0 : plan->end[j]);

		if (plan->end[j] >= 0 && p->paid[at] < GAP_NEVER)
			sum += p->paid[at] - p->cost[at];
	}
	return sum;
}

/* Is it where it may be? */
static bool lawful(const struct problem *p, const struct plan *plan, int j)
{
	return plan->end[j] >= 0 && p->cost[(size_t)j * p->g.nodes + plan->end[j]] < GAP_NEVER;
}

/* The node where it would cost least, and less by the margin, if estimates counted; -1. `b`: where all are after the plan. */
static int preferred(const struct bearing *b, int j)
{
	const struct problem *p = b->p;
	const float *cost = p->cost + (size_t)j * p->g.nodes;
	double least = cost[b->at[j]] - p->o->margin * fabs((double)cost[b->at[j]]);
	int best = -1;

	for (int i = 0; i < p->g.nodes; i++)
		if (i != b->at[j] && problem_unmeasured(p, j, i) && cost[i] < least && lacking(b, i, j) < 0) {
			best = i;
			least = cost[i];
		}
	return best;
}

/* Why a job stays for which something else would be better, or needed. */
static bool why_stay(const struct bearing *b, const struct plan *plan, int j, char why[WHY_SIZE])
{
	int best;

	if (!lawful(b->p, plan, j)) {
		plan_why_not(b->p, plan, j, why);
		return true;
	}
	best = preferred(b, j);
	if (best >= 0)
		snprintf(why, WHY_SIZE, "%.100s may be better: " UNMEASURED, node_name(b->p, best));
	return best >= 0;
}

/* The bound is one of plans that place all where they may be. */
static bool bounded(const struct problem *p, const struct plan *plan)
{
	for (int j = 0; j < p->g.jobs; j++)
		if (!lawful(p, plan, j))
			return false;
	return isfinite(plan->bound);
}

static void put_idle(FILE *f, const struct problem *p, const struct plan *plan)
{
	const char *comma = ",\"idle\":[";

	for (int i = 0; i < p->g.nodes; i++) {
		int now = 0, then = 0;

		for (int j = 0; j < p->g.jobs; j++) {
			now += p->at[j] == i;
			then += plan->end[j] == i;
		}
		if (!now || then)
			continue;
		fputs(comma, f);
		json_put_string(f, node_name(p, i));
		comma = ",";
	}
	if (*comma == ',' && !comma[1])
		fputc(']', f);
}

void plan_put(FILE *f, const struct problem *p, const struct plan *plan, const struct near_plan *more, const char *policy)
{
	AUTO_INVITATIONS struct invitations v = { 0 };
	AUTO_BEARING struct bearing b = { 0 };
	char why[WHY_SIZE];
	int extra;

	invitations_init(&v, p);
	if (bearing_init(&b, p, plan->end))
		abort();
	for (int k = 0; k < plan->n; k++) {
		const struct plan_move *m = &plan->moves[k];

		invitations_put(&v, f, m->job, service_of(p, m->job)->name, m->from, m->to);
		put_move(f, p, plan, m);
	}
	for (int j = 0; j < p->g.jobs; j++) {
		if (!why_stay(&b, plan, j, why))
			continue;
		put_head(f, p, j, "stay");
		if (plan->end[j] >= 0)
			put_string(f, "from", node_name(p, plan->end[j]));
		put_string(f, "why", why);
		fputs("}\n", f);
	}
	extra = more ? near_put_steps(f, p, more) : 0;
	fputs("{\"kind\":\"plan\"", f);
	put_string(f, "policy", policy);
	fprintf(f, ",\"services\":%d,\"moves\":%d,\"withheld\":%d,\"unplaced\":%d", p->g.jobs, plan->n + extra,
		plan->withheld, plan->unplaced + (more ? more->unsolved : 0));
	put_number(f, "cost_before", plan->before, 9);
	put_number(f, "cost_after", plan->after, 9);
	if (bounded(p, plan)) {
		put_number(f, "cost_paid", objective(p, plan), 9);
		put_number(f, "bound", plan->bound, 9);
	}
	put_idle(f, p, plan);
	fputs("}\n", f);
}

/* --- for people */

static void show_bound(FILE *f, double cost, double bound)
{
	fprintf(f, ", with moving %.6g, no plan is below %.6g", cost, bound);
	if (bound > 0 && cost > bound)
		fprintf(f, " (%.2g %% less)", 100 * (cost - bound) / cost);
}

void plan_show(FILE *f, const struct problem *p, const struct plan *plan, const struct near_plan *more)
{
	AUTO_INVITATIONS struct invitations v = { 0 };
	AUTO_BEARING struct bearing b = { 0 };
	char why[WHY_SIZE];

	invitations_init(&v, p);
	if (bearing_init(&b, p, plan->end))
		abort();
	for (int k = 0; k < plan->n; k++) {
		const struct plan_move *m = &plan->moves[k];
		const char *fleet = invitations_fleet(&v, m->from, m->to);

		if (fleet)
			fprintf(f, "%-20s is invited first: it is not a member of %s\n", node_name(p, m->to), fleet);
		plan_why(p, plan, m, why);
		fprintf(f, "%-20s %s -> %s: %s", name_of(p, m->job), node_name(p, m->from), node_name(p, m->to), why);
		if (m->from >= 0)
			fprintf(f, " (gain %.4g, pause %.0f ms)", m->gain, m->predicted.pause_ms);
		fputc('\n', f);
	}
	for (int j = 0; j < p->g.jobs; j++)
		if (why_stay(&b, plan, j, why))
			fprintf(f, "%-20s stays %s: %s\n", name_of(p, j),
				plan->end[j] < 0 ? "without a node" : lawful(p, plan, j) ? "where it is" : "where it may not be", why);
	if (more)
		near_show(f, p, more);
	fprintf(f, "%d services, %d moves, %d withheld, %d without a node; cost %.6g -> %.6g", p->g.jobs, plan->n,
		plan->withheld, plan->unplaced, plan->before, plan->after);
	if (bounded(p, plan))
		show_bound(f, objective(p, plan), plan->bound);
	fputc('\n', f);
}

/* --- what a job would cost at each node */

static int by_cost(const void *a, const void *b)
{
	const struct plan_choice *x = a, *y = b;

	return x->cost != y->cost ? (x->cost > y->cost) - (x->cost < y->cost) : x->node - y->node;
}

/* Without what the job itself takes there. */
static void weigh(const struct bearing *b, int job, struct plan_choice *c)
{
	const struct problem *p = b->p;
	int i = c->node, r = lacking(b, i, job);
	size_t at = (size_t)job * p->g.nodes + i;

	if (refusal(p, job, i, c->why)) {
		c->refused = true;
		return;
	}
	c->cost = p->cost[at];
	c->rtt_ms = p->rtt[at];
	if (p->paid[at] < GAP_NEVER && p->paid[at] > p->cost[at])
		c->to_move = p->paid[at] - p->cost[at];
	if (p->g.capacity[i * TAKES] < HUGE_CAPACITY)
		c->free_cores = p->g.capacity[i * TAKES] - b->load[i * TAKES];
	if (!(p->paid[at] < GAP_NEVER))
		snprintf(c->why, sizeof(c->why), "%s", problem_unmeasured(p, job, i) ? UNMEASURED : "it has moved a short time ago");
	else if (r >= 0)
		snprintf(c->why, sizeof(c->why), "too little: %s: needs %.4g, has %.4g", problem_resource(r), gap_use(&p->g, job, i, r),
			 fmax(0, p->g.capacity[i * TAKES + r] - b->load[i * TAKES + r]));
}

struct plan_choice *plan_choices(const struct problem *p, const struct plan *plan, int job)
{
	struct plan_choice *all = calloc((size_t)p->g.nodes + 1, sizeof(*all));
	AUTO_BEARING struct bearing b = { 0 };

	if (!all || bearing_init(&b, p, plan->end))
		abort();
	if (plan->end[job] >= 0)
		bearing_move(&b, job, -1);
	for (int i = 0; i < p->g.nodes; i++)
		all[i] = (struct plan_choice){ .node = i, .cost = gap_cost(&p->g, job, i), .rtt_ms = NAN, .free_cores = NAN };
	qsort(all, (size_t)p->g.nodes, sizeof(*all), by_cost);
	for (int i = 0; i < p->g.nodes; i++)
		weigh(&b, job, &all[i]);
	return all;
}

void plan_explain(FILE *f, const struct problem *p, const struct plan *plan, int job)
{
	AUTO_FREE struct plan_choice *all = plan_choices(p, plan, job);

	fprintf(f, "%s: now at %s, then at %s\n", name_of(p, job), node_name(p, p->at[job]), node_name(p, plan->end[job]));
	for (int k = 0; k < p->g.nodes; k++) {
		const struct plan_choice *c = &all[k];

		fprintf(f, "%c %-20s ", c->node == plan->end[job] ? '*' : ' ', node_name(p, c->node));
		if (c->refused) {
			fprintf(f, "no: %s\n", c->why);
			continue;
		}
		fprintf(f, "cost %.6g", c->cost);
		if (c->to_move > 0)
			fprintf(f, " + %.4g to move", c->to_move);
		if (!isnan(c->rtt_ms))
			fprintf(f, ", users' RTT %.4g ms", c->rtt_ms);
		if (c->why[0])
			fprintf(f, ", no: %s", c->why);
		else if (!isnan(c->free_cores))
			fprintf(f, ", %.4g of %.4g cores free", c->free_cores, p->g.capacity[c->node * TAKES]);
		fputc('\n', f);
	}
}
