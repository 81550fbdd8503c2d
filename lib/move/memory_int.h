/* SPDX-License-Identifier: MIT */
/* How the pages of a process are found, shared by memory.c (all that there are) and track.c (those that were written). */
#ifndef EDGE_MOVE_MEMORY_INT_H
#define EDGE_MOVE_MEMORY_INT_H

#include <stdbool.h>

#include "lib/base/pagescan.h"
#include "lib/move/memory.h"

/* From linux/userfaultfd.h of 5.11. */
#ifndef UFFD_USER_MODE_ONLY
#define UFFD_USER_MODE_ONLY 1
#endif

struct mapping {
	uint64_t start, end, offset, inode;
	bool private, shared_memory, writable, huge; /* huge: of hugetlbfs */
};

/* Adds the pages of one mapping to `out`. 0, or -1 with errno. */
typedef int mapping_fn(void *ctx, int pagemap, const struct mapping *m, uint64_t object, pid_t pid, struct page_runs *out);
/* The mapping_fn that adds all of them. */
mapping_fn memory_add_all;

/* Calls fn for each mapping of a process that may hold data of its own. One that is gone has none. */
int memory_each_mapping(pid_t pid, mapping_fn *fn, void *ctx, struct page_runs *out, struct err *e);
/* Adds the pages of [start, end), addresses in a mapping of the process, as runs. -1: out of memory. */
int memory_add_pages(struct page_runs *out, uint64_t object, const struct mapping *m, pid_t pid, uint64_t start, uint64_t end);

/* Puts a new userfaultfd(2) into the mode in which the kernel takes the mark off a page that is written, and goes on; and takes
 * mappings into it, so that their pages can be marked. -1 with errno. */
int memory_marks(int uffd);
int memory_markable(int uffd, uint64_t start, uint64_t end);
/* Does the kernel know at a glance which pages are marked? 6.7 to 6.9 mistake some in swap space for such. */
bool memory_sees_marks(void);

struct memory_span {
	uint64_t start, end;
};
/* The pages of its own that a process has in some of its mappings, by address. Zeroed: none. */
struct memory_there {
	struct memory_span *span; /* owned */
	size_t n, room;
	uint64_t pages;
	bool guards; /* and guard pages, which are none of them; known of a process that stands still */
};
void memory_there_clear(struct memory_there *t);

/* How PAGEMAP_SCAN is asked: with these flags of it, for pages of the categories `also` beside those that pages of its own are in. */
struct memory_ask {
	uint64_t flags, also;
	bool still;                     /* the process stands still, and somebody waits */
	struct memory_there *there;     /* is told of all that there is, in tracked anonymous memory; NULL */
	const struct memory_there *was; /* what that was told at the last look, after which nobody marked a page, if the kernel
					 * sees marks; NULL: not known */
};
/* Those that it finds. 0 done, 1 the kernel has no PAGEMAP_SCAN, -1 with errno: EPERM when a page cannot be marked, EAGAIN when that
 * has become so meanwhile. After an error some may have been marked, and found, or not; with `was` not after EPERM. */
int memory_scan(int pagemap, const struct mapping *m, uint64_t object, pid_t pid, const struct memory_ask *ask, struct page_runs *out);
/* Puts them in order, each page once. */
void memory_settle(struct page_runs *out);

#endif
