/* SPDX-License-Identifier: MIT */
#include <errno.h>
#include <linux/userfaultfd.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/mman.h>
#include <unistd.h>

#include "lib/move/image.h"
#include "lib/move/journal.h"
#include "lib/move/lazy_fill_int.h"
#include "lib/move/memory.h"

#define PAUSE_US 200 /* while the kernel refuses pages, or has no memory */
#define REST_US 50   /* after each step: the service is to have the processors, too */
#define YIELD_US 200 /* after one in which it waited for pages itself */

int lazy_task_fd(const struct lazy_task *t)
{
	return t->uffd;
}

unsigned lazy_task_id(const struct lazy_task *t)
{
	return t->id;
}

void lazy_fail(struct lazy_fill *f, const struct err *e)
{
	pthread_mutex_lock(&f->lock);
	if (!f->why.text[0])
		f->why = *e;
	pthread_mutex_unlock(&f->lock);
	f->hooks.news(f->hooks.ctx);
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

void lazy_gone(struct lazy_task *t)
{
	t->gone = true;
	lazy_space_clear(&t->space);
	lazy_space_clear(&t->late);
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
	if (p.pages && lazy_fill_guarded(f)) {
		f->hooks.news(f->hooks.ctx);
		put = PUT_LATER;
	} else if (p.pages) {
		const uint8_t *page = w->buf + *at * PAGE_BYTES;
		uint64_t most = lazy_data_pages(page, p.pages < STEP_PAGES ? p.pages : STEP_PAGES);

		/* A page of zeros is what a process finds where there is none. */
		if (most)
			put = lazy_put_data(t->uffd, p.addr, page, most, &pages);
		else
			pages = lazy_zero_pages(page, p.pages);
		pthread_mutex_lock(&f->lock);
		if (put == PUT_DONE)
			w->piece = (struct lazy_piece){ p.addr + pages * PAGE_BYTES, p.from + pages * PAGE_BYTES,
							p.pages - pages };
		if (put == PUT_GONE)
			lazy_gone(t);
		pthread_mutex_unlock(&f->lock);
	}
	*at += put == PUT_DONE ? pages : 0;
	*read_pages = p.pages;
	pthread_rwlock_unlock(&t->gate);
	return put;
}

static void rest(struct worker *w)
{
	unsigned faults = atomic_load(&w->fill->faults);

	usleep(faults == w->faults ? REST_US : YIELD_US);
	w->faults = faults;
}

static void work(struct worker *w, struct lazy_piece p)
{
	struct lazy_fill *f = w->fill;
	uint64_t at = 0, left = p.pages;
	struct err e;

	if (lazy_source_read(f->src, w->task->object, p.from, p.pages, w->buf)) {
		err_sys(&e, "pages of process %llu", (unsigned long long)w->task->object);
		lazy_fail(f, &e);
		return;
	}
	while (left && at < p.pages) {
		switch (step(w, &at, &left)) {
		case PUT_DONE:
			rest(w);
			break;
		case PUT_LATER:
			usleep(PAUSE_US);
			break;
		case PUT_GONE:
			return;
		case PUT_BAD:
			err_sys(&e, "pages of process %llu: userfaultfd", (unsigned long long)w->task->object);
			lazy_fail(f, &e);
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
		if (f->task[i]->space.n || f->task[i]->late.n)
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

	/* Who reads events may wait at a gate for this one, which comes before nobody, as the service runs: so its steps are short, and it
	 * rests after them. */
	pthread_mutex_lock(&f->lock);
	while (!f->ending) {
		if (f->going && f->begun == BEGIN_NOT) {
			begin(f);
			continue; /* the end may have come meanwhile */
		}
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

void lazy_task_free(struct lazy_task *t)
{
	close(t->uffd);
	lazy_space_clear(&t->space);
	lazy_space_clear(&t->late);
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
	if (!bigger || (object && lazy_source_wanted(f->src, object, &t->space, &t->late))) {
		pthread_mutex_unlock(&f->lock);
		if (t) {
			lazy_space_clear(&t->space);
			lazy_space_clear(&t->late);
		}
		free(t);
		close(uffd);
		return lazy_out_of_memory(e);
	}
	/* Events wait for no page but those that are on their way. */
	pthread_rwlockattr_init(&fair);
	pthread_rwlockattr_setkind_np(&fair, PTHREAD_RWLOCK_PREFER_WRITER_NONRECURSIVE_NP);
	pthread_rwlock_init(&t->gate, &fair);
	pthread_rwlockattr_destroy(&fair);
	t->uffd = uffd;
	t->object = object;
	for (int i = 0; i < WAYS; i++)
		t->way[i].most = 2 * FAULT_PAGES; /* the first is somewhere else */
	t->id = ++f->last_id;
	f->task[f->n_tasks++] = t;
	pthread_cond_broadcast(&f->more);
	pthread_mutex_unlock(&f->lock);
	*out = t;
	return 0;
}

void lazy_fill_from(struct lazy_fill *f, const struct lazy_source *src)
{
	pthread_mutex_lock(&f->lock);
	f->src = src;
	pthread_mutex_unlock(&f->lock);
}

static int watch_task(const struct lazy_fill *f, const struct lazy_task *t, struct err *e)
{
	const struct criu_mm *mm = lazy_source_mm(f->src, t->object);
	struct lazy_piece p;

	for (size_t i = 0; mm && i < mm->n; i++) {
		const struct criu_vma *v = &mm->vma[i];
		struct uffdio_register reg = { { v->start, v->end - v->start }, UFFDIO_REGISTER_MODE_MISSING, 0 };
		bool wanted = (lazy_space_next(&t->space, v->start, &p) && p.addr < v->end) ||
			      (lazy_space_next(&t->late, v->start, &p) && p.addr < v->end);

		/* It is no harm to one that is waited for already. */
		if (v->lazy && wanted && ioctl(t->uffd, UFFDIO_REGISTER, &reg) && errno != ESRCH)
			return err_sys(e, "process %llu: its pages at %#llx are not waited for", (unsigned long long)t->object,
				       (unsigned long long)v->start);
	}
	return 0;
}

int lazy_fill_watch(struct lazy_fill *f, struct err *e)
{
	int rc = 0;

	pthread_mutex_lock(&f->lock);
	for (size_t i = 0; i < f->n_tasks && !rc; i++)
		rc = watch_task(f, f->task[i], e);
	pthread_mutex_unlock(&f->lock);
	return rc;
}

void lazy_fill_heed(struct lazy_fill *f, const pid_t *pids, size_t n)
{
	bool found = false;

	for (size_t i = 0; i < n && !found; i++) {
		uint64_t object = (uint64_t)memory_ns_pid(pids[i]);

		for (size_t k = 0; k < f->n_tasks && !found; k++)
			found = f->task[k]->object == object && lazy_guards_of(f->hooks.guards, pids[i]);
	}
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
		return lazy_out_of_memory(e);
	f->hooks = *hooks;
	pthread_mutex_init(&f->lock, NULL);
	pthread_cond_init(&f->more, NULL);
	f->buf = buffer(AHEAD_PAGES);
	f->n_workers = cpus < 2 ? 1 : cpus > THREADS_MAX ? THREADS_MAX : (int)cpus;
	for (int i = 0; i < f->n_workers; i++) {
		struct worker *w = &f->worker[i];

		w->fill = f;
		w->buf = buffer(FILL_PAGES);
		if (!f->buf || !w->buf)
			return lazy_out_of_memory(e);
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
		munmap(f->buf, AHEAD_PAGES * PAGE_BYTES);
	free(f->task);
	free(f->guard);
	pthread_mutex_destroy(&f->lock);
	pthread_cond_destroy(&f->more);
	free(f);
}
