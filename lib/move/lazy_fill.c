/* SPDX-License-Identifier: MIT */
#include "lib/move/lazy_fill.h"

#include <errno.h>
#include <linux/userfaultfd.h>
#include <pthread.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/mman.h>
#include <unistd.h>

#include "lib/move/image.h"
#include "lib/move/journal.h"

#define THREADS_MAX 4
#define FILL_PAGES 128   /* taken at a time by a thread */
#define STEP_PAGES 32    /* put in place at a time: so long a process may have to wait for its event to be read */
#define FAULT_PAGES 8    /* brought along with one that is waited for */
#define PENDING_MAX 64
#define PAUSE_US 200     /* while the kernel refuses pages, or has no memory */

struct lazy_task {
	int uffd;
	unsigned id;
	uint64_t object;
	struct lazy_space space; /* not yet in anyone's hands */
	pthread_rwlock_t gate;   /* shared: pages are put in place; alone: an event is read. Before the lock */
	bool gone;
	unsigned users;          /* threads that have a piece of it */
};

struct worker {
	struct lazy_fill *fill;
	pthread_t thread;
	bool started;
	struct lazy_task *task;  /* NULL: none */
	struct lazy_piece piece; /* what is left of what it took; an event may take it back */
	uint8_t *buf;
};

struct lazy_fill {
	struct lazy_hooks hooks;
	const struct lazy_source *src;
	pthread_mutex_t lock; /* of all below, and of the tasks' spaces */
	pthread_cond_t more;
	struct lazy_task **task;
	size_t n_tasks;
	unsigned last_id;
	struct worker worker[THREADS_MAX];
	int n_workers;
	bool going, ending;
	enum { BEGIN_NOT, BEGINNING, BEGUN } begun;
	struct err why; /* it has failed */
	uint8_t *buf;   /* of the thread that reads events */
	struct {
		struct lazy_task *task;
		uint64_t addr;
	} pending[PENDING_MAX]; /* faults that the kernel did not want to be served yet */
	int n_pending;
};

int lazy_task_fd(const struct lazy_task *t)
{
	return t->uffd;
}

unsigned lazy_task_id(const struct lazy_task *t)
{
	return t->id;
}

static void fail(struct lazy_fill *f, const struct err *e)
{
	pthread_mutex_lock(&f->lock);
	if (!f->why.text[0])
		f->why = *e;
	pthread_mutex_unlock(&f->lock);
	f->hooks.news(f->hooks.ctx);
}

/* ---- pages ---- */

static bool is_zero(const uint8_t *page)
{
	const uint64_t *w = (const uint64_t *)page;

	for (unsigned i = 0; i < PAGE_BYTES / sizeof(*w); i += 8)
		if (w[i] | w[i + 1] | w[i + 2] | w[i + 3] | w[i + 4] | w[i + 5] | w[i + 6] | w[i + 7])
			return false;
	return true;
}

/* Pages of data from the first on; 0 when it is one of zeros. */
static uint64_t data_pages(const uint8_t *page, uint64_t most)
{
	uint64_t n = 0;

	while (n < most && !is_zero(page + n * PAGE_BYTES))
		n++;
	return n;
}

static uint64_t zero_pages(const uint8_t *page, uint64_t most)
{
	uint64_t n = 0;

	while (n < most && is_zero(page + n * PAGE_BYTES))
		n++;
	return n;
}

/* What became of some pages: how many are done with, and what else there is to know. */
enum put { PUT_DONE, PUT_LATER, PUT_GONE, PUT_BAD };

static enum put put_failed(uint64_t *pages)
{
	switch (errno) {
	case EEXIST: /* it has been touched, or is the parent's */
	case ENOENT: /* nothing is mapped there, or it was when pages were not waited for */
	case EFAULT:
		*pages = 1;
		return PUT_DONE;
	case EAGAIN: /* there is an event to be read first */
	case ENOMEM:
		return PUT_LATER;
	case ESRCH:
	case ENOSPC:
		return PUT_GONE;
	default:
		return PUT_BAD;
	}
}

/* Puts `most` pages of data in place, or some of them. */
static enum put put_data(int uffd, uint64_t addr, const uint8_t *page, uint64_t most, uint64_t *pages)
{
	/* ENOENT: perhaps they lie in two mappings, and at least the first ones are welcome. */
	do {
		struct uffdio_copy c = { .dst = addr, .src = (uintptr_t)page, .len = most * PAGE_BYTES };
		int rc = ioctl(uffd, UFFDIO_COPY, &c);

		*pages = rc ? 0 : most;
		if (rc && c.copy > 0)
			*pages = (uint64_t)c.copy / PAGE_BYTES;
		if (*pages)
			return PUT_DONE;
	} while (errno == ENOENT && (most /= 2));
	return put_failed(pages);
}

