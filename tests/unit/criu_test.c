/* SPDX-License-Identifier: MIT */
/* criu_run() against a thread that answers as criu would. */
#include "lib/engine/criu.h"

#include <fcntl.h>
#include <limits.h>
#include <poll.h>
#include <pthread.h>
#include <signal.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <unistd.h>

#include "lib/base/file.h"
#include "tests/unit/peer.h"
#include "tests/unit/tap.h"

static char top[] = "/tmp/criu_test.XXXXXX";
static struct err e;

/* ---- the fake: sends these answers, one for each message that it gets ---- */

struct answer {
	const char *data;
	size_t n;
};
#define ANSWER(text) { text, sizeof(text) - 1 }

struct fake {
	int sock;
	const struct answer *answers;
	int n;
	uint8_t got[4][8192];
	ssize_t len[4];
};

static void *play(void *arg)
{
	struct fake *f = arg;

	for (int i = 0; i < f->n; i++) {
		f->len[i] = recv(f->sock, f->got[i], sizeof(f->got[i]), 0);
		if (f->len[i] <= 0)
			break;
		if (f->answers[i].n)
			send(f->sock, f->answers[i].data, f->answers[i].n, MSG_NOSIGNAL);
	}
	shutdown(f->sock, SHUT_RDWR);
	return NULL;
}

static int run(const struct answer *answers, int n, struct criu_job *job, struct fake *f, pid_t *restored)
{
	struct criu c = { .sock = -1 };
	pthread_t thread;

	*f = (struct fake){ .answers = answers, .n = n };
	e = (struct err){ 0 };
	if (criu_socketpair(&c.sock, &f->sock, &e))
		abort();
	job->images = top;
	pthread_create(&thread, NULL, play, f);
	int rc = criu_run(&c, job, restored, &e);
	criu_close(&c);
	pthread_join(thread, NULL);
	close(f->sock);
	return rc;
}

/* Whether these bytes stand in a message. */
static bool holds(const struct fake *f, int i, const char *bytes, size_t n)
{
	return f->len[i] > 0 && memmem(f->got[i], (size_t)f->len[i], bytes, n);
}

static void put_log(const char *text)
{
	char path[PATH_MAX];

	snprintf(path, sizeof(path), "%s/criu.log", top);
	if (text)
		file_write(path, text, strlen(text), 0600, &e);
	else
		unlink(path);
}

/* ---- tests ---- */

static void test_success(void)
{
	/* type RESTORE, success, restore { pid 77 } */
	const struct answer yes[] = { ANSWER("\x8\x2\x10\x1\x22\x2\x8\x4d") };
	const struct criu_pair inherit[] = { { "pipe:[9]", 4 }, { NULL, 0 } };
	const char *const external[] = { "mnt[/data]:v0", NULL };
	struct criu_job job = { .verb = CRIU_RESTORE, .root = "/the/root", .sibling = true, .external = external,
				.inherit = inherit };
	struct fake f;
	pid_t pid = 0;

	is_int(run(yes, 1, &job, &f, &pid), 0, "a restore that succeeds");
	is_int(pid, 77, "... tells the pid");
	ok(f.len[0] > 2 && !memcmp(f.got[0], "\x8\x2\x12", 3), "the request has its type and options");
	ok(holds(&f, 0, "\x6a\x9/the/root", 11), "... the root");
	ok(holds(&f, 0, "\xaa\x2\rmnt[/data]:v0", 16), "... what is external");
	ok(holds(&f, 0, "\xda\x1\xc\xa\x8pipe:[9]\x10\x4", 15), "... and what is inherited");
	ok(holds(&f, 0, "\x28\x1", 2), "... and keeps connections");
	job.tcp_close = true;
	run(yes, 1, &job, &f, NULL);
	ok(!holds(&f, 0, "\x28\x1", 2) && holds(&f, 0, "\xa0\x3\x1", 3), "... or closes them");
}

struct seen {
	char point[3][64];
	pid_t pid[3];
	int n, refuse_at;
};

static int notice(void *ctx, const char *point, pid_t pid)
{
	struct seen *s = ctx;

	snprintf(s->point[s->n % 3], 64, "%s", point);
	s->pid[s->n % 3] = pid;
	return ++s->n == s->refuse_at ? -1 : 0;
}

