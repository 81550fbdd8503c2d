/* SPDX-License-Identifier: MIT */
/* How a batch of pages looks on the wire, shared by its sender (pages.c) and receiver (receiver.c). */
#ifndef EDGE_MOVE_PAGES_INT_H
#define EDGE_MOVE_PAGES_INT_H

#include "lib/move/pages.h"

#define PAGES_ZSTD 1u

/* One page of a batch. On the wire: address (bit 0: a page of zeros), digest; pages of one object stand together. */
struct page_item {
	uint64_t object, addr;
	struct digest digest;
	bool zero;
	bool here; /* the image of this node has it already */
};

/* Puts the pages of a batch, which lie one behind the other, into the image, neighbours in one write. */
int pages_store(struct image *im, const struct page_item *item, const uint8_t *page, unsigned n, struct err *e);

#define ITEM_BYTES (8 + 32)
#define GROUP_BYTES (8 + 4)
/* u32 items, u32 flags; then groups of u64 object, u32 items, and those items. */
#define PAGES_HEAD_MAX (8 + RUN_PAGES * (GROUP_BYTES + ITEM_BYTES))

size_t pages_put_head(uint8_t *p, const struct page_item *item, unsigned n, unsigned flags);
/* The items of a frame, at most RUN_PAGES; *used: bytes of the head. -1 when it is malformed. */
int pages_get_head(const uint8_t *p, size_t len, struct page_item *item, unsigned *n, unsigned *flags, size_t *used);

/* A test's switch, EDGE_FAULT=flip-page: damages one page after its digest was taken, once per process. */
bool fault_flip(void);

#endif
