/* SPDX-License-Identifier: MIT */
/* The content of files as runs of digests: hashing, holes, and reading blocks again to send them. */
#include "lib/move/tree_content.h"

#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <xxhash.h>

int content_init(struct content *c, uint64_t seed, struct err *e)
{
	memset(c, 0, sizeof *c);
	c->seed = seed;
	c->buf = malloc(TREE_BLOCK);
	if (!c->buf)
		return no_memory(e);
	return digest_load(e);
}

void content_release(struct content *c)
{
	free(c->buf);
	free(c->digests);
	free(c->quick);
	free(c->runs);
	memset(c, 0, sizeof *c);
}

static int content_grow(struct content *c, struct err *e)
{
	if (c->n == c->cap) {
		size_t cap = c->cap ? c->cap * 2 : 64;
		uint8_t *d = realloc(c->digests, cap * TREE_DIGEST), *q;

		if (!d)
			return no_memory(e);
		c->digests = d;
		q = realloc(c->quick, cap * TREE_QUICK);
		if (!q)
			return no_memory(e);
		c->quick = q;
		c->cap = cap;
	}
	if (c->n_runs == c->cap_runs) {
		uint32_t cap = c->cap_runs ? c->cap_runs * 2 : 16;
		struct tree_run *r = reallocarray(c->runs, cap, sizeof *r);

		if (!r)
			return no_memory(e);
		c->runs = r;
		c->cap_runs = cap;
	}
	return 0;
}

/* One block that is not zero: the fast hash first, SHA-256 only if that differs from the previous scan's. */
static int content_add(struct content *c, uint32_t block, uint32_t len, const struct tree_entry *prev,
		       uint32_t *hint, struct err *e)
{
	XXH128_canonical_t q;
	const struct tree_run *was;
	struct tree_run *last;

	if (content_grow(c, e))
		return -1;
	XXH128_canonicalFromHash(&q, XXH3_128bits_withSeed(c->buf, len, c->seed));
	memcpy(c->quick + c->n * TREE_QUICK, &q, TREE_QUICK);
	was = prev ? entry_run(prev, block, hint) : NULL;
	if (was && was->quick && block_len(prev->size, block) == len &&
	    !memcmp(was->quick + (size_t)(block - was->first) * TREE_QUICK, &q, TREE_QUICK))
		memcpy(c->digests + c->n * TREE_DIGEST,
		       was->digests + (size_t)(block - was->first) * TREE_DIGEST, TREE_DIGEST);
	else
		digest_of(c->buf, len, c->digests + c->n * TREE_DIGEST);
	last = c->n_runs ? &c->runs[c->n_runs - 1] : NULL;
	if (last && last->first + last->n == block)
		last->n++;
	else
		c->runs[c->n_runs++] = (struct tree_run){ .first = block, .n = 1 };
	c->n++;
	return 0;
}

/* Fewer bytes than the file had are no error: the rest counts as zeros, and the next scan sees the change. */
static int read_block(int fd, uint8_t *buf, uint32_t len, off_t at)
{
	uint32_t got = 0;

	while (got < len) {
		ssize_t n = pread(fd, buf + got, len - got, at + got);

		if (n < 0 && errno == EINTR)
			continue;
		if (n < 0)
			return -1;
		if (!n)
			break;
		got += (uint32_t)n;
	}
	memset(buf + got, 0, len - got);
	return 0;
}

static int content_store(struct content *c, struct tree *t, struct tree_entry *en, struct err *e)
{
	const uint8_t *d, *q;
	uint32_t i;

	en->runs = NULL;
	en->n_runs = c->n_runs;
	if (!c->n)
		return 0;
	d = arena_copy(t->own, c->digests, c->n * TREE_DIGEST);
	q = arena_copy(t->own, c->quick, c->n * TREE_QUICK);
	if (!d || !q)
		return no_memory(e);
	for (i = 0; i < c->n_runs; i++) {
		c->runs[i].digests = d;
		c->runs[i].quick = q;
		d += (size_t)c->runs[i].n * TREE_DIGEST;
		q += (size_t)c->runs[i].n * TREE_QUICK;
	}
	en->runs = arena_copy(t->own, c->runs, c->n_runs * sizeof *c->runs);
	return en->runs ? 0 : no_memory(e);
}

