/* SPDX-License-Identifier: MIT */
/* Criu in the hands of another program, which this one plays: it waits where it makes its log, and is let go, or ended. */
#include "lib/engine/criu_calls.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>

#include "lib/base/auto.h"
#include "lib/base/proc.h"
#include "tests/unit/tap.h"

static char log_path[64], err_path[64];

/* The program: its child is the criu. */
static int play(const char *how)
{
	int status = 0;
	pid_t pid = fork();

	if (!pid) {
		if (!strcmp(how, "none"))
			_exit(0);
		close(open(err_path, O_WRONLY | O_CREAT | O_TRUNC, 0600)); /* another file, opened otherwise */
		int fd = open(log_path, O_CREAT | O_TRUNC | O_WRONLY | O_APPEND, 0600);
		_exit(fd < 0 ? 3 : !strcmp(how, "fails") ? 4 : 0);
	}
	waitpid(pid, &status, 0);
	return WEXITSTATUS(status);
}

static struct {
	int calls;
	pid_t criu;
	bool log, other; /* there at that time */
	int answer;
} seen;

static int begins(void *ctx, pid_t criu)
{
	(void)ctx;
	seen.calls++;
	seen.criu = criu;
	seen.log = !access(log_path, F_OK);
	seen.other = !access(err_path, F_OK);
	return seen.answer;
}

static int run(const char *how, bool alone, int answer, struct err *e)
{
	const char *argv[] = { "/proc/self/exe", how, log_path, err_path, NULL };
	const struct criu_calls_job job = { .argv = argv, .alone = alone, .timeout_ms = 5000, .begins = begins };
	struct criu_pages hidden = { 0 };
	struct criu_maps maps = { 0 };

	memset(&seen, 0, sizeof(seen));
	memset(e, 0, sizeof(*e));
	seen.answer = answer;
	unlink(log_path);
	unlink(err_path);
	return criu_calls_run(&job, &hidden, &maps, e);
}

int main(int argc, char **argv)
{
	struct err e;
	int status;

	if (argc == 4) {
		snprintf(log_path, sizeof(log_path), "%s", argv[2]);
		snprintf(err_path, sizeof(err_path), "%s", argv[3]);
		return play(argv[1]);
	}
	if (geteuid()) {
		printf("1..0 # skip it takes root\n");
		return 0;
	}
	snprintf(log_path, sizeof(log_path), "/tmp/criu_calls_test.%d.log", (int)getpid());
	snprintf(err_path, sizeof(err_path), "/tmp/criu_calls_test.%d.err", (int)getpid());

	is_int(run("works", false, 0, &e), 0, "it runs to its end");
	is_int(seen.calls, 1, "... and is waited for once");
	ok(seen.criu > 0 && !seen.log && seen.other, "... where criu makes its log, and no other file");
	ok(!access(log_path, F_OK), "... which it makes then");
	is_int(run("fails", false, 0, &e), -1, "one that fails");
	is_str(e.text, "", "... has its own words for that");
	is_int(run("works", false, -1, &e), -1, "one that is not wanted any more");
	ok(e.code == EX_TEMPFAIL && !seen.log && access(log_path, F_OK), "... is ended before it makes anything");
	is_int(run("none", false, 0, &e), -1, "one whose criu was never seen to begin");
	ok(!seen.calls && e.code == EX_SOFTWARE, "... is not taken for one that has worked");
	is_int(run("works", true, 0, &e), 0, "one that is alone");
	ok(seen.calls == 1 && !seen.criu && !seen.other, "... is waited for before it is started");
	is_int(run("works", true, -1, &e), -1, "... or is not started");
	ok(access(err_path, F_OK), "... at all");
	ok(waitpid(-1, &status, 0) < 0 && errno == ECHILD, "nobody is left");

	unlink(log_path);
	unlink(err_path);
	ok(!criu_calls_hinder((pid_t[]){ getpid() }, 1), "this process has no filter");
	return done();
}
