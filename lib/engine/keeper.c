/* SPDX-License-Identifier: MIT */
/* The side of the program that starts or restores a service. */
#include "lib/engine/keeper.h"

#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <signal.h>
#include <stddef.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/wait.h>

#include "lib/base/clock.h"
#include "lib/engine/process.h"

#define ANSWER_MS 30000 /* all that it is asked for, but waiting, is a matter of milliseconds */
#define UNDO_MS 60000   /* longer than its own limits together */

/* Does that happen in time? */
static bool happens(int fd, int timeout_ms)
{
	struct pollfd p = { .fd = fd, .events = POLLIN };
	double end = clock_ms() + timeout_ms;
	int rc;

	do {
		double left = end - clock_ms();

		rc = poll(&p, 1, left > 0 ? (int)left + 1 : 0);
	} while (rc < 0 && errno == EINTR);
	return rc > 0;
}

static int answer_get(struct keeper *k, struct keeper_answer *a, struct err *e)
{
	ssize_t n;

	if (!happens(k->ctl, ANSWER_MS))
		return err_set(e, EX_TEMPFAIL, "keeper %d: does not answer", (int)k->pid);
	do
		n = recv(k->ctl, a, sizeof(*a), 0);
	while (n < 0 && errno == EINTR);
	if (n != sizeof(*a))
		return err_set(e, EX_SOFTWARE, "keeper %d: has ended", (int)k->pid);
	if (a->rc && e)
		*e = a->e;
	return a->rc;
}

static int ask_send(struct keeper *k, const struct keeper_ask *ask, size_t words, const int *fds, struct err *e)
{
	struct iovec io = { .iov_base = (void *)ask, .iov_len = offsetof(struct keeper_ask, words) + words };
	union {
		struct cmsghdr h;
		char room[CMSG_SPACE(2 * sizeof(int))];
	} control = { 0 };
	struct msghdr m = { .msg_iov = &io, .msg_iovlen = 1 };

	if (k->ctl < 0)
		return err_set(e, EX_SOFTWARE, "keeper: is not ours any more");
	if (ask->n_fds && fds) {
		size_t n = (size_t)ask->n_fds * sizeof(int);

		m.msg_control = &control;
		m.msg_controllen = CMSG_SPACE(n);
		control.h.cmsg_level = SOL_SOCKET;
		control.h.cmsg_type = SCM_RIGHTS;
		control.h.cmsg_len = CMSG_LEN(n);
		memcpy(CMSG_DATA(&control.h), fds, n);
	}
	return sendmsg(k->ctl, &m, MSG_NOSIGNAL) < 0 ? err_sys(e, "keeper %d", (int)k->pid) : 0;
}

static int ask_verb(struct keeper *k, int verb, pid_t pid, struct err *e)
{
	struct keeper_ask ask;

	memset(&ask, 0, offsetof(struct keeper_ask, words));
	ask.verb = verb;
	ask.pid = pid;
	return ask_send(k, &ask, 0, NULL, e);
}

static int ask_simple(struct keeper *k, int verb, pid_t pid, struct keeper_answer *a, struct err *e)
{
	return ask_verb(k, verb, pid, e) || answer_get(k, a, e) ? -1 : 0;
}

int keeper_spawn(struct keeper *k, const struct service *s, const struct keeper_orders *orders, struct err *e)
{
	struct keeper_answer a;
	int pair[2], pipes[2];
	struct stat st;

	memset(k, 0, sizeof(*k));
	k->ctl = -1;
	if (socketpair(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0, pair))
		return err_sys(e, "service %s: keeper", s->name);
	AUTO_FD int ours = pair[0], theirs = pair[1];
	if (pipe2(pipes, O_CLOEXEC))
		return err_sys(e, "service %s: keeper", s->name);
	AUTO_FD int log_r = pipes[0], log_w = pipes[1];
	if (fstat(log_r, &st))
		return err_sys(e, "service %s: keeper", s->name);
	pid_t pid = fork();
	if (pid < 0)
		return err_sys(e, "service %s: keeper", s->name);
	if (!pid) {
		struct keeper_side side = { .s = s, .orders = orders, .ctl = theirs, .log_r = log_r, .log_w = log_w };

		keeper_main(&side);
	}
	close(TAKE_FD(theirs));
	k->pid = pid;
	k->ctl = TAKE_FD(ours);
	k->log_ino = st.st_ino;
	if (!answer_get(k, &a, e))
		return 0;
	keeper_cancel(k);
	return -1;
}

