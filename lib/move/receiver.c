/* SPDX-License-Identifier: MIT */
#include <stdatomic.h>
#include <string.h>

#include <zstd.h>

#include "lib/move/pages_int.h"

bool fault_flip(void)
{
	static atomic_int armed = -1;
	const char *fault = getenv("EDGE_FAULT");
	int unknown = -1;

	atomic_compare_exchange_strong(&armed, &unknown, fault && !strcmp(fault, "flip-page"));
	return atomic_exchange(&armed, 0) == 1;
}

size_t pages_put_head(uint8_t *p, const struct page_item *item, unsigned n, unsigned flags)
{
	uint8_t *at = p + 8;

	put_le32(p, n);
	put_le32(p + 4, flags);
	for (unsigned i = 0; i < n;) {
		unsigned same = 1;

		while (i + same < n && item[i + same].object == item[i].object)
			same++;
		put_le64(at, item[i].object);
		put_le32(at + 8, same);
		at += GROUP_BYTES;
		for (; same; same--, i++, at += ITEM_BYTES) {
			put_le64(at, item[i].addr | item[i].zero);
			memcpy(at + 8, &item[i].digest, sizeof(struct digest));
		}
	}
	return (size_t)(at - p);
}

int pages_get_head(const uint8_t *p, size_t len, struct page_item *item, unsigned *n, unsigned *flags, size_t *used)
{
	const uint8_t *end = p + len;
	unsigned i = 0;

	if (len < 8 || get_le32(p) > RUN_PAGES)
		return -1;
	*n = get_le32(p);
	*flags = get_le32(p + 4);
	*used = 8;
	for (p += 8; i < *n;) {
		if (end - p < GROUP_BYTES)
			return -1;
		uint64_t object = get_le64(p);
		unsigned same = get_le32(p + 8);

		p += GROUP_BYTES;
		if (!same || same > *n - i || (size_t)(end - p) < (size_t)same * ITEM_BYTES)
			return -1;
		for (; same; same--, i++, p += ITEM_BYTES) {
			uint64_t addr = get_le64(p);

			item[i].object = object;
			item[i].addr = addr & ~(uint64_t)(PAGE_BYTES - 1);
			item[i].zero = addr & 1;
			item[i].here = false;
			if (addr % PAGE_BYTES > 1)
				return -1;
			memcpy(&item[i].digest, p + 8, sizeof(struct digest));
		}
	}
	*used = len - (size_t)(end - p);
	return 0;
}

int pages_store(struct image *im, const struct page_item *item, const uint8_t *page, unsigned n, struct err *e)
{
	struct digest d[RUN_PAGES];

	for (unsigned i = 0; i < n;) {
		const struct page_item *first = &item[i];
		unsigned same = 0;

		if (first->here || first->zero) {
			if (!first->here && image_put(im, first->object, first->addr, NULL, NULL, e))
				return -1;
			i++;
			continue;
		}
		do
			d[same] = item[i + same].digest;
		while (++same, i + same < n && !item[i + same].here && !item[i + same].zero &&
		       item[i + same].object == first->object &&
		       item[i + same].addr == first->addr + (uint64_t)same * PAGE_BYTES &&
		       item[i + same].addr % IMAGE_RUN);
		if (image_put_run(im, first->object, first->addr, d, page + (size_t)i * PAGE_BYTES, same, e))
			return -1;
		i += same;
	}
	return 0;
}

/* One receiving stream. The first error is kept until the sender asks. */
struct receiver {
	struct stream *s;
	struct image *im;
	struct err err;
	bool failed;
	struct page_item item[RUN_PAGES];
	uint8_t page[RUN_PAGES * PAGE_BYTES];
	ZSTD_DCtx *zstd;
};

/* Whether the image has the page, where it is or elsewhere; every byte is checked before it counts. */
static bool have_page(struct receiver *r, const struct page_item *it)
{
	struct digest now;

	if (image_get(r->im, it->object, it->addr, &now) == PAGE_DATA && digest_equal(&now, &it->digest) &&
	    !image_read(r->im, it->object, it->addr, r->page))
		return true;
	return !image_find(r->im, &it->digest, r->page) &&
	       !image_put(r->im, it->object, it->addr, &it->digest, r->page, &r->err);
}

