/* SPDX-License-Identifier: MIT */
/* Late pages that have come. They go where they are wanted at once, in the thread that took them off the line; what cannot go there
 * just now waits in the file (lazy_late.h) for the threads that fill. */
#include "lib/move/image.h"
#include "lib/move/lazy_fill_int.h"

/* The lock is held. The file has them: they can be put in place, wherever they are wanted. */
static int give(struct lazy_fill *f, struct late_run run)
{
	lazy_late_arrived(lazy_source_late(f->src), run);
	for (size_t i = 0; i < f->n_tasks; i++) {
		struct lazy_task *t = f->task[i];

		if (t->object == run.object && lazy_space_give(&t->late, &t->space, run.addr, run.pages, t->moved))
			return -1;
	}
	pthread_cond_broadcast(&f->more);
	return 0;
}

/* Before all processes are known. */
static int keep(struct lazy_fill *f, struct late_run run, const uint8_t *data, struct err *e)
{
	if (data && lazy_late_write(lazy_source_late(f->src), run, data))
		return err_sys(e, "late pages");
	pthread_mutex_lock(&f->lock);
	int rc = give(f, run);
	pthread_mutex_unlock(&f->lock);
	return rc ? lazy_out_of_memory(e) : 0;
}

/* One piece, behind the gate. Until it is there it is late: who touches it meanwhile waits, and finds no zeros. */
static int put_piece(struct lazy_fill *f, struct lazy_task *t, struct lazy_piece p, const uint8_t *data, struct err *e)
{
	const struct lazy_piece whole = p;
	enum put put = data && lazy_fill_guarded(f) ? PUT_LATER : PUT_DONE;
	uint64_t n;

	while (data && p.pages && put == PUT_DONE) {
		put = lazy_put_data(t->uffd, p.addr, data, p.pages, &n);
		if (put != PUT_DONE)
			break;
		p = (struct lazy_piece){ p.addr + n * PAGE_BYTES, p.from + n * PAGE_BYTES, p.pages - n };
		data += n * PAGE_BYTES;
	}
	if (put == PUT_BAD)
		return err_sys(e, "pages of process %llu: userfaultfd", (unsigned long long)t->object);
	if (put == PUT_LATER && lazy_late_write(lazy_source_late(f->src), (struct late_run){ t->object, p.from, p.pages }, data))
		return err_sys(e, "late pages");
	pthread_mutex_lock(&f->lock);
	int rc = 0;
	if (put == PUT_GONE)
		lazy_gone(t);
	else
		rc = lazy_space_cut(&t->late, whole.addr, whole.pages) || (put == PUT_LATER && lazy_space_add(&t->space, p));
	if (put == PUT_LATER)
		pthread_cond_broadcast(&f->more);
	pthread_mutex_unlock(&f->lock);
	return rc ? lazy_out_of_memory(e) : 0;
}

/* What this process wants of them. */
static int put_run(struct lazy_fill *f, struct lazy_task *t, struct late_run run, const uint8_t *data, struct err *e)
{
	struct lazy_space wanted = { 0 };
	int rc;

	pthread_rwlock_rdlock(&t->gate);
	pthread_mutex_lock(&f->lock);
	rc = lazy_space_named(&t->late, &wanted, run.addr, run.pages, t->moved) ? lazy_out_of_memory(e) : 0;
	pthread_mutex_unlock(&f->lock);
	for (size_t i = 0; i < wanted.n && !rc; i++)
		rc = put_piece(f, t, wanted.piece[i], data ? data + (wanted.piece[i].from - run.addr) : NULL, e);
	pthread_rwlock_unlock(&t->gate);
	lazy_space_clear(&wanted);
	return rc;
}

/* The lock is held. The first process with pages of that name behind the one of that number: one that is forked meanwhile comes last. */
static struct lazy_task *next_task(const struct lazy_fill *f, uint64_t object, unsigned behind)
{
	for (size_t i = 0; i < f->n_tasks; i++)
		if (f->task[i]->object == object && f->task[i]->id > behind && !f->task[i]->gone)
			return f->task[i];
	return NULL;
}

static int put_everywhere(struct lazy_fill *f, struct late_run run, const uint8_t *data, struct err *e)
{
	struct lazy_task *t;
	unsigned last = 0;
	int rc = 0;

	pthread_mutex_lock(&f->lock);
	lazy_late_arrived(lazy_source_late(f->src), run);
	while (!rc && (t = next_task(f, run.object, last))) {
		last = t->id;
		t->users++;
		pthread_mutex_unlock(&f->lock);
		rc = put_run(f, t, run, data, e);
		pthread_mutex_lock(&f->lock);
		t->users--;
	}
	pthread_mutex_unlock(&f->lock);
	return rc;
}

int lazy_fill_late(struct lazy_fill *f, struct late_run run, const void *data, struct err *e)
{
	const uint8_t *page = data;
	int rc = 0;

	while (run.pages && !rc) {
		struct late_run some = run;
		enum late_state state;
		bool going;

		pthread_mutex_lock(&f->lock);
		state = lazy_late_state(f->src ? lazy_source_late(f->src) : NULL, run.object, run.addr,
					run.pages < STEP_PAGES ? run.pages : STEP_PAGES, &some.pages);
		going = f->going;
		pthread_mutex_unlock(&f->lock);
		if (state == LATE_NOT)
			return err_set(e, EX_DATAERR, "page %#llx came, and is not one that lacks", (unsigned long long)run.addr);
		if (state == LATE_LACKING)
			rc = going ? put_everywhere(f, some, page, e) : keep(f, some, page, e);
		run.addr += some.pages * PAGE_BYTES;
		run.pages -= some.pages;
		page = page ? page + some.pages * PAGE_BYTES : NULL;
	}
	if (rc)
		lazy_fail(f, e);
	else /* it may be the last, or one that is waited for */
		f->hooks.news(f->hooks.ctx);
	return rc;
}

/* The last comes first: what is taken off the end of a list moves nothing in it. */
static void turn_around(struct late_run *list, size_t n)
{
	for (size_t i = 0; i < n / 2; i++) {
		struct late_run swap = list[i];

		list[i] = list[n - 1 - i];
		list[n - 1 - i] = swap;
	}
}

int lazy_fill_lacking(struct lazy_fill *f, struct late_run **list, size_t *n, struct err *e)
{
	const struct lazy_late *late;
	struct late_run run;
	uint64_t at = 0;
	size_t room = 0;
	int rc = 0;

	*list = NULL;
	*n = 0;
	pthread_mutex_lock(&f->lock);
	late = f->src ? lazy_source_late(f->src) : NULL;
	rc = !f->src;
	while (!rc && late && lazy_late_lacking(late, &at, &run)) {
		if (*n == room) {
			room = room ? room * 2 : 256;
			struct late_run *bigger = realloc(*list, room * sizeof(*bigger));

			if (!bigger) {
				rc = lazy_out_of_memory(e);
				break;
			}
			*list = bigger;
		}
		(*list)[(*n)++] = run;
	}
	pthread_mutex_unlock(&f->lock);
	turn_around(*list, *n);
	return rc;
}

void lazy_fill_ask_again(struct lazy_fill *f)
{
	pthread_mutex_lock(&f->lock);
	if (f->src && lazy_source_late(f->src))
		lazy_late_ask_again(lazy_source_late(f->src));
	pthread_mutex_unlock(&f->lock);
}
