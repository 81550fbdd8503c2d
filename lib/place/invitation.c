/* SPDX-License-Identifier: MIT */
#include "lib/place/invitation.h"

#include <string.h>

#include "lib/base/json_put.h"

void invitations_init(struct invitations *v, const struct problem *p)
{
	v->p = p;
	v->asked = calloc((size_t)p->g.nodes + 1, sizeof(*v->asked));
}

void invitations_release(struct invitations *v)
{
	free(v->asked);
}

const char *invitations_fleet(struct invitations *v, int from, int to)
{
	const struct world *w = v->p->w;
	const char *fleet = v->p->o->fleet;
	int member = w->node[to].member;

	if (!fleet && from >= 0 && w->node[from].member >= 0)
		fleet = world_text(w, w->node[from].member);
	if (!fleet || !v->asked || v->asked[to] || (member >= 0 && !strcmp(world_text(w, member), fleet)))
		return NULL;
	v->asked[to] = true;
	return fleet;
}

static void put_string(FILE *f, const char *before, const char *value)
{
	fputs(before, f);
	json_put_string(f, value);
}

void invitations_put(struct invitations *v, FILE *f, int job, int service, int from, int to)
{
	const struct world *w = v->p->w;
	const char *fleet = invitations_fleet(v, from, to), *name = world_text(w, w->node[to].name);
	char why[200];

	if (!fleet)
		return;
	put_string(f, "{\"kind\":\"move\",\"action\":\"invite\",\"service\":", world_text(w, service));
	if (job >= 0 && w->service[v->p->service[job]].id >= 0)
		put_string(f, ",\"id\":", world_text(w, w->service[v->p->service[job]].id));
	if (from >= 0)
		put_string(f, ",\"from\":", world_text(w, w->node[from].name));
	put_string(f, ",\"to\":", name);
	put_string(f, ",\"fleet\":", fleet);
	snprintf(why, sizeof(why), "%.60s is not a member of %.60s", name, fleet);
	put_string(f, ",\"why\":", why);
	fputs("}\n", f);
}
