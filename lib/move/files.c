/* SPDX-License-Identifier: MIT */
#include "lib/move/files.h"

#include <string.h>
#include <sys/statvfs.h>

#include <zstd.h>

#include "lib/base/clock.h"

#define PIECE (4u << 20)       /* of a manifest, or of a list of wants */
#define BATCH_BLOCKS 16u       /* in a frame */
#define BLOCK_HEAD 13u         /* u32 entry, u32 block, u32 length, u8 gone */
#define MANIFEST_MAX (1u << 30)
#define BATCH_MAX (BATCH_BLOCKS * (BLOCK_HEAD + TREE_BLOCK))

void files_clear(struct files *f)
{
	if (f->root >= 0)
		close(f->root);
	if (f->tree)
		tree_free(f->tree);
	*f = (struct files){ .root = -1 };
}

/* ---- long buffers, as frames of one kind and an empty one ---- */

static int send_long(struct stream *s, enum frame_kind kind, const uint8_t *p, size_t n, struct err *e)
{
	for (size_t at = 0; at < n; at += PIECE)
		if (wire_send(s, kind, p + at, n - at < PIECE ? n - at : PIECE, NULL, 0, e))
			return -1;
	return wire_send(s, kind, NULL, 0, NULL, 0, e);
}

static int recv_long(struct stream *s, enum frame_kind kind, uint8_t **out, size_t *len, struct err *e)
{
	AUTO_FRAME struct frame f = { 0 };
	AUTO_FREE uint8_t *all = NULL;

	for (*len = 0;; *len += f.len) {
		if (wire_expect(s, kind, &f, e))
			return -1;
		if (!f.len)
			break;
		if (*len + f.len > MANIFEST_MAX)
			return err_set(e, EX_DATAERR, "list of files is too long");
		uint8_t *bigger = realloc(all, *len + f.len);
		if (!bigger)
			return err_set(e, EX_OSERR, "out of memory");
		all = bigger;
		memcpy(all + *len, f.data, f.len);
	}
	*out = TAKE_PTR(all);
	return 0;
}

/* ---- the source ---- */

/* Blocks on their way: collected, compressed where that helps. */
struct batch {
	struct stream *s;
	ZSTD_CCtx *zstd;
	uint8_t *raw, *packed;
	size_t n;
	unsigned blocks;
	struct files_stats *st;
};

static int batch_flush(struct batch *b, struct err *e)
{
	uint8_t flag = 0;
	size_t n = b->n;

	if (!n)
		return 0;
	size_t packed = ZSTD_compressCCtx(b->zstd, b->packed, ZSTD_compressBound(BATCH_MAX), b->raw, n, 1);
	if (!ZSTD_isError(packed) && packed < n) {
		flag = 1;
		n = packed;
	}
	b->st->sent_bytes += n;
	b->n = b->blocks = 0;
	return wire_send(b->s, FRAME_BLOCKS, &flag, 1, flag ? b->packed : b->raw, n, e);
}

static int batch_block(struct batch *b, struct tree_reader *r, struct tree *t, struct tree_block block, struct err *e)
{
	uint8_t *head = b->raw + b->n;
	size_t len = 0;
	int rc = tree_read(r, block, head + BLOCK_HEAD, &len, e);

	if (rc < 0)
		return -1;
	if (rc) { /* changed since the scan: the next round brings it */
		len = 0;
		if (tree_forget(t, block, e))
			return -1;
	}
	put_le32(head, block.entry);
	put_le32(head + 4, block.block);
	put_le32(head + 8, (uint32_t)len);
	head[12] = rc != 0;
	b->n += BLOCK_HEAD + len;
	b->st->raw_bytes += len;
	return ++b->blocks == BATCH_BLOCKS ? batch_flush(b, e) : 0;
}

static int send_blocks(struct stream *s, int root, struct tree *t, const struct tree_block *need, size_t n,
		       struct files_stats *st, struct err *e)
{
	struct batch b = { .s = s, .st = st };
	AUTO_TREE_READER struct tree_reader *r = NULL;
	int rc = 0;

	if (n) {
		b.zstd = ZSTD_createCCtx();
		b.raw = malloc(BATCH_MAX);
		b.packed = malloc(ZSTD_compressBound(BATCH_MAX));
		if (!b.zstd || !b.raw || !b.packed)
			rc = err_set(e, EX_OSERR, "out of memory");
		else
			rc = tree_reader_open(&r, root, t, e);
		for (size_t i = 0; i < n && !rc; i++)
			rc = batch_block(&b, r, t, need[i], e);
		if (!rc)
			rc = batch_flush(&b, e);
		ZSTD_freeCCtx(b.zstd);
		free(b.raw);
		free(b.packed);
	}
	return rc ? rc : wire_send(s, FRAME_BLOCKS, NULL, 0, NULL, 0, e);
}

