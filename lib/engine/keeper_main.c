/* SPDX-License-Identifier: MIT */
/* The keeper's own side. It is single-threaded and blocks only while a child is between fork and exec. */
#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <sched.h>
#include <signal.h>
#include <stddef.h>
#include <string.h>
#include <sys/mount.h>
#include <sys/prctl.h>
#include <sys/signalfd.h>
#include <sys/stat.h>
#include <sys/socket.h>
#include <sys/syscall.h>
#include <sys/wait.h>

#include "lib/base/clock.h"
#include "lib/engine/again.h"
#include "lib/engine/announce.h"
#include "lib/engine/cgroup.h"
#include "lib/engine/engine.h"
#include "lib/engine/health.h"
#include "lib/engine/keeper_helper.h"
#include "lib/engine/keeper_pages.h"
#include "lib/engine/log.h"
#include "lib/engine/net.h"
#include "lib/engine/process.h"

#define REAPED_MAX 32
#define LOCK_TRIES 60
#define LOCK_PAUSE_MS 50
#define KILL_MS 5000

struct self {
	struct service *s;
	const struct keeper_orders *orders;
	int ctl, log_r, log_w, signals, pidfd;
	int lock;         /* of the service; -1: none, or released */
	int other;        /* of a helper program's socket; -1: none */
	int home, own;    /* mount namespaces: the node's, and the keeper's */
	pid_t watch;      /* 0 before the release */
	double since;     /* of the watch */
	pid_t waiting;    /* a child whose end the other side waits for */
	bool ended;
	int status;       /* of the watched process, as waitpid gives it; -1 unknown */
	struct keeper_pages pages;
	int asked;        /* KEEPER_PAGES or KEEPER_SERVED, not answered yet; 0: nothing */
	bool lost;        /* they will not come any more */
	struct log log;
	struct health health;
	struct announce announce;
	struct {
		pid_t pid;
		int status;
	} reaped[REAPED_MAX]; /* a ring */
	unsigned n_reaped;
};

static void answer(struct self *k, int rc, pid_t pid, int status, const struct err *e)
{
	struct keeper_answer a = { .rc = rc, .pid = pid, .status = status };

	if (rc)
		a.e = *e;
	if (send(k->ctl, &a, sizeof(a), MSG_NOSIGNAL) < 0)
		return; /* it is gone: the end of file follows */
}

/* The network was perhaps bound to its path after our mount namespace was made. */
static int netns_open(struct self *k, struct err *e)
{
	if (setns(k->home, CLONE_NEWNS))
		return err_sys(e, "service %s: mount namespace", k->s->name);
	int fd = net_open(k->s, e);
	if (setns(k->own, CLONE_NEWNS))
		_exit(EX_OSERR); /* the service would be put together in the node's own namespace */
	return fd;
}

static void run_start(struct self *k)
{
	struct err e;
	pid_t pid = 0;
	AUTO_FD int netns = netns_open(k, &e);
	int rc = netns < 0 ? -1 : process_spawn(k->s, k->s->argv, netns, k->log_w, &pid, &e);

	answer(k, rc, pid, 0, &e);
}

static void run_exec(struct self *k, struct keeper_ask *ask, size_t len, int fd3, int other)
{
	char *argv[KEEPER_WORDS / 64 + 1], *at = ask->words, *errlog = NULL;
	struct err e;
	pid_t pid = 0;
	int n = 0, rc = -1;

	for (int i = ask->has_errlog ? -1 : 0; i < ask->n_words; i++) {
		char *end = memchr(at, '\0', len - (size_t)(at - ask->words));

		if (!end || n == (int)(sizeof(argv) / sizeof(*argv)) - 1) {
			n = 0;
			break;
		}
		if (i < 0)
			errlog = at;
		else
			argv[n++] = at;
		at = end + 1;
	}
	argv[n] = NULL;
	AUTO_FD int netns = n ? netns_open(k, &e) : err_set(&e, EX_SOFTWARE, "keeper: arguments: too many or none");
	if (netns >= 0)
		rc = keeper_helper_spawn(k->s, argv, netns, fd3, k->log_w, errlog, &pid, &e);
	if (!rc && other >= 0) {
		close(k->other);
		k->other = fcntl(other, F_DUPFD_CLOEXEC, 0);
	}
	answer(k, rc, pid, 0, &e);
}

static bool was_reaped(struct self *k, pid_t pid, int *status)
{
	for (unsigned i = 0; i < REAPED_MAX; i++)
		if (k->reaped[i].pid == pid) {
			*status = k->reaped[i].status;
			return true;
		}
	return false;
}

