/* SPDX-License-Identifier: MIT */
/* How the pages of a process are found, shared by memory.c (all that there are) and track.c (those that were written). */
#ifndef EDGE_MOVE_MEMORY_INT_H
#define EDGE_MOVE_MEMORY_INT_H

#include <linux/fs.h>
#include <stdbool.h>

#include "lib/move/memory.h"

/* From linux/fs.h of 6.7 and later; older headers lack them. */
#ifndef PAGEMAP_SCAN
struct page_region {
	uint64_t start, end, categories;
};
struct pm_scan_arg {
	uint64_t size, flags, start, end, walk_end, vec, vec_len, max_pages;
	uint64_t category_inverted, category_mask, category_anyof_mask, return_mask;
};
#define PAGEMAP_SCAN _IOWR('f', 16, struct pm_scan_arg)
#define PM_SCAN_WP_MATCHING (1 << 0)
#define PM_SCAN_CHECK_WPASYNC (1 << 1)
#define PAGE_IS_WRITTEN (1 << 1)
#define PAGE_IS_FILE (1 << 2)
#define PAGE_IS_PRESENT (1 << 3)
#define PAGE_IS_SWAPPED (1 << 4)
#define PAGE_IS_PFNZERO (1 << 5)
#endif
#ifndef PAGE_IS_GUARD
#define PAGE_IS_GUARD (1 << 8)
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
/* Those that PAGEMAP_SCAN finds: with these flags of it, and of the categories `also` beside those that pages of its own are in.
 * 0 done, 1 the kernel has no PAGEMAP_SCAN, -1 with errno. */
int memory_scan(int pagemap, const struct mapping *m, uint64_t object, pid_t pid, uint64_t flags, uint64_t also,
		struct page_runs *out);
/* Puts them in order, each page once. */
void memory_settle(struct page_runs *out);

#endif
