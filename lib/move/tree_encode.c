/* SPDX-License-Identifier: MIT */
/* Trees to bytes; the format stands in tree_int.h. */
#include <stdlib.h>

#include "lib/move/tree_int.h"

struct out {
	uint8_t *p;
	size_t n, cap;
	bool failed;
	const char *path; /* the one before */
	uint32_t path_len;
};

static void put(struct out *o, const void *p, size_t n)
{
	if (o->cap - o->n < n && !o->failed) {
		size_t cap = (o->cap + n) * 2 + 4096;
		uint8_t *more = realloc(o->p, cap);

		if (more) {
			o->p = more;
			o->cap = cap;
		} else {
			o->failed = true;
		}
	}
	if (o->failed || !n)
		return;
	memcpy(o->p + o->n, p, n);
	o->n += n;
}

static void put_num(struct out *o, uint64_t v)
{
	uint8_t b[10];
	size_t n = 0;

	do
		b[n++] = (uint8_t)((v & 0x7f) | (v > 0x7f ? 0x80 : 0));
	while (v >>= 7);
	put(o, b, n);
}

static void put_path(struct out *o, const struct tree_entry *en)
{
	uint32_t shared = 0, most = en->path_len < o->path_len ? en->path_len : o->path_len;

	while (shared < most && en->path[shared] == o->path[shared])
		shared++;
	put_num(o, shared);
	put_num(o, en->path_len - shared);
	put(o, en->path + shared, en->path_len - shared);
	o->path = en->path;
	o->path_len = en->path_len;
}

static void put_data(struct out *o, const struct tree_entry *en, uint32_t block, uint32_t n)
{
	uint32_t hint = 0;

	put_num(o, OP_DATA);
	put_num(o, n);
	while (n) {
		const struct tree_run *r = entry_run(en, block, &hint);
		uint32_t k = r->n - (block - r->first);

		if (k > n)
			k = n;
		put(o, r->digests + (size_t)(block - r->first) * TREE_DIGEST, (size_t)k * TREE_DIGEST);
		block += k;
		n -= k;
	}
}

/* How a block is told; `base` is the same file in the base, or NULL. */
static enum tree_op op_of(const struct tree_entry *en, const struct tree_entry *base, uint32_t block,
			  uint32_t *h1, uint32_t *h2)
{
	const uint8_t *d = entry_digest(en, block, h1), *was;

	if (!d)
		return OP_ZERO;
	if (!base || block >= entry_blocks(base->size) ||
	    block_len(base->size, block) != block_len(en->size, block))
		return OP_DATA;
	was = entry_digest(base, block, h2);
	return was && (was == d || !memcmp(was, d, TREE_DIGEST)) ? OP_SAME : OP_DATA;
}

static void put_content(struct out *o, const struct tree_entry *en, const struct tree_entry *base)
{
	uint32_t n = entry_blocks(en->size), at = 0, end = 0, h1 = 0, h2 = 0;
	enum tree_op op = OP_ZERO, next;

	put_num(o, en->size);
	while (at < n) {
		if (at == end)
			op = op_of(en, base, at, &h1, &h2);
		for (end = at + 1, next = op; end < n; end++) {
			next = op_of(en, base, end, &h1, &h2);
			if (next != op)
				break;
		}
		if (op == OP_DATA) {
			put_data(o, en, at, end - at);
		} else {
			put_num(o, op);
			put_num(o, end - at);
		}
		at = end;
		op = next;
	}
}

static void put_xattrs(struct out *o, const struct tree_entry *en)
{
	const uint8_t *p = en->xattrs, *end = p ? p + en->xattrs_len : NULL;
	struct xattr x;
	uint64_t n = 0;

	while (xattr_next(&p, end, &x))
		n++;
	put_num(o, n);
	for (p = en->xattrs; xattr_next(&p, end, &x);) {
		put_num(o, x.name_len);
		put(o, x.name, x.name_len);
		put_num(o, x.value_len);
		put(o, x.value, x.value_len);
	}
}

