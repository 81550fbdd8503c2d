/* SPDX-License-Identifier: MIT */
/* criu's side (criu/uffd.c): restore connects to the socket and sends, for each process, its pid in its namespace as an int (negative
 * for a zombie, which has no memory), then its userfaultfd beside one byte; when all are restored and none runs, the word FINISHED. */
#include "lib/move/lazy.h"

#include <errno.h>
#include <fcntl.h>
#include <linux/userfaultfd.h>
#include <poll.h>
#include <signal.h>
#include <stdio.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/eventfd.h>
#include <sys/file.h>
#include <sys/ioctl.h>
#include <sys/socket.h>
#include <sys/syscall.h>
#include <sys/un.h>
#include <unistd.h>

#include "lib/base/clock.h"
#include "lib/base/file.h"
#include "lib/base/proc.h"
#include "lib/engine/cgroup.h"
#include "lib/engine/keeper_pages.h"
#include "lib/engine/process.h"
#include "lib/move/lazy_fill.h"
#include "lib/move/lazy_lines.h"

#define FINISHED 0x52535446
#define SOCKET_NAME "lazy-pages.socket"
#define FEATURES (UFFD_FEATURE_EVENT_FORK | UFFD_FEATURE_EVENT_REMAP | UFFD_FEATURE_EVENT_UNMAP | UFFD_FEATURE_EVENT_REMOVE)
#define EVENTS 32
#define AGAIN_MS 1
#define LET_GO_MS 2000 /* for the keeper to close what it holds */
#define WAIT_STEP_MS 5
#define HEARD_MS 2000  /* for the source to hear that all has come */
#define LONELY_MS 3.6e6 /* without the source, while pages lack */
#define LOOK_MS 1000
#define TARDY_MS 1500 /* a test's */

struct server {
	const struct service *s;
	const char *images;
	int keeper;            /* -1: it is gone */
	int listener, criu;    /* -1: not yet, or not any more */
	int poll, news;
	struct lazy_source *src;
	struct lazy_fill *fill;
	struct lazy_guards *guards; /* NULL: none. To the end: to close them takes a while, and then nobody waits for the lock any more */
	struct lazy_lines *lines; /* NULL: no page is late */
	double lonely_ms;
	bool served;           /* all processes are restored: it is needed to the end */
};

const char *lazy_missing(void)
{
	struct uffdio_api api = { .api = UFFD_API, .features = FEATURES };
	const char *fault = getenv("EDGE_FAULT");
	AUTO_FD int fd = (int)syscall(SYS_userfaultfd, O_CLOEXEC | O_NONBLOCK);

	if (fault && !strcmp(fault, "whole"))
		return "a test wants it so";
	if (fd < 0)
		return errno == ENOSYS ? "the kernel has no userfaultfd" : "the kernel refuses userfaultfd";
	return ioctl(fd, UFFDIO_API, &api) ? "the kernel's userfaultfd does not tell of forks" : NULL;
}

static void tell(struct server *sv, enum pages_word word, unsigned id, const char *why, int fd)
{
	if (sv->keeper >= 0)
		pages_tell(sv->keeper, word, id, why, fd);
}

__attribute__((noreturn)) static void end(struct server *sv, int status)
{
	unlink(service_dir(sv->s, "fill"));
	_exit(status);
}

__attribute__((noreturn)) static void fail(struct server *sv, const struct err *e)
{
	tell(sv, PAGES_FAILED, 0, e->text, -1);
	end(sv, 1);
}

/* Keeper and we close what we have of the processes: the keeper first, as nobody may look at their memory before the last is
 * closed, and it is ours to say when that is. */
__attribute__((noreturn)) static void filled(struct server *sv)
{
	struct pollfd p = { .fd = sv->keeper, .events = 0 };

	tell(sv, PAGES_FILLED, 0, NULL, -1);
	if (sv->keeper >= 0)
		poll(&p, 1, LET_GO_MS);
	if (sv->lines)
		lazy_lines_end(sv->lines, HEARD_MS);
	lazy_fill_free(sv->fill);
	end(sv, 0);
}

/* A service does not wait for ever for memory that nobody sends. */
static void look_at_lines(struct server *sv)
{
	struct err e;

	if (!sv->lines || !sv->served || lazy_lines_silent_ms(sv->lines) < sv->lonely_ms)
		return;
	err_set(&e, EX_UNAVAILABLE, "the node that it came from has not been heard of for %.0f s, and has the rest of its memory",
		sv->lonely_ms / 1000);
	fail(sv, &e);
}

/* ---- what is watched: descriptors of ours by their address, processes by theirs ---- */

static int watch(struct server *sv, int fd, void *what, struct err *e)
{
	struct epoll_event ev = { .events = EPOLLIN, .data.ptr = what };

	return epoll_ctl(sv->poll, EPOLL_CTL_ADD, fd, &ev) ? err_sys(e, "epoll") : 0;
}

