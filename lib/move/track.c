/* SPDX-License-Identifier: MIT */
#include "lib/move/track.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <linux/kcmp.h>
#include <linux/userfaultfd.h>
#include <poll.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/pidfd.h>
#include <sys/syscall.h>

#include "lib/base/proc.h"
#include "lib/move/image.h"
#include "lib/move/inject.h"
#include "lib/move/memory_int.h"

/* From linux/pidfd.h of 6.9. */
#ifndef PIDFD_THREAD
#define PIDFD_THREAD O_EXCL
#endif

#define UNMARK_BYTES (64ULL << 20) /* in one go: the process cannot map anything meanwhile */

struct tracked {
	pid_t pid;
	int pidfd;    /* readable when it has ended */
	int uffd;     /* -1: not tracked */
	bool refused; /* and never will be */
	bool fresh;   /* this is its first round */
	bool seen;    /* in this round */
	struct memory_there there; /* in its tracked anonymous memory, at the last round, if that is known */
	bool there_known;
	char why[256];
};

struct track {
	struct tracked *p; /* owned */
	size_t n, room;
	const pid_t *pids; /* of the round */
	size_t n_pids;
	bool frozen;
	struct criu_pages *there; /* is told of what a frozen process has; NULL */
	struct track_stats stats;
	char reason[256];
};

int track_new(struct track **out, struct err *e)
{
	*out = calloc(1, sizeof(**out));
	return *out ? 0 : err_set(e, EX_OSERR, "out of memory");
}

/* ---- what a process has open ---- */

static bool same_file(pid_t pid, int fd, int ours)
{
	return !syscall(SYS_kcmp, getpid(), pid, KCMP_FILE, ours, fd);
}

/* One that was forked in the middle of an injection has the descriptor of its parent's. */
static bool is_ours(const struct track *t, pid_t pid, int fd)
{
	for (size_t i = 0; i < t->n; i++)
		if (t->p[i].uffd >= 0 && same_file(pid, fd, t->p[i].uffd))
			return true;
	return false;
}

static bool is_direct(pid_t pid, const char *fd)
{
	char path[64], line[64];
	unsigned flags = 0;

	snprintf(path, sizeof(path), "/proc/%d/fdinfo/%.16s", pid, fd);
	AUTO_FILE FILE *f = fopen(path, "re");
	while (f && fgets(line, sizeof(line), f))
		if (sscanf(line, "flags: %o", &flags) == 1)
			break;
	return flags & O_DIRECT;
}

/* NULL when nothing that it has open hinders tracking. *ours: a descriptor of ours that it should not have; -1. */
static const char *hindrance(const struct track *t, pid_t pid, int *ours)
{
	const char *why = NULL;
	char path[64], link[64];
	struct dirent *de;

	*ours = -1;
	snprintf(path, sizeof(path), "/proc/%d/fd", pid);
	DIR *d = opendir(path);
	while (d && !why && (de = readdir(d))) {
		ssize_t n = readlinkat(dirfd(d), de->d_name, link, sizeof(link) - 1);

		if (n <= 0)
			continue;
		link[n] = 0;
		if (!strcmp(link, "anon_inode:[userfaultfd]")) {
			int fd = (int)strtol(de->d_name, NULL, 10);

			if (is_ours(t, pid, fd))
				*ours = fd;
			else
				why = "uses userfaultfd itself";
		} else if (!strcmp(link, "anon_inode:[io_uring]"))
			why = "uses io_uring";
		else if (link[0] == '/' && is_direct(pid, de->d_name))
			why = "has a file open with O_DIRECT";
	}
	if (d)
		closedir(d);
	return why;
}

/* ---- a userfaultfd of its own ---- */

struct making {
	pid_t pid;
	int stray; /* a descriptor to close first; -1 */
	int uffd;
};

static int refuse(pid_t pid, const char *why, struct err *e)
{
	return err_set(e, EX_UNAVAILABLE, "process %d: %s", pid, why);
}

