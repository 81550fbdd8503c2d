/* SPDX-License-Identifier: MIT */
#include "lib/move/guard.h"

#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <poll.h>
#include <signal.h>
#include <string.h>
#include <sys/file.h>
#include <sys/prctl.h>
#include <sys/socket.h>
#include <sys/wait.h>
#include <unistd.h>

#include "lib/base/auto.h"
#include "lib/base/clock.h"
#include "lib/engine/process.h"
#include "lib/move/checkpoint.h"
#include "lib/move/recover.h"

#define ASK_MS 1000
#define PAUSE_MS 10000    /* between two questions for the outcome, at most */
#define PATIENCE_MS 3.6e6 /* then it is left to `edge-migrate --recover` */
#define END INT_MIN

/* One try, with the lock; false when there is nothing left to do. */
static bool still_to_do(const char *move, int lock)
{
	const struct recover_options opt = { .ask_ms = ASK_MS };
	struct journal_entry j;
	enum recovery what;
	const char *why;

	if (flock(lock, LOCK_EX | LOCK_NB))
		return true; /* somebody else is at it */
	if (journal_entry(move, &j, NULL)) {
		checkpoint_sweep(); /* it never came so far */
		return false;
	}
	bool again = recover_move(&j, &opt, &what, &why, NULL) || what == RECOVERY_WAIT;
	flock(lock, LOCK_UN);
	return again;
}

static void take_over(const char *move, int lock)
{
	double end = clock_ms() + PATIENCE_MS;
	int pause_ms = 50;

	while (still_to_do(move, lock) && clock_ms() < end) {
		poll(NULL, 0, pause_ms);
		pause_ms = pause_ms * 2 > PAUSE_MS ? PAUSE_MS : pause_ms * 2;
	}
}

/* Before "go" the service goes on here. The program that has let it wait for so long finds that it may not say it. */
static void too_long(const char *move)
{
	const struct recover_options opt = { .keep_entry = true };
	struct journal_entry j;
	enum recovery what;
	const char *why;

	if (!journal_entry(move, &j, NULL) && !strcmp(j.step, "frozen"))
		recover_move(&j, &opt, &what, &why, NULL);
}

static void loop(int fd, const char *move, int lock)
{
	double limit = 0;

	for (;;) {
		struct pollfd p = { .fd = fd, .events = POLLIN };
		double left = limit - clock_ms();
		int rc = poll(&p, 1, !limit ? -1 : left > 0 ? (int)left + 1 : 0), word;

		if (rc < 0 && errno == EINTR)
			continue;
		if (!rc) {
			limit = 0;
			too_long(move);
			continue;
		}
		ssize_t n = recv(fd, &word, sizeof(word), 0);
		if (n < 0 && errno == EINTR)
			continue;
		if (n != sizeof(word)) {
			take_over(move, lock);
			return;
		}
		if (word == END)
			return;
		limit = word ? clock_ms() + word : 0;
	}
}

static void become_guard(int fd, const char *move, int lock)
{
	int null = open("/dev/null", O_RDWR | O_CLOEXEC);

	if (null < 0 || child_fds((int[]){ null, null, null, fd, lock }, 5))
		_exit(EX_OSERR);
	setsid();
	child_signals();
	signal(SIGPIPE, SIG_IGN);
	signal(SIGHUP, SIG_IGN);
	signal(SIGINT, SIG_IGN);
	signal(SIGTERM, SIG_IGN); /* it goes when the move has ended */
	prctl(PR_SET_NAME, "edge-guard");
	if (chdir("/"))
		_exit(EX_OSERR);
	loop(3, move, 4);
	_exit(0);
}

int guard_start(struct guard *g, const char *service, const char *move, int lock, struct err *e)
{
	int pair[2], status = 0;

	g->fd = -1;
	if (socketpair(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0, pair))
		return err_sys(e, "service %s: guard", service);
	pid_t pid = fork();
	if (!pid) {
		/* Twice: it is nobody's child, so that nobody has to wait for it. */
		pid_t second = fork();

		if (second)
			_exit(second < 0);
		become_guard(pair[1], move, lock);
	}
	close(pair[1]);
	if (pid < 0) {
		close(pair[0]);
		return err_sys(e, "service %s: guard", service);
	}
	while (waitpid(pid, &status, 0) < 0 && errno == EINTR)
		;
	g->fd = pair[0];
	return status ? err_set(e, EX_OSERR, "service %s: guard: cannot start it", service) : 0;
}

static void tell(struct guard *g, int word)
{
	/* One that was killed does not hear it; then a journal entry is all that guards the move. */
	if (g->fd >= 0)
		(void)!send(g->fd, &word, sizeof(word), MSG_NOSIGNAL);
}

void guard_limit(struct guard *g, int limit_ms)
{
	tell(g, limit_ms);
}

int guard_thawed(const char *service, double frozen_at, int limit_ms, struct err *e)
{
	return err_set(e, EX_TEMPFAIL, "service %s: stood still for %.0f ms without being handed over (--max-freeze %d): it goes on here",
		       service, clock_ms() - frozen_at, limit_ms);
}

void guard_end(struct guard *g)
{
	tell(g, END);
	if (g->fd >= 0)
		close(g->fd);
	g->fd = -1;
}