static int hold(void *ctx, struct lazy_task *t, struct err *e)
{
	struct server *sv = ctx;

	tell(sv, PAGES_HOLD, lazy_task_id(t), NULL, lazy_task_fd(t));
	return watch(sv, lazy_task_fd(t), t, e);
}

static void news(void *ctx)
{
	const struct server *sv = ctx;
	uint64_t one = 1;

	(void)!write(sv->news, &one, sizeof(one));
}

static void ask(void *ctx, struct late_run run)
{
	const struct server *sv = ctx;

	if (sv->lines)
		lazy_lines_ask(sv->lines, run);
}

static void look_at_filling(struct server *sv)
{
	struct lazy_task *t;
	struct err e;

	while ((t = lazy_fill_gone(sv->fill))) {
		/* Closing it would not do: the keeper has it, too. */
		epoll_ctl(sv->poll, EPOLL_CTL_DEL, lazy_task_fd(t), NULL);
		tell(sv, PAGES_DROP, lazy_task_id(t), NULL, -1);
		lazy_task_free(t);
	}
	switch (lazy_fill_state(sv->fill, &e)) {
	case 1:
		filled(sv);
	case -1:
		fail(sv, &e);
	default:
		break;
	}
}

/* ---- criu ---- */

static int recv_fd(int sock)
{
	char byte;
	struct iovec io = { .iov_base = &byte, .iov_len = 1 };
	union {
		struct cmsghdr h;
		char room[CMSG_SPACE(sizeof(int))];
	} control = { 0 };
	struct msghdr m = { .msg_iov = &io, .msg_iovlen = 1, .msg_control = &control, .msg_controllen = sizeof(control) };
	int fd;

	if (recvmsg(sock, &m, MSG_CMSG_CLOEXEC) != 1 || m.msg_controllen < CMSG_LEN(sizeof(int)) ||
	    control.h.cmsg_type != SCM_RIGHTS)
		return -1;
	memcpy(&fd, CMSG_DATA(&control.h), sizeof(fd));
	return fd;
}

static void on_connect(struct server *sv)
{
	struct err e;

	sv->criu = accept4(sv->listener, NULL, NULL, SOCK_CLOEXEC);
	close(TAKE_FD(sv->listener));
	if (sv->criu < 0)
		err_sys(&e, "%s", SOCKET_NAME);
	else if (!lazy_source_open(&sv->src, sv->images, &e) && !watch(sv, sv->criu, &sv->criu, &e)) {
		lazy_fill_from(sv->fill, sv->src);
		lazy_guards_attach(sv->guards);
		return;
	}
	fail(sv, &e);
}

/* All are there, and none runs. */
static void heed(const struct server *sv)
{
	AUTO_FREE pid_t *pids = NULL;
	int n;

	if (!cgroup_pids(sv->s->name, &pids, &n, NULL))
		lazy_fill_heed(sv->fill, pids, (size_t)n);
}

static void on_criu(struct server *sv)
{
	struct lazy_task *t;
	struct err e;
	int pid, fd;

	if (recv(sv->criu, &pid, sizeof(pid), MSG_WAITALL) != sizeof(pid)) {
		close(TAKE_FD(sv->criu)); /* what it has begun, others end, and us with it: who started it may have to tidy up before */
	} else if (pid == FINISHED) {
		if (lazy_fill_watch(sv->fill, &e))
			fail(sv, &e);
		if (sv->guards)
			heed(sv);
		sv->served = true;
		tell(sv, PAGES_SERVED, 0, NULL, -1);
		lazy_fill_go(sv->fill);
	} else if (pid > 0) {
		fd = recv_fd(sv->criu);
		if (fd < 0)
			err_set(&e, EX_SOFTWARE, "criu: no userfaultfd of process %d", pid);
		if (fd < 0 || lazy_fill_add(sv->fill, fd, (uint64_t)pid, &t, &e) || hold(sv, t, &e))
			fail(sv, &e);
	}
}

/* The keeper says nothing; it ends. */
static void on_keeper(struct server *sv)
{
	char byte;

	if (recv(sv->keeper, &byte, sizeof(byte), MSG_DONTWAIT) < 0 && (errno == EAGAIN || errno == EINTR))
		return;
	if (!sv->served)
		end(sv, 1);
	close(TAKE_FD(sv->keeper));
}

static void on_event(struct server *sv, void *what)
{
	struct err e;
	uint64_t n;

	if (what == &sv->listener)
		on_connect(sv);
	else if (what == &sv->criu)
		on_criu(sv);
	else if (what == &sv->keeper)
		on_keeper(sv);
	else if (what == &sv->news)
		(void)!read(sv->news, &n, sizeof(n)); /* what it is about is looked at after each event */
	else if (lazy_fill_events(sv->fill, what, &e))
		fail(sv, &e);
}

__attribute__((noreturn)) static void loop(struct server *sv)
{
	struct epoll_event ev[EVENTS];
	bool again = false;
	struct err e;

	for (;;) {
		int n = epoll_wait(sv->poll, ev, EVENTS, again ? AGAIN_MS : sv->lines ? LOOK_MS : -1);

		for (int i = 0; i < n; i++)
			on_event(sv, ev[i].data.ptr);
		if (lazy_fill_again(sv->fill, &again, &e))
			fail(sv, &e);
		look_at_lines(sv);
		/* Last, as it may free what the other events are about; and after each of them, as the last page may have been put
		 * in place, or unmapped, by an event and no thread. */
		look_at_filling(sv);
	}
}

