/* SPDX-License-Identifier: MIT */
#include "lib/place/decision.h"

#include <stdlib.h>
#include <string.h>

#include "lib/base/clock.h"
#include "lib/base/json.h"
#include "lib/place/choice.h"

#define CHOICES_MAX 12 /* those that a person reads */

static const char *word(const struct json *rec, const char *path)
{
	const char *v = json_str(rec, path);

	return v ? v : "-";
}

static bool is(const struct json *rec, const char *path, const char *value)
{
	return !strcmp(word(rec, path), value);
}

/* --- in */

/* The job that a record is about; -1. */
static int job_of(const struct problem *p, const struct json *move)
{
	for (int j = 0; j < p->g.jobs; j++) {
		const struct world_service *s = &p->w->service[p->service[j]];

		if (s->id >= 0 ? is(move, "id", world_text(p->w, s->id)) : !json_has(move, "id") && is(move, "service", world_text(p->w, s->name)))
			return j;
	}
	return -1;
}

static struct json *parts(const struct choice *c)
{
	struct json *all = json_object();

	for (int k = 0; k < PARTS; k++)
		if (c->part[k] != 0)
			json_set_num(all, problem_part(k), c->part[k]);
	return all;
}

static struct json *choices(const struct problem *p, const struct plan *plan, int job)
{
	int n;
	AUTO_FREE struct choice *all = choices_new(p, plan, job, CHOICES_MAX, &n);
	struct json *list = json_array();

	for (int k = 0; k < n; k++) {
		const struct choice *c = &all[k];
		struct json *one = json_object();

		json_set_str(one, "node", world_text(p->w, p->w->node[c->node].name));
		if (!c->refused) {
			json_set_num(one, "cost", c->cost);
			json_set(one, "parts", parts(c));
			json_set_num(one, "rtt_ms", c->rtt_ms);
		}
		json_set_str(one, "why", c->why[0] ? c->why : NULL);
		json_add(list, one);
	}
	return list;
}

void decision_put(FILE *f, const char *lines, const struct problem *p, const struct plan *plan, const char *policy)
{
	char at[32];

	clock_rfc3339_at((time_t)p->o->rules.now, at);
	for (const char *end; *lines; lines = end + (*end == '\n')) {
		end = strchrnul(lines, '\n');
		AUTO_JSON struct json *rec = json_parse(lines, (size_t)(end - lines), NULL);
		int job = rec && plan && !is(rec, "action", "invite") ? job_of(p, rec) : -1;

		if (!rec || !is(rec, "kind", "move"))
			continue;
		json_set_str(rec, "at", at);
		json_set_str(rec, "policy", policy);
		if (job >= 0)
			json_set(rec, "choices", choices(p, plan, job));
		AUTO_FREE char *text = json_text(rec);
		fprintf(f, "%s\n", text ? text : "");
	}
}

/* --- out */

static void show_choice(FILE *f, const struct json *c, const char *to)
{
	double part[PARTS];
	char path[32];

	for (int k = 0; k < PARTS; k++) {
		snprintf(path, sizeof(path), "parts.%s", problem_part(k));
		part[k] = json_num(c, path, 0);
	}
	fprintf(f, "%c %-20s ", is(c, "node", to) ? '*' : ' ', word(c, "node"));
	if (json_has(c, "cost"))
		choice_show_cost(f, json_num(c, "cost", 0), part);
	if (json_has(c, "rtt_ms"))
		fprintf(f, ", users' RTT %.4g ms", json_num(c, "rtt_ms", 0));
	if (json_has(c, "why"))
		fprintf(f, "%sno: %s", json_has(c, "cost") ? ", " : "", word(c, "why"));
	fputc('\n', f);
}

static int show_decision(FILE *f, const struct json *rec)
{
	bool goes = json_has(rec, "to");
	const char *to = word(rec, goes ? "to" : "from");

	fprintf(f, "%s %s: %s ", word(rec, "at"), word(rec, "policy"), word(rec, "action"));
	if (goes)
		fprintf(f, "%s -> ", word(rec, "from"));
	fprintf(f, "%s: %s", to, word(rec, "why"));
	if (json_has(rec, "gain"))
		fprintf(f, " (gain %.4g)", json_num(rec, "gain", 0));
	fputc('\n', f);
	for (size_t i = 0; i < json_len(rec, "choices"); i++) {
		AUTO_JSON struct json *all = json_get(rec, "choices"), *c = json_at(all, i);

		show_choice(f, c, to);
	}
	return 1;
}

static int show_refusals(FILE *f, const struct json *rec)
{
	AUTO_JSON struct json *all = json_get(rec, "refusals");

	for (size_t i = 0; i < json_len(all, NULL); i++) {
		AUTO_JSON struct json *c = json_at(all, i);

		fprintf(f, "  not moved: %s has refused it: %s\n", word(rec, "to"), word(c, "why"));
	}
	return json_len(all, NULL) > 0;
}

static int show_moved(FILE *f, const struct json *rec)
{
	fprintf(f, "  moved from %s to %s at %s", word(rec, "moved.from"), word(rec, "node"), word(rec, "moved_at"));
	if (json_has(rec, "moved.frozen_ms"))
		fprintf(f, ", stood still for %.0f ms", json_num(rec, "moved.frozen_ms", 0));
	fputc('\n', f);
	return 1;
}

int decision_show(FILE *f, const char *line, size_t len, const char *service)
{
	AUTO_JSON struct json *rec = json_parse(line, len, NULL);

	if (!rec)
		return 0;
	if (is(rec, "kind", "move") && is(rec, "service", service))
		return json_has(rec, "policy") ? show_decision(f, rec) : show_refusals(f, rec);
	return is(rec, "kind", "service") && is(rec, "name", service) && json_has(rec, "moved") ? show_moved(f, rec) : 0;
}
