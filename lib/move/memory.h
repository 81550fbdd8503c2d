/* SPDX-License-Identifier: MIT */
/* The memory of running (or frozen) processes: which pages there are, and reading them from outside.
 * Here pages are found by looking at all that exist; track.h knows those that were written, and fills the same runs. */
#ifndef EDGE_MOVE_MEMORY_H
#define EDGE_MOVE_MEMORY_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/types.h>

#include "lib/base/err.h"

#define RUN_PAGES 512 /* at most */

/* Consecutive pages of an object (lib/move/image.h), and where to read them. */
struct page_run {
	uint64_t object;
	uint64_t addr;  /* in the object: an address, or an offset in a shared segment */
	uint64_t vaddr; /* in the process */
	pid_t pid;      /* 0: vaddr is in this process; -1: the sender's own memory image */
	uint32_t pages;
	bool tracked;   /* a later write to them will be noticed: they need not be looked at again until then */
};

struct page_runs {
	struct page_run *run; /* owned; ordered by object and address */
	size_t n, room;
	uint64_t pages;
};

void page_runs_clear(struct page_runs *r);
/* Adds one at the end. -1: out of memory. */
int page_runs_add(struct page_runs *r, const struct page_run *run);

/* All pages of these processes that hold data of their own: anonymous private ones, and those of shared memory.
 * Pages of files, of devices, guards and the kernel's own are left out. A process that is gone is passed over.
 * Uses PAGEMAP_SCAN (Linux 6.7) where there is one, else reads /proc/PID/pagemap. */
int memory_runs(const pid_t *pids, size_t n, struct page_runs *out, struct err *e);

/* Reads a run into buf (RUN_PAGES pages). Gives how many pages from its start could be read; 0 when none. */
size_t memory_read(const struct page_run *run, void *buf);

/* The pid of a process inside its own PID namespace, as CRIU names it; 0 when it is gone. */
pid_t memory_ns_pid(pid_t pid);

#endif
