/* SPDX-License-Identifier: MIT */
/* Bytes to trees; the format stands in tree_int.h. The bytes come from another machine and are trusted in
 * nothing. */
#include <limits.h>
#include <stdlib.h>

#include "lib/move/tree_int.h"

/* Decoding. `bad` is sticky; what has been read after it is 0 or NULL. */
struct in {
	const uint8_t *p, *end;
	bool bad;
	char path[TREE_PATH_MAX + 1];
	uint32_t path_len;
	uint8_t *xattrs;
	struct tree_run *runs;
	uint32_t n_runs, cap_runs;
	char target[TREE_PATH_MAX + 1];
	struct tree *t;
};

static const uint8_t *get(struct in *in, size_t n)
{
	const uint8_t *p = in->p;

	if (in->bad || (size_t)(in->end - p) < n) {
		in->bad = true;
		return NULL;
	}
	in->p += n;
	return p;
}

static uint64_t get_num(struct in *in, uint64_t max)
{
	uint64_t v = 0;
	int shift;

	for (shift = 0; shift < 70; shift += 7) {
		const uint8_t *b = get(in, 1);

		if (!b || (shift == 63 && *b > 1))
			break;
		v |= (uint64_t)(*b & 0x7f) << shift;
		if (*b & 0x80)
			continue;
		if (v > max)
			break;
		return v;
	}
	in->bad = true;
	return 0;
}

/* Every component is one: not empty, ".", ".." or too long, and without a NUL. */
static bool path_sane(const char *path, size_t len)
{
	const char *p = path, *end = path + len;

	if (!len)
		return true; /* the root; tree_check sees to it that it is the first */
	for (;;) {
		const char *slash = memchr(p, '/', (size_t)(end - p));
		size_t n = (size_t)((slash ? slash : end) - p);

		if (!n || n > NAME_MAX || memchr(p, 0, n) || (n == 1 && *p == '.') ||
		    (n == 2 && !memcmp(p, "..", 2)))
			return false;
		if (!slash)
			return true;
		p = slash + 1;
	}
}

static void get_path(struct in *in)
{
	uint32_t shared = (uint32_t)get_num(in, in->path_len);
	uint32_t n = (uint32_t)get_num(in, TREE_PATH_MAX - shared);
	const uint8_t *p = get(in, n);

	if (!p)
		return;
	memcpy(in->path + shared, p, n);
	in->path_len = shared + n;
	in->path[in->path_len] = 0;
	if (!path_sane(in->path, in->path_len))
		in->bad = true;
}

static void get_xattrs(struct in *in, struct tree_entry *en)
{
	uint64_t n = get_num(in, TREE_XATTRS_MAX);
	const uint8_t *start = in->p;
	char last[XATTR_NAME_MAX_ + 1] = "";
	size_t size = 0, at = 0;
	struct xattr x;
	uint64_t i;
	int pass;

	for (pass = 0; pass < 2 && n && !in->bad; pass++) { /* sizes, then copies */
		if (pass && !(en->xattrs = in->xattrs = arena_get(in->t->own, size)))
			in->bad = true;
		in->p = start;
		for (i = 0; i < n && !in->bad; i++) {
			x.name_len = (uint32_t)get_num(in, XATTR_NAME_MAX_);
			x.name = (const char *)get(in, x.name_len);
			x.value_len = (uint32_t)get_num(in, XATTR_VALUE_MAX);
			x.value = get(in, x.value_len);
			if (in->bad || pass) {
				at += in->bad ? 0 : xattr_put(in->xattrs + at, &x);
				continue;
			}
			size += xattr_put(NULL, &x);
			if (!x.name_len || memchr(x.name, 0, x.name_len))
				in->bad = true;
			/* last is NUL-terminated: a longer name with last as its beginning sorts behind it */
			else if (strncmp(x.name, last, x.name_len) < 0 ||
				 (!strncmp(x.name, last, x.name_len) && strlen(last) >= x.name_len))
				in->bad = true;
			else
				((char *)memcpy(last, x.name, x.name_len))[x.name_len] = 0;
		}
	}
	en->xattrs_len = (uint32_t)size;
}

static void add_run(struct in *in, uint32_t first, uint32_t n, const uint8_t *digests)
{
	if (in->n_runs == in->cap_runs) {
		uint32_t cap = in->cap_runs ? in->cap_runs * 2 : 64;
		struct tree_run *r = reallocarray(in->runs, cap, sizeof *r);

		if (!r) {
			in->bad = true;
			return;
		}
		in->runs = r;
		in->cap_runs = cap;
	}
	in->runs[in->n_runs++] = (struct tree_run){ .first = first, .n = n, .digests = digests };
}