static int take(pid_t pid, pid_t tid, int fd)
{
	AUTO_FD int pidfd = pidfd_open(tid, tid == pid ? 0 : PIDFD_THREAD);

	return pidfd < 0 ? -1 : pidfd_getfd(pidfd, fd, 0);
}

static int close_there(struct inject *in, int fd, struct err *e)
{
	long result;

	return inject_call(in, SYS_close, (const long[3]){ fd, 0, 0 }, &result, e);
}

static int make_uffd(struct inject *in, void *ctx, struct err *e)
{
	struct making *m = ctx;
	const long flags = O_CLOEXEC | O_NONBLOCK | UFFD_USER_MODE_ONLY;
	long fd = -1;

	if (proc_filtered(m->pid, inject_tid(in)))
		return refuse(m->pid, "filters its system calls (seccomp)", e);
	if (m->stray >= 0 && close_there(in, m->stray, e))
		return -1;
	if (inject_call(in, SYS_userfaultfd, (const long[3]){ flags, 0, 0 }, &fd, e))
		return -1;
	if (fd < 0) {
		errno = (int)-fd;
		err_sys(e, "process %d: userfaultfd", m->pid);
		e->code = EX_UNAVAILABLE;
		return -1;
	}
	m->uffd = take(m->pid, inject_tid(in), (int)fd);
	/* Another thread of it may have closed it, and have opened something else in its place. */
	if (m->uffd >= 0 && !same_file(inject_tid(in), (int)fd, m->uffd))
		return err_set(e, EX_TEMPFAIL, "process %d: its descriptors change", m->pid);
	if (close_there(in, (int)fd, e))
		return -1;
	return m->uffd < 0 ? refuse(m->pid, "its userfaultfd cannot be had", e) : 0;
}

static int enable(int uffd, pid_t pid, struct err *e)
{
	return memory_marks(uffd) ? refuse(pid, "this kernel's userfaultfd has no asynchronous mode", e) : 0;
}

/* Two processes with one memory, as after vfork(2), cannot be told apart by the kernel's marks. */
static bool shares_memory(const struct track *t, pid_t pid)
{
	for (size_t i = 0; i < t->n_pids; i++)
		if (t->pids[i] != pid && !syscall(SYS_kcmp, pid, t->pids[i], KCMP_VM, 0, 0))
			return true;
	return false;
}

static void give_up(struct tracked *p, const struct err *e)
{
	if (p->uffd >= 0)
		close(p->uffd);
	p->uffd = -1;
	p->refused = e->code != EX_TEMPFAIL && e->code != EX_NOINPUT;
	snprintf(p->why, sizeof(p->why), "%.255s", e->text);
}

/* Begins to track it, if it can be. */
static void attach(struct track *t, struct tracked *p)
{
	struct making m = { p->pid, -1, -1 };
	const char *why = hindrance(t, p->pid, &m.stray);
	struct err e = { 0 };
	double ms = 0;
	int rc;

	if (why)
		rc = refuse(p->pid, why, &e);
	else if (shares_memory(t, p->pid))
		rc = err_set(&e, EX_TEMPFAIL, "process %d: shares its memory with another one", p->pid);
	else
		rc = inject_run(p->pid, make_uffd, &m, &ms, &e);
	if (ms > t->stats.longest_ms)
		t->stats.longest_ms = ms;
	p->uffd = m.uffd;
	p->fresh = true;
	if (rc || enable(p->uffd, p->pid, &e))
		give_up(p, &e);
}

/* ---- rounds ---- */

struct round {
	struct track *t;
	struct tracked *p;
	bool new_memory; /* it has begun another program */
	struct memory_there there;
	bool torn; /* some pages may have been marked of which it is not known whether they were there */
};

static void set_tracked(struct page_runs *out, size_t from)
{
	for (; from < out->n; from++)
		out->run[from].tracked = true;
}

static bool can_track(const struct mapping *m)
{
	return m->private && !m->huge && (!m->inode || m->writable);
}

static struct memory_there *there_of(struct round *r, const struct mapping *m)
{
	return m->inode ? NULL : &r->there;
}

/* A mapping that is not marked yet: with all that it has. When it changes at this very moment, it is looked at without marks,
 * and so again in the next round. */