static void test_notify(void)
{
	const struct answer steps[] = {
		ANSWER("\x8\x6\x10\x1\x2a\xa\xa\x8pre-dump"),
		ANSWER("\x8\x6\x10\x1\x2a\xd\xa\x9post-dump\x10\x7"),
		ANSWER("\x8\x1\x10\x1"),
	};
	const struct answer no[] = { ANSWER("\x8\x6\x10\x1\x2a\xa\xa\x8pre-dump"), ANSWER("\x8\x1\x10\x0") };
	struct seen seen = { 0 };
	struct criu_job job = { .verb = CRIU_DUMP, .pid = 5, .notify = notice, .ctx = &seen };
	struct fake f;

	is_int(run(steps, 3, &job, &f, NULL), 0, "a dump with its points");
	ok(seen.n == 2 && !strcmp(seen.point[0], "pre-dump") && !strcmp(seen.point[1], "post-dump") && seen.pid[1] == 7,
	   "... which are told in order");
	ok(f.len[1] == 4 && !memcmp(f.got[1], "\x8\x6\x18\x1", 4), "... and confirmed");
	put_log("(00.1) Error (criu/x.c:1): Pre dump script failed\n");
	seen = (struct seen){ .refuse_at = 1 };
	is_int(run(no, 2, &job, &f, NULL), -1, "a point that is refused fails the dump");
	ok(f.len[1] == 4 && !memcmp(f.got[1], "\x8\x6\x18\x0", 4), "... as criu is told");
	is_str(e.text, "criu: dump: Pre dump script failed", "... and says");
	put_log(NULL);
}

static void test_failure(void)
{
	const struct answer no[] = { ANSWER("\x8\x1\x10\x0") };
	const struct answer why[] = { ANSWER("\x8\x1\x10\x0\x4a\xb" "no such pid") };
	const struct answer nothing[] = { ANSWER("") };
	struct criu_job job = { .verb = CRIU_DUMP };
	struct fake f;

	is_int(run(no, 1, &job, &f, NULL), -1, "a dump that fails");
	is_str(e.text, "criu: dump: it failed and did not say why", "... without a reason");
	is_int(e.code, EX_UNAVAILABLE, "... is unavailable");
	is_int(run(why, 1, &job, &f, NULL), -1, "... with a reason in its answer");
	is_str(e.text, "criu: dump: no such pid", "... says it");
	put_log("(00.01) Warn  (criu/a.c:1): not this\n"
		"(00.02) Error (criu/lsm.c:1): rlimit: Can't setup RLIMIT_NOFILE for self: Operation not permitted\n"
		"(00.05) Error (criu/files.c:12): Can't lookup mount=42 for fd=1\n"
		"(00.06) Error (criu/b.c:2): two\n(00.07) Error (criu/c.c:3): three\n(00.08) Error (criu/d.c:4): four\n");
	is_int(run(why, 1, &job, &f, NULL), -1, "... with a log");
	is_str(e.text, "criu: dump: Can't lookup mount=42 for fd=1; two; three", "... quotes its first errors");
	job.verb = CRIU_RESTORE;
	is_int(run(nothing, 1, &job, &f, NULL), -1, "a restore whose criu goes away");
	is_str(e.text, "criu: restore: Can't lookup mount=42 for fd=1; two; three", "... quotes them, too");
	put_log(NULL);
}

static void test_malformed(void)
{
	const struct answer all[][1] = {
		{ ANSWER("\xff\xff\xff") },                  { ANSWER("\x8\x1\x10") },
		{ ANSWER("\x8\x1\x4a\xff\xff\xff\xff\xff") }, { ANSWER("\x8\x1\x22\x7f\x8") },
		{ ANSWER("\x9\x1\x10\x1") },                 { ANSWER("\x8\xff\xff\xff\xff\xff\xff\xff\xff\xff\xff\xff") },
	};
	struct criu_job job = { .verb = CRIU_DUMP };
	struct fake f;
	int refused = 0;

	for (size_t i = 0; i < sizeof(all) / sizeof(*all); i++)
		refused += run(all[i], 1, &job, &f, NULL) == -1 && e.code == EX_UNAVAILABLE;
	is_int(refused, (long long)(sizeof(all) / sizeof(*all)), "malformed answers are failures");
}

