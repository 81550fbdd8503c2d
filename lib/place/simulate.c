/* SPDX-License-Identifier: MIT */
#include "lib/place/simulate.h"

#include <stdlib.h>
#include <string.h>

#include "lib/place/distance.h"
#include "lib/place/plan_text.h"
#include "lib/place/replicas.h"
#include "lib/place/simulate_int.h"

#define BACK_S     3600.0 /* a move back within this time is a return */
#define RESOLUTION 1.0    /* seconds: what is told within them counts from their beginning */

struct simulation *simulation_new(const struct simulate_options *o)
{
	struct simulation *s = calloc(1, sizeof(*s));

	if (!s)
		abort();
	s->o = *o;
	s->problem = *o->problem;
	s->w = world_new();
	s->now = s->last = s->t.begin = s->t.end = s->t.joules = NAN;
	return s;
}

void simulation_free(struct simulation *s)
{
	world_free(s->w);
	json_scan_clear(&s->scan);
	free(s->node);
	free(s->service);
	free(s->user);
	free(s->group);
	free(s->gone);
	free(s);
}

/* --- what decisions change */

static void told(const struct simulation *s, const char *action, int service, int from, int to, const char *why)
{
	const struct world_node *n = s->w->node;

	if (s->o.tell)
		s->o.tell(s->o.ctx, s->w, s->now, action, s->w->service[service].name, from < 0 ? -1 : n[from].name,
			  to < 0 ? -1 : n[to].name, why);
}

/* Who was served there goes along; to -1: to whatever instance is nearest. */
static void users_follow(struct simulation *s, int app, int from, int to)
{
	int was = s->w->node[from].name, is = to < 0 ? -1 : s->w->node[to].name;

	for (int k = 0; k < s->n_users; k++)
		if (s->user[k].told.app == app && s->user[k].node == was)
			s->user[k].node = is;
	for (int k = 0; k < s->n_groups; k++)
		if (s->group[k].told.app == app && s->group[k].node == was)
			s->group[k].node = is;
}

static void apply_move(struct simulation *s, const struct problem *p, const struct plan *plan, const struct plan_move *m)
{
	struct sim_service *v = &s->service[p->service[m->job]];
	char why[WHY_SIZE];

	plan_why(p, plan, m, why);
	told(s, m->from < 0 ? "start" : "migrate", p->service[m->job], m->from, m->to, why);
	if (m->from < 0) {
		s->t.starts++;
	} else {
		s->t.moves++;
		s->t.returns += v->from == m->to && s->now - v->left < BACK_S;
		s->t.pause_ms += m->predicted.pause_ms;
		s->t.bytes += isnan(m->predicted.bytes) ? 0 : m->predicted.bytes;
		users_follow(s, v->told.app, m->from, m->to);
		v->from = m->from;
		v->left = s->now;
	}
	v->at = m->to;
	v->moved = s->now;
}

static void redirect(struct simulation *s, const struct near_step *x)
{
	int node = s->w->node[x->to].name;

	s->t.redirects++;
	if (x->user >= 0)
		s->user[x->user].node = node;
	if (x->group < 0)
		return;
	s->group[x->group].node = node;
	if (s->group[x->group].user >= 0)
		s->user[s->group[x->group].user].node = node;
}

static void apply_step(struct simulation *s, const struct problem *p, const struct near_step *x)
{
	int service = x->job < 0 ? s->w->of_app[s->w->app[x->app].first_service] : p->service[x->job];

	if (x->action == NEAR_STAY)
		return;
	told(s, near_action_name(x->action), service, x->from, x->to, x->why);
	if (x->action == NEAR_REDIRECT) {
		redirect(s, x);
	} else if (x->action == NEAR_REPLICATE) {
		s->t.replicas++;
		simulate_copy(s, service, x->to);
	} else {
		s->t.terminated++;
		s->service[service].at = -1;
		s->service[service].ended = true;
		users_follow(s, x->app, x->from, -1);
	}
}