/* Runs of the base that cover these blocks; all of them must be there, and as long in bytes as in the
 * base. */
static void get_same(struct in *in, const struct tree_entry *en, const struct tree_entry *base, bool deep,
		     uint32_t block, uint32_t n)
{
	uint32_t hint = 0, last = block + n - 1;

	if (!base || last >= entry_blocks(base->size) ||
	    block_len(base->size, last) != block_len(en->size, last)) {
		in->bad = true;
		return;
	}
	while (n && !in->bad) {
		const struct tree_run *r = entry_run(base, block, &hint);
		const uint8_t *d;
		uint32_t k;

		if (!r) {
			in->bad = true;
			return;
		}
		k = r->n - (block - r->first) < n ? r->n - (block - r->first) : n;
		d = r->digests + (size_t)(block - r->first) * TREE_DIGEST;
		if (deep && !(d = arena_copy(in->t->own, d, (size_t)k * TREE_DIGEST)))
			in->bad = true;
		add_run(in, block, k, d);
		block += k;
		n -= k;
	}
}

static void get_content(struct in *in, struct tree_entry *en, const struct tree_entry *base, bool deep)
{
	uint32_t blocks, at = 0, n;
	const uint8_t *d;

	en->size = get_num(in, TREE_FILE_MAX);
	blocks = entry_blocks(en->size);
	in->n_runs = 0;
	while (at < blocks && !in->bad) {
		uint64_t op = get_num(in, OP_SAME);

		n = (uint32_t)get_num(in, blocks - at);
		if (!n) {
			in->bad = true;
		} else if (op == OP_DATA) {
			d = get(in, (size_t)n * TREE_DIGEST);
			if (d && (d = arena_copy(in->t->own, d, (size_t)n * TREE_DIGEST)))
				add_run(in, at, n, d);
			else
				in->bad = true;
		} else if (op == OP_SAME) {
			get_same(in, en, base, deep, at, n);
		}
		at += n;
	}
	if (in->bad || !in->n_runs)
		return;
	en->runs = arena_copy(in->t->own, in->runs, in->n_runs * sizeof *in->runs);
	en->n_runs = in->n_runs;
	if (!en->runs)
		in->bad = true;
}

/* By type, of the first name of an inode. */
static void get_rest(struct in *in, struct tree_entry *en, const struct tree_entry *base, bool deep)
{
	const uint8_t *p;
	uint64_t n;

	en->uid = (uint32_t)get_num(in, UINT32_MAX);
	en->gid = (uint32_t)get_num(in, UINT32_MAX);
	n = get_num(in, UINT64_MAX);
	en->mtime = (int64_t)(n >> 1 ^ -(n & 1));
	en->mtime_ns = (uint32_t)get_num(in, 999999999);
	get_xattrs(in, en);
	if (S_ISREG(en->mode)) {
		get_content(in, en, base, deep);
	} else if (S_ISLNK(en->mode)) {
		n = get_num(in, TREE_PATH_MAX);
		p = get(in, n);
		if (!p || !n || memchr(p, 0, n)) {
			in->bad = true;
			return;
		}
		memcpy(in->target, p, n);
		in->target[n] = 0;
		en->target = arena_copy(in->t->own, in->target, n + 1);
		in->bad |= !en->target;
	} else if (S_ISCHR(en->mode) || S_ISBLK(en->mode)) {
		en->major = (uint32_t)get_num(in, UINT32_MAX);
		en->minor = (uint32_t)get_num(in, UINT32_MAX);
	}
}

static bool mode_sane(uint32_t mode)
{
	return !(mode & ~(uint32_t)(S_IFMT | 07777)) &&
	       (S_ISDIR(mode) || S_ISREG(mode) || S_ISLNK(mode) || S_ISFIFO(mode) || S_ISSOCK(mode) ||
		S_ISCHR(mode) || S_ISBLK(mode));
}

static int bad_entry(const struct in *in, struct err *e)
{
	return err_set(e, EX_DATAERR, "manifest: entry %u is malformed or cut off", in->t->n);
}

/* An entry whose path has been read. */
static int get_entry(struct in *in, const struct tree_entry *base, bool deep, struct err *e)
{
	struct tree_entry en = { .link = TREE_NONE, .path_len = in->path_len };
	uint32_t first = TREE_NONE;

	en.mode = (uint32_t)get_num(in, UINT32_MAX);
	if (!mode_sane(en.mode))
		in->bad = true;
	if (get_num(in, 1)) {
		first = (uint32_t)get_num(in, in->t->n ? in->t->n - 1 : 0);
		if (in->bad || !in->t->n || in->t->entries[first].link != TREE_NONE ||
		    in->t->entries[first].mode != en.mode || S_ISDIR(en.mode))
			in->bad = true;
	} else {
		get_rest(in, &en, base, deep);
	}
	if (in->bad)
		return bad_entry(in, e);
	en.path = arena_copy(in->t->own, in->path, in->path_len + 1);
	if (!en.path)
		return no_memory(e);
	if (!tree_add(in->t, &en, false, e))
		return -1;
	if (first != TREE_NONE)
		tree_link(in->t, in->t->n - 1, first);
	return 0;
}