static void put_entry(struct out *o, const struct tree_entry *en, const struct tree_entry *base)
{
	put_path(o, en);
	put_num(o, en->mode);
	put_num(o, en->link != TREE_NONE);
	if (en->link != TREE_NONE) {
		put_num(o, en->link);
		return;
	}
	put_num(o, en->uid);
	put_num(o, en->gid);
	put_num(o, (uint64_t)en->mtime << 1 ^ (en->mtime < 0 ? UINT64_MAX : 0));
	put_num(o, en->mtime_ns);
	put_xattrs(o, en);
	if (S_ISREG(en->mode)) {
		put_content(o, en, base);
	} else if (S_ISLNK(en->mode)) {
		put_num(o, strlen(en->target));
		put(o, en->target, strlen(en->target));
	} else if (S_ISCHR(en->mode) || S_ISBLK(en->mode)) {
		put_num(o, en->major);
		put_num(o, en->minor);
	}
}

static int out_end(struct out *o, uint8_t **buf, size_t *len, struct err *e)
{
	if (o->failed) {
		free(o->p);
		return no_memory(e);
	}
	*buf = o->p;
	*len = o->n;
	return 0;
}

int tree_encode(const struct tree *t, uint8_t **buf, size_t *len, struct err *e)
{
	struct out o = { .path = "" };
	uint32_t i;

	put(&o, TREE_MAGIC, TREE_MAGIC_LEN);
	put(&o, "F", 1);
	for (i = 0; i < t->n; i++)
		put_entry(&o, &t->entries[i], NULL);
	return out_end(&o, buf, len, e);
}

int tree_id(struct tree *t, uint8_t id[TREE_DIGEST], struct err *e)
{
	AUTO_FREE uint8_t *buf = NULL;
	size_t len;

	if (!t->has_id) {
		if (tree_encode(t, &buf, &len, e) || digest_load(e))
			return -1;
		digest_of(buf, len, t->id);
		t->has_id = true;
	}
	memcpy(id, t->id, TREE_DIGEST);
	return 0;
}

static bool entry_same(const struct tree *ta, const struct tree_entry *a, const struct tree *tb,
		       const struct tree_entry *b)
{
	if ((a->link == TREE_NONE) != (b->link == TREE_NONE) ||
	    (a->link != TREE_NONE && path_cmp(ta->entries[a->link].path, tb->entries[b->link].path)))
		return false;
	return entry_same_meta(a, b) && a->major == b->major && a->minor == b->minor &&
	       (!a->target || a->target == b->target || !strcmp(a->target, b->target)) &&
	       entry_same_content(a, b);
}

int tree_encode_delta(struct tree *base, const struct tree *t, uint8_t **buf, size_t *len, struct err *e)
{
	struct out o = { .path = "" };
	uint8_t id[TREE_DIGEST];
	uint32_t i = 0, j = 0;
	int c;

	if (tree_id(base, id, e))
		return -1;
	put(&o, TREE_MAGIC, TREE_MAGIC_LEN);
	put(&o, "D", 1);
	put(&o, id, sizeof id);
	while (i < t->n || j < base->n) {
		const struct tree_entry *en = i < t->n ? &t->entries[i] : NULL;
		const struct tree_entry *was = j < base->n ? &base->entries[j] : NULL;

		c = i == t->n ? 1 : j == base->n ? -1 : path_cmp(en->path, was->path);
		if (c > 0) {
			put_num(&o, 0);
			put_path(&o, was);
		} else if (c < 0 || !entry_same(t, en, base, was)) {
			put_num(&o, 1);
			put_entry(&o, en, !c && S_ISREG(was->mode) ? was : NULL);
		}
		i += c <= 0;
		j += c >= 0;
	}
	return out_end(&o, buf, len, e);
}