/* ---- the beginning ---- */

/* By a name relative to its folder, as such a name must be short. */
static int listen_there(struct server *sv, const char *dir, struct err *e)
{
	struct sockaddr_un un = { .sun_family = AF_UNIX, .sun_path = SOCKET_NAME };

	sv->listener = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);
	if (chdir(dir))
		return err_sys(e, "%s", dir);
	unlink(SOCKET_NAME);
	if (sv->listener < 0 || bind(sv->listener, (struct sockaddr *)&un, sizeof(un)) || listen(sv->listener, 1) || chdir("/"))
		return err_sys(e, "%s/%s", dir, SOCKET_NAME);
	return 0;
}

/* Who wants to look at the service's memory waits for this lock. The descriptor, which stays open; -1. */
static int lock(const struct service *s, struct err *e)
{
	const char *path = service_dir(s, "fill");
	int fd = open(path, O_RDWR | O_CREAT | O_CLOEXEC, 0600);

	return fd < 0 || flock(fd, LOCK_EX | LOCK_NB) ? err_sys(e, "%s", path) : fd;
}

static void last_to_be_killed(void)
{
	AUTO_FD int fd = open("/proc/self/oom_score_adj", O_WRONLY | O_CLOEXEC);

	if (fd >= 0 && write(fd, "-1000", 5) < 0) /* less than our parent's needs a capability that not every root has */
		(void)!write(fd, "0", 1);
}

static int set_up(struct server *sv, const char *dir, const char *late, struct err *e)
{
	const char *fault = getenv("EDGE_FAULT");
	struct lazy_hooks hooks = { .forked = hold, .news = news, .ask = ask, .ctx = sv };
	int fill;

	child_title("edge-pages", sv->s->name);
	if (fault && !strcmp(fault, "tardy"))
		usleep(TARDY_MS * 1000);
	signal(SIGPIPE, SIG_IGN);
	signal(SIGHUP, SIG_IGN);
	signal(SIGINT, SIG_IGN);
	signal(SIGTERM, SIG_IGN);
	setsid();
	last_to_be_killed();
	sv->poll = epoll_create1(EPOLL_CLOEXEC);
	sv->news = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK);
	if (sv->poll < 0 || sv->news < 0)
		return err_sys(e, "epoll");
	fill = lock(sv->s, e);
	hooks.guards = sv->guards = lazy_guards_open();
	if (fill < 0 || listen_there(sv, dir, e) || lazy_fill_new(&sv->fill, &hooks, e) ||
	    (late && lazy_lines_new(&sv->lines, late, sv->fill, fill, e)) ||
	    watch(sv, sv->listener, &sv->listener, e) || watch(sv, sv->keeper, &sv->keeper, e) ||
	    watch(sv, sv->news, &sv->news, e))
		return -1;
	tell(sv, PAGES_READY, 0, NULL, -1);
	/* Somebody stands still until we have answered. */
	proc_hurry(0);
	proc_warm();
	return 0;
}

void lazy_main(const struct service *s, const char *images, const char *dir, const char *late, int keeper)
{
	struct server sv = { .s = s, .images = images, .keeper = keeper, .listener = -1, .criu = -1 };
	const char *fault = getenv("EDGE_FAULT");
	struct err e;

	sv.lonely_ms = fault && !strcmp(fault, "lonely") ? 5 * LOOK_MS : LONELY_MS;
	if (set_up(&sv, dir, late, &e))
		fail(&sv, &e);
	loop(&sv);
}

/* ---- those who wait ---- */

const char *lazy_note(const struct service *s)
{
	static char text[128];
	AUTO_FREE char *note = file_slurp(service_dir(s, "fill"), NULL, NULL);

	snprintf(text, sizeof(text), "%s", note ? note : "");
	return text[0] ? text : NULL;
}

int lazy_wait(const struct service *s, int timeout_ms, int (*go_on)(void *, struct err *), void *ctx, struct err *e)
{
	const char *path = service_dir(s, "fill");
	double until = clock_ms() + timeout_ms;
	AUTO_FD int fd = open(path, O_RDONLY | O_CLOEXEC);

	if (fd < 0)
		return errno == ENOENT ? 0 : err_sys(e, "%s", path);
	while (flock(fd, LOCK_SH | LOCK_NB)) {
		if (errno != EWOULDBLOCK && errno != EINTR)
			return err_sys(e, "%s", path);
		if (go_on && go_on(ctx, e))
			return -1;
		if (clock_ms() > until)
			return err_set(e, EX_TEMPFAIL, "service %s: its memory is not all in place after %d ms", s->name, timeout_ms);
		poll(NULL, 0, WAIT_STEP_MS);
	}
	return 0;
}
