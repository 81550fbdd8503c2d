/* SPDX-License-Identifier: MIT */
/* A tree in memory: its entries, its content and who shares that. */
#include <errno.h>
#include <fcntl.h>
#include <linux/openat2.h>
#include <stdlib.h>
#include <sys/syscall.h>

#include "lib/move/tree_int.h"

#define CHUNK 65536

struct chunk {
	struct chunk *next;
	size_t used, size;
	uint64_t data[];
};

struct tree_arena {
	int refs;
	struct chunk *chunks;
};

struct tree_arena *arena_new(void)
{
	struct tree_arena *a = calloc(1, sizeof *a);

	if (a)
		a->refs = 1;
	return a;
}

struct tree_arena *arena_hold(struct tree_arena *a)
{
	__atomic_add_fetch(&a->refs, 1, __ATOMIC_RELAXED);
	return a;
}

void arena_drop(struct tree_arena *a)
{
	struct chunk *c, *next;

	if (!a || __atomic_sub_fetch(&a->refs, 1, __ATOMIC_ACQ_REL))
		return;
	for (c = a->chunks; c; c = next) {
		next = c->next;
		free(c);
	}
	free(a);
}

void *arena_get(struct tree_arena *a, size_t n)
{
	struct chunk *c = a->chunks;
	void *p;

	n = (n + 7) & ~(size_t)7;
	if (!c || c->size - c->used < n) {
		size_t size = n > CHUNK / 4 ? n : CHUNK;

		c = malloc(sizeof *c + size);
		if (!c)
			return NULL;
		c->size = size;
		c->used = 0;
		if (size != CHUNK && a->chunks) { /* keep filling the one in front */
			c->next = a->chunks->next;
			a->chunks->next = c;
		} else {
			c->next = a->chunks;
			a->chunks = c;
		}
	}
	p = (char *)c->data + c->used;
	c->used += n;
	return p;
}

void *arena_copy(struct tree_arena *a, const void *from, size_t n)
{
	void *p = arena_get(a, n);

	return p && n ? memcpy(p, from, n) : p;
}

struct tree *tree_new(void)
{
	struct tree *t = calloc(1, sizeof *t);

	if (t && !(t->own = arena_new())) {
		free(t);
		return NULL;
	}
	return t;
}

void tree_free(struct tree *t)
{
	int i;

	if (!t)
		return;
	for (i = 0; i < t->n_held; i++)
		arena_drop(t->held[i]);
	arena_drop(t->own);
	free(t->entries);
	free(t->lost);
	free(t);
}

bool tree_share(struct tree *t, const struct tree *from)
{
	int i;

	if (t->n_held + from->n_held + 1 > TREE_HELD_MAX)
		return false;
	for (i = 0; i < from->n_held; i++)
		t->held[t->n_held++] = arena_hold(from->held[i]);
	t->held[t->n_held++] = arena_hold(from->own);
	return true;
}

static int copy_content(struct tree *t, struct tree_entry *en)
{
	struct tree_run *runs;
	uint32_t i;

	if (!en->n_runs)
		return 0;
	runs = arena_copy(t->own, en->runs, en->n_runs * sizeof *runs);
	if (!runs)
		return -1;
	for (i = 0; i < en->n_runs; i++) {
		runs[i].digests = arena_copy(t->own, runs[i].digests, (size_t)runs[i].n * TREE_DIGEST);
		if (runs[i].quick)
			runs[i].quick = arena_copy(t->own, runs[i].quick, (size_t)runs[i].n * TREE_QUICK);
		if (!runs[i].digests || (en->runs[i].quick && !runs[i].quick))
			return -1;
	}
	en->runs = runs;
	return 0;
}

static int copy_deep(struct tree *t, struct tree_entry *en)
{
	en->path = arena_copy(t->own, en->path, en->path_len + 1);
	if (en->target)
		en->target = arena_copy(t->own, en->target, strlen(en->target) + 1);
	if (en->xattrs)
		en->xattrs = arena_copy(t->own, en->xattrs, en->xattrs_len);
	if (!en->path || copy_content(t, en))
		return -1;
	return 0;
}

struct tree_entry *tree_add(struct tree *t, const struct tree_entry *src, bool deep, struct err *e)
{
	struct tree_entry *en;

