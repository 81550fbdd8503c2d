/* SPDX-License-Identifier: MIT */
#include "lib/move/settle.h"

#include <fcntl.h>
#include <pthread.h>
#include <stdbool.h>
#include <stdlib.h>
#include <time.h>
#include <unistd.h>

#define EVERY_MS 1000

struct settle {
	int fd;
	pthread_t thread;
	pthread_mutex_t lock;
	pthread_cond_t cond;
	bool last, done; /* the last time was asked for; is over */
	bool busy, over; /* the disk writes; its owner has gone */
};

static struct timespec in_ms(int ms)
{
	struct timespec t;

	clock_gettime(CLOCK_MONOTONIC, &t);
	t.tv_sec += ms / 1000;
	t.tv_nsec += ms % 1000 * 1000000L;
	if (t.tv_nsec >= 1000000000L) {
		t.tv_sec++;
		t.tv_nsec -= 1000000000L;
	}
	return t;
}

/* Until that is so, or the time has come. */
static void await(struct settle *s, const bool *what, int ms)
{
	struct timespec until = in_ms(ms);

	while (!*what && !pthread_cond_clockwait(&s->cond, &s->lock, CLOCK_MONOTONIC, &until))
		;
}

static void release(struct settle *s)
{
	close(s->fd);
	free(s);
}

static void *run(void *arg)
{
	struct settle *s = arg;

	pthread_mutex_lock(&s->lock);
	for (bool last = false; !last && !s->over;) {
		await(s, &s->last, EVERY_MS);
		if (s->over)
			break;
		last = s->last;
		s->busy = true;
		pthread_mutex_unlock(&s->lock);
		syncfs(s->fd); /* one that fails is found by who needs it there */
		pthread_mutex_lock(&s->lock);
		s->busy = false;
		if (s->over) { /* nobody waits for us any more */
			pthread_mutex_unlock(&s->lock);
			release(s);
			return NULL;
		}
	}
	s->done = true;
	pthread_cond_broadcast(&s->cond);
	pthread_mutex_unlock(&s->lock);
	return NULL;
}

struct settle *settle_start(const char *dir)
{
	struct settle *s = calloc(1, sizeof(*s));

	if (!s)
		return NULL;
	pthread_cond_init(&s->cond, NULL);
	pthread_mutex_init(&s->lock, NULL);
	s->fd = open(dir, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	if (s->fd >= 0 && !pthread_create(&s->thread, NULL, run, s))
		return s;
	if (s->fd >= 0)
		close(s->fd);
	free(s);
	return NULL;
}

void settle_now(struct settle *s, int ms)
{
	if (!s)
		return;
	pthread_mutex_lock(&s->lock);
	s->last = true;
	pthread_cond_broadcast(&s->cond);
	await(s, &s->done, ms);
	pthread_mutex_unlock(&s->lock);
}

void settle_free(struct settle *s)
{
	if (!s)
		return;
	pthread_mutex_lock(&s->lock);
	bool busy = s->busy;
	s->last = s->over = true;
	pthread_cond_broadcast(&s->cond);
	if (busy) /* a disk may take long, and it is no matter any more */
		pthread_detach(s->thread);
	const pthread_t thread = s->thread;
	pthread_mutex_unlock(&s->lock);
	if (busy)
		return;
	pthread_join(thread, NULL);
	release(s);
}