static int announce(const struct files *f, struct stream *s, bool delta, bool final, struct err *e)
{
	AUTO_JSON struct json *call = wire_request("files");

	json_set_num(call, "tree", f->number);
	json_set_bool(call, "delta", delta);
	json_set_bool(call, "final", final);
	return wire_send_json(s, FRAME_CALL, call, e);
}

static int send_first(struct files *f, struct stream *s, struct tree *now, bool final, struct files_stats *st,
		      struct err *e)
{
	AUTO_FREE uint8_t *buf = NULL, *wants = NULL;
	AUTO_FREE struct tree_block *need = NULL;
	size_t len, n;

	if (tree_encode(now, &buf, &len, e) || announce(f, s, false, final, e) ||
	    send_long(s, FRAME_MANIFEST, buf, len, e) || recv_long(s, FRAME_BLOCKS_WANT, &wants, &n, e))
		return -1;
	st->sent_bytes += len;
	n /= 8;
	need = calloc(n + 1, sizeof(*need));
	if (!need)
		return err_set(e, EX_OSERR, "out of memory");
	for (size_t i = 0; i < n; i++) {
		need[i] = (struct tree_block){ get_le32(wants + i * 8), get_le32(wants + i * 8 + 4) };
		if (i && (need[i].entry < need[i - 1].entry ||
			  (need[i].entry == need[i - 1].entry && need[i].block <= need[i - 1].block)))
			return err_set(e, EX_DATAERR, "%s: asks for blocks out of order", stream_peer(s));
	}
	return send_blocks(s, f->root, now, need, n, st, e);
}

static int send_delta(struct files *f, struct stream *s, struct tree *now, const struct tree_plan *plan, bool final,
		      struct files_stats *st, struct err *e)
{
	AUTO_FREE uint8_t *buf = NULL;
	const struct tree_block *need;
	size_t len, n;

	if (tree_encode_delta(f->tree, now, &buf, &len, e) || announce(f, s, true, final, e) ||
	    send_long(s, FRAME_MANIFEST, buf, len, e))
		return -1;
	st->sent_bytes += len;
	need = tree_plan_needs(plan, &n);
	return send_blocks(s, f->root, now, need, n, st, e);
}

int files_send(struct files *f, struct stream *s, const struct tree_inode *mapped, size_t n_mapped, bool final,
	       struct files_stats *st, struct err *e)
{
	AUTO_TREE_PLAN struct tree_plan *plan = NULL;
	AUTO_TREE struct tree *now = NULL;
	AUTO_FRAME struct frame reply = { 0 };
	double start = clock_ms();
	uint64_t before = st->raw_bytes;
	int rc;

	if (tree_scan(&now, f->root, f->tree, mapped, n_mapped, e))
		return err_wrap(e, "%s", f->what);
	if (f->tree && (tree_plan(&plan, f->tree, now, e)))
		return err_wrap(e, "%s", f->what);
	if (plan && tree_plan_empty(plan)) {
		tree_plan_free(TAKE_PTR(plan));
		tree_free(f->tree);
		f->tree = TAKE_PTR(now);
		st->ms += clock_ms() - start;
		return 0;
	}
	rc = plan ? send_delta(f, s, now, plan, final, st, e) : send_first(f, s, now, final, st, e);
	if (rc || wire_expect(s, FRAME_REPLY, &reply, e))
		return -1;
	AUTO_JSON struct json *j = wire_json(&reply, e);
	if (!j)
		return -1;
	if (json_str(j, "error"))
		return err_set(e, wire_code(j), "%s: %s", stream_peer(s), json_str(j, "error"));
	if (!plan) {
		st->files += tree_count(now);
		if (tree_bytes(now) > st->raw_bytes - before)
			st->there_bytes += tree_bytes(now) - (st->raw_bytes - before);
	}
	if (plan)
		tree_plan_free(TAKE_PTR(plan));
	if (f->tree)
		tree_free(f->tree);
	f->tree = TAKE_PTR(now);
	st->ms += clock_ms() - start;
	return tree_id(f->tree, (uint8_t[TREE_DIGEST]){ 0 }, e); /* its name, now and not in the freeze */
}

/* ---- the destination ---- */

static int send_wants(struct stream *s, const struct tree_plan *plan, struct err *e)
{
	size_t n;
	const struct tree_block *need = tree_plan_needs(plan, &n);
	AUTO_FREE uint8_t *buf = malloc(n * 8 + 1);

	if (!buf)
		return err_set(e, EX_OSERR, "out of memory");
	for (size_t i = 0; i < n; i++) {
		put_le32(buf + i * 8, need[i].entry);
		put_le32(buf + i * 8 + 4, need[i].block);
	}
	return send_long(s, FRAME_BLOCKS_WANT, buf, n * 8, e);
}