static void test_metadata_only(void)
{
	const struct answer yes[] = { ANSWER("\x8\x1\x10\x1") };
	struct criu_job job = { .verb = CRIU_DUMP, .metadata_only = true };
	char path[PATH_MAX];
	struct fake f;

	is_int(run(yes, 1, &job, &f, NULL), 0, "a dump of metadata only");
	snprintf(path, sizeof(path), "%s/criu.conf", top);
	AUTO_FREE char *text = file_slurp(path, NULL, &e);
	is_str(text, "ps-socket 5\n", "... names the stand-in for a reader of pages");
	ok(holds(&f, 0, path, strlen(path)), "... by a configuration file");
	unlink(path);
}

static void test_quote(void)
{
	char line[700], out[64];

	memset(line, 'x', sizeof(line) - 1);
	memcpy(line, "(00.05) Error (criu/f.c:1): ", 28);
	line[sizeof(line) - 1] = 0;
	put_log(line);
	criu_quote_log(top, "criu.log", out, sizeof(out));
	is_int((long long)strlen(out), 63, "a long line is cut");
	criu_quote_log(top, "none.log", out, sizeof(out));
	is_str(out, "", "no log, no lines");
	put_log(NULL);
}

/* A program in criu's place: what it is started with. */
static void test_start(void)
{
	char script[PATH_MAX], report[PATH_MAX], text[512];
	struct criu c = { .sock = -1 }, zeroed = { 0 };
	int before = open_files();

	snprintf(script, sizeof(script), "%s/criu", top);
	snprintf(report, sizeof(report), "%s/report", top);
	snprintf(text, sizeof(text), "#!/bin/sh\n{ echo \"$*\"; for n in 0 2 3 5; do readlink /proc/$$/fd/$n; done; } >%s\n"
				     "exec sleep 60\n", report);
	file_write(script, text, strlen(text), 0700, &e);
	setenv("EDGE_CRIU", script, 1);
	is_int(criu_start(&c, -1, NULL, false, &e), 0, "criu is started");
	AUTO_FREE char *said = NULL;
	for (int i = 0; i < 200; i++) {
		free(said);
		said = file_slurp(report, NULL, NULL);
		if (said && strstr(said, "\nsocket:[") && strstr(strstr(said, "\nsocket:[") + 1, "\nsocket:["))
			break;
		usleep(10000);
	}
	ok(said && !strncmp(said, "swrk 3\n/dev/null\n/dev/null\nsocket:[", 35),
	   "... as a worker with a socket, and nothing else of ours");
	pid_t pid = c.pid;
	criu_close(&c);
	ok(kill(pid, 0) != 0, "... and ended with the job");
	criu_close(&c);
	criu_close(&zeroed);
	ok(fcntl(0, F_GETFD) >= 0, "closing it twice, or one that never was, does no harm");
	is_int(open_files(), before, "no descriptor is left open");
	setenv("EDGE_CRIU", "/nonexistent/criu", 1);
	is_int(criu_start(&c, -1, NULL, false, &e), -1, "without a criu");
	is_str(e.text, "criu: not installed", "... says so");
}

/* Killed while one of its children, which has its socket, too, goes on: some of its checks of the kernel are made so. */
static void test_killed(void)
{
	struct criu_job job = { .verb = CRIU_DUMP, .images = top };
	struct criu c = { .child = true };
	int theirs, alive[2];

	if (criu_socketpair(&c.sock, &theirs, &e) || pipe(alive))
		abort();
	c.pid = fork();
	if (!c.pid) {
		setpgid(0, 0);
		if (fork())
			_exit(1);
		for (;;)
			pause();
	}
	close(theirs);
	close(alive[1]);
	setpgid(c.pid, c.pid);
	is_int(criu_run(&c, &job, NULL, &e), -1, "a criu that ends, and leaves a child that has its socket, has failed");
	is_str(e.text, "criu: dump: it failed and did not say why", "... without a reason");
	criu_close(&c);
	is_int(poll(&(struct pollfd){ .fd = alive[0] }, 1, 30000), 1, "... and its child is ended, too");
	close(alive[0]);
}

int main(void)
{
	if (!mkdtemp(top))
		return 70;
	test_success();
	test_notify();
	test_failure();
	test_malformed();
	test_metadata_only();
	test_quote();
	test_killed();
	if (geteuid())
		skip("how criu is started", "needs root");
	else
		test_start();
	file_remove_tree(top, NULL);
	return done();
}