static enum put put_zero(int uffd, uint64_t addr)
{
	struct uffdio_zeropage z = { .range = { addr, PAGE_BYTES } };
	uint64_t pages;

	return ioctl(uffd, UFFDIO_ZEROPAGE, &z) ? put_failed(&pages) : PUT_DONE;
}

/* ---- the threads that fill ---- */

/* The lock is held. The first process that still wants something: those that were restored come before those that they fork,
 * which often end, or become another program, soon. */
static bool take(struct worker *w)
{
	struct lazy_fill *f = w->fill;

	for (size_t i = 0; i < f->n_tasks; i++) {
		struct lazy_task *t = f->task[i];

		if (t->gone || !lazy_space_take(&t->space, FILL_PAGES, &w->piece))
			continue;
		w->task = t;
		t->users++;
		return true;
	}
	return false;
}

/* The lock is held. */
static void gone(struct lazy_task *t)
{
	t->gone = true;
	lazy_space_clear(&t->space);
}

/* One step, behind the gate: the rest of the piece, or what of it is not taken back. */
static enum put step(struct worker *w, uint64_t *at, uint64_t *read_pages)
{
	struct lazy_fill *f = w->fill;
	struct lazy_task *t = w->task;
	struct lazy_piece p;
	uint64_t pages = 1;
	enum put put = PUT_DONE;

	pthread_rwlock_rdlock(&t->gate);
	pthread_mutex_lock(&f->lock);
	p = w->piece;
	pthread_mutex_unlock(&f->lock);
	if (p.pages) {
		const uint8_t *page = w->buf + *at * PAGE_BYTES;
		uint64_t most = data_pages(page, p.pages < STEP_PAGES ? p.pages : STEP_PAGES);

		/* A page of zeros is what a process finds where there is none. */
		if (most)
			put = put_data(t->uffd, p.addr, page, most, &pages);
		else
			pages = zero_pages(page, p.pages);
		pthread_mutex_lock(&f->lock);
		if (put == PUT_DONE)
			w->piece = (struct lazy_piece){ p.addr + pages * PAGE_BYTES, p.from + pages * PAGE_BYTES,
							p.pages - pages };
		if (put == PUT_GONE)
			gone(t);
		pthread_mutex_unlock(&f->lock);
	}
	*at += put == PUT_DONE ? pages : 0;
	*read_pages = p.pages;
	pthread_rwlock_unlock(&t->gate);
	return put;
}

static void work(struct worker *w, struct lazy_piece p)
{
	struct lazy_fill *f = w->fill;
	uint64_t at = 0, left = p.pages;
	struct err e;

	if (lazy_source_read(f->src, w->task->object, p.from, p.pages, w->buf)) {
		err_sys(&e, "pages of process %llu", (unsigned long long)w->task->object);
		fail(f, &e);
		return;
	}
	while (left && at < p.pages) {
		switch (step(w, &at, &left)) {
		case PUT_DONE:
			break;
		case PUT_LATER:
			usleep(PAUSE_US);
			break;
		case PUT_GONE:
			return;
		case PUT_BAD:
			err_sys(&e, "pages of process %llu: userfaultfd", (unsigned long long)w->task->object);
			fail(f, &e);
			return;
		}
	}
}

/* The lock is held. */
static bool all_done(const struct lazy_fill *f)
{
	for (int i = 0; i < f->n_workers; i++)
		if (f->worker[i].task)
			return false;
	for (size_t i = 0; i < f->n_tasks; i++)
		if (f->task[i]->space.n)
			return false;
	return f->going;
}

/* The lock is held. The first of them is where a test may stop all. */
static void begin(struct lazy_fill *f)
{
	f->begun = BEGINNING;
	pthread_mutex_unlock(&f->lock);
	journal_hold("filling");
	pthread_mutex_lock(&f->lock);
	f->begun = BEGUN;
	pthread_cond_broadcast(&f->more);
}