	t->path_bytes += src->path_len;
	if (t->n == TREE_ENTRIES_MAX || t->path_bytes > TREE_PATHS_MAX) {
		err_set(e, EX_DATAERR, "%s: too many files: more than %u, or their paths too long",
			path_show(src), TREE_ENTRIES_MAX);
		return NULL;
	}
	if (t->n == t->cap) {
		uint32_t cap = t->cap ? t->cap * 2 : 256;

		en = reallocarray(t->entries, cap, sizeof *en);
		if (!en) {
			no_memory(e);
			return NULL;
		}
		t->entries = en;
		t->cap = cap;
	}
	en = &t->entries[t->n];
	*en = *src;
	if (deep && copy_deep(t, en)) {
		no_memory(e);
		return NULL;
	}
	t->n++;
	return en;
}

void tree_link(struct tree *t, uint32_t i, uint32_t first)
{
	struct tree_entry *en = &t->entries[i], old = *en;

	*en = t->entries[first];
	en->path = old.path;
	en->path_len = old.path_len;
	en->parent = old.parent;
	en->link = first;
}

/* Is `dir` the folder of `path`, or above it? */
static bool path_within(const struct tree_entry *dir, const struct tree_entry *en)
{
	if (!dir->path_len)
		return true;
	return en->path_len > dir->path_len && en->path[dir->path_len] == '/' &&
	       !memcmp(en->path, dir->path, dir->path_len);
}

int tree_check(struct tree *t, struct err *e)
{
	uint32_t stack[TREE_DEPTH_MAX + 1], depth = 0, i;

	if (!t->n || t->entries[0].path_len || !S_ISDIR(t->entries[0].mode))
		return err_set(e, EX_DATAERR, "manifest: no root folder");
	for (i = 0; i < t->n; i++) {
		struct tree_entry *en = &t->entries[i];
		const struct tree_entry *up;

		if (i) {
			if (path_cmp(en[-1].path, en->path) >= 0)
				return err_set(e, EX_DATAERR, "%s: out of order", path_show(en));
			while (!path_within(&t->entries[stack[depth - 1]], en))
				depth--;
			en->parent = stack[depth - 1];
			up = &t->entries[en->parent];
			if (strchr(en->path + up->path_len + !!up->path_len, '/'))
				return err_set(e, EX_DATAERR, "%s: its folder is missing or no folder",
					       path_show(en));
		}
		if (!S_ISDIR(en->mode))
			continue;
		if (depth > TREE_DEPTH_MAX)
			return err_set(e, EX_DATAERR, "%s: more than %d folders deep", path_show(en),
				       TREE_DEPTH_MAX);
		stack[depth++] = i;
	}
	return 0;
}

uint32_t tree_count(const struct tree *t)
{
	return t->n;
}

const struct tree_entry *tree_at(const struct tree *t, uint32_t i)
{
	return i < t->n ? &t->entries[i] : NULL;
}

uint32_t tree_find(const struct tree *t, const char *path)
{
	uint32_t lo = 0, hi = t->n;

	while (lo < hi) {
		uint32_t mid = lo + (hi - lo) / 2;
		int c = path_cmp(path, t->entries[mid].path);

		if (!c)
			return mid;
		if (c < 0)
			hi = mid;
		else
			lo = mid + 1;
	}
	return TREE_NONE;
}

uint64_t tree_bytes(const struct tree *t)
{
	uint64_t sum = 0;
	uint32_t i, r;

	for (i = 0; i < t->n; i++) {
		const struct tree_entry *en = &t->entries[i];

		for (r = 0; en->link == TREE_NONE && r < en->n_runs; r++) {
			uint64_t end = ((uint64_t)en->runs[r].first + en->runs[r].n) * TREE_BLOCK;

			sum += (end < en->size ? end : en->size) - (uint64_t)en->runs[r].first * TREE_BLOCK;
		}
	}
	return sum;
}

int path_cmp(const char *a, const char *b)
{
	int ca, cb;

	if (a == b)
		return 0;
	while (*a && *a == *b)
		a++, b++;
	ca = *a == '/' ? 1 : *a ? (unsigned char)*a + 1 : 0;
	cb = *b == '/' ? 1 : *b ? (unsigned char)*b + 1 : 0;
	return ca - cb;
}

const char *path_show(const struct tree_entry *en)
{
	static _Thread_local char ring[4][512];
	static _Thread_local unsigned next;
	char *out = ring[next++ % 4];
	size_t i;

	if (!en->path_len)
		return ".";
	for (i = 0; i < sizeof ring[0] - 1 && en->path[i]; i++)
		out[i] = (char)((unsigned char)en->path[i] < 0x20 || en->path[i] == 0x7f ? '?' : en->path[i]);
	out[i] = 0;
	return out;
}

