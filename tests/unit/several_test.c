/* SPDX-License-Identifier: MIT */
#include "lib/move/several.h"

#include <fcntl.h>
#include <poll.h>
#include <signal.h>
#include <stdlib.h>
#include <unistd.h>

#include "lib/base/clock.h"
#include "lib/base/file.h"
#include "tests/unit/tap.h"

#define PATIENCE_MS 30000

static char events[] = "/tmp/several_test.XXXXXX";

static void note(const char *what, const char *service)
{
	AUTO_FD int fd = open(events, O_WRONLY | O_APPEND);
	char line[64];

	if (fd_write_all(fd, line, (size_t)snprintf(line, sizeof(line), "%s %s;", what, service)))
		abort();
}

/* Where it stands in what has happened, or -1. */
static long at(const char *what)
{
	AUTO_FREE char *text = file_slurp(events, NULL, NULL);
	const char *there = text ? strstr(text, what) : NULL;

	return there ? there - text : -1;
}

/* "a" ends when "b" has begun: so they are done at the same time, or never. */
static int act(const struct json *move, FILE *out)
{
	const char *service = json_str(move, "service");
	double end = clock_ms() + PATIENCE_MS;

	note("begin", service);
	while (!strcmp(service, "a") && at("begin b;") < 0 && clock_ms() < end)
		poll(NULL, 0, 10);
	fprintf(out, "# %s\n", service);
	note("end", service);
	return !strcmp(service, "b");
}

static volatile sig_atomic_t told;

static void on_signal(int number)
{
	told = 1;
	several_signal(number);
}

/* Ends when it has been told by its caller, which it tells. */
static int heed(const struct json *move, FILE *out)
{
	double end = clock_ms() + PATIENCE_MS;

	fprintf(out, "# %s\n", json_str(move, "service"));
	kill(getppid(), SIGUSR1);
	while (!told && clock_ms() < end)
		poll(NULL, 0, 10);
	return !told;
}

/* With a standard output that takes nothing. */
static int run_full(const struct json *moves, struct err *e)
{
	AUTO_FD int full = open("/dev/full", O_WRONLY), before = dup(STDOUT_FILENO);

	fflush(stdout);
	dup2(full, STDOUT_FILENO);
	int rc = several_run(moves, 3, act, e);
	dup2(before, STDOUT_FILENO);
	clearerr(stdout);
	return rc;
}

static void add(struct json *moves, const char *service, const char *from, const char *to)
{
	struct json *m = json_object();

	json_set_str(m, "service", service);
	json_set_str(m, "from", from);
	json_set_str(m, "to", to);
	json_add(moves, m);
}

int main(void)
{
	AUTO_JSON struct json *moves = json_array(), *none = json_array();
	AUTO_FD int fd = mkstemp(events);
	struct err e = { 0 };

	add(moves, "a", "edge1", "edge2");
	add(moves, "b", "edge1", "edge3");
	add(moves, "c", "edge4", "edge1"); /* has room there when both have gone */
	add(moves, "c", "edge1", "edge5"); /* once it is there */
	is_int(fd >= 0 ? several_run(moves, 3, act, &e) : -1, 1, "of four moves one fails");
	ok(at("end a;") > at("begin b;"), "two that have nothing to do with each other are done at the same time");
	ok(at("begin c;") > at("end a;") && at("begin c;") > at("end b;"), "what goes to a node waits for all that leaves it before");
	is_int(several_run(none, 3, act, &e), 0, "no moves, no failures");
	sigaction(SIGUSR1, &(struct sigaction){ .sa_handler = on_signal }, NULL);
	is_int(several_run(moves, 2, heed, &e), 0, "a signal reaches all that are under way");
	ok(truncate(events, 0) == 0 && run_full(moves, &e) == -1 && e.code == EX_IOERR, "what cannot be written is told");
	ok(at("end a;") >= 0 && at("end b;") >= 0 && at("end c;") >= 0, "... when all have ended by themselves");
	unlink(events);
	return done();
}