static int apply_steps(struct simulation *s, const struct problem *p, const struct near_plan *near)
{
	for (int k = 0; near && k < near->n; k++)
		apply_step(s, p, &near->steps[k]);
	return near ? 0 : -1;
}

static int decide(struct simulation *s)
{
	AUTO_PROBLEM struct problem *p = NULL;
	AUTO_PLAN struct plan *plan = NULL;
	AUTO_NEAR struct near_plan *near = NULL;

	simulate_settle(s);
	s->problem.failed = s->gone;
	s->problem.rules.now = s->now;
	s->t.decisions++;
	s->dirty = true;
	p = problem_new(s->w, &s->problem);
	if (!p)
		return -1;
	if (s->o.policy == POLICIES) {
		near = near_plan_new(p, s->o.bound_ms, s->o.max_moves);
		return apply_steps(s, p, near);
	}
	plan = plan_new(p, s->o.policy, s->o.max_moves, s->o.budget);
	if (!plan)
		return -1;
	for (int k = 0; k < plan->n; k++)
		apply_move(s, p, plan, &plan->moves[k]);
	if (s->o.policy != POLICY_OPTIMAL)
		return 0;
	near = replicas_new(p, plan, s->o.max_moves - plan->n);
	return apply_steps(s, p, near);
}

/* --- time goes on */

static void pass(struct simulation *s, double to)
{
	double dt = to - s->now;

	if (s->dirty)
		simulate_measure(s);
	s->dirty = false;
	s->now = to;
	s->t.user_s += s->rate.user_s * dt;
	s->t.felt_s += s->rate.felt_s * dt;
	s->t.ms_s += s->rate.ms_s * dt;
	s->t.over_s += s->rate.over_s * dt;
	s->t.unserved_s += s->rate.unserved_s * dt;
	s->t.overload_s += s->rate.overload_s * dt;
	s->t.down_s += s->rate.down_s * dt;
	s->t.awake_s += s->rate.awake_s * dt;
	if (!isnan(s->rate.joules))
		s->t.joules = (isnan(s->t.joules) ? 0 : s->t.joules) + s->rate.joules * dt;
}

/* All that happens before the time t. */
static int reach(struct simulation *s, double t)
{
	if (isnan(s->now))
		s->now = s->t.begin = s->due = t;
	while (s->due < t) {
		pass(s, s->due);
		if (decide(s))
			return -1;
		s->due += s->o.every;
	}
	if (t >= s->now + RESOLUTION)
		pass(s, t);
	s->last = s->t.end = t;
	return 0;
}

/* Its time, NAN when it tells none. */
static int time_of(struct simulation *s, const char *line, size_t len, double *t, struct err *e)
{
	static const char *const names[] = { "at", "seen" };

	*t = NAN;
	if (json_scan(&s->scan, line, len, e))
		return -1;
	for (size_t i = 0; i < 2 && isnan(*t) && s->scan.tok[0].type == JSON_OBJECT; i++) {
		int tok = json_scan_find(&s->scan, 0, names[i]);
		const char *text;
		size_t n;

		if (tok < 0)
			continue;
		text = s->scan.tok[tok].type == JSON_STRING ? json_scan_string(&s->scan, tok, &n) : NULL;
		if (!text || world_time(text, n, t)) {
			err_set(e, EX_DATAERR, "%s: not a time as 2026-01-01T00:00:00Z", names[i]);
			return 1;
		}
	}
	return 0;
}

int simulation_take(struct simulation *s, const char *line, size_t len, struct err *e)
{
	double t;
	int rc = time_of(s, line, len, &t, e);

	if (rc)
		return rc;
	if (t < s->last) {
		err_set(e, EX_DATAERR, "%.0f s earlier than the record before it", s->last - t);
		return 1;
	}
	if (!isnan(t) && reach(s, t))
		return err_set(e, EX_OSERR, "out of memory");
	s->dirty = true;
	return simulate_note(s, line, len, e);
}

const struct simulate_totals *simulation_totals(const struct simulation *s)
{
	return &s->t;
}