const struct tree_run *entry_run(const struct tree_entry *en, uint32_t block, uint32_t *hint)
{
	uint32_t lo = 0, hi = en->n_runs;

	if (hint && *hint < hi && en->runs[*hint].first <= block) {
		const struct tree_run *r = &en->runs[*hint];

		if (block - r->first < r->n)
			return r;
		lo = *hint + 1;
		if (lo == hi || block < en->runs[lo].first)
			return NULL;
		if (block - en->runs[lo].first < en->runs[lo].n) {
			*hint = lo;
			return &en->runs[lo];
		}
	}
	while (lo < hi) {
		uint32_t mid = lo + (hi - lo) / 2;
		const struct tree_run *r = &en->runs[mid];

		if (block < r->first) {
			hi = mid;
		} else if (block - r->first >= r->n) {
			lo = mid + 1;
		} else {
			if (hint)
				*hint = mid;
			return r;
		}
	}
	return NULL;
}

bool entry_same_content(const struct tree_entry *a, const struct tree_entry *b)
{
	uint32_t ia = 0, ib = 0, da = 0, db = 0; /* run, and blocks of it that are done */

	if (a->size != b->size)
		return false;
	if (a->runs == b->runs && a->n_runs == b->n_runs)
		return true;
	while (ia < a->n_runs && ib < b->n_runs) {
		const struct tree_run *ra = &a->runs[ia], *rb = &b->runs[ib];
		uint32_t n = ra->n - da < rb->n - db ? ra->n - da : rb->n - db;
		const uint8_t *pa = ra->digests + (size_t)da * TREE_DIGEST,
			      *pb = rb->digests + (size_t)db * TREE_DIGEST;

		if (ra->first + da != rb->first + db || (pa != pb && memcmp(pa, pb, (size_t)n * TREE_DIGEST)))
			return false;
		da += n;
		db += n;
		if (da == ra->n)
			ia++, da = 0;
		if (db == rb->n)
			ib++, db = 0;
	}
	return ia == a->n_runs && ib == b->n_runs;
}

bool entry_same_meta(const struct tree_entry *a, const struct tree_entry *b)
{
	return a->mode == b->mode && a->uid == b->uid && a->gid == b->gid && a->mtime == b->mtime &&
	       a->mtime_ns == b->mtime_ns && a->xattrs_len == b->xattrs_len &&
	       (a->xattrs == b->xattrs || !memcmp(a->xattrs, b->xattrs, a->xattrs_len));
}

bool all_zero(const void *p, size_t n)
{
	const unsigned char *c = p;

	return !n || (!c[0] && !memcmp(c, c + 1, n - 1));
}

bool xattr_next(const uint8_t **p, const uint8_t *end, struct xattr *x)
{
	uint16_t name_len;

	if (*p == end)
		return false;
	memcpy(&name_len, *p, 2);
	memcpy(&x->value_len, *p + 2, 4);
	x->name_len = name_len;
	x->name = (const char *)*p + 6; /* with its NUL, which name_len does not count */
	x->value = *p + 6 + name_len + 1;
	*p = x->value + x->value_len;
	return true;
}

size_t xattr_put(uint8_t *to, const struct xattr *x)
{
	uint16_t name_len = (uint16_t)x->name_len;

	if (to) {
		memcpy(to, &name_len, 2);
		memcpy(to + 2, &x->value_len, 4);
		memcpy(to + 6, x->name, x->name_len);
		to[6 + x->name_len] = 0;
		if (x->value_len)
			memcpy(to + 7 + x->name_len, x->value, x->value_len);
	}
	return 7 + (size_t)x->name_len + x->value_len;
}

int open_beneath(int dir, const char *path, int flags, mode_t mode)
{
	struct open_how how = {
		.flags = (uint64_t)(flags | O_CLOEXEC | O_NOFOLLOW),
		.mode = mode,
		.resolve = RESOLVE_BENEATH | RESOLVE_NO_SYMLINKS | RESOLVE_NO_MAGICLINKS | RESOLVE_NO_XDEV,
	};
	int fd, tries = 32;

	do /* EAGAIN: something was renamed meanwhile */
		fd = (int)syscall(SYS_openat2, dir, *path ? path : ".", &how, sizeof how);
	while (fd < 0 && (errno == EAGAIN || errno == EINTR) && --tries);
	return fd;
}
