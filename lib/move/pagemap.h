/* SPDX-License-Identifier: MIT */
/* CRIU's pagemap images (images/pagemap.proto, magic numbers of criu/include/magic.h): which pages an address space has,
 * and where they are. */
#ifndef EDGE_MOVE_PAGEMAP_H
#define EDGE_MOVE_PAGEMAP_H

#include <stdint.h>
#include <stdio.h>

#include "lib/base/auto.h"
#include "lib/base/err.h"

enum { PAGES_IN_PARENT = 1, PAGES_LAZY = 2, PAGES_PRESENT = 4 };

struct pagemap_entry {
	uint64_t addr;
	uint64_t pages;
	unsigned flags;
};

struct pagemap {
	unsigned pages_id;          /* the data is in pages-ID.img, entries with PAGES_PRESENT one after another */
	struct pagemap_entry *entry;
	size_t n, room;
};

int pagemap_read(struct pagemap **pm, const char *path, struct err *e);
int pagemap_write(const struct pagemap *pm, const char *path, struct err *e);
/* Adds an entry at the end; one that goes on where the last one ends, with its flags, is made one with it. */
int pagemap_add(struct pagemap *pm, struct pagemap_entry en, struct err *e);
/* Adds what of another one is not in it yet, and puts all in order; both are by address, without overlaps. */
int pagemap_merge(struct pagemap *pm, const struct pagemap *more, struct err *e);
void pagemap_free(struct pagemap *pm);
AUTO_DEFINE(struct pagemap, pagemap_free)
#define AUTO_PAGEMAP AUTO(pagemap_free_auto)

/* The object of lib/move/image that "pagemap-ID.img" or "pagemap-shmem-ID.img" describes; 0 for another name. */
uint64_t pagemap_object(const char *file);
/* The file's name for an object. */
void pagemap_name(uint64_t object, char name[64]);

#endif