static void run_pages(struct self *k)
{
	struct err e;
	int rc = k->orders && k->orders->pages ? keeper_pages_start(&k->pages, k->s->name, k->orders->pages, k->orders->ctx, &e) :
						 err_set(&e, EX_SOFTWARE, "keeper: nobody to serve pages");

	if (rc)
		answer(k, rc, 0, 0, &e);
	else
		k->asked = KEEPER_PAGES;
}

/* After anything that was heard of the process that serves them. Without it the service's memory is lost; it waits for it in vain,
 * or for nothing: so it ends. */
static void pages_heard(struct self *k)
{
	const struct keeper_pages *p = &k->pages;
	bool there = k->asked == KEEPER_PAGES ? p->ready : p->served;
	struct err e;

	if (p->why[0] && !k->lost) {
		k->lost = true;
		cgroup_kill(k->s->name, KILL_MS, NULL);
	}
	if (!k->asked || !(p->why[0] || there || p->sock < 0))
		return;
	k->asked = 0;
	if (p->why[0] || !there)
		err_set(&e, p->failed ? EX_UNAVAILABLE : EX_SOFTWARE, "service %s: %s", k->s->name,
			p->why[0] ? p->why : "its pages are served by nobody");
	answer(k, p->why[0] || !there ? -1 : 0, 0, 0, &e);
}

/* From now on it watches the process, and is nobody's. */
static int watch(struct self *k, pid_t pid, struct err *e)
{
	if (was_reaped(k, pid, &k->status))
		k->ended = true;
	else if ((k->pidfd = (int)syscall(SYS_pidfd_open, pid, 0)) < 0)
		return err_sys(e, "service %s: process %d", k->s->name, (int)pid);
	k->watch = pid;
	k->since = clock_ms();
	health_start(&k->health, k->s);
	announce_start(&k->announce, k->s);
	return 0;
}

static void let_go(struct self *k)
{
	close(TAKE_FD(k->log_w)); /* then the end of all writers is the end of the pipe */
	close(TAKE_FD(k->ctl));
	close(TAKE_FD(k->other));
	close(TAKE_FD(k->lock));
}

static void run_release(struct self *k, pid_t pid)
{
	struct err e;
	int rc = watch(k, pid, &e);

	answer(k, rc, 0, 0, &e);
	if (!rc)
		let_go(k);
}

static void pages_end(struct self *k)
{
	if (k->pages.pid > 0 && !k->pages.filled)
		unlink(service_dir(k->s, "fill"));
	keeper_pages_end(&k->pages);
}

/* Undoes all that was made for a service that is not to be. */
__attribute__((noreturn)) static void undo(struct self *k)
{
	cgroup_kill(k->s->name, KILL_MS, NULL);
	pages_end(k);
	if (setns(k->home, CLONE_NEWNS))
		_exit(EX_OSERR);
	service_clear(k->s, NULL);
	while (waitpid(-1, NULL, WNOHANG) > 0)
		;
	if (k->orders)
		k->orders->undone(k->orders->ctx);
	_exit(0);
}

/* Whose word it waited for is gone. A service that was committed to this node runs now, if it does not already: criu,
 * which holds it until it is answered, lets go when nobody is there who could. */
static void orphaned(struct self *k)
{
	AUTO_SERVICE struct service *now = NULL;

	if (setns(k->home, CLONE_NEWNS))
		_exit(EX_OSERR);
	if (!k->orders || !k->orders->committed(k->orders->ctx) || service_load(&now, k->s->name, NULL) ||
	    watch(k, now->pid, NULL))
		undo(k);
	net_attach(k->s, NULL);
	cgroup_thaw(k->s->name, NULL);
	let_go(k);
}

static void command(struct self *k)
{
	struct keeper_ask ask = { 0 };
	union {
		struct cmsghdr h;
		char room[CMSG_SPACE(2 * sizeof(int))];
	} control = { 0 };
	struct iovec io = { .iov_base = &ask, .iov_len = sizeof(ask) };
	struct msghdr m = { .msg_iov = &io, .msg_iovlen = 1, .msg_control = &control, .msg_controllen = sizeof(control) };
	ssize_t n = recvmsg(k->ctl, &m, MSG_CMSG_CLOEXEC);
	int fds[2] = { -1, -1 }, status;
	struct err e;

	if (n < 0 && errno == EINTR)
		return;
	if (n < (ssize_t)offsetof(struct keeper_ask, words)) {
		orphaned(k);
		return;
	}
	if (m.msg_controllen >= CMSG_LEN(sizeof(int)) && control.h.cmsg_type == SCM_RIGHTS)
		memcpy(fds, CMSG_DATA(&control.h), control.h.cmsg_len - CMSG_LEN(0));
	AUTO_FD int fd = fds[0], other = fds[1];
	switch (ask.verb) {
	case KEEPER_MOUNT:
		answer(k, root_mount(k->s, &e), 0, 0, &e);
		break;
	case KEEPER_START:
		run_start(k);
		break;
	case KEEPER_EXEC:
		run_exec(k, &ask, (size_t)n - offsetof(struct keeper_ask, words), fd, other);
		break;
	case KEEPER_WAIT:
		if (was_reaped(k, ask.pid, &status))
			answer(k, 0, ask.pid, status, NULL);
		else
			k->waiting = ask.pid;
		break;
	case KEEPER_PAGES:
		run_pages(k);
		break;
	case KEEPER_SERVED:
		k->asked = KEEPER_SERVED;
		pages_heard(k);
		break;
	case KEEPER_RELEASE:
		run_release(k, ask.pid);
		break;
	case KEEPER_CANCEL:
		k->orders = NULL; /* its program does the rest itself */
		undo(k);
	default:
		answer(k, err_set(&e, EX_SOFTWARE, "keeper: unknown command %d", ask.verb), 0, 0, &e);
	}
}