static int add_new(struct round *r, int fd, const struct mapping *m, uint64_t object, pid_t pid, struct page_runs *out)
{
	size_t from = out->n;

	if (!r->t->frozen && memory_markable(r->p->uffd, m->start, m->end)) {
		r->new_memory |= errno == ENOMEM || errno == ESRCH;
	} else if (!r->t->frozen) {
		const struct memory_ask ask = {
			.flags = PM_SCAN_WP_MATCHING | PM_SCAN_CHECK_WPASYNC,
			.there = there_of(r, m),
		};
		int rc = memory_scan(fd, m, object, pid, &ask, out);

		if (!rc)
			set_tracked(out, from);
		r->torn |= rc && ask.there;
		if (rc <= 0 && (!rc || errno != EPERM))
			return rc;
	}
	return memory_add_all(NULL, fd, m, object, pid, out);
}

static int add_written(void *ctx, int fd, const struct mapping *m, uint64_t object, pid_t pid, struct page_runs *out)
{
	struct round *r = ctx;
	size_t from = out->n;

	if (!can_track(m))
		return memory_add_all(NULL, fd, m, object, pid, out);
	if (r->p->fresh)
		return add_new(r, fd, m, object, pid, out);
	const struct memory_ask ask = {
		.flags = PM_SCAN_CHECK_WPASYNC | (r->t->frozen ? 0 : PM_SCAN_WP_MATCHING),
		.also = PAGE_IS_WRITTEN,
		.still = r->t->frozen,
		.there = there_of(r, m),
		.was = r->p->there_known ? &r->p->there : NULL,
	};
	int rc = memory_scan(fd, m, object, pid, &ask, out);
	if (!rc) {
		set_tracked(out, from);
		if (r->t->there && ask.there)
			criu_pages_asked(r->t->there, pid, m->start, m->end);
		return 0;
	}
	/* The kernel says EPERM for what is not marked. */
	r->torn |= ask.there && (!ask.was || errno != EPERM);
	return rc < 0 && errno != EPERM && errno != EAGAIN ? rc : add_new(r, fd, m, object, pid, out);
}

/* What it had is known from now on; of one that stands still criu is told. */
static void keep_there(struct round *r, int rc)
{
	struct tracked *p = r->p;

	for (size_t i = 0; r->t->there && i < r->there.n; i++)
		criu_pages_found(r->t->there, p->pid, r->there.span[i].start, r->there.span[i].end, false);
	if (r->t->there && r->there.guards)
		criu_pages_found(r->t->there, p->pid, 0, 0, true);
	memory_there_clear(&p->there);
	p->there = r->there;
	p->there_known = !rc && !r->torn && memory_sees_marks();
}

static int process_round(struct track *t, struct tracked *p, struct page_runs *out, struct err *e)
{
	struct round r = { .t = t, .p = p };
	const char *why;
	struct err late;
	int stray;

	if (!t->frozen && p->uffd >= 0 && (why = hindrance(t, p->pid, &stray))) {
		refuse(p->pid, why, &late);
		give_up(p, &late);
	}
	if (!t->frozen && p->uffd < 0 && !p->refused)
		attach(t, p);
	else if (t->frozen && p->uffd < 0 && !p->why[0])
		snprintf(p->why, sizeof(p->why), "process %d: is new", p->pid);
	if (p->uffd < 0)
		return memory_each_mapping(p->pid, memory_add_all, NULL, out, e);
	int rc = memory_each_mapping(p->pid, add_written, &r, out, e);
	keep_there(&r, rc);
	p->fresh = false;
	if (r.new_memory) {
		err_set(&late, EX_TEMPFAIL, "process %d: has begun another program", p->pid);
		give_up(p, &late);
	}
	return rc;
}

static bool has_ended(int pidfd)
{
	struct pollfd p = { .fd = pidfd, .events = POLLIN };

	return poll(&p, 1, 0) != 0;
}

static void forget(struct tracked *p)
{
	if (p->uffd >= 0)
		close(p->uffd);
	if (p->pidfd >= 0)
		close(p->pidfd);
	memory_there_clear(&p->there);
}

