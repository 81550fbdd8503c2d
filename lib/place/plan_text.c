/* SPDX-License-Identifier: MIT */
#include "lib/place/plan_text.h"

#include <stdlib.h>
#include <string.h>

#include "lib/base/json_put.h"
#include "lib/place/invitation.h"
#include "lib/place/reasons.h"

static void why_forced(const struct problem *p, const struct plan_move *m, char why[WHY_SIZE])
{
	AUTO_BEARING struct bearing b = { 0 };
	AUTO_REASONS struct reasons reasons = { 0 };
	char text[REASONS_SIZE];
	int r;

	if (m->from < 0) {
		snprintf(why, WHY_SIZE, "has no node");
		return;
	}
	if (bearing_init(&b, p, p->at))
		abort();
	reasons_init(&reasons, &b, m->job);
	if (reasons_refused(&reasons, m->from, false, text)) {
		snprintf(why, WHY_SIZE, "may not be at %s: %.180s", problem_node_name(p, m->from), text);
	} else if ((r = reasons_lacking(&b, m->from, -1)) >= 0) {
		snprintf(why, WHY_SIZE, "%s has too little: %s", problem_node_name(p, m->from), problem_resource(r));
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
		snprintf(why, WHY_SIZE, "goes aside: %s comes to where it was", problem_name(p, m->detour_of));
	else if (m->forced)
		why_forced(p, m, why);
	else if (!isnan(was) && !isnan(is) && is < was)
		snprintf(why, WHY_SIZE, "users' RTT %.4g ms, was %.4g ms", is, was);
	else if (m->gain > 0)
		snprintf(why, WHY_SIZE, "costs %.4g less", m->gain);
	else if (next && next->to == m->from)
		snprintf(why, WHY_SIZE, "makes room for %s", problem_name(p, next->job));
	else
		snprintf(why, WHY_SIZE, "the policy wants it there");
}

void plan_why_not(const struct problem *p, const struct plan *plan, int job, char why[WHY_SIZE])
{
	AUTO_BEARING struct bearing b = { 0 };
	AUTO_REASONS struct reasons reasons = { 0 };
	int refused = 0, full[TAKES] = { 0 }, shunned = 0, unmeasured = 0, other = 0;
	char text[REASONS_SIZE], first[200] = "";

	if (bearing_init(&b, p, plan->end))
		abort();
	reasons_init(&reasons, &b, job);
	for (int i = 0; i < p->g.nodes; i++) {
		int r = -1;

		if (reasons_refused(&reasons, i, false, text)) {
			if (!refused++)
				snprintf(first, sizeof(first), "%s: %.150s", problem_node_name(p, i), text);
		} else if ((r = reasons_lacking(&b, i, job)) >= 0) {
			full[r]++;
		} else if (reasons_hindered(&reasons, i, false, text)) {
			shunned++;
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
	if (shunned && n < WHY_SIZE - 60)
		n += snprintf(why + n, WHY_SIZE - (size_t)n, "%s%d have one that it must not be with", why[n - 2] == ':' ? "" : ", ", shunned);
	if (unmeasured && n < WHY_SIZE - 90)
		n += snprintf(why + n, WHY_SIZE - (size_t)n, "%s%d where " REASON_UNMEASURED, why[n - 2] == ':' ? "" : ", ", unmeasured);
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
	put_string(f, "service", problem_name(p, j));
	if (problem_service(p, j)->id >= 0)
		put_string(f, "id", world_text(p->w, problem_service(p, j)->id));
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
		put_string(f, "from", problem_node_name(p, m->from));
	put_string(f, "to", problem_node_name(p, m->to));
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
		if (i != b->at[j] && problem_unmeasured(p, j, i) && cost[i] < least && reasons_lacking(b, i, j) < 0 &&
		    !bearing_clashes(b, j, i)) {
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
	best = plan->by_cost && plan->end[j] == b->p->at[j] ? preferred(b, j) : -1;
	if (best >= 0)
		snprintf(why, WHY_SIZE, "%.100s may be better: " REASON_UNMEASURED, problem_node_name(b->p, best));
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

double plan_above_percent(double cost, double bound)
{
	return cost <= bound ? 0 : bound == 0 ? NAN : round(1e5 * (cost - bound) / fabs(bound)) / 1e3;
}

/* Does it lose its last service? */
static bool idle(const struct problem *p, const struct plan *plan, int i)
{
	int now = 0, then = 0;

	for (int j = 0; j < p->g.jobs; j++) {
		now += p->at[j] == i;
		then += plan->end[j] == i;
	}
	return now && !then;
}

static void put_idle(FILE *f, const struct problem *p, const struct plan *plan)
{
	const char *comma = ",\"idle\":[";

	for (int i = 0; i < p->g.nodes; i++) {
		if (!idle(p, plan, i))
			continue;
		fputs(comma, f);
		json_put_string(f, problem_node_name(p, i));
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

	if (bearing_init(&b, p, plan->end))
		abort();
	invitations_init(&v, p);
	for (int k = 0; k < plan->n; k++) {
		const struct plan_move *m = &plan->moves[k];

		invitations_put(&v, f, m->job, problem_service(p, m->job)->name, m->from, m->to);
		put_move(f, p, plan, m);
	}
	for (int j = 0; j < p->g.jobs; j++) {
		if (!why_stay(&b, plan, j, why))
			continue;
		put_head(f, p, j, "stay");
		if (plan->end[j] >= 0)
			put_string(f, "from", problem_node_name(p, plan->end[j]));
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
		put_number(f, "above_percent", plan_above_percent(objective(p, plan), plan->bound), 9);
	}
	put_idle(f, p, plan);
	fputs("}\n", f);
}

/* --- for people */

void plan_show_bound(FILE *f, double cost, double bound)
{
	double above = plan_above_percent(cost, bound);

	fprintf(f, ", no plan is below %.6g", bound);
	if (above > 0)
		fprintf(f, " (%.4g %% above it)", above);
}

void plan_show(FILE *f, const struct problem *p, const struct plan *plan, const struct near_plan *more)
{
	AUTO_INVITATIONS struct invitations v = { 0 };
	AUTO_BEARING struct bearing b = { 0 };
	char why[WHY_SIZE];

	if (bearing_init(&b, p, plan->end))
		abort();
	invitations_init(&v, p);
	for (int k = 0; k < plan->n; k++) {
		const struct plan_move *m = &plan->moves[k];
		const char *fleet = invitations_fleet(&v, m->from, m->to);

		if (fleet)
			fprintf(f, "%-20s is invited first: it is not a member of %s\n", problem_node_name(p, m->to), fleet);
		plan_why(p, plan, m, why);
		fprintf(f, "%-20s %s -> %s: %s", problem_name(p, m->job), problem_node_name(p, m->from), problem_node_name(p, m->to), why);
		if (m->from >= 0)
			fprintf(f, " (gain %.4g, pause %.0f ms)", m->gain, m->predicted.pause_ms);
		fputc('\n', f);
	}
	for (int j = 0; j < p->g.jobs; j++)
		if (why_stay(&b, plan, j, why))
			fprintf(f, "%-20s stays %s: %s\n", problem_name(p, j),
				plan->end[j] < 0 ? "without a node" : lawful(p, plan, j) ? "where it is" : "where it may not be", why);
	if (more)
		near_show(f, p, more);
	for (int i = 0; i < p->g.nodes; i++)
		if (idle(p, plan, i))
			fprintf(f, "%-20s becomes idle\n", problem_node_name(p, i));
	fprintf(f, "%d services, %d moves, %d withheld, %d without a node; cost %.6g -> %.6g", p->g.jobs, plan->n,
		plan->withheld, plan->unplaced, plan->before, plan->after);
	if (bounded(p, plan)) {
		fprintf(f, ", with moving %.6g", objective(p, plan));
		plan_show_bound(f, objective(p, plan), plan->bound);
	}
	fputc('\n', f);
}
