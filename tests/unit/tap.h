/* SPDX-License-Identifier: MIT */
/* TAP for unit tests: ok(), is_str(), is_int(), then `return done();`. */
#ifndef EDGE_TESTS_TAP_H
#define EDGE_TESTS_TAP_H

#include <stdbool.h>
#include <stdio.h>
#include <string.h>

static int tap_count, tap_failed;

static inline bool ok(bool cond, const char *name)
{
	printf("%sok %d - %s\n", cond ? "" : "not ", ++tap_count, name);
	fflush(stdout);
	tap_failed += !cond;
	return cond;
}

static inline bool is_str(const char *got, const char *want, const char *name)
{
	bool same = got && want ? strcmp(got, want) == 0 : got == want;

	if (!ok(same, name))
		printf("#   got: %s\n#  want: %s\n", got ? got : "(null)", want ? want : "(null)");
	return same;
}

static inline bool is_int(long long got, long long want, const char *name)
{
	if (!ok(got == want, name))
		printf("#   got: %lld\n#  want: %lld\n", got, want);
	return got == want;
}

/* Says why a test is not run here. */
static inline void skip(const char *name, const char *why)
{
	printf("ok %d - %s # SKIP %s\n", ++tap_count, name, why);
}

/* The plan, and main's status. */
static inline int done(void)
{
	printf("1..%d\n", tap_count);
	return tap_failed != 0;
}

#endif
