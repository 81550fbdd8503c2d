/* SPDX-License-Identifier: MIT */
#include "lib/base/crowd.h"

#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/wait.h>
#include <unistd.h>

#include "lib/base/clock.h"

#define LINE_LIMIT (16u << 20)

struct member {
	size_t i;
	pid_t pid; /* 0: free */
	int fd;
	double end; /* of its time */
	char *text; /* an unfinished line */
	size_t len, room;
};

struct gathering {
	const struct crowd *c;
	struct member *m;
	size_t next;
	int running;
};

static int start(struct gathering *g, struct member *m, struct err *e)
{
	int pipe_fd[2];
	pid_t parent = getpid();
	sigset_t all, before;

	if (pipe2(pipe_fd, O_CLOEXEC))
		return err_sys(e, "pipe");
	fflush(NULL);
	m->i = g->next;
	sigfillset(&all);
	sigprocmask(SIG_BLOCK, &all, &before);
	m->pid = fork();
	if (m->pid > 0 && g->c->works)
		g->c->works(g->c->ctx, (int)(m - g->m), m->pid);
	sigprocmask(SIG_SETMASK, &before, NULL);
	if (!m->pid) {
		prctl(PR_SET_PDEATHSIG, SIGKILL);
		FILE *out = getppid() == parent ? fdopen(pipe_fd[1], "w") : NULL;
		int status = out ? g->c->work(g->c->ctx, m->i, out) : EX_OSERR;

		_exit(out && fclose(out) ? EX_IOERR : status);
	}
	close(pipe_fd[1]);
	if (m->pid < 0) {
		m->pid = 0;
		close(pipe_fd[0]);
		return err_sys(e, "fork");
	}
	m->fd = pipe_fd[0];
	m->end = clock_ms() + g->c->timeout_ms;
	m->len = 0;
	g->next++;
	g->running++;
	return 0;
}

/* Reaps it, and gives its exit status. */
static int finish(struct gathering *g, struct member *m)
{
	int status = 0;

	/* Until it is reaped nobody else has its number. */
	for (siginfo_t info; waitid(P_PID, (id_t)m->pid, &info, WEXITED | WNOWAIT) < 0 && errno == EINTR;)
		;
	if (g->c->works)
		g->c->works(g->c->ctx, (int)(m - g->m), 0);
	while (waitpid(m->pid, &status, 0) < 0 && errno == EINTR)
		;
	close(m->fd);
	m->pid = 0;
	g->running--;
	return WIFEXITED(status) ? WEXITSTATUS(status) : EX_SOFTWARE;
}

static int give_lines(struct gathering *g, struct member *m, struct err *e)
{
	char *at = m->text, *nl;
	size_t left = m->len;

	while ((nl = memchr(at, '\n', left))) {
		*nl = '\0';
		if (g->c->line(g->c->ctx, m->i, at, e))
			return -1;
		left -= (size_t)(nl + 1 - at);
		at = nl + 1;
	}
	memmove(m->text, at, left);
	m->len = left;
	return m->len > LINE_LIMIT ? err_set(e, EX_DATAERR, "a line is longer than 16 MB") : 0;
}

/* 1: more may come; 0: that was all. */
static int take(struct gathering *g, struct member *m, struct err *e)
{
	ssize_t n;

	if (m->room - m->len < 65536) {
		char *more = realloc(m->text, m->room + 262144);

		if (!more)
			return err_set(e, EX_OSERR, "out of memory");
		m->text = more;
		m->room += 262144;
	}
	n = read(m->fd, m->text + m->len, m->room - m->len);
	if (n < 0)
		return errno == EINTR ? 1 : err_sys(e, "read");
	if (!n)
		return 0;
	m->len += (size_t)n;
	return give_lines(g, m, e) ? -1 : 1;
}

/* Waits for the next of them to say something, to end or to be late, and deals with it. */
static int attend(struct gathering *g, struct pollfd *p, struct err *e)
{
	double now = clock_ms(), wait = 1e9;
	int rc;

	for (int k = 0; k < g->c->at_once; k++) {
		p[k] = (struct pollfd){ .fd = g->m[k].pid ? g->m[k].fd : -1, .events = POLLIN };
		if (g->m[k].pid && g->m[k].end - now < wait)
			wait = g->m[k].end - now;
	}
	if (poll(p, (nfds_t)g->c->at_once, wait > 0 ? (int)wait + 1 : 0) < 0)
		return errno == EINTR ? 0 : err_sys(e, "poll");
	now = clock_ms();
	for (int k = 0; k < g->c->at_once; k++) {
		struct member *m = &g->m[k];

		if (!m->pid)
			continue;
		if (p[k].revents) {
			if ((rc = take(g, m, e)) < 0)
				return -1;
			if (!rc && g->c->ended(g->c->ctx, m->i, finish(g, m), e))
				return -1;
		} else if (now >= m->end) {
			kill(m->pid, SIGKILL);
			finish(g, m);
			if (g->c->ended(g->c->ctx, m->i, CROWD_LATE, e))
				return -1;
		}
	}
	return 0;
}

int crowd_run(const struct crowd *c, struct err *e)
{
	struct gathering g = { .c = c, .m = calloc((size_t)c->at_once, sizeof(*g.m)) };
	struct pollfd *p = calloc((size_t)c->at_once, sizeof(*p));
	int rc = g.m && p ? 0 : err_set(e, EX_OSERR, "out of memory");

	while (!rc && (g.next < c->n || g.running)) {
		for (int k = 0; !rc && k < c->at_once && g.next < c->n; k++)
			if (!g.m[k].pid)
				rc = start(&g, &g.m[k], e);
		if (!rc)
			rc = attend(&g, p, e);
	}
	for (int k = 0; g.m && k < c->at_once; k++) {
		if (g.m[k].pid) {
			kill(g.m[k].pid, SIGKILL);
			finish(&g, &g.m[k]);
		}
		free(g.m[k].text);
	}
	free(g.m);
	free(p);
	return rc;
}
