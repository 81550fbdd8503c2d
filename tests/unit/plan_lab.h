/* SPDX-License-Identifier: MIT */
/* Random worlds in which everything occurs that a placement depends on, and what plans in them are held against: sums of what the records
 * say, not the planner's own tables. */
#ifndef EDGE_TESTS_PLAN_LAB_H
#define EDGE_TESTS_PLAN_LAB_H

#include "lib/place/plan.h"
#include "lib/place/score.h"
#include "tests/unit/world_lab.h"

#define LAB_NOW 1767225600.0 /* 2026-01-01T00:00:00Z */

/* `text` for one of so many, else "". */
static const char *seldom(unsigned of, const char *text)
{
	return draw(of) ? "" : text;
}

__attribute__((unused)) static void lab_node(struct world *w, int i)
{
	static const char *const gpus[] = { "", ",'gpu':[]", ",'gpu':[{}]", ",'gpu':[{},{}]" };

	take(w, "{'kind':'node','name':'n%d','network':'%c','role':'%s','arch':'%s','cpu':{'cores':%u,'score':%u,'use':%.2f},"
		"'mem':{'available_bytes':%u000000},'geo':{'lat':%u,'lon':%u},'net_bps':%u000000,'seen':'%s'%s%s}",
	     i, 'a' + (int)draw(3), draw(5) ? "edge" : "cloud", draw(4) ? "x86_64" : "aarch64", 1 + draw(8), 500 + draw(1000),
	     draw(60) / 100.0, 1 + draw(900), draw(50), draw(50), 1 + draw(30), draw(9) ? "2026-01-01T00:00:00Z" : "2025-12-31T23:00:00Z",
	     gpus[draw(4)], seldom(6, ",'taints':['battery']"));
}

/* One of nine needs; more than one may be drawn, but not the same twice. */
static void lab_needs(char *text, size_t size, int nodes)
{
	static const char *const all[] = { "'gpu':1", "'avoid':['s3']", "'together':['s2']", "'spread':true", "'tolerates':['battery']",
					   "'role':'edge'", "'network':['a','b']" };
	size_t at = (size_t)snprintf(text, size, "'arch':['x86_64'%s]", seldom(2, ",'aarch64'"));

	for (size_t k = 0; k < sizeof(all) / sizeof(*all); k++)
		if (!draw(8))
			at += (size_t)snprintf(text + at, size - at, ",%s", all[k]);
	if (!draw(8))
		at += (size_t)snprintf(text + at, size - at, ",'rtt_ms':%u", 30 + draw(90));
	if (!draw(15))
		snprintf(text + at, size - at, ",'node':'n%u'", draw((unsigned)nodes));
}

/* Number j of services with seven names; at node `at`, -1: nowhere. */
__attribute__((unused)) static void lab_service(struct world *w, int j, int at, int nodes)
{
	char node[32] = "", needs[256], peers[80] = "", work[64];

	lab_needs(needs, sizeof(needs), nodes);
	if (at >= 0)
		snprintf(node, sizeof(node), ",'node':'n%d'", at);
	if (!draw(4))
		snprintf(peers, sizeof(peers), ",'peers':[{'service':'s%u','net_bps':%u000}]", draw(7), draw(3000));
	if (draw(3))
		snprintf(work, sizeof(work), "'cpu':%.2f,", draw(40) / 100.0);
	else
		snprintf(work, sizeof(work), "'mem_bytes':%u000000},'profile':{'cpu':%.1f,", 1 + draw(300), draw(30) / 10.0);
	take(w, "{'kind':'service','id':'%016x','name':'s%d'%s,'usage':{'net_bps':%u000000,%s'mem_bytes':%u000000},'needs':{%s}%s%s%s%s}", j,
	     j % 7, node, draw(6), work, 1 + draw(300), needs, peers, seldom(6, ",'moved_at':'2025-12-31T23:58:00Z'"),
	     seldom(4, ",'wants':{'rtt_ms':20}"), seldom(9, ",'type':'stateless'"));
	for (unsigned k = draw(3); k > 0; k--)
		take(w, "{'kind':'user','addr':'10.0.%d.%u','service':'s%d','demand':%u,'geo':{'lat':%u,'lon':%u}}", j, k, j % 7, draw(900),
		     draw(50), draw(50));
}

__attribute__((unused)) static struct problem_options lab_options(void)
{
	struct problem_options o = { .rules = { LAB_NOW, draw(3) ? NAN : 600 }, .limit = 0.5 + draw(6) / 10.0, .margin = 0.05,
				     .cooldown = 300, .payback = 3600 };

	if (o.limit > 1)
		o.limit = 1;
	problem_defaults(o.weight);
	return o;
}

/* --- what must hold */

/* Where everything is (-1: nowhere) while moves are made. All by index in the world. */
struct ledger {
	const struct world *w;
	const struct problem_options *o;
	const struct problem *p; /* for the numbers of its jobs */
	int at[64], first[64];   /* [services]; first: before all moves */
};

