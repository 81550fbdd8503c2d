/* SPDX-License-Identifier: MIT */
/* How the pages of a process are found, shared by memory.c (all that there are) and track.c (those that were written). */
#ifndef EDGE_MOVE_MEMORY_INT_H
#define EDGE_MOVE_MEMORY_INT_H

#include <stdbool.h>

#include "lib/base/pagescan.h"
#include "lib/engine/criu_pages.h"
#include "lib/move/memory.h"

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
/* How PAGEMAP_SCAN is asked: with these flags of it, for pages of the categories `also` beside those that pages of its own are in.
 * there (may be NULL): is told of all that there is, so that nobody else need ask. */
struct memory_ask {
	uint64_t flags, also;
	struct criu_pages *there;
};
/* Those that it finds. 0 done, 1 the kernel has no PAGEMAP_SCAN, -1 with errno. */
int memory_scan(int pagemap, const struct mapping *m, uint64_t object, pid_t pid, const struct memory_ask *ask, struct page_runs *out);
/* Puts them in order, each page once. */
void memory_settle(struct page_runs *out);

#endif
