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
	struct image *im; /* or */
	const struct page_sink *sink;
	struct err err;
	bool failed;
	bool asked; /* in this round; not so while the service stands still */
	struct page_item item[RUN_PAGES];
	uint8_t head[PAGES_HEAD_MAX];
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

	if (pages_get_places(f->data, f->len, r->item, &n, &flags, &used) || f->len - used < n * sizeof(struct digest))
		return err_set(e, EX_DATAERR, "malformed list of pages");
	for (unsigned i = 0; i < n; i++)
		memcpy(&r->item[i].digest, f->data + used + i * sizeof(struct digest), sizeof(struct digest));
	for (unsigned i = 0; i < n; i++) {
		const struct page_item *it = &r->item[i];
		bool have = it->zero ? !image_put(r->im, it->object, it->addr, NULL, NULL, &r->err)
				     : have_page(r, it);

		if (!have)
			want[i / 8] |= (uint8_t)(1 << i % 8);
	}
	return wire_send(r->s, FRAME_WANT, want, (n + 7) / 8, NULL, 0, e);
}

/* The batch's pages: as they stand in the frame, or unpacked; NULL when they are not as many bytes as `raw`. */
static const uint8_t *unpack(struct receiver *r, const uint8_t *data, size_t n, unsigned flags, size_t raw)
{
	if (!(flags & PAGES_ZSTD))
		return n == raw ? data : NULL;
	return ZSTD_decompressDCtx(r->zstd, r->page, sizeof(r->page), data, n) == raw ? r->page : NULL;
}

/* Takes the digests of all pages, and with them the one of the head: whether it is the seal. */
static bool seal_holds(struct receiver *r, const uint8_t *page, unsigned n, unsigned data, const uint8_t *seal)
{
	struct digest got;

	for (unsigned i = 0; i < data; i++)
		digest_of(page + (size_t)i * PAGE_BYTES, PAGE_BYTES, &r->item[i].digest);
	digest_of(r->head, pages_put_head(r->head, r->item, n), &got);
	return !memcmp(&got, seal, sizeof(got));
}

/* Neighbours go together. */
static int pour(struct receiver *r, const uint8_t *page, unsigned n)
{
	unsigned same;

	for (unsigned i = 0; i < n; i += same) {
		const struct page_item *first = &r->item[i];

		for (same = 1; i + same < n && first[same].object == first->object && first[same].zero == first->zero &&
			       first[same].addr == first->addr + (uint64_t)same * PAGE_BYTES; same++)
			;
		if (r->sink->take(r->sink->ctx, first->object, first->addr, same,
				  first->zero ? NULL : page + (size_t)i * PAGE_BYTES, &r->err))
			return -1;
	}
	return 0;
}

static int on_pages(struct receiver *r, const struct frame *f)
{
	unsigned n, flags, data = 0;
	const uint8_t *page, *seal;
	size_t used;

	if (pages_get_places(f->data, f->len, r->item, &n, &flags, &used) || f->len - used < sizeof(struct digest))
		return err_set(&r->err, EX_DATAERR, "malformed batch of pages");
	seal = f->data + used;
	used += sizeof(struct digest);
	while (data < n && !r->item[data].zero)
		data++;
	page = unpack(r, f->data + used, f->len - used, flags, (size_t)data * PAGE_BYTES);
	if (!page)
		return err_set(&r->err, EX_DATAERR, "damaged batch of pages");
	for (unsigned i = data; i < n; i++)
		if (!r->item[i].zero)
			return err_set(&r->err, EX_DATAERR, "malformed batch of pages");
	if (!seal_holds(r, page, n, data, seal))
		return err_set(&r->err, EX_DATAERR, "pages from %#llx on arrived damaged: their digest differs",
			       n ? (unsigned long long)r->item[0].addr : 0);
	return r->im ? pages_store(r->im, r->item, page, n, &r->err) : pour(r, page, n);
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

/* Frames that cannot be told apart any more. The source hears of it when it waits for an answer; until then it must be able to
 * write. */
static void give_up(struct stream *s, const struct err *why)
{
	uint8_t lost[4096];

	if (wire_send_error(s, why, NULL))
		return;
	while (!stream_read(s, lost, sizeof(lost), NULL))
		;
}

static int on_call(struct receiver *r, const struct frame *f, struct err *e)
{
	AUTO_JSON struct json *call = wire_json(f, e);

	return call ? r->sink->call(r->sink->ctx, r->s, call, e) : -1;
}

/* -1: the stream is broken. */
static int on_frame(struct receiver *r, const struct frame *f, struct err *e)
{
	if (f->kind == FRAME_HAVE && r->im)
		return on_have(r, f, e);
	if (f->kind == FRAME_CALL && r->sink)
		return on_call(r, f, e);
	if (f->kind == FRAME_SYNC)
		return on_sync(r, e);
	if (r->failed)
		return 0;
	if (f->kind == FRAME_PAGES)
		r->failed = on_pages(r, f) != 0;
	else if (f->kind == FRAME_COVER && r->im)
		r->failed = on_cover(r, f) != 0;
	else
		return err_set(e, EX_DATAERR, "%s: unexpected frame %d", stream_peer(r->s), f->kind);
	return 0;
}

static int receive(struct stream *s, struct image *im, const struct page_sink *sink, struct err *e)
{
	AUTO_FREE struct receiver *r = calloc(1, sizeof(*r));
	AUTO_FRAME struct frame f = { 0 };
	struct err why = { 0 };
	int rc = 0;

	if (!r || !(r->zstd = ZSTD_createDCtx()))
		return err_set(e, EX_OSERR, "out of memory");
	r->s = s;
	r->im = im;
	r->sink = sink;
	while (!rc && !(rc = wire_recv(s, &f, &why))) {
		if (r->asked && im)
			image_note(im);
		rc = on_frame(r, &f, &why);
		r->asked = f.kind == FRAME_HAVE || (r->asked && f.kind != FRAME_SYNC);
	}
	ZSTD_freeDCtx(r->zstd);
	if (why.code == EX_DATAERR)
		give_up(s, &why);
	if (e)
		*e = why;
	return rc;
}

int receiver_run(struct stream *s, struct image *im, struct err *e)
{
	return receive(s, im, NULL, e);
}

int receiver_pour(struct stream *s, const struct page_sink *sink, struct err *e)
{
	return receive(s, NULL, sink, e);
}
