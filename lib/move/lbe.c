/* SPDX-License-Identifier: MIT */
#include "lib/move/lbe.h"

#include <linux/tcp.h>
#include <math.h>
#include <netinet/in.h>
#include <pthread.h>
#include <stdint.h>
#include <stdlib.h>
#include <sys/socket.h>

#include "lib/base/await.h"
#include "lib/base/clock.h"

#define STREAMS_MAX 8
#define SAMPLE_MS 5
#define INTERVAL_MS 50      /* at least; or so many round trips: */
#define INTERVAL_TRIPS 4
#define SAME 1.1            /* the link is measured when no more than that times the rate before gets through, */
#define HELD 0.8            /* and no less than that: it was not the stream that paused */
#define LONG_MS 50          /* where nothing waits: then a queue of ours is a small part of the round trip */
#define AGAIN_LOW 100       /* intervals more at the floor than above it: is the link a slower one meanwhile? */
#define JUST 1.001          /* above it is at it */
#define AGAIN_IDLE 10       /* in which the link held the stream up, and not the limit; or which had a limit far above all that got
			     * through: was that wrong from the first? */
#define TARGET_MS 0.5       /* so much more than the shortest round trip is a queue; or this share of it: */
#define TARGET_SHARE 0.25
#define AFTER_MEASURE 0.8   /* the queue that has come of it empties, and what is soon over never fills it again */
#define BASE_INTERVALS 20
#define DOWN 0.98
#define DOWN_MOST 0.9
#define FULL 0.9            /* of the limit: when less gets through and there is a queue, */
#define SLOWER 4            /* intervals in a row, the link carries no more */
#define UP 1.01
#define UPS 8               /* in a row, and there is more room than was thought: */
#define UP_FAST 1.05
#define BEST_MOST 4         /* times what got through is no limit at all */
#define BUSY 0.8            /* of the limit: else it is not what holds the stream up, and a higher one says nothing */
#define WORTH_BYTES 65536   /* got through in an interval, */
#define WAITING 0.2         /* and more was there to be sent at so many looks: else it says nothing of the link; */
#define ALWAYS 0.9          /* at so many, it was the link or the limit that held the stream up, and not who writes to it */
#define BUSY_LEAST 0.1      /* of an interval: the kernel counts by its ticks */

struct line {
	int fd;
	struct lbe_law law;
	/* Of this interval: */
	uint64_t acked;    /* bytes, when it began */
	uint64_t busy_us;  /* with something on its way, when it began */
	double least;      /* round trip, ms */
	unsigned waiting;  /* looks at which there was more to send than was let go */
};

struct lbe {
	pthread_t thread;
	pthread_mutex_t lock;
	pthread_cond_t cond;
	bool over;
	struct line line[STREAMS_MAX];
	int n;
	unsigned looks; /* of this interval */
};

/* ---- the law ---- */

static void measure(struct lbe_law *w, double rate, bool always)
{
	/* Of two, as streams that share the link have more of it by turns. */
	if (w->before > 0 && rate < w->before * SAME && rate > w->before * HELD) {
		w->best = (w->before + rate) / 2;
		w->limit = always ? w->best * AFTER_MEASURE : w->best;
	}
	w->before = rate;
}

/* The least round trip of late; 0: not known. */
static double base_of(const struct lbe_law *w)
{
	return w->base[0] && w->base[1] ? fmin(w->base[0], w->base[1]) : w->base[0] + w->base[1];
}

/* Of an interval without a queue, as far as is known. That of a stream which stops to measure by itself is shorter than any under way,
 * and begins or ends within an interval: so one counts that has a busy one before and behind it. The more is sent in one go the longer
 * it is: so the old ones are forgotten. */
static void learn_base(struct lbe_law *w)
{
	if (w->busy <= 2)
		return;
	if (w->n++ == BASE_INTERVALS) {
		w->base[1] = w->base[0];
		w->base[0] = 0;
		w->n = 1;
	}
	if (!w->base[0] || w->last < w->base[0])
		w->base[0] = w->last;
}

/* Not of an interval in parts of which there was nothing to send: the kernel counts the others by its ticks. */
static void learn_best(struct lbe_law *w, double rate, bool queue, bool always)
{
	if (queue && always && rate <= w->limit * FULL) {
		w->less = fmax(w->less, rate);
		if (++w->slow < SLOWER)
			return;
		w->best = w->less;
	} else if (always) {
		w->best = fmax(w->best, rate);
	}
	w->slow = 0;
	w->less = 0;
}