int keeper_mount(struct keeper *k, struct err *e)
{
	struct keeper_answer a;

	return ask_simple(k, KEEPER_MOUNT, 0, &a, e);
}

/* Answered when the server of its pages has come so far. */
static int ask_pages(struct keeper *k, int verb, int timeout_ms, struct err *e)
{
	struct keeper_answer a;

	if (ask_verb(k, verb, 0, e))
		return -1;
	if (!happens(k->ctl, timeout_ms))
		return err_set(e, EX_TEMPFAIL, "keeper %d: the server of its pages does not answer", (int)k->pid);
	return answer_get(k, &a, e);
}

int keeper_pages(struct keeper *k, int timeout_ms, struct err *e)
{
	return ask_pages(k, KEEPER_PAGES, timeout_ms, e);
}

int keeper_served(struct keeper *k, int timeout_ms, struct err *e)
{
	return ask_pages(k, KEEPER_SERVED, timeout_ms, e);
}

int keeper_start(struct keeper *k, pid_t *pid, struct err *e)
{
	struct keeper_answer a;

	if (ask_simple(k, KEEPER_START, 0, &a, e))
		return -1;
	*pid = a.pid;
	return 0;
}

int keeper_exec(struct keeper *k, const char *const argv[], int fd3, int other, const char *errlog, pid_t *pid,
		struct err *e)
{
	struct keeper_ask ask;
	struct keeper_answer a;
	size_t at = 0;

	memset(&ask, 0, offsetof(struct keeper_ask, words));
	ask.verb = KEEPER_EXEC;
	ask.n_fds = fd3 < 0 ? 0 : other < 0 ? 1 : 2;
	ask.has_errlog = errlog != NULL;
	for (int i = errlog ? -1 : 0; i < 0 || argv[i]; i++) {
		const char *word = i < 0 ? errlog : argv[i];
		size_t n = strlen(word) + 1;

		if (at + n > sizeof(ask.words))
			return err_set(e, EX_SOFTWARE, "keeper %d: %s: too many arguments", (int)k->pid, argv[0]);
		memcpy(ask.words + at, word, n);
		at += n;
		ask.n_words += i >= 0;
	}
	if (ask_send(k, &ask, at, (int[]){ fd3, other }, e) || answer_get(k, &a, e))
		return -1;
	*pid = a.pid;
	return 0;
}

int keeper_wait(struct keeper *k, pid_t pid, int timeout_ms, int *status, struct err *e)
{
	struct keeper_ask ask;
	struct keeper_answer a;
	bool late;

	memset(&ask, 0, offsetof(struct keeper_ask, words));
	ask.verb = KEEPER_WAIT;
	ask.pid = pid;
	if (ask_send(k, &ask, 0, NULL, e))
		return -1;
	late = !happens(k->ctl, timeout_ms);
	if (late)
		kill(pid, SIGKILL); /* then its answer comes, and the conversation stays in step */
	if (answer_get(k, &a, e))
		return -1;
	*status = a.status;
	return late ? err_set(e, EX_TEMPFAIL, "process %d: not done after %d ms", (int)pid, timeout_ms) : 0;
}

int keeper_release(struct keeper *k, pid_t watch, struct err *e)
{
	struct keeper_answer a;

	if (ask_simple(k, KEEPER_RELEASE, watch, &a, e))
		return -1;
	close(k->ctl);
	memset(k, 0, sizeof(*k));
	k->ctl = -1;
	return 0;
}

bool keeper_alive(const struct keeper *k)
{
	struct pollfd p = { .fd = k->ctl, .events = POLLIN };

	return k->pid > 0 && !(poll(&p, 1, 0) > 0 && p.revents & POLLHUP);
}

void keeper_cancel(struct keeper *k)
{
	struct keeper_ask ask;

	if (k->pid <= 0) /* zeroed or released: ctl is nobody's */
		return;
	if (k->ctl >= 0) {
		memset(&ask, 0, offsetof(struct keeper_ask, words));
		ask.verb = KEEPER_CANCEL;
		ask_send(k, &ask, 0, NULL, NULL);
		close(k->ctl);
	}
	/* One that stands still goes on, and ends; if it cannot, what it held goes with its namespace, and the rest is the caller's. */
	AUTO_FD int pidfd = (int)syscall(SYS_pidfd_open, k->pid, 0);
	kill(k->pid, SIGCONT);
	if (!happens(pidfd, UNDO_MS))
		kill(k->pid, SIGKILL);
	while (waitpid(k->pid, NULL, 0) < 0 && errno == EINTR)
		;
	memset(k, 0, sizeof(*k));
	k->ctl = -1;
}
