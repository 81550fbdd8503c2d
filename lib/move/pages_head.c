/* SPDX-License-Identifier: MIT */
#include <string.h>

#include "lib/move/pages_int.h"

/* Do they stand in one group? */
static bool follows(const struct page_item *a, const struct page_item *b)
{
	return b->object == a->object && b->addr == a->addr + PAGE_BYTES && b->zero == a->zero;
}

static uint8_t *put_places(uint8_t *at, const struct page_item *item, unsigned n)
{
	for (unsigned i = 0, same; i < n; i += same) {
		for (same = 1; i + same < n && follows(&item[i + same - 1], &item[i + same]); same++)
			;
		put_le64(at, item[i].object);
		put_le64(at + 8, item[i].addr | item[i].zero);
		put_le32(at + 16, same);
		at += GROUP_BYTES;
	}
	return at;
}

size_t pages_put_head(uint8_t *p, const struct page_item *item, unsigned n)
{
	uint8_t *at = put_places(p + 8, item, n);

	put_le32(p, n);
	put_le32(p + 4, 0);
	for (unsigned i = 0; i < n; i++, at += sizeof(struct digest))
		memcpy(at, &item[i].digest, sizeof(struct digest));
	return (size_t)(at - p);
}

size_t pages_put_sealed(uint8_t *p, const struct page_item *item, unsigned n, unsigned flags)
{
	size_t len = pages_put_head(p, item, n), places = len - n * sizeof(struct digest);
	struct digest seal;

	digest_of(p, len, &seal);
	memcpy(p + places, &seal, sizeof(seal));
	put_le32(p + 4, flags);
	return places + sizeof(seal);
}

int pages_get_places(const uint8_t *p, size_t len, struct page_item *item, unsigned *n, unsigned *flags, size_t *used)
{
	const uint8_t *at = p + 8, *end = p + len;

	if (len < 8 || get_le32(p) > RUN_PAGES)
		return -1;
	*n = get_le32(p);
	*flags = get_le32(p + 4);
	for (unsigned i = 0; i < *n; at += GROUP_BYTES) {
		if (end - at < GROUP_BYTES)
			return -1;
		uint64_t object = get_le64(at), addr = get_le64(at + 8);
		unsigned same = get_le32(at + 16);
		bool zero = addr & 1;

		if (!same || same > *n - i || addr % PAGE_BYTES > 1)
			return -1;
		for (; same; same--, addr += PAGE_BYTES)
			item[i++] = (struct page_item){ .object = object, .addr = addr - zero, .zero = zero };
	}
	*used = (size_t)(at - p);
	return 0;
}