static void *worker_main(void *arg)
{
	struct worker *w = arg;
	struct lazy_fill *f = w->fill;

	pthread_mutex_lock(&f->lock);
	while (!f->ending) {
		if (f->going && f->begun == BEGIN_NOT)
			begin(f);
		if (!f->going || f->begun != BEGUN || f->why.text[0] || !take(w)) {
			pthread_cond_wait(&f->more, &f->lock);
			continue;
		}
		struct lazy_piece p = w->piece;

		pthread_mutex_unlock(&f->lock);
		work(w, p);
		pthread_mutex_lock(&f->lock);
		bool last;
		w->task->users--;
		last = w->task->gone;
		w->task = NULL;
		w->piece.pages = 0;
		if (last || all_done(f)) {
			pthread_mutex_unlock(&f->lock);
			f->hooks.news(f->hooks.ctx);
			pthread_mutex_lock(&f->lock);
		}
	}
	pthread_mutex_unlock(&f->lock);
	return NULL;
}

/* ---- events ---- */

/* The lock is held. What is in the threads' hands of these pages goes back to the space, where the event will find it. */
static int take_back(struct lazy_fill *f, struct lazy_task *t)
{
	for (int i = 0; i < f->n_workers; i++) {
		struct worker *w = &f->worker[i];

		if (w->task != t || !w->piece.pages)
			continue;
		if (lazy_space_add(&t->space, w->piece))
			return -1;
		w->piece.pages = 0;
	}
	return 0;
}

static int forked(struct lazy_fill *f, struct lazy_task *t, int uffd, struct err *e)
{
	struct lazy_task *child;
	int rc;

	if (lazy_fill_add(f, uffd, 0, &child, e))
		return -1;
	pthread_mutex_lock(&f->lock);
	child->object = t->object;
	rc = take_back(f, t) || lazy_space_copy(&t->space, &child->space) ||
			     lazy_source_fork(f->src, t->object, &child->space) ?
		     err_set(e, EX_OSERR, "out of memory") : 0;
	pthread_cond_broadcast(&f->more);
	pthread_mutex_unlock(&f->lock);
	return rc ? rc : f->hooks.forked(f->hooks.ctx, child, e);
}

/* The gate is closed: what the process has done to its memory. */
static int changed(struct lazy_fill *f, struct lazy_task *t, const struct uffd_msg *m, struct err *e)
{
	int rc;

	if (m->event == UFFD_EVENT_FORK)
		return forked(f, t, (int)m->arg.fork.ufd, e);
	pthread_mutex_lock(&f->lock);
	rc = take_back(f, t);
	if (!rc && m->event == UFFD_EVENT_REMAP)
		rc = lazy_space_move(&t->space, m->arg.remap.from, m->arg.remap.to, m->arg.remap.len / PAGE_BYTES);
	else if (!rc)
		rc = lazy_space_cut(&t->space, m->arg.remove.start,
				    (m->arg.remove.end - m->arg.remove.start) / PAGE_BYTES);
	pthread_cond_broadcast(&f->more);
	pthread_mutex_unlock(&f->lock);
	return rc ? err_set(e, EX_OSERR, "out of memory") : 0;
}

/* What is to come to an address: a piece from the space, which is taken out, or one page of what a thread is about to put there.
 * False: nothing is, so it is a page of zeros. */
static bool wanted(struct lazy_fill *f, struct lazy_task *t, uint64_t addr, struct lazy_piece *p, bool *own)
{
	bool found;

	pthread_mutex_lock(&f->lock);
	found = *own = lazy_space_find(&t->space, addr, FAULT_PAGES, p) && !lazy_space_cut(&t->space, p->addr, p->pages);
	for (int i = 0; i < f->n_workers && !found; i++) {
		const struct lazy_piece *in_hand = &f->worker[i].piece;

		if (f->worker[i].task != t || addr < in_hand->addr ||
		    addr >= in_hand->addr + in_hand->pages * PAGE_BYTES)
			continue;
		found = true;
		*p = (struct lazy_piece){ addr, addr - in_hand->addr + in_hand->from, 1 };
	}
	pthread_mutex_unlock(&f->lock);
	return found;
}

static enum put put_piece(struct lazy_fill *f, struct lazy_task *t, struct lazy_piece *p)
{
	enum put put = PUT_DONE;
	uint64_t pages = 0;

	if (lazy_source_read(f->src, t->object, p->from, p->pages, f->buf))
		return PUT_BAD;
	for (const uint8_t *page = f->buf; p->pages && put == PUT_DONE; page += pages * PAGE_BYTES) {
		uint64_t most = data_pages(page, p->pages);

		pages = 1;
		if (most)
			put = put_data(t->uffd, p->addr, page, most, &pages);
		else if (page == f->buf)
			put = put_zero(t->uffd, p->addr);
		if (put == PUT_DONE)
			*p = (struct lazy_piece){ p->addr + pages * PAGE_BYTES, p->from + pages * PAGE_BYTES, p->pages - pages };
	}
	return put;
}

