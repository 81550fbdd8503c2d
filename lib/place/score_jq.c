/* SPDX-License-Identifier: MIT */
#include "lib/place/score_jq.h"

#include <stdlib.h>
#include <string.h>

#include "lib/base/json_query.h"

/* Records of one kind by index: as text until somebody looks at them. */
struct kept {
	char **text;
	struct json **json;
	int n;
};

struct score_jq {
	struct json_query *query;
	struct kept kept[WORLD_SCORE + 1];
	struct json *users; /* of `app` */
	int app;
};

struct score_jq *score_jq_new(const char *program, struct err *e)
{
	struct json_query *query = json_query_new(program, e);
	struct score_jq *q;

	if (!query)
		return NULL;
	q = calloc(1, sizeof(*q));
	if (!q)
		abort();
	q->query = query;
	q->app = -1;
	return q;
}

static void forget(struct kept *k, int i)
{
	free(k->text[i]);
	json_free(k->json[i]);
	k->text[i] = NULL;
	k->json[i] = NULL;
}

void score_jq_free(struct score_jq *q)
{
	if (!q)
		return;
	for (int kind = 0; kind <= WORLD_SCORE; kind++) {
		struct kept *k = &q->kept[kind];

		for (int i = 0; i < k->n; i++)
			forget(k, i);
		free(k->text);
		free(k->json);
	}
	json_free(q->users);
	json_query_free(q->query);
	free(q);
}

void score_jq_keep(struct score_jq *q, enum world_kind kind, int index, const char *line, size_t len)
{
	struct kept *k = &q->kept[kind];

	if (index < 0 || (kind != WORLD_NODE && kind != WORLD_SERVICE && kind != WORLD_LATENCY && kind != WORLD_USER))
		return;
	while (index >= k->n) {
		int room = k->n ? k->n * 2 : 64;

		k->text = realloc(k->text, (size_t)room * sizeof(*k->text));
		k->json = realloc(k->json, (size_t)room * sizeof(*k->json));
		if (!k->text || !k->json)
			abort();
		memset(k->text + k->n, 0, (size_t)(room - k->n) * sizeof(*k->text));
		memset(k->json + k->n, 0, (size_t)(room - k->n) * sizeof(*k->json));
		k->n = room;
	}
	forget(k, index);
	k->text[index] = strndup(line, len);
	if (!k->text[index])
		abort();
}

/* A new reference to the record. What the scanner has taken, libjq takes too. */
static struct json *record(struct score_jq *q, enum world_kind kind, int i)
{
	struct kept *k = &q->kept[kind];

	if (i < 0 || i >= k->n || !k->text[i])
		return NULL;
	if (!k->json[i])
		k->json[i] = json_parse(k->text[i], strlen(k->text[i]), NULL);
	return k->json[i] ? json_copy(k->json[i]) : NULL;
}

static struct json *users_of(struct score_jq *q, const struct world *w, int app)
{
	if (q->app != app) {
		json_free(q->users);
		q->users = json_array();
		q->app = app;
		for (int i = 0; i < w->app[app].n_users; i++)
			json_add(q->users, record(q, WORLD_USER, w->of_app[w->app[app].first_user + i]));
	}
	return json_copy(q->users);
}

static void refuse(struct score *out, const char *why)
{
	out->value = NAN;
	out->refusals |= 1u << ELIGIBLE_MODEL;
	out->why = strdup(why);
	if (!out->why)
		abort();
}

void score_jq(void *ctx, const struct world *w, int service, struct score *out)
{
	struct score_jq *q = ctx;
	AUTO_JSON struct json *input = json_object(), *result = NULL;
	AUTO_FREE char *text = NULL;
	int latency = world_latency(w, w->service[service].node, w->node[out->node].name);
	struct err e;

	out->predicted |= latency >= 0 && w->latency[latency].predicted;
	json_set(input, "service", record(q, WORLD_SERVICE, service));
	json_set(input, "node", record(q, WORLD_NODE, out->node));
	json_set(input, "latency", record(q, WORLD_LATENCY, latency));
	json_set(input, "users", users_of(q, w, w->service[service].app));
	if (json_query_run(q->query, input, &result, &e)) {
		refuse(out, e.text);
		return;
	}
	out->value = json_num(result, "", NAN);
	if (isfinite(out->value))
		return;
	text = result ? json_text(result) : strdup("null");
	if (result && json_value(result))
		refuse(out, json_value(result));
	else if (text && (!strcmp(text, "null") || !strcmp(text, "false")))
		refuse(out, "refused by the model");
	else
		refuse(out, "the model gives neither a number nor a reason");
}
