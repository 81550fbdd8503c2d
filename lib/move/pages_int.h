/* SPDX-License-Identifier: MIT */
/* How a batch of pages looks on the wire, shared by its sender (pages.c) and receiver (receiver.c). */
#ifndef EDGE_MOVE_PAGES_INT_H
#define EDGE_MOVE_PAGES_INT_H

#include "lib/move/pages.h"

#define PAGES_ZSTD 1u

/* One page of a batch. */
struct page_item {
	uint64_t object, addr;
	struct digest digest; /* of a page of zeros: zeros */
	bool zero;
	bool used; /* it counts as the service's: what is written to it later is sent again */
	bool here; /* the image of this node has it already */
};

/* Puts the pages of a batch, which lie one behind the other, into the image, neighbours in one write. */
int pages_store(struct image *im, const struct page_item *item, const uint8_t *page, unsigned n, struct err *e);

/* A head: u32 pages, u32 flags; their places, in groups of neighbours: u64 object, u64 address (bit 0: pages of zeros), u32
 * pages; then the digest of each (HAVE), or one seal for all (PAGES): the digest of that head, with flags 0. */
#define GROUP_BYTES 20
#define PAGES_HEAD_MAX (8 + RUN_PAGES * (GROUP_BYTES + sizeof(struct digest)))

/* Both give the head's length. */
size_t pages_put_head(uint8_t *p, const struct page_item *item, unsigned n);
size_t pages_put_sealed(uint8_t *p, const struct page_item *item, unsigned n, unsigned flags);
/* The items of a frame, at most RUN_PAGES, without their digests; *used: bytes up to these. -1 when it is malformed. */
int pages_get_places(const uint8_t *p, size_t len, struct page_item *item, unsigned *n, unsigned *flags, size_t *used);

/* A test's switch, EDGE_FAULT=flip-page: damages one page after its digest was taken, once per process. */
bool fault_flip(void);

#endif