static void reap(struct self *k)
{
	struct signalfd_siginfo info[8];
	int status;
	pid_t pid;

	if (read(k->signals, info, sizeof(info)) < 0)
		return;
	while ((pid = waitpid(-1, &status, WNOHANG)) > 0) {
		if (health_ended(&k->health, pid, status))
			continue;
		k->reaped[k->n_reaped % REAPED_MAX].pid = pid;
		k->reaped[k->n_reaped++ % REAPED_MAX].status = status;
		if (pid == k->pages.pid)
			keeper_pages_reaped(&k->pages, status);
		if (pid == k->waiting) {
			k->waiting = 0;
			answer(k, 0, pid, status, NULL);
		}
		if (k->watch && pid == k->watch) {
			k->ended = true;
			k->status = status;
		}
	}
}

/* 1 there may be more, 0 nothing now, -1 the end. */
static int copy_log(struct self *k)
{
	char data[65536];
	ssize_t n = read(k->log_r, data, sizeof(data));

	if (n > 0)
		log_write(&k->log, data, (size_t)n);
	return n > 0 ? 1 : n < 0 && (errno == EAGAIN || errno == EINTR) ? 0 : -1;
}

static void exit_note(struct self *k)
{
	AUTO_JSON struct json *j = json_object();

	json_set_num(j, "pid", k->watch);
	if (k->status >= 0 && WIFEXITED(k->status))
		json_set_num(j, "status", WEXITSTATUS(k->status));
	if (k->status >= 0 && WIFSIGNALED(k->status))
		json_set_num(j, "signal", WTERMSIG(k->status));
	if (k->lost)
		json_set_str(j, "why", k->pages.why);
	json_write_file(j, service_dir(k->s, "exit"), NULL);
}

/* Is this service.json still about the process that we have kept? */
static bool still_ours(struct self *k)
{
	AUTO_SERVICE struct service *now = NULL;

	return !service_load(&now, k->s->name, NULL) && !strcmp(now->id, k->s->id) && now->pid == k->watch;
}

/* A service that was ended by a program of ours is cleared by that program, which holds the lock while it does so;
 * and by the time that we have the lock the name may belong to another instance or to none. */
static void clear_if_ours(struct self *k)
{
	AUTO_FREE pid_t *pids = NULL;
	AUTO_FD int lock = -1;
	int n = 0;

	for (int i = 0; i < LOCK_TRIES && still_ours(k) && lock < 0; i++)
		lock = service_lock(k->s->name, LOCK_PAUSE_MS, NULL);
	if (lock >= 0 && still_ours(k) && !cgroup_pids(k->s->name, &pids, &n, NULL) && !n)
		service_clear(k->s, NULL);
}

static void log_lost(struct self *k)
{
	char line[512];
	int n = snprintf(line, sizeof(line), "edge-keeper: service %s: ended: %s\n", k->s->name, k->pages.why);

	if (k->lost)
		log_write(&k->log, line, (size_t)n);
}

/* A keeper of its own is forked for it, and this one ends. */
static void start_again(struct self *k)
{
	int wait_ms = again_after_ms(k->s, k->status, clock_ms() - k->since);
	AUTO_FD int lock = -1;

	if (wait_ms < 0)
		return;
	for (double end = clock_ms() + wait_ms; clock_ms() < end && still_ours(k);)
		usleep(LOCK_PAUSE_MS * 1000);
	for (int i = 0; i < LOCK_TRIES && still_ours(k) && lock < 0; i++)
		lock = service_lock(k->s->name, LOCK_PAUSE_MS, NULL);
	if (lock < 0 || !still_ours(k))
		return;
	service_about_set(k->s, "restarts", json_number((double)json_int(k->s->about, "restarts", 0) + 1));
	service_start_again(k->s, NULL);
}

