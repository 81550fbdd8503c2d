/* SPDX-License-Identifier: MIT */
/* Names of targets to addresses: numbers at once, names by the resolver's own threads, bounded in time. */
#include <netdb.h>
#include <string.h>
#include <sys/socket.h>
#include <time.h>

#include "lib/base/clock.h"
#include "lib/measure/probe_int.h"

#define NAMES_MS 5000

static bool take(struct target *t, struct addrinfo *list)
{
	for (struct addrinfo *a = list; a; a = a->ai_next)
		if ((a->ai_family == AF_INET || a->ai_family == AF_INET6) && a->ai_addrlen <= sizeof(t->addr)) {
			memcpy(&t->addr, a->ai_addr, a->ai_addrlen);
			break;
		}
	freeaddrinfo(list);
	return t->addr.sa.sa_family;
}

static bool is_number(struct target *t)
{
	struct addrinfo hints = { .ai_flags = AI_NUMERICHOST, .ai_socktype = SOCK_STREAM }, *list;

	return !getaddrinfo(t->host, NULL, &hints, &list) && take(t, list);
}

/* One name under way. Not freed when the resolver does not let go of it in time. */
struct query {
	struct gaicb cb;
	struct addrinfo hints;
	char *host;
	struct target *t;
};

static void query_end(struct query *q)
{
	int rc = gai_error(&q->cb);

	if (rc == EAI_INPROGRESS && gai_cancel(&q->cb) == EAI_NOTCANCELED) {
		q->t->why = "no answer about its name";
		return;
	}
	if (rc || !take(q->t, q->cb.ar_result))
		q->t->why = rc == EAI_INPROGRESS ? "no answer about its name" : gai_strerror(rc ? rc : EAI_FAMILY);
	free(q->host);
	free(q);
}

static void look_up(struct query **all, size_t n)
{
	double deadline = clock_ms() + NAMES_MS;

	for (size_t i = 0; i < n; i++) {
		const struct gaicb *one[] = { &all[i]->cb };
		double left = deadline - clock_ms();
		struct timespec ts = { .tv_sec = left > 0 ? (time_t)(left / 1e3) : 0,
				       .tv_nsec = left > 0 ? (long)(left * 1e6) % 1000000000 : 0 };

		while (gai_error(&all[i]->cb) == EAI_INPROGRESS && gai_suspend(one, 1, &ts) == EAI_INTR)
			;
		query_end(all[i]);
	}
}

void probe_resolve(struct probe *p)
{
	AUTO_FREE struct query **all = calloc(p->n, sizeof(*all));
	AUTO_FREE struct gaicb **start = calloc(p->n, sizeof(*start));
	size_t n = 0;

	if (!all || !start)
		abort();
	for (size_t i = 0; i < p->n; i++) {
		struct target *t = &p->t[i];

		if (is_number(t))
			continue;
		struct query *q = calloc(1, sizeof(*q));
		if (!q || !(q->host = strdup(t->host)))
			abort();
		q->t = t;
		q->hints.ai_socktype = SOCK_STREAM;
		q->cb = (struct gaicb){ .ar_name = q->host, .ar_request = &q->hints };
		start[n] = &q->cb;
		all[n++] = q;
	}
	if (n) /* of those that it does not take, the error is in each */
		(void)getaddrinfo_a(GAI_NOWAIT, start, (int)n, NULL);
	look_up(all, n);
}
