/* SPDX-License-Identifier: MIT */
#include "lib/place/reasons.h"

#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

/* What other records say of the job. */
static void collect_scores(struct reasons *r)
{
	const struct problem *p = r->b->p;
	const struct world *w = p->w;

	for (int i = 0; i < p->g.nodes; i++)
		r->told[i] = -1;
	for (int k = 0; k < w->n_scored; k++) {
		const struct world_score *c = &w->scored[k];
		int i = world_node(w, c->node);

		if (i < 0 || (c->service < 0 ? c->app != problem_service(p, r->job)->app : c->service != p->service[r->job]))
			continue;
		if (c->eligible)
			r->score[i] += isnan(c->score) ? 0 : c->score;
		else if (c->why < 0 ? r->told[i] < 0 : i != p->at[r->job])
			r->told[i] = k;
	}
}

void reasons_init(struct reasons *r, const struct bearing *b, int job)
{
	const struct gap *g = &b->p->g;

	*r = (struct reasons){ .b = b, .job = job };
	r->told = malloc(((size_t)g->nodes + 1) * sizeof(int));
	r->score = calloc((size_t)g->nodes + 1, sizeof(double));
	r->rtt = problem_bounded_rtt(b->p, job);
	if (!r->told || !r->score || !r->rtt)
		abort();
	collect_scores(r);
}

void reasons_release(struct reasons *r)
{
	free(r->told);
	free(r->score);
	free(r->rtt);
}

/* One reason behind the others. */
__attribute__((format(printf, 2, 3))) static void say(char why[REASONS_SIZE], const char *fmt, ...)
{
	size_t n = strlen(why);
	va_list ap;

	if (n && n < REASONS_SIZE - 2)
		n += (size_t)snprintf(why + n, REASONS_SIZE - n, "; ");
	va_start(ap, fmt);
	vsnprintf(why + n, REASONS_SIZE - n, fmt, ap);
	va_end(ap);
}

bool reasons_refused(const struct reasons *r, int i, bool all, char why[REASONS_SIZE])
{
	const struct problem *p = r->b->p;
	const struct world *w = p->w;
	int service = p->service[r->job];
	/* Memory is a capacity: see reasons_hindered(). */
	unsigned bits = eligible_refusals(w, service, i, r->rtt[i], &p->o->rules, false) & ~(1u << ELIGIBLE_MEMORY);
	char text[200];

	why[0] = '\0';
	if (p->o->failed && p->o->failed[i]) {
		say(why, "not there");
		return true;
	}
	for (int c = 0; c < ELIGIBLE_CHECKS && (all || !why[0]); c++)
		if (bits & 1u << c) {
			eligible_why(w, service, i, r->rtt[i], &p->o->rules, (enum eligible_check)c, text);
			say(why, "%s", text);
		}
	if (r->told[i] >= 0 && w->scored[r->told[i]].why >= 0 && (all || !why[0]))
		say(why, "has refused it: %s", world_text(w, w->scored[r->told[i]].why));
	else if (r->told[i] >= 0 && !why[0])
		say(why, "not eligible by its score");
	return why[0];
}

int reasons_lacking(const struct bearing *b, int i, int job)
{
	const struct gap *g = &b->p->g;

	for (int r = 0; r < TAKES; r++) {
		double use = job < 0 ? 0 : gap_use(g, job, i, r);

		if ((job < 0 || use > 0) && gap_over(b->load[i * TAKES + r] + use, g->capacity[i * TAKES + r]))
			return r;
	}
	return -1;
}

static int other_end(const struct reasons *r, const struct gap_link *l)
{
	return l->a == r->job ? l->b : l->a;
}

/* That j and k must not be on one node. */
static void say_clash(const struct problem *p, int j, int k, char why[REASONS_SIZE])
{
	const struct world_service *a = problem_service(p, j), *b = problem_service(p, k);

	if (a->app == b->app)
		say(why, "another instance of it is there");
	else if (world_list_has(p->w, a->needs.avoid, b->name))
		say(why, "avoids %s, which is there", world_text(p->w, b->name));
	else
		say(why, "%s is there, which avoids it", world_text(p->w, b->name));
}

bool reasons_hindered(const struct reasons *r, int i, bool all, char why[REASONS_SIZE])
{
	const struct problem *p = r->b->p;
	const struct gap *g = &p->g;

	why[0] = '\0';
	for (int k = 0; k < TAKES && (all || !why[0]); k++) {
		double use = gap_use(g, r->job, i, k), load = r->b->load[i * TAKES + k], most = g->capacity[i * TAKES + k];

		if (use > 0 && gap_over(load + use, most))
			say(why, "too little: %s: needs %.4g, has %.4g", problem_resource(k), use, fmax(0, most - load));
	}
	for (int n = p->link_end[r->job]; n < p->link_end[r->job + 1] && (all || !why[0]); n++) {
		const struct gap_link *l = &p->links[p->link_of[n]];

		if (isinf(l->weight) && r->b->at[other_end(r, l)] == i)
			say_clash(p, r->job, other_end(r, l), why);
	}
	return why[0];
}

void reasons_link_parts(const struct reasons *r, int i, double part[PARTS])
{
	const struct problem *p = r->b->p;

	for (int n = p->link_end[r->job]; n < p->link_end[r->job + 1]; n++) {
		const struct gap_link *l = &p->links[p->link_of[n]];
		int at = r->b->at[other_end(r, l)];

		if (at >= 0 && !isinf(l->weight))
			part[problem_link_part(p, l)] += gap_link_cost(&p->g, l, l->a == r->job ? i : at, l->a == r->job ? at : i);
	}
}