/* The entry of a process, if need be a new one; NULL without memory. */
static struct tracked *entry_of(struct track *t, pid_t pid)
{
	for (size_t i = 0; i < t->n; i++)
		if (t->p[i].pid == pid && !has_ended(t->p[i].pidfd))
			return &t->p[i];
	if (t->n == t->room) {
		size_t room = t->room ? t->room * 2 : 16;
		struct tracked *bigger = realloc(t->p, room * sizeof(*bigger));

		if (!bigger)
			return NULL;
		t->p = bigger;
		t->room = room;
	}
	t->p[t->n] = (struct tracked){ .pid = pid, .pidfd = pidfd_open(pid, 0), .uffd = -1 };
	return &t->p[t->n++];
}

static void drop_unseen(struct track *t)
{
	size_t kept = 0;

	for (size_t i = 0; i < t->n; i++)
		if (t->p[i].seen)
			t->p[kept++] = t->p[i];
		else
			forget(&t->p[i]);
	t->n = kept;
}

static void count(struct track *t, const struct page_runs *out)
{
	t->stats.processes = (unsigned)t->n;
	t->stats.tracked = 0;
	t->stats.looked_at = 0;
	t->reason[0] = 0;
	for (size_t i = 0; i < t->n; i++) {
		t->stats.tracked += t->p[i].uffd >= 0;
		if (t->p[i].uffd < 0 && t->p[i].why[0])
			memcpy(t->reason, t->p[i].why, sizeof(t->reason));
	}
	for (size_t i = 0; i < out->n; i++)
		t->stats.looked_at += out->run[i].tracked ? 0 : out->run[i].pages;
}

static int all_processes(struct track *t, const pid_t *pids, size_t n, struct page_runs *out, struct err *e)
{
	out->n = 0;
	out->pages = 0;
	t->pids = pids;
	t->n_pids = n;
	for (size_t i = 0; i < t->n; i++)
		t->p[i].seen = false;
	for (size_t i = 0; i < n; i++) {
		struct tracked *p = entry_of(t, pids[i]);

		if (!p)
			return err_set(e, EX_OSERR, "out of memory");
		p->seen = true;
		if (process_round(t, p, out, e))
			return -1;
	}
	drop_unseen(t);
	memory_settle(out);
	count(t, out);
	return 0;
}

int track_round(struct track *t, const pid_t *pids, size_t n, struct page_runs *out, struct err *e)
{
	t->frozen = false;
	t->there = NULL;
	return all_processes(t, pids, n, out, e);
}

int track_last_round(struct track *t, const pid_t *pids, size_t n, struct criu_pages *there, struct page_runs *out, struct err *e)
{
	t->frozen = true;
	t->there = there;
	return all_processes(t, pids, n, out, e);
}

struct track_stats track_stats(const struct track *t)
{
	struct track_stats s = t->stats;

	s.reason = t->reason[0] ? t->reason : NULL;
	return s;
}

/* ---- the end ---- */

/* Closing the descriptor alone would hold the process for as long as all its marks take. */
static int unmark(void *ctx, int fd, const struct mapping *m, uint64_t object, pid_t pid, struct page_runs *out)
{
	const struct tracked *p = ctx;

	(void)fd, (void)object, (void)pid, (void)out;
	for (uint64_t at = m->start; can_track(m) && at < m->end; at += UNMARK_BYTES) {
		struct uffdio_writeprotect w = { { at, m->end - at < UNMARK_BYTES ? m->end - at : UNMARK_BYTES }, 0 };

		if (ioctl(p->uffd, UFFDIO_WRITEPROTECT, &w) && errno != EAGAIN)
			break; /* not marked, or no longer there */
	}
	return 0;
}

void track_free(struct track *t, bool gone)
{
	for (size_t i = 0; i < t->n; i++) {
		struct page_runs none = { 0 };

		if (!gone && t->p[i].uffd >= 0)
			memory_each_mapping(t->p[i].pid, unmark, &t->p[i], &none, NULL);
		forget(&t->p[i]);
	}
	free(t->p);
	free(t);
}
