/* SPDX-License-Identifier: MIT */
#include "lib/move/several.h"

#include <signal.h>
#include <string.h>
#include <unistd.h>

#include "lib/base/crowd.h"

#define LONG_MS 2000000000 /* a move has its own limits */

/* Those under way, and whose they are. */
static volatile pid_t movers[SEVERAL_MAX];
static pid_t owner;

struct several {
	const struct json *moves;
	size_t first; /* of this part of them */
	int (*act)(const struct json *move, FILE *out);
	int failed;
	struct err unwritten;
};

void several_signal(int number)
{
	for (int i = 0; owner == getpid() && i < SEVERAL_MAX; i++)
		if (movers[i])
			kill(movers[i], number);
}

static int work(void *ctx, size_t i, FILE *out)
{
	const struct several *s = ctx;
	AUTO_JSON struct json *move = json_at(s->moves, s->first + i);

	return s->act(move, out);
}

static void works(void *ctx, int k, pid_t pid)
{
	(void)ctx;
	movers[k] = pid;
}

/* Not to be able to write is told in the end: it is no reason to kill moves that are under way. */
static int line(void *ctx, size_t i, char *text, struct err *e)
{
	struct several *s = ctx;

	(void)i;
	(void)e;
	if (!s->unwritten.code)
		record_pass(stdout, text, &s->unwritten);
	return 0;
}

static int ended(void *ctx, size_t i, int status, struct err *e)
{
	struct several *s = ctx;

	(void)i;
	(void)e;
	s->failed += status != 0;
	return 0;
}

static bool same(const struct json *a, const char *x, const struct json *b, const char *y)
{
	const char *u = json_str(a, x), *v = json_str(b, y);

	return u && v && !strcmp(u, v);
}

/* Has it to wait for one of those from `first` on? */
static bool waits(const struct json *moves, size_t first, size_t i)
{
	AUTO_JSON struct json *move = json_at(moves, i);

	for (size_t k = first; k < i; k++) {
		AUTO_JSON struct json *before = json_at(moves, k);

		if (same(move, "to", before, "from") || (same(move, "service", before, "service") && same(move, "id", before, "id")) ||
		    (same(move, "service", before, "service") && same(move, "from", before, "to")))
			return true;
	}
	return false;
}

int several_run(const struct json *moves, int at_once, int (*act)(const struct json *move, FILE *out), struct err *e)
{
	struct several s = { .moves = moves, .act = act };
	struct crowd c = { .at_once = at_once, .timeout_ms = LONG_MS, .work = work, .line = line,
			   .ended = ended, .works = works, .ctx = &s };
	size_t n = json_len(moves, NULL);
	int rc = 0;

	owner = getpid();
	for (; !rc && s.first < n; s.first += c.n) {
		for (c.n = 1; s.first + c.n < n && !waits(moves, s.first, s.first + c.n); c.n++)
			;
		rc = crowd_run(&c, e);
	}
	if (!rc && s.unwritten.code) {
		*e = s.unwritten;
		return -1;
	}
	return rc ? -1 : s.failed;
}
