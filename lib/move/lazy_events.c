/* SPDX-License-Identifier: MIT */
#include <linux/userfaultfd.h>
#include <sys/ioctl.h>
#include <unistd.h>

#include "lib/move/image.h"
#include "lib/move/lazy_fill_int.h"

int lazy_take_back(struct lazy_fill *f, struct lazy_task *t)
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
	child->forked = true;
	child->moved = t->moved;
	rc = lazy_take_back(f, t) || lazy_space_copy(&t->space, &child->space) || lazy_space_copy(&t->late, &child->late) ||
			     lazy_source_fork(f->src, t->object, &child->space) ||
			     lazy_source_fork(f->src, t->object, &child->late) ?
		     lazy_out_of_memory(e) : 0;
	pthread_cond_broadcast(&f->more);
	pthread_mutex_unlock(&f->lock);
	return rc ? rc : f->hooks.forked(f->hooks.ctx, child, e);
}

/* The lock is held. */
static int change(struct lazy_space *s, const struct uffd_msg *m)
{
	if (m->event == UFFD_EVENT_REMAP)
		return lazy_space_move(s, m->arg.remap.from, m->arg.remap.to, m->arg.remap.len / PAGE_BYTES);
	return lazy_space_cut(s, m->arg.remove.start, (m->arg.remove.end - m->arg.remove.start) / PAGE_BYTES);
}

/* The gate is closed: what the process has done to its memory. */
static int changed(struct lazy_fill *f, struct lazy_task *t, const struct uffd_msg *m, struct err *e)
{
	int rc;

	if (m->event == UFFD_EVENT_FORK)
		return forked(f, t, (int)m->arg.fork.ufd, e);
	if (m->event == UFFD_EVENT_REMAP && lazy_forget_moved(f, t, m))
		return lazy_out_of_memory(e);
	pthread_mutex_lock(&f->lock);
	t->moved |= m->event == UFFD_EVENT_REMAP;
	rc = lazy_take_back(f, t) || change(&t->space, m) || change(&t->late, m);
	pthread_cond_broadcast(&f->more);
	pthread_mutex_unlock(&f->lock);
	return rc ? lazy_out_of_memory(e) : 0;
}

/* The lock is held. Has it yet to arrive? *ask: what to ask for on that occasion; of no pages when that was done before. */
static bool is_late(struct lazy_fill *f, struct lazy_task *t, uint64_t addr, struct late_run *ask)
{
	uint64_t most = addr != t->ahead ? FAULT_PAGES : t->window < AHEAD_PAGES ? t->window * 2 : AHEAD_PAGES;
	struct lazy_piece p;

	if (!lazy_space_find(&t->late, addr, most, &p))
		return false;
	*ask = (struct late_run){ t->object, p.from, lazy_late_ask(lazy_source_late(f->src), t->object, p.from, p.pages) };
	if (ask->pages) {
		t->ahead = addr + ask->pages * PAGE_BYTES;
		t->window = most;
	}
	return true;
}

/* The way that leads there, or one that begins there. Who goes on where it was is brought twice as many pages as the last time, who
 * is somewhere else half as many: what is not touched then only keeps it waiting. */
static void expect(struct lazy_task *t, uint64_t addr)
{
	const uint64_t near = AHEAD_PAGES * PAGE_BYTES;
	uint64_t most = t->way[t->last_way].most;

	for (unsigned i = 0; i < WAYS; i++) {
		if (addr + near < t->way[i].next || addr > t->way[i].next + near)
			continue;
		t->this_way = i;
		if (addr == t->way[i].next)
			t->way[i].most = t->way[i].most * 2 < AHEAD_PAGES ? t->way[i].most * 2 : AHEAD_PAGES;
		t->way[i].next = addr + PAGE_BYTES;
		return;
	}
	t->this_way = t->last_way = (t->last_way + 1) % WAYS;
	t->way[t->last_way].most = most > 1 ? most / 2 : 1;
	t->way[t->last_way].next = addr + PAGE_BYTES;
}

