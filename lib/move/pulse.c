/* SPDX-License-Identifier: MIT */
#include "lib/move/pulse.h"

#include <errno.h>
#include <poll.h>
#include <pthread.h>
#include <stdatomic.h>
#include <stdlib.h>
#include <sys/eventfd.h>
#include <unistd.h>

#include "lib/base/clock.h"
#include "lib/move/wire.h"

#define LOOK_MS 100

/* Two threads: a ping may get stuck in a link that is dead, and whoever is to notice must not. */
struct pulse {
	struct stream *stream;
	const char *(*look)(void *);
	void (*stop)(void *);
	void *ctx;
	pthread_t beater, watcher;
	int end; /* eventfd: readable when it is over */
	_Atomic(const char *) reason;
};

/* Until the end, or so many milliseconds: true when it is over. */
static bool over(const struct pulse *p, int ms)
{
	struct pollfd end = { .fd = p->end, .events = POLLIN };

	return poll(&end, 1, ms) > 0;
}

static void *beat(void *arg)
{
	struct pulse *p = arg;

	while (!over(p, PULSE_MS) && !wire_ping(p->stream, NULL))
		;
	return NULL;
}

static void *watch(void *arg)
{
	struct pulse *p = arg;
	double at = clock_ms();

	while (!over(p, LOOK_MS)) {
		const char *why = p->look ? p->look(p->ctx) : NULL;

		if (stream_heard(p->stream))
			at = clock_ms();
		if (!why && clock_ms() > at + PULSE_LIMIT_MS)
			why = "no sign of life for 8 s";
		if (!why)
			continue;
		atomic_store(&p->reason, why);
		p->stop(p->ctx);
		return NULL;
	}
	return NULL;
}

int pulse_start(struct pulse **out, struct stream *s, const char *(*look)(void *), void (*stop)(void *), void *ctx,
		struct err *e)
{
	struct pulse *p = calloc(1, sizeof(*p));

	if (!p)
		return err_set(e, EX_OSERR, "out of memory");
	*p = (struct pulse){ .stream = s, .look = look, .stop = stop, .ctx = ctx, .end = eventfd(0, EFD_CLOEXEC) };
	if (p->end < 0 || pthread_create(&p->beater, NULL, beat, p)) {
		err_sys(e, "cannot start a thread");
		goto failed;
	}
	if (!pthread_create(&p->watcher, NULL, watch, p)) {
		*out = p;
		return 0;
	}
	err_sys(e, "cannot start a thread");
	eventfd_write(p->end, 1);
	pthread_join(p->beater, NULL);
failed:
	if (p->end >= 0)
		close(p->end);
	free(p);
	return -1;
}

const char *pulse_reason(const struct pulse *p)
{
	return atomic_load(&p->reason);
}

void pulse_end(struct pulse *p)
{
	struct timespec until;

	if (!p)
		return;
	eventfd_write(p->end, 1);
	pthread_join(p->watcher, NULL);
	clock_gettime(CLOCK_MONOTONIC, &until);
	until.tv_sec++;
	if (pthread_clockjoin_np(p->beater, NULL, CLOCK_MONOTONIC, &until)) { /* stuck in a link that nobody else writes to */
		stream_stop(p->stream);
		pthread_join(p->beater, NULL);
	}
	close(p->end);
	free(p);
}
