/* SPDX-License-Identifier: MIT */
#include "lib/view/board.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "lib/base/clock.h"

static void copy(char *to, size_t size, const struct json *rec, const char *path)
{
	const char *text = json_str(rec, path);

	if (text)
		snprintf(to, size, "%s", text);
}
#define COPY(to, rec, path) copy(to, sizeof(to), rec, path)

void board_init(struct board *b, double red)
{
	*b = (struct board){ .red = red };
}

void board_release(struct board *b)
{
	board_users_release(b);
	free(b->node);
	free(b->service);
	*b = (struct board){ 0 };
}

bool board_red(const struct board *b, const struct board_node *n)
{
	return n->cpu > b->red || n->mem > b->red || n->gpu > b->red; /* not so where NAN */
}

/* Room for one more element at index `at`, zeroed; NULL when out of memory. */
static void *insert(void **array, int *n, size_t size, int at)
{
	char *bigger = realloc(*array, (size_t)(*n + 1) * size);

	if (!bigger)
		return NULL;
	*array = bigger;
	memmove(bigger + (size_t)(at + 1) * size, bigger + (size_t)at * size, (size_t)(*n - at) * size);
	memset(bigger + (size_t)at * size, 0, size);
	++*n;
	return bigger + (size_t)at * size;
}

/* ---- nodes ---- */

static struct board_node *node_of(struct board *b, const char *name)
{
	int i = 0;

	while (i < b->n_nodes && strcmp(b->node[i].name, name) < 0)
		i++;
	if (i < b->n_nodes && !strcmp(b->node[i].name, name))
		return &b->node[i];
	struct board_node *n = insert((void **)&b->node, &b->n_nodes, sizeof(*n), i);
	if (n) {
		snprintf(n->name, sizeof(n->name), "%s", name);
		n->cpu = n->mem = n->gpu = NAN;
	}
	return n;
}

/* The busiest of its graphics processors. */
static double gpu_use(const struct json *rec)
{
	AUTO_JSON struct json *all = json_get(rec, "gpu");
	double most = NAN;

	for (size_t i = 0; all && i < json_len(all, NULL); i++) {
		AUTO_JSON struct json *one = json_at(all, i);

		most = fmax(most, json_num(one, "use", NAN));
	}
	return most;
}

static void take_node(struct board *b, const struct json *rec, double now_s)
{
	struct board_node *n = json_str(rec, "name") ? node_of(b, json_str(rec, "name")) : NULL;
	double total = json_num(rec, "mem.total_bytes", NAN);

	if (!n)
		return;
	COPY(n->role, rec, "role");
	COPY(n->network, rec, "network");
	n->cpu = json_num(rec, "cpu.use", n->cpu);
	n->gpu = gpu_use(rec);
	if (total > 0)
		n->mem = 1 - json_num(rec, "mem.available_bytes", NAN) / total;
	n->heard_s = now_s;
}

/* ---- moves ---- */

static void note_move(struct board *b, const char *when, const char *text)
{
	struct board_move *first = b->move;
	char now[32];

	if (!when)
		when = clock_rfc3339(now);
	memmove(first + 1, first, (BOARD_MOVES - 1) * sizeof(*first));
	if (b->n_moves < BOARD_MOVES)
		b->n_moves++;
	snprintf(first->when, sizeof(first->when), "%.8s", strlen(when) > 19 ? when + 11 : when);
	snprintf(first->text, sizeof(first->text), "%s", text);
}

static void take_move(struct board *b, const struct json *rec)
{
	const char *action = json_str(rec, "action"), *service = json_str(rec, "service");
	const char *from = json_str(rec, "from"), *to = json_str(rec, "to"), *why = json_str(rec, "why");
	char text[sizeof(b->move->text)];

	if (!action || !strcmp(action, "stay"))
		return;
	snprintf(text, sizeof(text), "plan: %s %s%s%s%s%s%s%s", action, service ? service : "", from ? " from " : "",
		 from ? from : "", to ? " to " : "", to ? to : "", why ? ": " : "", why ? why : "");
	note_move(b, json_str(rec, "decided"), text);
}

