/* SPDX-License-Identifier: MIT */
/* What the files tree*.c share; nobody else includes this. */
#ifndef EDGE_MOVE_TREE_INT_H
#define EDGE_MOVE_TREE_INT_H

#include <string.h>
#include <sys/stat.h>
#include <time.h>

#include "lib/move/tree.h"

#define TREE_PATH_MAX 4095
#define TREE_PATHS_MAX (512ull << 20) /* bytes of all paths: prefix coding must not become a bomb */
#define TREE_XATTRS_MAX 4096          /* of one file */
#define TREE_QUICK 16
#define TREE_HELD_MAX 8

/* Memory that lives as long as the last tree that shares it. */
struct tree_arena;
struct tree_arena *arena_new(void);
struct tree_arena *arena_hold(struct tree_arena *a);
void arena_drop(struct tree_arena *a);
void *arena_get(struct tree_arena *a, size_t n); /* aligned to 8; NULL without memory */
void *arena_copy(struct tree_arena *a, const void *from, size_t n);

struct tree {
	struct tree_entry *entries;
	uint32_t n, cap;
	struct tree_arena *own, *held[TREE_HELD_MAX];
	int n_held;
	uint64_t path_bytes;
	uint64_t seed;                /* of the quick hashes */
	struct timespec start;        /* of the scan; 0 in a decoded tree */
	uint8_t (*lost)[TREE_DIGEST]; /* forgotten content, sorted */
	size_t n_lost;
	bool has_id;
	uint8_t id[TREE_DIGEST];
};

struct tree *tree_new(void);
/* Shares the memory of `from`; false when t already shares too much, and entries must be copied deeply. */
bool tree_share(struct tree *t, const struct tree *from);
/* Appends a copy of *src (deep: with all it points to); NULL and an error when bounds or memory end. */
struct tree_entry *tree_add(struct tree *t, const struct tree_entry *src, bool deep, struct err *e);
/* Order, parents and depth of a whole tree. Sets `parent`. */
int tree_check(struct tree *t, struct err *e);
/* Makes a further name equal to the first one in all but path. */
void tree_link(struct tree *t, uint32_t i, uint32_t first);
bool tree_lost(const struct tree *t, const uint8_t *digest);

int path_cmp(const char *a, const char *b);
const char *
path_show(const struct tree_entry *en); /* for messages: printable, "." for the root; static ring */

static inline int no_memory(struct err *e)
{
	return err_set(e, EX_OSERR, "files: out of memory");
}

static inline bool entry_whiteout(const struct tree_entry *en)
{
	return S_ISCHR(en->mode) && !en->major && !en->minor;
}

static inline uint32_t entry_blocks(uint64_t size)
{
	return (uint32_t)((size + TREE_BLOCK - 1) / TREE_BLOCK);
}

static inline uint32_t block_len(uint64_t size, uint32_t block)
{
	uint64_t left = size - (uint64_t)block * TREE_BLOCK;

	return left < TREE_BLOCK ? (uint32_t)left : TREE_BLOCK;
}

/* NULL for a block of zeros. `hint` (may be NULL) remembers the run for the next call. */
const struct tree_run *entry_run(const struct tree_entry *en, uint32_t block, uint32_t *hint);
static inline const uint8_t *entry_digest(const struct tree_entry *en, uint32_t block, uint32_t *hint)
{
	const struct tree_run *r = entry_run(en, block, hint);

	return r ? r->digests + (size_t)(block - r->first) * TREE_DIGEST : NULL;
}
bool entry_same_content(const struct tree_entry *a, const struct tree_entry *b);
bool entry_same_meta(const struct tree_entry *a, const struct tree_entry *b); /* mode, owner, times, xattrs */
bool all_zero(const void *p, size_t n);

/* xattrs in memory: u16 length of the name, u32 of the value, name, value, and so on. */
struct xattr {
	const char *name;
	const uint8_t *value;
	uint32_t name_len, value_len;
};
bool xattr_next(const uint8_t **p, const uint8_t *end, struct xattr *x);
size_t xattr_put(uint8_t *to, const struct xattr *x); /* to NULL: the size only */
#define XATTR_NAME_MAX_ 255
#define XATTR_VALUE_MAX 65536

/* Manifests: a tree, or what changed since another one, as bytes.
 *
 *     full:   "ETREE" 1 'F', entries
 *     delta:  "ETREE" 1 'D', id of the base, then per change 0 PATH (removed) or 1 ENTRY
 *     PATH:   bytes shared with the path before, bytes that follow, these
 *     ENTRY:  PATH, mode, then for a further name of an inode: 1, index of the first name; else 0, uid, gid,
 *             seconds (zigzag), nanoseconds, xattrs (number; each: length, name, length, value), and by type:
 *             size and content; length and target; major and minor
 *     content: operations until all blocks are named: ZERO n | DATA n, n digests | SAME n (in a delta: as in
 *             the base's file of that path)
 * Numbers are LEB128. The end of the buffer is the end. */
#define TREE_MAGIC "ETREE\1"
#define TREE_MAGIC_LEN 6
enum tree_op { OP_ZERO, OP_DATA, OP_SAME };

/* One component or a whole relative path, beneath `dir` in every sense. */
int open_beneath(int dir, const char *path, int flags, mode_t mode);

#endif