__attribute__((unused)) static void ledger_open(struct ledger *l, const struct problem *p)
{
	*l = (struct ledger){ .w = p->w, .o = p->o, .p = p };
	for (int s = 0; s < p->w->n_services; s++) {
		l->first[s] = p->w->service[s].node < 0 ? -1 : world_node(p->w, p->w->service[s].node);
		if (l->first[s] >= 0 && p->o->failed && p->o->failed[l->first[s]])
			l->first[s] = -1;
		l->at[s] = l->first[s];
	}
}

static double or0(double v)
{
	return isnan(v) ? 0 : v;
}

/* Its profile; else what it uses, by the speed of both nodes. */
static double cores_taken(const struct ledger *l, int s, int node)
{
	const struct world_service *v = &l->w->service[s];
	const struct world_node *home = l->first[s] < 0 ? NULL : &l->w->node[l->first[s]], *n = &l->w->node[node];

	if (!isnan(v->quota_cpu) || !home)
		return or0(v->quota_cpu);
	return or0(v->cpu) * home->cores * home->score / n->score;
}

static double taken(const struct ledger *l, int s, int node, int r)
{
	const struct world_service *v = &l->w->service[s];

	switch (r) {
	case TAKES_CPU: return cores_taken(l, s, node);
	case TAKES_MEM: return fmax(or0(v->mem), or0(v->quota_mem));
	case TAKES_GPU: return or0(v->needs.gpus);
	case TAKES_GPU_MEM: return or0(v->needs.gpu_mem);
	default:        return or0(v->net_bps);
	}
}

/* All that services can have there: what is free with all of ours gone. */
static double given(const struct ledger *l, int node, int r)
{
	const struct world_node *n = &l->w->node[node];
	double ours = 0, bytes = 0;

	for (int s = 0; s < l->w->n_services; s++)
		if (l->first[s] == node) {
			ours += or0(l->w->service[s].cpu) * n->cores;
			bytes += or0(l->w->service[s].mem);
		}
	switch (r) {
	case TAKES_CPU: return n->cores * l->o->limit - fmax(0, n->use * n->cores - ours);
	case TAKES_MEM: return n->mem_available + bytes;
	case TAKES_GPU: return isnan(n->gpus) ? INFINITY : n->gpus;
	case TAKES_GPU_MEM: return isnan(n->gpu_mem) ? INFINITY : n->gpu_mem;
	default:        return n->net_bps;
	}
}

static double borne(const struct ledger *l, int node, int r)
{
	double sum = 0;

	for (int s = 0; s < l->w->n_services; s++)
		sum += l->at[s] == node ? taken(l, s, node, r) : 0;
	return sum;
}

/* May it be there, whatever else is? What is not there for the node's own services makes room when they go: no question of memory. */
__attribute__((unused)) static bool allowed(const struct ledger *l, int s, int node)
{
	double rtt_ms = NAN;

	if (!isnan(l->w->service[s].needs.rtt_ms))
		score_users_rtt(l->w, s, &node, 1, 0.95, &rtt_ms, NULL);
	return !(l->o->failed && l->o->failed[node]) &&
	       !(eligible_refusals(l->w, s, node, rtt_ms, &l->o->rules, false) & ~(1u << ELIGIBLE_MEMORY));
}

static bool avoids(const struct ledger *l, int a, int b)
{
	return world_list_has(l->w, l->w->service[a].needs.avoid, l->w->service[b].name);
}

/* Is there room for it, with all that is there now, and nobody that must not be with it? */
__attribute__((unused)) static bool fits(const struct ledger *l, int s, int node)
{
	for (int k = 0; k < l->w->n_services; k++)
		if (k != s && l->at[k] == node && (avoids(l, s, k) || avoids(l, k, s) || l->w->service[k].app == l->w->service[s].app))
			return false;
	for (int r = 0; r < TAKES; r++) {
		double has = fmax(0, given(l, node, r)), use = taken(l, s, node, r);

		if (use > 0 && borne(l, node, r) + use > has + 1e-5 * (1 + has))
			return false;
	}
	return true;
}

/* Plays a plan. What is wrong with it, or "". */
__attribute__((unused)) static const char *ledger_play(struct ledger *l, const struct plan *plan)
{
	const char *wrong = "";

	for (int k = 0; k < plan->n; k++) {
		const struct plan_move *m = &plan->moves[k];
		int s = l->p->service[m->job];
		double age = l->o->rules.now - l->w->service[s].moved;

		if (m->from != l->at[s] || m->to == m->from)
			wrong = "not from where it is";
		else if (!allowed(l, s, m->to))
			wrong = "to where it may not be";
		else if (!fits(l, s, m->to))
			wrong = "to where there is no room";
		else if (l->first[s] >= 0 && age < l->o->cooldown && allowed(l, s, l->first[s]))
			wrong = "soon after its last move";
		l->at[s] = m->to;
	}
	for (int j = 0; j < l->p->g.jobs; j++)
		if (plan->end[j] != l->at[l->p->service[j]])
			wrong = "not to where the plan says in the end";
	return wrong;
}

#endif
