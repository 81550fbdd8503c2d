/* SPDX-License-Identifier: MIT */
/* Guards, which are told of at once (lazy_guards.h); other changes are when their event is read: which of them came first nobody
 * knows. For most it is all the same: the pages are gone. It is not for one where pages have moved from, or to: a page too many is
 * better than one that is lost, and that guard is not heeded. The others are when no change is under way. */
#include <errno.h>
#include <sys/ioctl.h>

#include "lib/move/image.h"
#include "lib/move/lazy_fill_int.h"

static int collect_one(void *ctx, uint64_t ns_pid, uint64_t start, uint64_t bytes)
{
	struct lazy_fill *f = ctx;

	if (f->n_guards == f->room_guards) {
		size_t room = f->room_guards ? f->room_guards * 2 : 64;
		struct guard *bigger = realloc(f->guard, room * sizeof(*bigger));

		if (!bigger)
			return -1;
		f->guard = bigger;
		f->room_guards = room;
	}
	f->guard[f->n_guards++] = (struct guard){ ns_pid, start, start + bytes };
	atomic_store(&f->unheeded, true);
	return 0;
}

static int collect(struct lazy_fill *f)
{
	return lazy_guards_each(f->hooks.guards, collect_one, f);
}

static bool meets(const struct guard *g, uint64_t start, uint64_t end)
{
	return g->start < end && start < g->end;
}

/* Who was forked has another pid, and nobody knows which. */
static bool is_of(const struct guard *g, const struct lazy_task *t)
{
	return g->object == t->object && !t->forked && !t->gone;
}

int lazy_forget_moved(struct lazy_fill *f, const struct lazy_task *t, const struct uffd_msg *m)
{
	size_t kept = 0;

	if (collect(f))
		return -1;
	for (size_t i = 0; i < f->n_guards; i++) {
		const struct guard *g = &f->guard[i];

		if (!is_of(g, t) || !(meets(g, m->arg.remap.from, m->arg.remap.from + m->arg.remap.len) ||
				      meets(g, m->arg.remap.to, m->arg.remap.to + m->arg.remap.len)))
			f->guard[kept++] = *g;
	}
	f->n_guards = kept;
	atomic_store(&f->unheeded, kept);
	return 0;
}

/* Is a change of its memory under way, or its event not read yet? The kernel takes no pages then, and looks at that first. */
static bool is_changing(const struct lazy_task *t)
{
	struct uffdio_copy none = { 0 };

	return ioctl(t->uffd, UFFDIO_COPY, &none) && errno == EAGAIN;
}

/* The lock is held. Is something of it to come? */
static bool is_wanted(const struct lazy_fill *f, const struct lazy_task *t, const struct guard *g)
{
	struct lazy_piece p;

	for (int i = 0; i < f->n_workers; i++) {
		const struct lazy_piece *in_hand = &f->worker[i].piece;

		if (f->worker[i].task == t && meets(g, in_hand->addr, in_hand->addr + in_hand->pages * PAGE_BYTES))
			return true;
	}
	return (lazy_space_next(&t->space, g->start, &p) && p.addr < g->end) ||
	       (lazy_space_next(&t->late, g->start, &p) && p.addr < g->end);
}

/* There will be no page. */
static int heed_one(struct lazy_fill *f, struct lazy_task *t, const struct guard *g)
{
	uint64_t pages = (g->end - g->start + PAGE_BYTES - 1) / PAGE_BYTES;
	int rc = 0;

	pthread_mutex_lock(&f->lock);
	bool wanted = is_wanted(f, t, g);
	pthread_mutex_unlock(&f->lock);
	if (!wanted)
		return 0;
	pthread_rwlock_wrlock(&t->gate);
	pthread_mutex_lock(&f->lock);
	rc = lazy_take_back(f, t) || lazy_space_cut(&t->space, g->start, pages) || lazy_space_cut(&t->late, g->start, pages) ? -1 : 0;
	pthread_cond_broadcast(&f->more);
	pthread_mutex_unlock(&f->lock);
	pthread_rwlock_unlock(&t->gate);
	return rc;
}

int lazy_heed(struct lazy_fill *f)
{
	if (collect(f))
		return -1;
	if (!f->n_guards)
		return 0;
	for (size_t i = 0; i < f->n_tasks; i++)
		if (!f->task[i]->gone && is_changing(f->task[i]))
			return 1;
	for (size_t k = 0; k < f->n_guards; k++)
		for (size_t i = 0; i < f->n_tasks; i++)
			if (is_of(&f->guard[k], f->task[i]) && heed_one(f, f->task[i], &f->guard[k]))
				return -1;
	f->n_guards = 0;
	atomic_store(&f->unheeded, false);
	return 0;
}
