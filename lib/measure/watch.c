/* SPDX-License-Identifier: MIT */
#include "lib/measure/watch.h"

#include <arpa/inet.h>
#include <math.h>
#include <string.h>
#include <time.h>

#include "lib/base/clock.h"
#include "lib/discover/node.h"
#include "lib/engine/service.h"
#include "lib/measure/bins.h"
#include "lib/measure/diag.h"
#include "lib/measure/rtt.h"
#include "lib/measure/table.h"

#define USER_KEEP_S 3600 /* "first seen" is forgotten so long after the last time */

struct connection {
	uint64_t cookie; /* the key */
	uint32_t addr[4];
	uint64_t sent, received;
	uint32_t retransmits, segments;
	unsigned seen;   /* the window */
	bool seed, over; /* seed: the kernel's side does not know it */
};

struct user {
	uint32_t addr[4]; /* the key */
	uint32_t connections, min_us; /* min_us 0: unknown */
	uint64_t sent, received, retransmits;
	time_t first, last;
};

struct watch {
	char service[SERVICE_NAME_MAX + 1];
	struct rtt *rtt; /* NULL: polling */
	int diag;
	struct table connections, users;
	struct bins bins;
	unsigned window;
	double began; /* clock_ms() */
};

uint64_t watch_missed(const struct watch *w)
{
	return w->rtt ? rtt_missed(w->rtt) : 0;
}

void watch_free(struct watch *w)
{
	if (!w)
		return;
	rtt_free(w->rtt);
	if (w->diag >= 0)
		close(w->diag);
	table_clear(&w->connections);
	table_clear(&w->users);
	bins_clear(&w->bins);
	free(w);
}

static void take_bin(void *ctx, const struct rtt_key *key, uint64_t count)
{
	struct watch *w = ctx;

	bins_add(&w->bins, key, count);
}

static struct user *user_of(struct watch *w, const uint32_t addr[4])
{
	bool fresh;
	struct user *u = table_at(&w->users, addr, &fresh);

	u->last = time(NULL);
	if (fresh)
		u->first = u->last;
	return u;
}

/* Books what a connection has carried since it was looked at last. */
static void credit(struct watch *w, struct connection *c, uint64_t sent, uint64_t received, uint32_t retransmits,
		   uint32_t min_us)
{
	struct user *u = user_of(w, c->addr);

	if (min_us && min_us != UINT32_MAX && (!u->min_us || min_us < u->min_us))
		u->min_us = min_us;
	u->sent += sent - c->sent;
	u->received += received - c->received;
	u->retransmits += retransmits - c->retransmits;
	c->sent = sent;
	c->received = received;
	c->retransmits = retransmits;
}

static void take_closed(void *ctx, uint64_t cookie, const struct rtt_closed *closed)
{
	struct watch *w = ctx;
	struct connection *c = table_at(&w->connections, &cookie, NULL);

	memcpy(c->addr, closed->addr, sizeof(c->addr));
	credit(w, c, closed->sent, closed->received, closed->retransmits, closed->min_us);
	c->over = true;
}

static void take_open(void *ctx, const struct diag_connection *d)
{
	struct watch *w = ctx;
	bool fresh;
	struct connection *c = table_at(&w->connections, &d->cookie, &fresh);

	if (fresh) {
		memcpy(c->addr, d->addr, sizeof(c->addr));
		c->seed = !w->rtt || !w->window;
		if (!w->window) { /* what it carried before was not ours to see */
			c->sent = d->sent;
			c->received = d->received;
			c->retransmits = d->retransmits;
		}
	}
	if (c->seed && d->srtt_us && (fresh || c->segments != d->segments)) {
		struct rtt_key key = { .bin = rtt_bin(d->srtt_us) };

		memcpy(key.addr, d->addr, sizeof(key.addr));
		bins_add(&w->bins, &key, 1);
	}
	c->segments = d->segments;
	c->seen = w->window;
	credit(w, c, d->sent, d->received, d->retransmits, d->min_us);
	user_of(w, c->addr)->connections++;
}

/* An ended connection may still be told of by the kernel's side a window later. */
static bool still_open(void *entry, void *ctx)
{
	const struct connection *c = entry;
	const struct watch *w = ctx;

	return !c->over && c->seen + 1 >= w->window;
}