enum want { WANT_ZEROS, WANT_PIECE, WANT_LATE };

/* What is to come to an address: a piece from the space, which is taken out (*own), or one page of what a thread is about to put
 * there, or one that has yet to arrive; else it is a page of zeros. */
static enum want wanted(struct lazy_fill *f, struct lazy_task *t, uint64_t addr, struct lazy_piece *p, bool *own)
{
	struct late_run ask = { 0 };
	bool found, late;

	pthread_mutex_lock(&f->lock);
	found = *own = lazy_space_find(&t->space, addr, t->way[t->this_way].most, p) && !lazy_space_cut(&t->space, p->addr, p->pages);
	if (found)
		t->way[t->this_way].next = p->addr + p->pages * PAGE_BYTES;
	for (int i = 0; i < f->n_workers && !found; i++) {
		const struct lazy_piece *in_hand = &f->worker[i].piece;

		if (f->worker[i].task != t || addr < in_hand->addr ||
		    addr >= in_hand->addr + in_hand->pages * PAGE_BYTES)
			continue;
		found = true;
		*p = (struct lazy_piece){ addr, addr - in_hand->addr + in_hand->from, 1 };
	}
	late = !found && is_late(f, t, addr, &ask);
	pthread_mutex_unlock(&f->lock);
	if (ask.pages && f->hooks.ask)
		f->hooks.ask(f->hooks.ctx, ask);
	return found ? WANT_PIECE : late ? WANT_LATE : WANT_ZEROS;
}

static enum put put_piece(struct lazy_fill *f, struct lazy_task *t, struct lazy_piece *p)
{
	enum put put = PUT_DONE;
	uint64_t pages = 0;

	if (lazy_source_read(f->src, t->object, p->from, p->pages, f->buf))
		return PUT_BAD;
	if (lazy_guards_pending(f->hooks.guards)) /* meanwhile */
		return PUT_LATER;
	for (const uint8_t *page = f->buf; p->pages && put == PUT_DONE; page += pages * PAGE_BYTES) {
		uint64_t most = lazy_data_pages(page, p->pages);

		pages = 1;
		if (most)
			put = lazy_put_data(t->uffd, p->addr, page, most, &pages);
		else if (page == f->buf)
			put = lazy_put_zero(t->uffd, p->addr);
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

	switch (wanted(f, t, addr, &p, &own)) {
	case WANT_LATE:
		return PUT_LATER;
	case WANT_ZEROS:
		put = lazy_put_zero(t->uffd, addr);
		break;
	case WANT_PIECE:
		put = put_piece(f, t, &p);
		pthread_mutex_lock(&f->lock);
		if (own && p.pages && put == PUT_LATER && lazy_space_add(&t->space, p))
			put = PUT_BAD;
		/* The threads may have seen an empty space, and sleep. */
		pthread_cond_broadcast(&f->more);
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
	enum put put;

	switch (lazy_heed(f)) {
	case 0:
		put = serve(f, t, addr);
		break;
	case 1:
		put = PUT_LATER;
		break;
	default:
		return lazy_out_of_memory(e);
	}
	switch (put) {
	case PUT_DONE:
		break;
	case PUT_GONE:
		pthread_mutex_lock(&f->lock);
		lazy_gone(t);
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
	int heeded = lazy_heed(f), rc = heeded < 0 ? lazy_out_of_memory(e) : serve_pending(f, e);

	if (rc)
		lazy_fail(f, e);
	*left = f->n_pending || heeded > 0;
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
		if (!rc && n == sizeof(m) && m.event == UFFD_EVENT_PAGEFAULT) {
			uint64_t addr = m.arg.pagefault.address & ~(uint64_t)(PAGE_BYTES - 1);

			atomic_fetch_add(&f->faults, 1);
			expect(t, addr);
			rc = serve_or_keep(f, t, addr, e);
		}
	} while (!rc && n == sizeof(m));
	if (!rc)
		rc = serve_pending(f, e);
	if (rc)
		lazy_fail(f, e);
	return rc;
}
