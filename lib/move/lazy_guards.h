/* SPDX-License-Identifier: MIT */
/* Guards (MADV_GUARD_INSTALL of madvise(2), since Linux 6.13) take the place of pages that are still to come, and userfaultfd tells
 * nobody of them: the page would come all the same, instead of the guard (before 6.19) or when it is taken away again. The kernel's
 * trace of madvise tells of them, by a BPF program, before the process that has put one there goes on.
 *
 * Not told of are guards put there by process_madvise(2), io_uring or a 32-bit program, and by a call that fails on its way; and
 * where a page is being put at that very moment. */
#ifndef EDGE_MOVE_LAZY_GUARDS_H
#define EDGE_MOVE_LAZY_GUARDS_H

#include <stdbool.h>
#include <stdint.h>
#include <sys/types.h>

#include "lib/base/auto.h"

struct lazy_guards;

/* Tells of nobody as yet. NULL: the kernel knows no guards, or lets nobody see them. */
struct lazy_guards *lazy_guards_open(void);
/* Takes a millisecond; until lazy_guards_close each system call of the machine takes a little longer, so not long before it is needed.
 * Where it cannot be it tells of nobody. NULL is allowed. */
void lazy_guards_attach(struct lazy_guards *g);
/* Takes the kernel some 0.1 s. */
void lazy_guards_close(struct lazy_guards *g);
/* From now on it tells of the processes that have the pid namespace of this one; of several, of the last one that has another than
 * we. Has it? NULL is allowed. */
bool lazy_guards_of(struct lazy_guards *g, pid_t pid);

/* Are there some that lazy_guards_each has not told of? In any thread; NULL has none. */
bool lazy_guards_pending(const struct lazy_guards *g);
typedef int guard_fn(void *ctx, uint64_t ns_pid, uint64_t start, uint64_t bytes);
/* Tells of those, in order, until it is told -1, which it gives. In one thread only. */
int lazy_guards_each(struct lazy_guards *g, guard_fn *fn, void *ctx);

#endif
