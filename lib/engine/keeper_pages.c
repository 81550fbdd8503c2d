/* SPDX-License-Identifier: MIT */
#include "lib/engine/keeper_pages.h"

#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <sys/wait.h>
#include <unistd.h>

#include "lib/base/auto.h"
#include "lib/engine/process.h"

void pages_tell(int sock, enum pages_word word, unsigned id, const char *why, int fd)
{
	struct pages_message pm = { .word = word, .id = id };
	struct iovec io = { .iov_base = &pm, .iov_len = sizeof(pm) };
	union {
		struct cmsghdr h;
		char room[CMSG_SPACE(sizeof(int))];
	} control = { 0 };
	struct msghdr m = { .msg_iov = &io, .msg_iovlen = 1 };

	snprintf(pm.why, sizeof(pm.why), "%s", why ? why : "");
	if (fd >= 0) {
		m.msg_control = &control;
		m.msg_controllen = sizeof(control);
		control.h.cmsg_level = SOL_SOCKET;
		control.h.cmsg_type = SCM_RIGHTS;
		control.h.cmsg_len = CMSG_LEN(sizeof(int));
		memcpy(CMSG_DATA(&control.h), &fd, sizeof(fd));
	}
	while (sendmsg(sock, &m, MSG_NOSIGNAL) < 0 && errno == EINTR)
		;
}

/* Both ends have a descriptor for each process of the service. */
static void raise_limit(void)
{
	struct rlimit r;

	if (!getrlimit(RLIMIT_NOFILE, &r)) {
		r.rlim_cur = r.rlim_max;
		setrlimit(RLIMIT_NOFILE, &r);
	}
}

int keeper_pages_start(struct keeper_pages *p, const char *name, void (*fn)(void *, int), void *ctx, struct err *e)
{
	int pair[2];

	*p = (struct keeper_pages){ .sock = -1 };
	raise_limit();
	if (socketpair(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0, pair))
		return err_sys(e, "service %s: server of its pages", name);
	AUTO_FD int ours = pair[0], theirs = pair[1];
	p->pid = fork();
	if (p->pid < 0) {
		p->pid = 0;
		return err_sys(e, "service %s: server of its pages", name);
	}
	if (!p->pid) {
		int null = open("/dev/null", O_RDWR | O_CLOEXEC);

		child_signals();
		if (null < 0 || child_fds((int[]){ null, null, null, theirs }, 4))
			_exit(EX_OSERR);
		fn(ctx, 3);
		_exit(EX_SOFTWARE);
	}
	p->sock = TAKE_FD(ours);
	return 0;
}

static void hold(struct keeper_pages *p, unsigned id, int fd)
{
	void *bigger = fd < 0 ? NULL : realloc(p->held, (p->n_held + 1) * sizeof(*p->held));

	if (!bigger) {
		snprintf(p->why, sizeof(p->why), "the keeper cannot hold all of its processes' memory");
		p->failed = true;
		close(fd);
		return;
	}
	p->held = bigger;
	p->held[p->n_held].id = id;
	p->held[p->n_held++].fd = fd;
}

static void drop(struct keeper_pages *p, unsigned id)
{
	for (size_t i = 0; i < p->n_held; i++)
		if (p->held[i].id == id) {
			close(p->held[i].fd);
			p->held[i] = p->held[--p->n_held];
			return;
		}
}

static void let_go(struct keeper_pages *p)
{
	for (size_t i = 0; i < p->n_held; i++)
		close(p->held[i].fd);
	free(p->held);
	p->held = NULL;
	p->n_held = 0;
	if (p->sock >= 0)
		close(TAKE_FD(p->sock));
}

void keeper_pages_read(struct keeper_pages *p)
{
	struct pages_message pm = { 0 };
	union {
		struct cmsghdr h;
		char room[CMSG_SPACE(sizeof(int))];
	} control = { 0 };
	struct iovec io = { .iov_base = &pm, .iov_len = sizeof(pm) };
	struct msghdr m = { .msg_iov = &io, .msg_iovlen = 1, .msg_control = &control, .msg_controllen = sizeof(control) };
	ssize_t n = recvmsg(p->sock, &m, MSG_CMSG_CLOEXEC | MSG_DONTWAIT);
	int fd = -1;

	if (n < 0 && (errno == EINTR || errno == EAGAIN))
		return;
	if (n != sizeof(pm)) {
		/* What it held stays held: nothing may read zeros where there were pages. */
		close(TAKE_FD(p->sock));
		if (!p->filled && !p->why[0]) {
			snprintf(p->why, sizeof(p->why), "the server of its pages has ended");
			p->failed = p->ended = true;
		}
		return;
	}
	if (m.msg_controllen >= CMSG_LEN(sizeof(int)) && control.h.cmsg_type == SCM_RIGHTS)
		memcpy(&fd, CMSG_DATA(&control.h), sizeof(fd));
	switch (pm.word) {
	case PAGES_READY:
		p->ready = true;
		break;
	case PAGES_HOLD:
		hold(p, pm.id, fd);
		break;
	case PAGES_DROP:
		drop(p, pm.id);
		break;
	case PAGES_SERVED:
		p->served = true;
		break;
	case PAGES_FILLED:
		p->filled = true;
		let_go(p);
		break;
	case PAGES_FAILED:
		snprintf(p->why, sizeof(p->why), "the server of its pages: %.199s", pm.why);
		p->failed = true;
		break;
	}
}

void keeper_pages_reaped(struct keeper_pages *p, int status)
{
	p->pid = 0;
	if (!WIFSIGNALED(status) || p->filled || (p->why[0] && !p->ended))
		return;
	snprintf(p->why, sizeof(p->why), "the server of its pages was killed (signal %d)", WTERMSIG(status));
	p->failed = true;
}

void keeper_pages_end(struct keeper_pages *p)
{
	int status = 0;

	if (p->pid > 0 && !p->filled) {
		kill(p->pid, SIGKILL);
		while (waitpid(p->pid, &status, 0) < 0 && errno == EINTR)
			;
		if (p->ended) /* before, by itself: it takes its time (lib/move/lazy_guards.h) */
			keeper_pages_reaped(p, status);
	}
	p->pid = 0;
	let_go(p);
}