static int in_start(struct in **out, const void *buf, size_t len, char kind, struct err *e)
{
	struct in *in;
	const uint8_t *p = buf;

	if (len < TREE_MAGIC_LEN + 1 || memcmp(p, TREE_MAGIC, TREE_MAGIC_LEN) ||
	    p[TREE_MAGIC_LEN] != (uint8_t)kind)
		return err_set(e, EX_DATAERR, "manifest: not one, or of another version");
	in = calloc(1, sizeof *in);
	if (!in || !(in->t = tree_new())) {
		free(in);
		return no_memory(e);
	}
	in->p = p + TREE_MAGIC_LEN + 1;
	in->end = p + len;
	*out = in;
	return 0;
}

static int in_end(struct in *in, int rc, struct tree **out, struct err *e)
{
	if (!rc)
		rc = tree_check(in->t, e);
	if (rc)
		tree_free(in->t);
	else
		*out = in->t;
	free(in->runs);
	free(in);
	return rc;
}

int tree_decode(struct tree **out, const void *buf, size_t len, struct err *e)
{
	struct in *in;
	int rc = 0;

	if (in_start(&in, buf, len, 'F', e))
		return -1;
	while (in->p < in->end && !rc) {
		get_path(in);
		rc = in->bad ? bad_entry(in, e) : get_entry(in, NULL, false, e);
	}
	return in_end(in, rc, out, e);
}

/* An entry of the base that stays. */
static int keep_entry(struct in *in, const struct tree_entry *was, uint32_t *map, uint32_t from, bool deep,
		      struct err *e)
{
	uint32_t first = was->link == TREE_NONE ? TREE_NONE : map[was->link];
	struct tree_entry en = *was;

	if (was->link != TREE_NONE && (first == TREE_NONE || in->t->entries[first].link != TREE_NONE ||
				       S_ISDIR(in->t->entries[first].mode)))
		return bad_entry(in, e);
	en.link = TREE_NONE;
	en.dev = en.ino = 0; /* the base may be of this node's own scan */
	en.ctime = 0;
	en.ctime_ns = en.nlink = 0;
	en.hot = false;
	if (!tree_add(in->t, &en, deep, e))
		return -1;
	map[from] = in->t->n - 1;
	if (first != TREE_NONE)
		tree_link(in->t, in->t->n - 1, first);
	return 0;
}

static int merge(struct in *in, const struct tree *base, uint32_t *map, bool deep, struct err *e)
{
	uint32_t j = 0;
	uint64_t op;
	int c = 1;

	while (in->p < in->end) {
		op = get_num(in, 1);
		get_path(in);
		if (in->bad)
			return bad_entry(in, e);
		for (; j < base->n && (c = path_cmp(base->entries[j].path, in->path)) < 0; j++)
			if (keep_entry(in, &base->entries[j], map, j, deep, e))
				return -1;
		if (j == base->n)
			c = 1;
		if (!op && c)
			return err_set(e, EX_DATAERR, "manifest: removes what is not there");
		if (op &&
		    get_entry(in, c || !S_ISREG(base->entries[j].mode) ? NULL : &base->entries[j], deep, e))
			return -1;
		if (!c && op)
			map[j] = in->t->n - 1;
		j += !c;
	}
	for (; j < base->n; j++)
		if (keep_entry(in, &base->entries[j], map, j, deep, e))
			return -1;
	return 0;
}

int tree_decode_delta(struct tree **out, struct tree *base, const void *buf, size_t len, struct err *e)
{
	AUTO_FREE uint32_t *map = NULL;
	uint8_t id[TREE_DIGEST];
	const uint8_t *got;
	struct in *in;
	int rc;

	if (tree_id(base, id, e) || in_start(&in, buf, len, 'D', e))
		return -1;
	got = get(in, TREE_DIGEST);
	map = malloc(base->n * sizeof *map);
	if (!got || memcmp(got, id, TREE_DIGEST)) {
		rc = err_set(e, EX_DATAERR, "manifest: changes of another state than the one that is here");
	} else if (!map) {
		rc = no_memory(e);
	} else {
		memset(map, 0xff, base->n * sizeof *map);
		rc = merge(in, base, map, !tree_share(in->t, base), e);
	}
	return in_end(in, rc, out, e);
}
