/* SPDX-License-Identifier: MIT */
/* The users of a board's services: as many as there may be, so in a tree. */
#include <math.h>
#include <search.h>
#include <stdlib.h>
#include <string.h>

#include "lib/view/board.h"

#define USER_S 60 /* of silence, until one is forgotten */

struct user {
	char service[64], addr[64];
	double p50_ms, heard_s;
};

static int by_name(const void *a, const void *b)
{
	const struct user *x = a, *y = b;
	int by_service = strcmp(x->service, y->service);

	return by_service ? by_service : strcmp(x->addr, y->addr);
}

void board_user_take(struct board *b, const struct json *rec, double now_s)
{
	const char *service = json_str(rec, "service"), *addr = json_str(rec, "addr");
	struct user *u = calloc(1, sizeof(*u)), **found;

	if (!service || !addr || !u) {
		free(u);
		return;
	}
	snprintf(u->service, sizeof(u->service), "%s", service);
	snprintf(u->addr, sizeof(u->addr), "%s", addr);
	found = tsearch(u, &b->users, by_name);
	if (!found || *found != u)
		free(u);
	if (!found)
		return;
	(*found)->p50_ms = json_num(rec, "rtt_ms.p50", NAN);
	(*found)->heard_s = now_s;
}

/* Users in order of their services. */
struct list {
	struct user **user;
	size_t n, room;
};

static void collect(const void *node, VISIT visit, void *ctx)
{
	struct list *l = ctx;

	if (visit != postorder && visit != leaf)
		return;
	if (l->n == l->room) {
		struct user **bigger = realloc(l->user, (l->room * 2 + 64) * sizeof(struct user *));

		if (!bigger)
			return;
		l->user = bigger;
		l->room = l->room * 2 + 64;
	}
	l->user[l->n++] = *(struct user *const *)node;
}

static int ascending(const void *a, const void *b)
{
	const double *x = a, *y = b;

	return *x < *y ? -1 : *x > *y;
}

/* All instances of a name share what its users felt. */
static void tell_services(struct board *b, const char *service, double *p50, size_t n, uint64_t users)
{
	qsort(p50, n, sizeof(*p50), ascending);
	for (int i = 0; i < b->n_services; i++) {
		struct board_service *s = &b->service[i];

		if (strcmp(s->name, service))
			continue;
		s->users = users;
		s->rtt_p50_ms = n ? p50[(n - 1) / 2] : NAN;
		s->rtt_p95_ms = n ? p50[(n - 1) * 95 / 100] : NAN;
	}
}

void board_users_count(struct board *b, double now_s)
{
	AUTO_FREE double *p50 = NULL;
	struct list l = { 0 };
	size_t n = 0, first = 0;

	twalk_r(b->users, collect, &l);
	p50 = malloc((l.n + 1) * sizeof(*p50));
	for (int i = 0; i < b->n_services; i++)
		b->service[i].users = 0;
	for (size_t i = 0; p50 && i < l.n; i++) {
		if (!isnan(l.user[i]->p50_ms))
			p50[n++] = l.user[i]->p50_ms;
		if (i + 1 < l.n && !strcmp(l.user[i]->service, l.user[i + 1]->service))
			continue;
		tell_services(b, l.user[i]->service, p50, n, i + 1 - first);
		first = i + 1;
		n = 0;
	}
	for (size_t i = 0; i < l.n; i++)
		if (now_s - l.user[i]->heard_s > USER_S) {
			tdelete(l.user[i], &b->users, by_name);
			free(l.user[i]);
		}
	free(l.user);
}

void board_users_release(struct board *b)
{
	tdestroy(b->users, free);
	b->users = NULL;
}
