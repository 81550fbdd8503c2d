/* SPDX-License-Identifier: MIT */
#include "lib/base/json_put.h"
#include "lib/place/plan_text.h"

static void put_string(FILE *f, const char *before, const char *value)
{
	fputs(before, f);
	json_put_string(f, value);
}

void users_put(FILE *f, const struct world *w, const struct users_plan *p)
{
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
		if (!isnan(p->ms[u])) {
			fputs(",\"rtt_ms\":", f);
			json_put_number(f, p->ms[u], 4);
		}
		fputs("}\n", f);
	}
	fprintf(f, "{\"kind\":\"plan\",\"policy\":\"users\",\"services\":%d,\"users\":%d,\"moves\":%d,\"withheld\":0,\"unplaced\":%d",
		p->services, w->n_users, p->moves, p->unplaced);
	fputs(",\"cost_before\":", f);
	json_put_number(f, p->before, 9);
	fputs(",\"cost_after\":", f);
	json_put_number(f, p->after, 9);
	if (!p->unplaced) {
		fputs(",\"bound\":", f);
		json_put_number(f, p->bound, 9);
	}
	fputs("}\n", f);
}

void users_show(FILE *f, const struct world *w, const struct users_plan *p)
{
	fprintf(f, "%d users of %d services: %d sent elsewhere, %d without room; users' ms %.6g -> %.6g", w->n_users, p->services, p->moves,
		p->unplaced, p->before, p->after);
	if (!p->unplaced)
		fprintf(f, ", no plan is below %.6g", p->bound);
	fputc('\n', f);
}