static void finish(struct self *k)
{
	while (copy_log(k) == 1)
		;
	if (k->pages.ended) /* the log is to tell how */
		pages_end(k);
	log_lost(k);
	log_close(&k->log);
	pages_end(k);
	health_stop(&k->health);
	announce_stop(&k->announce);
	if (setns(k->home, CLONE_NEWNS))
		_exit(EX_OSERR);
	exit_note(k);
	clear_if_ours(k);
	start_again(k);
	_exit(0);
}

static int netns_of(void *ctx)
{
	return netns_open(ctx, NULL);
}

static void loop(struct self *k)
{
	bool log_open_still = true;

	while (!k->ended) {
		health_step(&k->health, netns_of, k);
		announce_step(&k->announce, netns_of, k);

		int wait = health_wait_ms(&k->health), due = announce_wait_ms(&k->announce);
		struct pollfd p[] = { { .fd = k->ctl, .events = POLLIN },
				      { .fd = k->signals, .events = POLLIN },
				      { .fd = k->pidfd, .events = POLLIN },
				      { .fd = log_open_still ? k->log_r : -1, .events = POLLIN },
				      { .fd = k->pages.sock, .events = POLLIN },
				      { .fd = k->announce.events, .events = POLLPRI } };

		if (poll(p, 6, wait < 0 || (due >= 0 && due < wait) ? due : wait) < 0 && errno != EINTR)
			_exit(EX_OSERR);
		if (p[5].revents)
			announce_heard(&k->announce);
		if (p[3].revents)
			log_open_still = copy_log(k) >= 0;
		if (p[1].revents)
			reap(k); /* before the pidfd: this knows the status */
		if (k->pages.sock >= 0 && p[4].revents)
			keeper_pages_read(&k->pages);
		pages_heard(k);
		if (p[2].revents)
			k->ended = true;
		if (k->ctl >= 0 && p[0].revents)
			command(k);
	}
	/* the pidfd may tell a moment before the signal does */
	if (k->status < 0 && waitpid(k->watch, &k->status, WNOHANG) != k->watch)
		k->status = -1;
	finish(k);
}

static int set_up(struct self *k, struct err *e)
{
	sigset_t mask;

	setsid();
	for (int i = 1; i < NSIG; i++)
		signal(i, SIG_DFL);
	signal(SIGPIPE, SIG_IGN);
	signal(SIGHUP, SIG_IGN);
	signal(SIGINT, SIG_IGN);
	signal(SIGTERM, SIG_IGN); /* it goes when the service goes, else the service's output would have no reader */
	sigemptyset(&mask);
	sigaddset(&mask, SIGCHLD);
	sigprocmask(SIG_SETMASK, &mask, NULL);
	k->signals = signalfd(-1, &mask, SFD_CLOEXEC | SFD_NONBLOCK);
	k->home = open("/proc/self/ns/mnt", O_RDONLY | O_CLOEXEC);
	if (k->signals < 0 || k->home < 0 || prctl(PR_SET_CHILD_SUBREAPER, 1) || chdir("/") ||
	    fcntl(k->log_r, F_SETFL, O_NONBLOCK))
		return err_sys(e, "service %s: keeper", k->s->name);
	if (unshare(CLONE_NEWNS) || mount(NULL, "/", NULL, MS_REC | MS_PRIVATE, NULL) ||
	    (k->own = open("/proc/self/ns/mnt", O_RDONLY | O_CLOEXEC)) < 0)
		return err_sys(e, "service %s: keeper's mount namespace", k->s->name);
	umask(022);
	child_title("edge-keeper", k->s->name);
	log_open(&k->log, service_dir(k->s, "log"));
	return 0;
}

void keeper_main(const struct keeper_side *side)
{
	struct self k = { .s = (struct service *)side->s, .orders = side->orders, .pidfd = -1, .status = -1, .other = -1,
			  .pages = { .sock = -1 }, .announce = { .events = -1 } };
	int null = open("/dev/null", O_RDWR | O_CLOEXEC), lock = side->orders ? side->orders->lock : -1;
	struct err e;

	if (null < 0 || child_fds((int[]){ null, null, null, side->log_r, side->log_w, side->ctl,
					   lock < 0 ? null : lock }, 7))
		_exit(EX_OSERR);
	k.log_r = 3;
	k.log_w = 4;
	k.ctl = 5;
	k.lock = 6;
	for (int fd = 3; fd <= 6; fd++)
		if (fcntl(fd, F_SETFD, FD_CLOEXEC))
			_exit(EX_OSERR);
	int rc = set_up(&k, &e);
	answer(&k, rc, 0, 0, &e);
	if (rc)
		_exit(1);
	loop(&k);
	_exit(0);
}
