/* SPDX-License-Identifier: MIT */
/* Time: for people and records (RFC 3339 UTC), and for durations. */
#ifndef EDGE_BASE_CLOCK_H
#define EDGE_BASE_CLOCK_H

#include <time.h>

/* Milliseconds of CLOCK_MONOTONIC, with microseconds behind the point. */
static inline double clock_ms(void)
{
	struct timespec t;

	clock_gettime(CLOCK_MONOTONIC, &t);
	return (double)t.tv_sec * 1e3 + (double)t.tv_nsec / 1e6;
}

/* A time, as "2026-01-01T00:00:00Z". */
static inline const char *clock_rfc3339_at(time_t at, char buf[32])
{
	struct tm tm;

	strftime(buf, 32, "%Y-%m-%dT%H:%M:%SZ", gmtime_r(&at, &tm));
	return buf;
}

static inline const char *clock_rfc3339(char buf[32])
{
	return clock_rfc3339_at(time(NULL), buf);
}

/* The other way round: seconds since 1970; 0 for NULL and for what is no such time. */
static inline time_t clock_time(const char *rfc3339)
{
	struct tm tm = { 0 };
	const char *end = rfc3339 ? strptime(rfc3339, "%Y-%m-%dT%H:%M:%SZ", &tm) : NULL;

	return end && !*end ? timegm(&tm) : 0;
}

#endif
