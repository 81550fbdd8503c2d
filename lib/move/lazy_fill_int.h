/* SPDX-License-Identifier: MIT */
/* The inside of filling, shared by lazy_fill.c (its threads), lazy_events.c (what processes do and wait for), lazy_heed.c (guards),
 * lazy_arrive.c (late pages) and lazy_put.c (the kernel's side). */
#ifndef EDGE_MOVE_LAZY_FILL_INT_H
#define EDGE_MOVE_LAZY_FILL_INT_H

#include <linux/userfaultfd.h>
#include <pthread.h>
#include <stdatomic.h>

#include "lib/move/lazy_fill.h"

#define THREADS_MAX 4
#define FILL_PAGES 128   /* taken at a time by a thread */
#define STEP_PAGES 32    /* put in place at a time: so long a process may have to wait for its event to be read */
#define FAULT_PAGES 8    /* brought along with one that is waited for, at first */
#define AHEAD_PAGES 64   /* at most: who goes through its memory waits less and less often */
#define WAYS 4
#define PENDING_MAX 256

struct lazy_task {
	int uffd;
	unsigned id;
	uint64_t object;
	struct lazy_space space; /* not yet in anyone's hands */
	struct lazy_space late;  /* has yet to arrive */
	struct {
		uint64_t next, most; /* the page behind those that it brought last; so many come along */
	} way[WAYS];             /* on which it goes through its memory */
	unsigned this_way, last_way; /* the one that it is on; that was begun last */
	uint64_t ahead, window;  /* what was asked for last: the page behind it; so many pages */
	bool forked;             /* from one of those that were restored */
	bool moved;              /* some of it may be wanted elsewhere than where it was */
	pthread_rwlock_t gate;   /* shared: pages are put in place; alone: an event is read. Before the lock */
	bool gone;
	unsigned users;          /* threads that have a piece of it, or put pages into it */
};

struct worker {
	struct lazy_fill *fill;
	pthread_t thread;
	bool started;
	struct lazy_task *task;  /* NULL: none */
	struct lazy_piece piece; /* what is left of what it took; an event may take it back */
	unsigned faults;         /* that there had been when it looked last */
	uint8_t *buf;
};

struct guard {
	uint64_t object, start, end;
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
	atomic_uint faults; /* pages that were waited for */
	uint8_t *buf;   /* of the thread that reads events */
	struct {
		struct lazy_task *task;
		uint64_t addr;
	} pending[PENDING_MAX]; /* faults that the kernel did not want to be served yet */
	int n_pending;
	struct guard *guard; /* that were told of and not heeded yet; owned, of the thread that reads events */
	size_t n_guards, room_guards;
	atomic_bool unheeded; /* there are some */
};

/* Are there guards that nobody has heeded? Then no page is put anywhere. */
static inline bool lazy_fill_guarded(const struct lazy_fill *f)
{
	return lazy_guards_pending(f->hooks.guards) || atomic_load(&f->unheeded);
}

static inline int lazy_out_of_memory(struct err *e)
{
	return err_set(e, EX_OSERR, "out of memory");
}

void lazy_fail(struct lazy_fill *f, const struct err *e);
/* Its process has ended. The lock is held. */
void lazy_gone(struct lazy_task *t);

/* The lock is held. What is in the threads' hands of these pages goes back to the space, where an event will find it. */
int lazy_take_back(struct lazy_fill *f, struct lazy_task *t);

/* In the thread that reads events. What guards were put over does not come any more; no gate is closed. 0 none is left, 1 not now: a
 * process changes its memory; -1 out of memory. */
int lazy_heed(struct lazy_fill *f);
/* Before pages are moved that a process has moved, its gate closed: guards in either place may be older or younger. -1 as above. */
int lazy_forget_moved(struct lazy_fill *f, const struct lazy_task *t, const struct uffd_msg *m);

/* What became of some pages: how many are done with, and what else there is to know. */
enum put { PUT_DONE, PUT_LATER, PUT_GONE, PUT_BAD };

/* Pages of data from the first on; 0 when it is one of zeros. */
uint64_t lazy_data_pages(const uint8_t *page, uint64_t most);
uint64_t lazy_zero_pages(const uint8_t *page, uint64_t most);
/* Puts `most` pages of data in place, or some of them. */
enum put lazy_put_data(int uffd, uint64_t addr, const uint8_t *page, uint64_t most, uint64_t *pages);
enum put lazy_put_zero(int uffd, uint64_t addr);

#endif
