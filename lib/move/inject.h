/* SPDX-License-Identifier: MIT */
/* System calls made in another process, by one of its threads, which is held by ptrace(2) for some 0.1 ms. Its other threads
 * run on. What the thread did before goes on exactly as it would have: its registers are put back, and a system call that it
 * was blocked in is begun again by the kernel, with the rest of its time limit where the kernel knows it.
 *
 * Linux answers EINTR for some calls (epoll_wait, semop, sigtimedwait, io_getevents, recv with SO_RCVTIMEO) whenever a thread
 * is stopped: those are begun again, too. Their time limit then begins anew; so a thread that waits in one of them with a limit is the last choice.
 *
 * Where a tracer that is killed would hurt: from the moment at which the thread gets the registers of the call until it has
 * its own back. The kernel then lets it run with no stack and nothing in its registers, so that it dies at once (SIGSEGV)
 * instead of going on with a result that is not its own. Before and after, it does not notice. */
#ifndef EDGE_MOVE_INJECT_H
#define EDGE_MOVE_INJECT_H

#include <sys/types.h>

#include "lib/base/err.h"

struct inject;

/* Calls fn, once a thread of the process stands still, with inject_call at hand; then lets it go on. What fn returns is
 * returned. EX_UNAVAILABLE: it cannot be done in this process, the text says why; EX_TEMPFAIL: not now (all its threads are
 * in vfork(2), or do not stop); EX_NOINPUT: the process is gone. *paused_ms: how long the thread stood still. */
int inject_run(pid_t pid, int (*fn)(struct inject *in, void *ctx, struct err *e), void *ctx, double *paused_ms,
	       struct err *e);
/* One system call; *result is its answer, an error as -errno. */
int inject_call(struct inject *in, long number, const long arg[3], long *result, struct err *e);
/* The thread that stands still. */
pid_t inject_tid(const struct inject *in);

#endif
