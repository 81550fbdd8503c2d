/* SPDX-License-Identifier: MIT */
#include "lib/base/json_put.h"
#include "lib/place/invitation.h"
#include "lib/place/plan_text.h"

static void put_string(FILE *f, const char *before, const char *value)
{
	fputs(before, f);
	json_put_string(f, value);
}

void users_put(FILE *f, const struct world *w, const struct users_plan *p)
{
	double above = plan_above_percent(p->after, p->bound);

	for (int u = 0; u < w->n_users; u++) {
		const struct world_user *x = &w->user[u];

		if (p->node[u] < 0 || w->node[p->node[u]].name == x->node)
			continue;
		put_string(f, "{\"kind\":\"move\",\"action\":\"redirect\",\"service\":", world_text(w, w->app[x->app].name));
		if (x->addr >= 0)
			put_string(f, ",\"user\":", world_text(w, x->addr));
		if (x->node >= 0)
			put_string(f, ",\"from\":", world_text(w, x->node));
		put_string(f, ",\"to\":", world_text(w, w->node[p->node[u]].name));
		double ms = distance_km(x->geo, w->node[p->node[u]].geo) * RTT_MS_PER_KM;

		if (!isnan(ms)) {
			fputs(",\"rtt_ms\":", f);
			json_put_number(f, ms, 4);
		}
		fputs("}\n", f);
	}
	fprintf(f, "{\"kind\":\"plan\",\"policy\":\"users\",\"services\":%d,\"users\":%d,\"moves\":%d,\"withheld\":0,\"unplaced\":%d",
		p->services, w->n_users, p->moves, p->unplaced);
	fputs(",\"cost_before\":", f);
	json_put_number(f, p->before, 9);
	fputs(",\"cost_after\":", f);
	json_put_number(f, p->after, 9);
	if (!isnan(p->first)) {
		fputs(",\"cost_first\":", f);
		json_put_number(f, p->first, 9);
	}
	if (!p->unplaced) {
		fputs(",\"bound\":", f);
		json_put_number(f, p->bound, 9);
		if (!isnan(above)) {
			fputs(",\"above_percent\":", f);
			json_put_number(f, above, 9);
		}
	}
	fputs("}\n", f);
}

void users_show(FILE *f, const struct world *w, const struct users_plan *p)
{
	fprintf(f, "%d users of %d services: %d sent elsewhere, %d without room; users' ms %.6g -> %.6g", w->n_users, p->services, p->moves,
		p->unplaced, p->before, p->after);
	if (!p->unplaced)
		plan_show_bound(f, p->after, p->bound);
	fputc('\n', f);
}

/* How many copies of the service the steps before step k make. */
static int copies_before(const struct near_plan *plan, int k)
{
	int n = 0;

	for (int i = 0; i < k; i++)
		n += plan->steps[i].action == NEAR_REPLICATE && plan->steps[i].app == plan->steps[k].app;
	return n;
}

int near_put_steps(FILE *f, const struct problem *p, const struct near_plan *plan)
{
	const struct world *w = p->w;
	AUTO_INVITATIONS struct invitations v = { 0 };
	int moves = 0;

	invitations_init(&v, p);
	for (int k = 0; k < plan->n; k++) {
		const struct near_step *s = &plan->steps[k];
		const struct world_group *g = s->group < 0 ? NULL : &w->group[s->group];

		if (s->action == NEAR_REPLICATE)
			invitations_put(&v, f, s->job, w->app[s->app].name, s->from, s->to);
		moves += s->action != NEAR_STAY;
		fprintf(f, "{\"kind\":\"move\",\"action\":\"%s\"", near_action_name(s->action));
		put_string(f, ",\"service\":", world_text(w, w->app[s->app].name));
		if (s->job >= 0 && w->service[p->service[s->job]].id >= 0)
			put_string(f, ",\"id\":", world_text(w, w->service[p->service[s->job]].id));
		if (s->user >= 0 && w->user[s->user].addr >= 0)
			put_string(f, ",\"user\":", world_text(w, w->user[s->user].addr));
		if (g && !isnan(g->geo.lat)) {
			fputs(",\"group\":{\"lat\":", f);
			json_put_number(f, g->geo.lat, 9);
			fputs(",\"lon\":", f);
			json_put_number(f, g->geo.lon, 9);
			fputc('}', f);
		}
		if (s->from >= 0)
			put_string(f, ",\"from\":", world_text(w, w->node[s->from].name));
		if (s->to >= 0)
			put_string(f, ",\"to\":", world_text(w, w->node[s->to].name));
		if (!isnan(s->ms)) {
			fputs(",\"rtt_ms\":", f);
			json_put_number(f, s->ms, 4);
		}
		put_string(f, ",\"why\":", s->why);
		if (s->action == NEAR_REPLICATE)
			plan_put_spec(f, w, p->service[s->job], copies_before(plan, k));
		fputs("}\n", f);
	}
	return moves;
}

void near_put(FILE *f, const struct problem *p, const struct near_plan *plan)
{
	int moves = near_put_steps(f, p, plan);

	fprintf(f, "{\"kind\":\"plan\",\"policy\":\"nearest\",\"services\":%d,\"moves\":%d,\"withheld\":0,\"unplaced\":%d}\n", p->g.jobs, moves,
		plan->unsolved);
}

void near_show(FILE *f, const struct problem *p, const struct near_plan *plan)
{
	const struct world *w = p->w;

	for (int k = 0; k < plan->n; k++) {
		const struct near_step *s = &plan->steps[k];

		fprintf(f, "%-20s %s", world_text(w, w->app[s->app].name), near_action_name(s->action));
		if (s->user >= 0 && w->user[s->user].addr >= 0)
			fprintf(f, " %s", world_text(w, w->user[s->user].addr));
		if (s->group >= 0)
			fprintf(f, " %.0f users at %.2f,%.2f", w->group[s->group].users, w->group[s->group].geo.lat,
				w->group[s->group].geo.lon);
		fprintf(f, " %s -> %s: %s\n", s->from < 0 ? "-" : world_text(w, w->node[s->from].name),
			s->to < 0 ? "-" : world_text(w, w->node[s->to].name), s->why);
	}
}