static int on_have(struct receiver *r, const struct frame *f, struct err *e)
{
	uint8_t want[RUN_PAGES / 8] = { 0 };
	unsigned n, flags;
	size_t used;

	if (pages_get_head(f->data, f->len, r->item, &n, &flags, &used))
		return err_set(e, EX_DATAERR, "malformed list of pages");
	for (unsigned i = 0; i < n; i++) {
		const struct page_item *it = &r->item[i];
		bool have = it->zero ? !image_put(r->im, it->object, it->addr, NULL, NULL, &r->err)
				     : have_page(r, it);

		if (!have)
			want[i / 8] |= (uint8_t)(1 << i % 8);
	}
	return wire_send(r->s, FRAME_WANT, want, (n + 7) / 8, NULL, 0, e);
}

static int unpack(struct receiver *r, const struct frame *f, size_t used, unsigned flags, size_t raw)
{
	size_t n = f->len - used;

	if (flags & PAGES_ZSTD)
		n = ZSTD_decompressDCtx(r->zstd, r->page, sizeof(r->page), f->data + used, n);
	else if (n <= sizeof(r->page))
		memcpy(r->page, f->data + used, n);
	return n == raw ? 0 : -1;
}

static int on_pages(struct receiver *r, const struct frame *f)
{
	unsigned n, flags, data = 0;
	struct digest got;
	size_t used;

	if (pages_get_head(f->data, f->len, r->item, &n, &flags, &used))
		return err_set(&r->err, EX_DATAERR, "malformed batch of pages");
	while (data < n && !r->item[data].zero)
		data++;
	if (unpack(r, f, used, flags, (size_t)data * PAGE_BYTES))
		return err_set(&r->err, EX_DATAERR, "damaged batch of pages");
	for (unsigned i = 0; i < n; i++) {
		const struct page_item *it = &r->item[i];
		const uint8_t *page = i < data ? r->page + (size_t)i * PAGE_BYTES : NULL;

		if (page)
			digest_of(page, PAGE_BYTES, &got);
		if (!page != it->zero || (page && !digest_equal(&got, &it->digest)))
			return err_set(&r->err, EX_DATAERR, "page %#llx arrived damaged: its digest differs",
				       (unsigned long long)it->addr);
	}
	return pages_store(r->im, r->item, r->page, n, &r->err);
}

static int on_cover(struct receiver *r, const struct frame *f)
{
	size_t n = f->len / 16;
	AUTO_FREE struct image_window *w = calloc(n + 1, sizeof(*w));

	if (!w)
		return err_set(&r->err, EX_OSERR, "out of memory");
	for (size_t i = 0; i < n; i++) {
		w[i].object = get_le64(f->data + i * 16);
		w[i].number = get_le64(f->data + i * 16 + 8);
	}
	return image_cover(r->im, w, n, &r->err);
}

static int on_sync(struct receiver *r, struct err *e)
{
	AUTO_JSON struct json *ok = json_object();

	if (r->failed)
		return wire_send_error(r->s, &r->err, e);
	return wire_send_json(r->s, FRAME_SYNCED, ok, e);
}

int receiver_run(struct stream *s, struct image *im, struct err *e)
{
	AUTO_FREE struct receiver *r = calloc(1, sizeof(*r));
	AUTO_FRAME struct frame f = { 0 };
	int rc = 0;

	if (!r || !(r->zstd = ZSTD_createDCtx()))
		return err_set(e, EX_OSERR, "out of memory");
	r->s = s;
	r->im = im;
	while (!rc) {
		rc = wire_recv(s, &f, e);
		if (rc)
			break;
		if (f.kind == FRAME_HAVE)
			rc = on_have(r, &f, e);
		else if (f.kind == FRAME_SYNC)
			rc = on_sync(r, e);
		else if (r->failed)
			continue;
		else if (f.kind == FRAME_PAGES)
			r->failed = on_pages(r, &f) != 0;
		else if (f.kind == FRAME_COVER)
			r->failed = on_cover(r, &f) != 0;
		else
			rc = err_set(e, EX_DATAERR, "%s: unexpected frame %d", stream_peer(s), f.kind);
	}
	ZSTD_freeDCtx(r->zstd);
	return rc;
}