/* A process waits for this page. Nobody else reads events meanwhile, so the gate may stand open. */
static enum put serve(struct lazy_fill *f, struct lazy_task *t, uint64_t addr)
{
	struct uffdio_range page = { addr, PAGE_BYTES };
	struct lazy_piece p;
	bool own;
	enum put put;

	if (!wanted(f, t, addr, &p, &own)) {
		put = put_zero(t->uffd, addr);
	} else {
		put = put_piece(f, t, &p);
		pthread_mutex_lock(&f->lock);
		if (own && p.pages && put == PUT_LATER && lazy_space_add(&t->space, p))
			put = PUT_BAD;
		pthread_mutex_unlock(&f->lock);
		if (put == PUT_LATER && p.addr != addr)
			put = PUT_DONE; /* this one is there */
	}
	/* It may have come by another way just before. */
	if (put == PUT_DONE)
		ioctl(t->uffd, UFFDIO_WAKE, &page);
	return put;
}

static int serve_or_keep(struct lazy_fill *f, struct lazy_task *t, uint64_t addr, struct err *e)
{
	struct uffdio_range page = { addr, PAGE_BYTES };

	switch (serve(f, t, addr)) {
	case PUT_DONE:
		break;
	case PUT_GONE:
		pthread_mutex_lock(&f->lock);
		gone(t);
		pthread_mutex_unlock(&f->lock);
		f->hooks.news(f->hooks.ctx);
		break;
	case PUT_LATER:
		if (f->n_pending < PENDING_MAX) {
			f->pending[f->n_pending].task = t;
			f->pending[f->n_pending++].addr = addr;
		} else {
			ioctl(t->uffd, UFFDIO_WAKE, &page); /* it asks again */
		}
		break;
	case PUT_BAD:
		return err_sys(e, "pages of process %llu", (unsigned long long)t->object);
	}
	return 0;
}

static int serve_pending(struct lazy_fill *f, struct err *e)
{
	int n = f->n_pending;

	f->n_pending = 0;
	for (int i = 0; i < n; i++)
		if (!f->pending[i].task->gone && serve_or_keep(f, f->pending[i].task, f->pending[i].addr, e))
			return -1;
	return 0;
}

int lazy_fill_again(struct lazy_fill *f, bool *left, struct err *e)
{
	int rc = serve_pending(f, e);

	if (rc)
		fail(f, e);
	*left = f->n_pending;
	return rc;
}

int lazy_fill_events(struct lazy_fill *f, struct lazy_task *t, struct err *e)
{
	struct uffd_msg m;
	ssize_t n;
	int rc = 0;

	do {
		pthread_rwlock_wrlock(&t->gate);
		n = read(t->uffd, &m, sizeof(m));
		if (n == sizeof(m) && m.event != UFFD_EVENT_PAGEFAULT)
			rc = changed(f, t, &m, e);
		pthread_rwlock_unlock(&t->gate);
		if (n == sizeof(m) && m.event == UFFD_EVENT_PAGEFAULT)
			rc = serve_or_keep(f, t, m.arg.pagefault.address & ~(uint64_t)(PAGE_BYTES - 1), e);
	} while (!rc && n == sizeof(m));
	if (!rc)
		rc = serve_pending(f, e);
	if (rc)
		fail(f, e);
	return rc;
}

void lazy_task_free(struct lazy_task *t)
{
	close(t->uffd);
	lazy_space_clear(&t->space);
	pthread_rwlock_destroy(&t->gate);
	free(t);
}

struct lazy_task *lazy_fill_gone(struct lazy_fill *f)
{
	struct lazy_task *t = NULL;

	pthread_mutex_lock(&f->lock);
	for (size_t i = 0; i < f->n_tasks && !t; i++)
		if (f->task[i]->gone && !f->task[i]->users) {
			t = f->task[i];
			memmove(f->task + i, f->task + i + 1, (--f->n_tasks - i) * sizeof(*f->task));
		}
	pthread_mutex_unlock(&f->lock);
	for (int i = 0; i < f->n_pending && t; i++)
		if (f->pending[i].task == t)
			f->pending[i--] = f->pending[--f->n_pending];
	return t;
}

/* ---- the whole ---- */