int content_read(struct content *c, int fd, struct tree *t, struct tree_entry *en,
		 const struct tree_entry *prev, struct err *e)
{
	off_t size = (off_t)en->size, data = 0, hole;
	uint32_t block = 0, hint = 0;

	c->n = 0;
	c->n_runs = 0;
	while ((off_t)block * TREE_BLOCK < size) {
		data = size <= TREE_BLOCK ? 0 : lseek(fd, (off_t)block * TREE_BLOCK, SEEK_DATA);
		if (data < 0 && errno == ENXIO)
			break;
		hole = size;
		if (data < 0)
			data = (off_t)block * TREE_BLOCK; /* a filesystem that knows no holes */
		else if (size > TREE_BLOCK)
			hole = lseek(fd, data, SEEK_HOLE);
		if (hole < 0 || hole > size)
			hole = size;
		if (data >= size)
			break;
		for (block = (uint32_t)(data / TREE_BLOCK); (off_t)block * TREE_BLOCK < hole; block++) {
			uint32_t len = block_len(en->size, block);

			if (read_block(fd, c->buf, len, (off_t)block * TREE_BLOCK))
				return err_sys(e, "%s: cannot read", path_show(en));
			if (!all_zero(c->buf, len) && content_add(c, block, len, prev, &hint, e))
				return -1;
		}
	}
	return content_store(c, t, en, e);
}

struct tree_reader {
	const struct tree *tree;
	int root, fd;
	uint32_t entry, hint;
};

int tree_reader_open(struct tree_reader **out, int root, const struct tree *t, struct err *e)
{
	struct tree_reader *r = calloc(1, sizeof *r);

	if (!r)
		return no_memory(e);
	r->fd = -1;
	r->tree = t;
	r->root = fcntl(root, F_DUPFD_CLOEXEC, 3);
	if (r->root < 0 || digest_load(e)) {
		if (r->root < 0)
			err_sys(e, "files: cannot open");
		tree_reader_free(r);
		return -1;
	}
	*out = r;
	return 0;
}

void tree_reader_free(struct tree_reader *r)
{
	if (!r)
		return;
	if (r->fd >= 0)
		close(r->fd);
	if (r->root >= 0)
		close(r->root);
	free(r);
}

/* Opens a regular file and nothing else: a pipe or device in its place is not even touched. -2: no longer
 * there. */
static int open_regular(int root, const struct tree_entry *en)
{
	AUTO_FD int path = open_beneath(root, en->path, O_PATH, 0);
	char proc[40];
	struct stat st;
	int fd;

	if (path < 0)
		return errno == ENOENT || errno == ENOTDIR || errno == ELOOP || errno == EXDEV ? -2 : -1;
	if (fstat(path, &st))
		return -1;
	if (!S_ISREG(st.st_mode))
		return -2;
	snprintf(proc, sizeof proc, "/proc/self/fd/%d", path);
	fd = open(proc, O_RDONLY | O_CLOEXEC | O_NONBLOCK);
	return fd < 0 ? -1 : fd;
}

int tree_read(struct tree_reader *r, struct tree_block b, void *buf, size_t *len, struct err *e)
{
	const struct tree_entry *en = tree_at(r->tree, b.entry);
	const uint8_t *digest;
	uint8_t now[TREE_DIGEST];

	if (!en || b.block >= entry_blocks(en->size))
		return err_set(e, EX_DATAERR,
			       "files: block %u of entry %u is asked for, which does not exist", b.block,
			       b.entry);
	if (r->fd < 0 || r->entry != b.entry) {
		if (r->fd >= 0)
			close(r->fd);
		r->entry = b.entry;
		r->hint = 0;
		r->fd = open_regular(r->root, en);
		if (r->fd == -2)
			return 1;
		if (r->fd < 0)
			return err_sys(e, "%s: cannot open", path_show(en));
	}
	*len = block_len(en->size, b.block);
	if (read_block(r->fd, buf, (uint32_t)*len, (off_t)b.block * TREE_BLOCK))
		return err_sys(e, "%s: cannot read", path_show(en));
	digest_of(buf, *len, now);
	digest = entry_digest(en, b.block, &r->hint);
	return !digest || memcmp(digest, now, TREE_DIGEST) ? 1 : 0;
}

static int digest_cmp(const void *a, const void *b)
{
	return memcmp(a, b, TREE_DIGEST);
}

int tree_forget(struct tree *t, struct tree_block b, struct err *e)
{
	const uint8_t *digest;
	void *lost;

	if (b.entry >= t->n || !(digest = entry_digest(&t->entries[b.entry], b.block, NULL)))
		return err_set(e, EX_DATAERR, "files: block %u of entry %u does not exist", b.block, b.entry);
	t->entries[b.entry].hot = true;
	if (tree_lost(t, digest))
		return 0;
	if (!(t->n_lost & (t->n_lost - 1))) { /* grows at powers of two */
		lost = reallocarray(t->lost, t->n_lost ? t->n_lost * 2 : 1, TREE_DIGEST);
		if (!lost)
			return no_memory(e);
		t->lost = lost;
	}
	memcpy(t->lost[t->n_lost++], digest, TREE_DIGEST);
	if (t->n_lost > 1 && memcmp(t->lost[t->n_lost - 2], digest, TREE_DIGEST) > 0)
		qsort(t->lost, t->n_lost, TREE_DIGEST, digest_cmp);
	return 0;
}

bool tree_lost(const struct tree *t, const uint8_t *digest)
{
	return t->n_lost && bsearch(digest, t->lost, t->n_lost, TREE_DIGEST, digest_cmp);
}