/* It was there and is here now, as its record or its node says. */
static void note_moved(struct board *b, const struct board_service *s, const char *from, const struct json *rec)
{
	double frozen = json_num(rec, "moved.frozen_ms", NAN), total = json_num(rec, "moved.total_ms", NAN);
	char text[sizeof(b->move->text)];
	int n = snprintf(text, sizeof(text), "%s: %s -> %s", s->name, from, s->node);

	if (!isnan(frozen) && n < (int)sizeof(text))
		n += snprintf(text + n, sizeof(text) - (size_t)n, ", frozen %.0f ms", frozen);
	if (!isnan(total) && n < (int)sizeof(text))
		snprintf(text + n, sizeof(text) - (size_t)n, ", %.1f s in all", total / 1e3);
	note_move(b, json_str(rec, "moved_at"), text);
}

/* ---- services ---- */

static int service_order(const struct board_service *s, const char *name, const char *id)
{
	int by_name = strcmp(s->name, name);

	return by_name ? by_name : strcmp(s->id, id);
}

/* NULL: there is none, unless make. */
static struct board_service *service_of(struct board *b, const char *name, const char *id, bool make)
{
	int i = 0;

	while (i < b->n_services && service_order(&b->service[i], name, id) < 0)
		i++;
	if (i < b->n_services && !service_order(&b->service[i], name, id))
		return &b->service[i];
	struct board_service *s = !make ? NULL : insert((void **)&b->service, &b->n_services, sizeof(*s), i);
	if (s) {
		snprintf(s->name, sizeof(s->name), "%s", name);
		snprintf(s->id, sizeof(s->id), "%s", id);
		s->cpu = s->mem_bytes = s->net_bps = NAN;
		s->told_epoch = -1;
	}
	return s;
}

static void take_service(struct board *b, const struct json *rec, double now_s)
{
	const char *name = json_str(rec, "name"), *node = json_str(rec, "node"), *state = json_str(rec, "state");
	const char *id = json_str(rec, "id"), *from = json_str(rec, "moved.from");
	bool gone = state && !strcmp(state, "moved");
	int64_t epoch = json_int(rec, "epoch", -1);
	char there[64];

	if (!name || !node)
		return;
	struct board_service *s = service_of(b, name, id ? id : node, !gone);
	/* What its old node says of one that was seen elsewhere since is old news; of one that nobody else knows, a leaving. */
	if (!s || (gone && strcmp(s->node, node)))
		return;
	snprintf(there, sizeof(there), "%s", from ? from : s->node);
	COPY(s->node, rec, "node");
	COPY(s->state, rec, "state");
	COPY(s->type, rec, "type");
	COPY(s->engine, rec, "engine");
	s->cpu = json_num(rec, "usage.cpu", s->cpu);
	s->mem_bytes = json_num(rec, "usage.mem_bytes", s->mem_bytes);
	s->net_bps = json_num(rec, "usage.net_bps", s->net_bps);
	s->heard_s = now_s;
	/* A move is told by whoever says it first: the program that moved it, or its new node. */
	if (there[0] && strcmp(there, s->node) && (epoch < 0 || epoch != s->told_epoch)) {
		note_moved(b, s, there, rec);
		s->told_epoch = epoch;
	}
}

void board_take(struct board *b, const struct json *rec, double now_s)
{
	const char *kind = json_str(rec, "kind");

	if (!kind)
		return;
	if (!strcmp(kind, "node"))
		take_node(b, rec, now_s);
	else if (!strcmp(kind, "service"))
		take_service(b, rec, now_s);
	else if (!strcmp(kind, "user"))
		board_user_take(b, rec, now_s);
	else if (!strcmp(kind, "move"))
		take_move(b, rec);
}

void board_settle(struct board *b, double now_s, double forget_s)
{
	int kept = 0;

	for (int i = 0; i < b->n_services; i++)
		if (now_s - b->service[i].heard_s <= forget_s && strcmp(b->service[i].state, "moved"))
			b->service[kept++] = b->service[i];
	b->n_services = kept;
	board_users_count(b, now_s);
}