int lazy_fill_add(struct lazy_fill *f, int uffd, uint64_t object, struct lazy_task **out, struct err *e)
{
	struct lazy_task *t = calloc(1, sizeof(*t)), **bigger;
	pthread_rwlockattr_t fair;

	pthread_mutex_lock(&f->lock);
	bigger = t ? realloc(f->task, (f->n_tasks + 1) * sizeof(*bigger)) : NULL;
	if (bigger)
		f->task = bigger;
	if (!bigger || (object && lazy_source_wanted(f->src, object, &t->space))) {
		pthread_mutex_unlock(&f->lock);
		free(t);
		close(uffd);
		return err_set(e, EX_OSERR, "out of memory");
	}
	/* Events wait for no page but those that are on their way. */
	pthread_rwlockattr_init(&fair);
	pthread_rwlockattr_setkind_np(&fair, PTHREAD_RWLOCK_PREFER_WRITER_NONRECURSIVE_NP);
	pthread_rwlock_init(&t->gate, &fair);
	pthread_rwlockattr_destroy(&fair);
	t->uffd = uffd;
	t->object = object;
	t->id = ++f->last_id;
	f->task[f->n_tasks++] = t;
	pthread_cond_broadcast(&f->more);
	pthread_mutex_unlock(&f->lock);
	*out = t;
	return 0;
}

void lazy_fill_from(struct lazy_fill *f, const struct lazy_source *src)
{
	f->src = src;
}

void lazy_fill_go(struct lazy_fill *f)
{
	bool done;

	pthread_mutex_lock(&f->lock);
	f->going = true;
	done = all_done(f);
	pthread_cond_broadcast(&f->more);
	pthread_mutex_unlock(&f->lock);
	if (done)
		f->hooks.news(f->hooks.ctx);
}

int lazy_fill_state(struct lazy_fill *f, struct err *e)
{
	int state;

	pthread_mutex_lock(&f->lock);
	state = f->why.text[0] ? -1 : all_done(f);
	if (state < 0)
		*e = f->why;
	pthread_mutex_unlock(&f->lock);
	return state;
}

/* Locked in memory where that is allowed: a page of ours that is wanted must not wait for others. */
static uint8_t *buffer(size_t pages)
{
	void *p = mmap(NULL, pages * PAGE_BYTES, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS | MAP_POPULATE, -1, 0);

	if (p == MAP_FAILED)
		return NULL;
	(void)!mlock(p, pages * PAGE_BYTES);
	return p;
}

int lazy_fill_new(struct lazy_fill **out, const struct lazy_hooks *hooks, struct err *e)
{
	AUTO_LAZY_FILL struct lazy_fill *f = calloc(1, sizeof(*f));
	long cpus = sysconf(_SC_NPROCESSORS_ONLN);

	if (!f)
		return err_set(e, EX_OSERR, "out of memory");
	f->hooks = *hooks;
	pthread_mutex_init(&f->lock, NULL);
	pthread_cond_init(&f->more, NULL);
	f->buf = buffer(FAULT_PAGES);
	f->n_workers = cpus < 2 ? 1 : cpus > THREADS_MAX ? THREADS_MAX : (int)cpus;
	for (int i = 0; i < f->n_workers; i++) {
		struct worker *w = &f->worker[i];

		w->fill = f;
		w->buf = buffer(FILL_PAGES);
		if (!f->buf || !w->buf)
			return err_set(e, EX_OSERR, "out of memory");
		w->started = !pthread_create(&w->thread, NULL, worker_main, w);
		if (!w->started)
			return err_set(e, EX_OSERR, "cannot start a thread");
	}
	*out = TAKE_PTR(f);
	return 0;
}

void lazy_fill_free(struct lazy_fill *f)
{
	pthread_mutex_lock(&f->lock);
	f->ending = true;
	pthread_cond_broadcast(&f->more);
	pthread_mutex_unlock(&f->lock);
	for (int i = 0; i < f->n_workers; i++) {
		if (f->worker[i].started)
			pthread_join(f->worker[i].thread, NULL);
		if (f->worker[i].buf)
			munmap(f->worker[i].buf, FILL_PAGES * PAGE_BYTES);
	}
	for (size_t i = 0; i < f->n_tasks; i++)
		lazy_task_free(f->task[i]);
	if (f->buf)
		munmap(f->buf, FAULT_PAGES * PAGE_BYTES);
	free(f->task);
	pthread_mutex_destroy(&f->lock);
	pthread_cond_destroy(&f->more);
	free(f);
}
