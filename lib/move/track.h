/* SPDX-License-Identifier: MIT */
/* Which pages of running processes were written since the last look, without reading them: by userfaultfd(2) in its
 * asynchronous write-protect mode (Linux 6.7), made inside each process by lib/move/inject and kept here, and the ioctl
 * PAGEMAP_SCAN.
 *
 * Tracked are private mappings: anonymous ones, and writable ones of files. Shared memory and huge pages are looked at in
 * full each time, and so is all of a process that cannot be tracked, be it that it uses userfaultfd, seccomp or O_DIRECT (whose
 * writes come past its page tables), is traced, or runs 32-bit code. So the runs always name every page that may have changed. */
#ifndef EDGE_MOVE_TRACK_H
#define EDGE_MOVE_TRACK_H

#include "lib/base/auto.h"
#include "lib/engine/criu_pages.h"
#include "lib/move/memory.h"

struct track;

int track_new(struct track **t, struct err *e);
/* Takes the marks off again, in steps of less than 1 ms. gone: the processes are dead, or soon will be. */
void track_free(struct track *t, bool gone);

/* The pages of these processes that were written since the last round; of what is new since then, and of what is not tracked,
 * all. */
int track_round(struct track *t, const pid_t *pids, size_t n, struct page_runs *out, struct err *e);
/* The same when they stand still: nothing is made in them any more. there (may be NULL) is told what tracked anonymous memory they have. */
int track_last_round(struct track *t, const pid_t *pids, size_t n, struct criu_pages *there, struct page_runs *out, struct err *e);

struct track_stats {
	unsigned processes, tracked; /* in the last round */
	uint64_t looked_at;          /* pages of the last round that are not tracked */
	double longest_ms;           /* that a thread was made to stand still */
	const char *reason;          /* why one of them is not tracked; NULL: all are. Valid until the next round */
};
struct track_stats track_stats(const struct track *t);

#endif
