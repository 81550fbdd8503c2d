/* SPDX-License-Identifier: MIT */
/* Putting pages into processes by their userfaultfds: those that a process waits for at once, all others by several threads,
 * several ranges in flight, until nothing is missing.
 *
 * A process that unmaps, empties or moves memory, or forks, stands still until that event was read, and the kernel refuses
 * pages meanwhile; but once it was read the process goes on. So no page may be on its way while an event is read, and what
 * it changes is known before the next page: the gate of a process. */
#ifndef EDGE_MOVE_LAZY_FILL_H
#define EDGE_MOVE_LAZY_FILL_H

#include "lib/base/err.h"
#include "lib/move/lazy_guards.h"
#include "lib/move/lazy_source.h"

struct lazy_fill;
/* One process that pages are put into. */
struct lazy_task;

struct lazy_hooks {
	/* A process has forked this one, in the thread of lazy_fill_events. */
	int (*forked)(void *ctx, struct lazy_task *t, struct err *e);
	/* Called in any thread: a process was filled or is gone, the last piece is in place, or it has failed: lazy_fill_state. */
	void (*news)(void *ctx);
	/* A late page is waited for: these are to come before others. In the thread of lazy_fill_events. May be NULL. */
	void (*ask)(void *ctx, struct late_run run);
	void *ctx;
	struct lazy_guards *guards; /* stays the caller's; NULL: nobody tells of them */
};

/* The threads are started, and what they need is allocated; they wait for lazy_fill_go. */
int lazy_fill_new(struct lazy_fill **f, const struct lazy_hooks *hooks, struct err *e);
void lazy_fill_free(struct lazy_fill *f);
AUTO_DEFINE(struct lazy_fill, lazy_fill_free)
#define AUTO_LAZY_FILL AUTO(lazy_fill_free_auto)

/* Where pages come from, before the first process. Stays the caller's. */
void lazy_fill_from(struct lazy_fill *f, const struct lazy_source *src);
/* A process whose pages are those of the object. Takes the descriptor, which does not block. */
int lazy_fill_add(struct lazy_fill *f, int uffd, uint64_t object, struct lazy_task **t, struct err *e);
/* Once all processes are there, and before any of them runs: criu (4.2) forgets to have a mapping waited for that it has put where it
 * belongs at once; its process would find zeros there. */
int lazy_fill_watch(struct lazy_fill *f, struct err *e);
/* At that time, too: what is in their cgroup; from now on guards are heeded that they put over pages which are still to come. */
void lazy_fill_heed(struct lazy_fill *f, const pid_t *pids, size_t n);
/* Late pages have come, one behind the other (NULL: all zeros); those that had before are passed over. In any thread. EX_DATAERR for
 * a page that is none. */
int lazy_fill_late(struct lazy_fill *f, struct late_run run, const void *data, struct err *e);
/* Those that are still to come: a new array. 1: it is not known yet. */
int lazy_fill_lacking(struct lazy_fill *f, struct late_run **list, size_t *n, struct err *e);
/* What was asked for, and did not come, is asked for again. */
void lazy_fill_ask_again(struct lazy_fill *f);
/* From now on what nobody has asked for comes, too. */
void lazy_fill_go(struct lazy_fill *f);
/* Handles what there is to be read from this process's userfaultfd. In one thread only, this and the two below. */
int lazy_fill_events(struct lazy_fill *f, struct lazy_task *t, struct err *e);
/* Tries again what the kernel did not want just now; *left: it is to be called again soon. */
int lazy_fill_again(struct lazy_fill *f, bool *left, struct err *e);
/* Takes a process that is gone off the list, to be freed by the caller; NULL when there is none. */
struct lazy_task *lazy_fill_gone(struct lazy_fill *f);
/* 1 everything is in place, 0 not yet, -1 it has failed. */
int lazy_fill_state(struct lazy_fill *f, struct err *e);
int lazy_task_fd(const struct lazy_task *t);
unsigned lazy_task_id(const struct lazy_task *t); /* from 1 on */
void lazy_task_free(struct lazy_task *t);

#endif
