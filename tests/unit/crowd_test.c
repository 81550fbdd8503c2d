/* SPDX-License-Identifier: MIT */
#include "lib/base/crowd.h"

#include <signal.h>
#include <string.h>
#include <unistd.h>

#include "lib/base/clock.h"
#include "tests/unit/tap.h"

#define MEMBERS 20

struct seen {
	int lines, ended, late, refused, running, most;
	size_t bytes;
	bool stop;
};

static int work(void *ctx, size_t i, FILE *out)
{
	(void)ctx;
	if (i == 3)
		pause(); /* until it is late */
	if (i == 5) {
		for (int k = 0; k < 300000; k++)
			putc('x', out);
		fputs("\nsecond\nunfinished", out);
		return 7;
	}
	if (i == 6)
		raise(SIGKILL);
	fprintf(out, "line of %zu\n", i);
	return 0;
}

static int line(void *ctx, size_t i, char *text, struct err *e)
{
	struct seen *s = ctx;

	(void)i;
	s->lines++;
	s->bytes += strlen(text);
	return s->stop ? err_set(e, EX_IOERR, "enough") : 0;
}

static int ended(void *ctx, size_t i, int status, struct err *e)
{
	struct seen *s = ctx;

	(void)e;
	s->ended++;
	s->late += status == CROWD_LATE && i == 3;
	s->refused += (status == 7 && i == 5) || (status == EX_SOFTWARE && i == 6);
	return 0;
}

static void works(void *ctx, int k, pid_t pid)
{
	struct seen *s = ctx;

	(void)k;
	s->running += pid ? 1 : -1;
	s->most = s->running > s->most ? s->running : s->most;
}

int main(void)
{
	struct seen s = { 0 };
	struct crowd c = { .n = MEMBERS, .at_once = 4, .timeout_ms = 1500, .work = work, .line = line, .ended = ended, .works = works, .ctx = &s };
	struct err e = { 0 };
	double start = clock_ms();

	is_int(crowd_run(&c, &e), 0, "many do their work");
	is_int(s.ended, MEMBERS, "... all of them");
	is_int(s.most, c.at_once, "... as many at once as may be, and no more");
	is_int(s.running, 0, "... and none is left");
	is_int(s.late, 1, "... one is late, and killed");
	is_int(s.refused, 2, "... and those that fail are told");
	is_int(s.lines, MEMBERS - 3 + 2, "... with the lines of all others, and only whole ones");
	ok(s.bytes > 300000, "... also long ones");
	ok(clock_ms() - start < 10000, "... while one hangs");
	s = (struct seen){ .stop = true };
	start = clock_ms();
	ok(crowd_run(&c, &e) == -1 && e.code == EX_IOERR, "who cannot take more ends all");
	ok(clock_ms() - start < 1400, "... at once");
	c.n = 0;
	is_int(crowd_run(&c, &e), 0, "nobody has nothing to do");
	return done();
}