void lbe_decide(struct lbe_law *w, double rate, double rtt, bool always)
{
	/* The interval itself says nothing: a window that still grows would be taken for the link, or it was still limited. */
	if (w->low > AGAIN_LOW || w->idle > AGAIN_IDLE) {
		*w = (struct lbe_law)LBE_LAW_NEW;
		return;
	}
	if (!w->limit) {
		measure(w, rate, always);
		return;
	}
	double base = base_of(w), floor;
	bool busy = rate > w->limit * BUSY, queue = base && rtt > base + fmax(base * TARGET_SHARE, TARGET_MS);

	w->busy = busy ? w->busy + 1 : 0;
	if (busy || queue) /* a queue lowers the limit by itself */
		w->idle = 0;
	else if (always || w->limit >= w->best * BEST_MOST)
		w->idle++;
	if (!queue)
		learn_base(w);
	w->last = rtt;
	learn_best(w, rate, queue, always);
	if (queue) {
		w->limit = fmax(fmin(rate, w->limit) * DOWN, w->limit * DOWN_MOST);
		w->ups = 0;
	} else if (busy || !always) { /* short turns are mostly round trips, and never get through as much as they may */
		w->limit *= busy && w->ups < UPS ? UP : UP_FAST;
		w->ups++;
	}
	floor = w->best * LBE_FLOOR;
	w->low = w->limit <= floor * JUST ? w->low + 1 : w->low ? w->low - 1 : 0;
	w->limit = fmin(fmax(w->limit, floor), w->best * BEST_MOST);
}

/* ---- the streams ---- */

static bool look(const struct line *l, struct tcp_info *t)
{
	socklen_t n = sizeof(*t);

	return !getsockopt(l->fd, IPPROTO_TCP, TCP_INFO, t, &n) && n >= offsetof(struct tcp_info, tcpi_busy_time) + sizeof(t->tcpi_busy_time);
}

static void begin_interval(struct lbe *l)
{
	struct tcp_info t;

	l->looks = 0;
	for (int i = 0; i < l->n; i++) {
		struct line *line = &l->line[i];

		line->waiting = 0;
		if (!look(line, &t))
			continue;
		line->acked = t.tcpi_bytes_acked;
		line->busy_us = t.tcpi_busy_time;
		line->least = t.tcpi_rtt / 1e3;
	}
}

static void sample(struct lbe *l)
{
	struct tcp_info t;

	l->looks++;
	for (int i = 0; i < l->n; i++) {
		struct line *line = &l->line[i];

		if (!look(line, &t))
			continue;
		line->least = fmin(line->least, t.tcpi_rtt / 1e3);
		line->waiting += t.tcpi_notsent_bytes > 0;
	}
}

/* Bytes per ms; 0: as fast as it goes. */
static void set_limit(const struct line *l, double limit)
{
	unsigned long rate = limit ? (unsigned long)(limit * 1e3) : ~0UL;

	setsockopt(l->fd, SOL_SOCKET, SO_MAX_PACING_RATE, &rate, sizeof(rate));
}

static void end_interval(struct line *l, unsigned looks, double ms)
{
	struct tcp_info t;
	uint64_t got;
	double busy;

	if (!look(l, &t) || l->waiting < looks * WAITING)
		return;
	got = t.tcpi_bytes_acked - l->acked;
	if (!got || (!l->law.limit && got < WORTH_BYTES))
		return;
	busy = (double)(t.tcpi_busy_time - l->busy_us) / 1e3;
	if (busy > ms * ALWAYS)
		busy = ms;
	if (t.tcpi_min_rtt / 1e3 > LONG_MS)
		l->law = (struct lbe_law)LBE_LAW_NEW;
	else
		lbe_decide(&l->law, (double)got / fmax(busy, ms * BUSY_LEAST), l->least, l->waiting >= looks * ALWAYS);
	set_limit(l, l->law.limit);
}

static void *run(void *arg)
{
	struct lbe *l = arg;

	pthread_mutex_lock(&l->lock);
	while (!l->over) {
		double start = clock_ms(), now = start, ms = INTERVAL_MS;

		begin_interval(l);
		for (int i = 0; i < l->n; i++)
			ms = fmax(ms, fmin(l->line[i].least, LONG_MS) * INTERVAL_TRIPS);
		while (!l->over && now < start + ms) {
			await_ms(&l->cond, &l->lock, &l->over, SAMPLE_MS);
			sample(l);
			now = clock_ms();
		}
		for (int i = 0; i < l->n && !l->over; i++)
			end_interval(&l->line[i], l->looks, now - start);
	}
	pthread_mutex_unlock(&l->lock);
	return NULL;
}

struct lbe *lbe_start(struct stream *const *streams, int n)
{
	struct lbe *l = calloc(1, sizeof(*l));
	struct tcp_info t;

	if (!l)
		return NULL;
	for (int i = 0; i < n && l->n < STREAMS_MAX; i++) {
		struct line *line = &l->line[l->n];

		line->fd = streams[i] ? stream_socket(streams[i]) : -1;
		l->n += line->fd >= 0 && look(line, &t);
	}
	pthread_mutex_init(&l->lock, NULL);
	pthread_cond_init(&l->cond, NULL);
	if (l->n && !pthread_create(&l->thread, NULL, run, l))
		return l;
	free(l);
	return NULL;
}

void lbe_end(struct lbe *l)
{
	if (!l)
		return;
	pthread_mutex_lock(&l->lock);
	l->over = true;
	pthread_cond_broadcast(&l->cond);
	pthread_mutex_unlock(&l->lock);
	pthread_join(l->thread, NULL);
	for (int i = 0; i < l->n; i++)
		set_limit(&l->line[i], 0);
	pthread_mutex_destroy(&l->lock);
	pthread_cond_destroy(&l->cond);
	free(l);
}
