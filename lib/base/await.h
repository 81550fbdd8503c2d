/* SPDX-License-Identifier: MIT */
/* Waiting for another thread, but not for ever. */
#ifndef EDGE_BASE_AWAIT_H
#define EDGE_BASE_AWAIT_H

#include <pthread.h>
#include <stdbool.h>
#include <time.h>

/* With the lock held: until *what is so, which whoever changes it signals by `cond`, or so many milliseconds have passed. */
static inline void await_ms(pthread_cond_t *cond, pthread_mutex_t *lock, const bool *what, int ms)
{
	struct timespec t;

	clock_gettime(CLOCK_MONOTONIC, &t);
	t.tv_sec += ms / 1000;
	t.tv_nsec += ms % 1000 * 1000000L;
	if (t.tv_nsec >= 1000000000L) {
		t.tv_sec++;
		t.tv_nsec -= 1000000000L;
	}
	while (!*what && !pthread_cond_clockwait(cond, lock, CLOCK_MONOTONIC, &t))
		;
}

#endif