static bool still_known(void *entry, void *ctx)
{
	struct user *u = entry;

	u->connections = 0; /* they are counted again */
	return u->last + USER_KEEP_S > *(const time_t *)ctx;
}

int watch_open(struct watch **out, const char *service, int ns, const char *cgroup, bool poll, struct err *e)
{
	AUTO_WATCH struct watch *w = calloc(1, sizeof(*w));

	if (!w)
		return err_sys(e, "watch");
	snprintf(w->service, sizeof(w->service), "%s", service);
	w->connections = (struct table){ .entry = sizeof(struct connection), .key = sizeof(uint64_t) };
	w->users = (struct table){ .entry = sizeof(struct user), .key = sizeof(uint32_t[4]) };
	w->began = clock_ms();
	w->diag = diag_open(ns, e);
	if (w->diag < 0)
		return -1;
	int rc = poll ? 0 : cgroup ? rtt_open(&w->rtt, cgroup, e) : err_set(e, EX_UNAVAILABLE, "no cgroup of version 2");
	if (diag_clients(w->diag, take_open, w, rc ? NULL : e) && !w->rtt)
		return -1;
	*out = TAKE_PTR(w);
	return rc ? 1 : 0;
}

static void set_times(struct json *j, const struct user *u)
{
	char text[32];
	struct tm tm;

	strftime(text, sizeof(text), "%Y-%m-%dT%H:%M:%SZ", gmtime_r(&u->first, &tm));
	json_set_str(j, "first_seen", text);
	json_set_str(j, "seen", clock_rfc3339(text));
}

static struct json *record(struct watch *w, const struct bin_count *run, size_t n, double window_s)
{
	struct json *j = json_object();
	char addr[INET6_ADDRSTRLEN];
	struct user *u = user_of(w, run->key.addr);
	const struct in6_addr *in6 = (const struct in6_addr *)run->key.addr;
	bool four = IN6_IS_ADDR_V4MAPPED(in6);

	json_set_str(j, "kind", "user");
	json_set_str(j, "addr", inet_ntop(four ? AF_INET : AF_INET6, four ? (const void *)&run->key.addr[3] : in6, addr,
					  sizeof(addr)));
	json_set_str(j, "service", w->service);
	json_set_str(j, "node", node_self());
	json_set_num(j, "count", (double)bins_total(run, n));
	double min = bins_quantile(run, n, 0);
	json_set_num(j, "rtt_ms.min", u->min_us ? fmin(min, u->min_us / 1e3) : min);
	json_set_num(j, "rtt_ms.p50", bins_quantile(run, n, 0.5));
	json_set_num(j, "rtt_ms.p95", bins_quantile(run, n, 0.95));
	json_set_num(j, "rtt_ms.max", bins_quantile(run, n, 1));
	json_set(j, "rtt_bins", bins_json(run, n));
	json_set_num(j, "connections", u->connections);
	json_set_num(j, "sent_bytes", (double)u->sent);
	json_set_num(j, "received_bytes", (double)u->received);
	json_set_num(j, "retransmits", (double)u->retransmits);
	u->sent = u->received = u->retransmits = 0;
	u->min_us = 0;
	json_set_num(j, "window_s", round(window_s * 10) / 10);
	json_set_str(j, "by", w->rtt ? "bpf" : "poll");
	set_times(j, u);
	return j;
}

int watch_window(struct watch *w, watch_fn *each, void *ctx, struct err *e)
{
	double window_s = (clock_ms() - w->began) / 1e3;
	time_t now = time(NULL);
	int rc = 0;

	w->window++;
	w->began = clock_ms();
	table_sift(&w->users, still_known, &now);
	if (w->rtt && rtt_drain(w->rtt, take_bin, take_closed, w, e))
		return err_wrap(e, "service %s", w->service);
	if (diag_clients(w->diag, take_open, w, e))
		return err_wrap(e, "service %s", w->service);
	bins_sort(&w->bins);
	for (size_t i = 0, n; i < w->bins.n && !rc; i += n) {
		n = bins_run(&w->bins, i);
		rc = each(ctx, record(w, w->bins.v + i, n, window_s), e);
	}
	w->bins.n = 0;
	table_sift(&w->connections, still_open, w);
	return rc;
}
