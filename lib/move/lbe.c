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
#define SAME 1.1            /* the link is measured when no more than that times the rate before gets through */
#define LONG_MS 50          /* of a longer round trip a queue of ours is a small part */
#define AGAIN_MS 5000       /* at the floor: is the link a slower one meanwhile? */
#define TARGET_MS 0.5       /* so much more than the shortest round trip is a queue; or this share of it: */
#define TARGET_SHARE 0.25
#define AFTER_MEASURE 0.8   /* the queue that has come of it empties, and what is soon over never fills it again */
#define BASE_MS 1000
#define DOWN 0.98
#define DOWN_MOST 0.9
#define UP 1.01
#define UPS 8               /* in a row, and there is more room than was thought: */
#define UP_FAST 1.05
#define MUCH_MORE 1.25      /* than ever got through is no limit at all */
#define BUSY 0.8            /* of the limit: else it is not what holds the streams up, and a higher one says nothing */
#define ACTIVE 0.1          /* of what all of them sent: a stream that counts */
#define WORTH_BYTES 65536   /* got through in an interval, */
#define WAITING 0.2         /* and more was there to be sent at so many looks: else it says nothing of the link */

struct line {
	int fd;
	uint64_t acked; /* bytes, when the interval began */
	double least;   /* round trip in the interval, ms */
};

struct lbe {
	pthread_t thread;
	pthread_mutex_t lock;
	pthread_cond_t cond;
	bool over;
	struct line line[STREAMS_MAX];
	int n;
	unsigned samples, waiting; /* of the interval; those in which there was more to send than was let go */
	struct lbe_law law;
};

/* ---- the law ---- */

static void measure(struct lbe_law *w, double now, double rate)
{
	bool settled = w->before > 0 && rate < w->before * SAME;

	w->before = rate;
	w->best = fmax(w->best, rate);
	if (!settled)
		return;
	w->limit = w->best * AFTER_MEASURE;
	w->floor_at = now;
}

/* The least round trip of late; 0: not known. */
static double base_of(const struct lbe_law *w)
{
	return w->base[0] && w->base[1] ? fmin(w->base[0], w->base[1]) : w->base[0] + w->base[1];
}

/* Of an interval without a queue, as far as is known. That of a stream which has little to send, or stops to measure by itself, is
 * shorter than any under way, and begins or ends within an interval: so one counts that has a busy one before and behind it. The more
 * is sent in one go the longer it is: so the old ones are forgotten. */
static void learn_base(struct lbe_law *w, double now)
{
	if (now > w->base_until) {
		w->base[1] = w->base[0];
		w->base[0] = 0;
		w->base_until = now + BASE_MS;
	}
	if (w->busy > 2 && (!w->base[0] || w->last < w->base[0]))
		w->base[0] = w->last;
}

void lbe_decide(struct lbe_law *w, double now, double rate, double rtt)
{
	/* The interval itself says nothing: a window that still grows would be taken for the link, or it was still limited. */
	if (rtt > LONG_MS || (w->limit && now - w->floor_at > AGAIN_MS)) {
		*w = (struct lbe_law)LBE_LAW_NEW;
		return;
	}
	if (!w->limit) {
		measure(w, now, rate);
		return;
	}
	double base = base_of(w);
	bool busy = rate > w->limit * BUSY, queue = base && rtt > base + fmax(base * TARGET_SHARE, TARGET_MS);

	w->busy = busy ? w->busy + 1 : 0;
	if (!queue)
		learn_base(w, now);
	w->last = rtt;
	w->best = fmax(w->best, rate);
	if (queue) {
		w->limit = fmax(fmin(rate, w->limit) * DOWN, w->limit * DOWN_MOST);
		w->ups = 0;
	} else if (busy) {
		w->limit *= w->ups++ < UPS ? UP : UP_FAST;
	}
	if (w->limit > w->best * LBE_FLOOR)
		w->floor_at = now;
	else
		w->limit = w->best * LBE_FLOOR;
	w->limit = fmin(w->limit, w->best * MUCH_MORE);
}

/* ---- the streams ---- */

static bool look(const struct line *l, struct tcp_info *t)
{
	socklen_t n = sizeof(*t);

	return !getsockopt(l->fd, IPPROTO_TCP, TCP_INFO, t, &n) && n >= offsetof(struct tcp_info, tcpi_notsent_bytes) + 4;
}

static void begin_interval(struct lbe *l)
{
	struct tcp_info t;

	l->samples = l->waiting = 0;
	for (int i = 0; i < l->n; i++) {
		if (!look(&l->line[i], &t))
			continue;
		l->line[i].acked = t.tcpi_bytes_acked;
		l->line[i].least = t.tcpi_rtt / 1e3;
	}
}

static void sample(struct lbe *l)
{
	bool waiting = false;
	struct tcp_info t;

	for (int i = 0; i < l->n; i++) {
		if (!look(&l->line[i], &t))
			continue;
		l->line[i].least = fmin(l->line[i].least, t.tcpi_rtt / 1e3);
		waiting |= t.tcpi_notsent_bytes > 0;
	}
	l->samples++;
	l->waiting += waiting;
}

/* Bytes per second and stream; ULONG_MAX: as fast as it goes. */
static void set_limit(struct lbe *l, unsigned long rate)
{
	for (int i = 0; i < l->n; i++)
		setsockopt(l->line[i].fd, SOL_SOCKET, SO_MAX_PACING_RATE, &rate, sizeof(rate));
}

static void end_interval(struct lbe *l, double now, double ms)
{
	uint64_t got[STREAMS_MAX] = { 0 }, all = 0;
	struct tcp_info t;
	double rtt = 0;
	int active = 0;

	for (int i = 0; i < l->n; i++)
		if (look(&l->line[i], &t))
			all += got[i] = t.tcpi_bytes_acked - l->line[i].acked;
	if (!all || (!l->law.limit && all < WORTH_BYTES) || l->waiting < l->samples * WAITING)
		return;
	for (int i = 0; i < l->n; i++) {
		if ((double)got[i] < ACTIVE * (double)all)
			continue;
		if (!active++ || l->line[i].least < rtt)
			rtt = l->line[i].least;
	}
	lbe_decide(&l->law, now, (double)all / ms, rtt);
	set_limit(l, l->law.limit ? (unsigned long)(l->law.limit * 1e3 / active) : ~0UL);
}

static void *run(void *arg)
{
	struct lbe *l = arg;

	pthread_mutex_lock(&l->lock);
	while (!l->over) {
		double start = clock_ms(), now = start, ms = INTERVAL_MS;

		begin_interval(l);
		for (int i = 0; i < l->n; i++)
			ms = fmax(ms, l->line[i].least * INTERVAL_TRIPS);
		while (!l->over && now < start + ms) {
			await_ms(&l->cond, &l->lock, &l->over, SAMPLE_MS);
			sample(l);
			now = clock_ms();
		}
		if (!l->over)
			end_interval(l, now, now - start);
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
	set_limit(l, ~0UL);
	pthread_mutex_destroy(&l->lock);
	pthread_cond_destroy(&l->cond);
	free(l);
}