/* Known before anything is touched, and long before the freeze. */
static int check_room(const struct files *f, const struct tree_plan *plan, struct err *e)
{
	uint64_t need = tree_plan_space(plan), have;
	struct statvfs v;

	if (fstatvfs(f->root, &v))
		return err_sys(e, "cannot see how much room there is");
	have = (uint64_t)v.f_bavail * v.f_frsize;
	if (need <= have)
		return 0;
	return err_set(e, EX_IOERR, "%.0f MB needed, %.0f MB free: No space left on device", (double)need / 1e6,
		       (double)have / 1e6);
}

static int take_block(struct tree_apply *a, struct tree *want, const uint8_t **p, const uint8_t *end, struct err *e)
{
	struct tree_block b;
	uint32_t len;

	if (end - *p < (ptrdiff_t)BLOCK_HEAD)
		return err_set(e, EX_DATAERR, "malformed batch of blocks");
	b = (struct tree_block){ get_le32(*p), get_le32(*p + 4) };
	len = get_le32(*p + 8);
	bool gone = (*p)[12];
	*p += BLOCK_HEAD;
	if (len > (size_t)(end - *p))
		return err_set(e, EX_DATAERR, "malformed batch of blocks");
	*p += len;
	return gone ? tree_forget(want, b, e) : tree_apply_put(a, b, *p - len, len, e);
}

/* Reads all of the blocks, also after an error: the stream stays in step. */
static int take_blocks(struct stream *s, struct tree_apply *a, struct tree *want, struct err *first, struct err *e)
{
	AUTO_FREE uint8_t *raw = malloc(BATCH_MAX);
	AUTO_FRAME struct frame f = { 0 };
	bool failed = !a;

	if (!raw)
		return err_set(e, EX_OSERR, "out of memory");
	for (;;) {
		if (wire_expect(s, FRAME_BLOCKS, &f, e))
			return -1;
		if (!f.len)
			return failed;
		if (failed)
			continue;
		const uint8_t *p = f.data + 1;
		size_t n = f.len - 1;
		if (f.data[0]) {
			n = ZSTD_decompress(raw, BATCH_MAX, p, n);
			p = raw;
			if (ZSTD_isError(n)) {
				err_set(first, EX_DATAERR, "damaged batch of blocks");
				failed = true;
				continue;
			}
		}
		for (const uint8_t *end = p + n; p < end && !failed;)
			failed = take_block(a, want, &p, end, first) != 0;
	}
}

int files_receive(struct files *f, struct stream *s, const struct json *call, struct err *e)
{
	bool delta = json_bool(call, "delta", false), final = json_bool(call, "final", false);
	AUTO_FREE uint8_t *buf = NULL;
	AUTO_TREE struct tree *want = NULL, *have = NULL;
	AUTO_TREE_PLAN struct tree_plan *plan = NULL;
	AUTO_TREE_APPLY struct tree_apply *apply = NULL;
	struct err first = { 0 };
	size_t len;
	int rc;

	if (recv_long(s, FRAME_MANIFEST, &buf, &len, e))
		return -1;
	if (delta && !f->tree)
		rc = err_set(&first, EX_DATAERR, "a change without a beginning");
	else
		rc = delta ? tree_decode_delta(&want, f->tree, buf, len, &first) : tree_decode(&want, buf, len, &first);
	if (!rc && !delta)
		rc = tree_scan(&have, f->root, NULL, NULL, 0, &first);
	if (!rc)
		rc = tree_plan(&plan, delta ? f->tree : have, want, &first);
	if (!rc)
		rc = check_room(f, plan, &first);
	if (!rc)
		rc = tree_apply_start(&apply, plan, f->root, final ? 0 : TREE_LIVE, &first);
	if (!delta && (plan ? send_wants(s, plan, e) : send_long(s, FRAME_BLOCKS_WANT, NULL, 0, e)))
		return -1;
	int taken = take_blocks(s, rc ? NULL : apply, want, &first, e);
	if (taken < 0)
		return -1;
	if (!rc && !taken)
		rc = tree_apply_finish(apply, &first);
	if (rc || taken) {
		*e = first;
		return err_wrap(e, "%s", f->what);
	}
	tree_apply_free(TAKE_PTR(apply));
	tree_plan_free(TAKE_PTR(plan));
	if (f->tree)
		tree_free(f->tree);
	f->tree = TAKE_PTR(want);
	f->final = final;
	return tree_id(f->tree, (uint8_t[TREE_DIGEST]){ 0 }, e);
}
