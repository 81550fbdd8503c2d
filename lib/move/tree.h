/* SPDX-License-Identifier: MIT */
/* How the files of a moving service (the overlay's upper layer, volumes) get to the other node.
 *
 *     source                                         destination
 *     tree_scan -> tree_encode          ---->        tree_decode = want;  tree_scan of what lies there = have
 *                                                    tree_plan(have, want), tree_apply_start
 *     tree_read of each need            <--->        tree_plan_needs;  tree_apply_put;  tree_apply_finish
 *     tree_scan(prev) -> tree_encode_delta ---->     tree_decode_delta(want) and so on: have = the old want
 *     tree_plan(old, new) names the same needs here, so the last round sends them without being asked
 *
 * It knows buffers, descriptors of folders and nothing of streams. Content is compared by SHA-256 of blocks
 * of 64 KiB; blocks of zeros are holes at the destination and are never sent. libarchive was looked at:
 * deltas by block, sockets and increments inside the freeze are not its work, so the format is our own
 * (little: varints, sorted paths).
 *
 * All in a tree: owner, mode, times of modification (links and folders too), hard links, holes, symbolic
 * links, FIFOs, devices, overlay whiteouts, sockets, and xattrs of every namespace (capabilities and ACLs are
 * xattrs). Not kept: times of access, chattr flags, space allocated but unwritten, links from outside of the
 * tree, and trusted.overlay.origin, which names a file handle of this machine's lower layer. A socket's node
 * is made again with mknod: nobody listens on it. CRIU unlinks it and binds anew where a process of the
 * service has it bound, so this serves the nodes that stay behind unbound, and the folder's look.
 *
 * Errors begin with the path within the tree ("db/data.0: cannot write: No space left on device", EX_IOERR);
 * callers put the tree's name in front by err_wrap(e, "volume %s", ...). Root is needed. A tree may be read
 * by several threads; tree_forget and tree_id change it. Paths, targets and the like live as long as their
 * tree. */
#ifndef EDGE_MOVE_TREE_H
#define EDGE_MOVE_TREE_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/types.h>

#include "lib/base/auto.h"
#include "lib/base/digest.h"
#include "lib/base/err.h"

#define TREE_BLOCK 65536u
#define TREE_DIGEST DIGEST_BYTES
#define TREE_ENTRIES_MAX (4u << 20)
#define TREE_DEPTH_MAX 256
#define TREE_FILE_MAX (1ull << 44) /* 16 TiB, ext4's limit */
#define TREE_NONE UINT32_MAX

/* Blocks first .. first + n - 1 of a file that are not all zeros. */
struct tree_run {
	uint32_t first, n;
	const uint8_t *digests; /* n times TREE_DIGEST */
	const uint8_t *quick;   /* this node's own 16-byte hashes of the same blocks, or NULL */
};

struct tree_entry {
	const char *path;      /* relative, no "." or ".."; entry 0 is "", the root folder itself */
	const char *target;    /* of a symbolic link, else NULL */
	const uint8_t *xattrs; /* sorted by name, encoded; NULL if there are none */
	const struct tree_run *runs;
	uint32_t path_len, xattrs_len, n_runs;
	uint32_t link; /* of a further name of one inode: the entry that is its first name; else TREE_NONE */
	uint32_t parent; /* index; 0 for the root */
	uint32_t mode, uid, gid, major, minor;
	uint32_t mtime_ns;
	int64_t mtime;
	uint64_t size; /* of a regular file; else 0 */

	/* Of the file on this node; all 0 in a decoded tree. */
	uint64_t dev, ino;
	int64_t ctime;
	uint32_t ctime_ns, nlink;
	bool hot; /* to be read again by the next scan, whatever its times say */
};

struct tree;

void tree_free(struct tree *t);
AUTO_DEFINE(struct tree, tree_free)
#define AUTO_TREE AUTO(tree_free_auto)

/* Ordered by path as a walk meets them: byte-wise, but "/" before all other bytes. */
uint32_t tree_count(const struct tree *t);
const struct tree_entry *tree_at(const struct tree *t, uint32_t i);
uint32_t tree_find(const struct tree *t, const char *path); /* TREE_NONE */
uint64_t tree_bytes(const struct tree *t);                  /* of content, without zeros, each inode once */

/* Files whose content may change without their times telling: those that a process has mapped shared and
 * writable. As stat(2) tells of the scanned folder, not of an overlay on top of it. */
struct tree_inode {
	uint64_t dev, ino;
};

/* Reads the folder `root` (any descriptor of it) without following links or crossing mounts. With a previous
 * tree of the same folder only files are read whose inode, size or times changed, that are younger than 100
 * ms before that scan, that were forgotten, or that are in `mapped`; blocks of these are compared by a fast
 * seeded hash before SHA-256 is computed. A file that vanishes meanwhile is left out; one that changes is
 * seen as changed by the next scan. */
int tree_scan(struct tree **out, int root, const struct tree *prev, const struct tree_inode *mapped,
	      size_t n_mapped, struct err *e);

/* Manifests: malloc'ed buffers. Decoding trusts nothing: EX_DATAERR. */
int tree_encode(const struct tree *t, uint8_t **buf, size_t *len, struct err *e);
int tree_decode(struct tree **out, const void *buf, size_t len, struct err *e);
/* The digest of the encoded tree, kept once computed (2 ms for 10,000 files): ask for it before the
 * freeze. */
int tree_id(struct tree *t, uint8_t id[TREE_DIGEST], struct err *e);
/* What changed since `base`, which both ends have; a delta against another base is refused. */
int tree_encode_delta(struct tree *base, const struct tree *t, uint8_t **buf, size_t *len, struct err *e);
int tree_decode_delta(struct tree **out, struct tree *base, const void *buf, size_t len, struct err *e);

/* What turns a folder from `have` into `want`. Both trees must outlive it. */
struct tree_block {
	uint32_t entry, block;
};
struct tree_plan;
int tree_plan(struct tree_plan **p, const struct tree *have, const struct tree *want, struct err *e);
void tree_plan_free(struct tree_plan *p);
AUTO_DEFINE(struct tree_plan, tree_plan_free)
#define AUTO_TREE_PLAN AUTO(tree_plan_free_auto)
/* Blocks of `want` whose content is nowhere in `have`, ascending, each content once. It depends only on what
 * is encoded, so that both ends come to the same list. */
const struct tree_block *tree_plan_needs(const struct tree_plan *p, size_t *n);
/* The i-th block of `want` that is not in its place in `have`, wherever else its content is; ascending. False: no more. */
bool tree_plan_block(const struct tree_plan *p, size_t i, struct tree_block *b);
bool tree_plan_empty(const struct tree_plan *p);     /* nothing differs */
uint64_t tree_plan_bytes(const struct tree_plan *p); /* content of all blocks needed */
uint64_t
tree_plan_space(const struct tree_plan *p); /* content that will be written, an upper bound of disk space */

/* The source's side of a need. 0: buf (TREE_BLOCK bytes) has *len bytes that match the tree. 1: the file has
 * changed since the scan: both ends then call tree_forget, and the next round brings it. */
struct tree_reader;
int tree_reader_open(struct tree_reader **r, int root, const struct tree *t, struct err *e);
int tree_read(struct tree_reader *r, struct tree_block b, void *buf, size_t *len, struct err *e);
void tree_reader_free(struct tree_reader *r);
AUTO_DEFINE(struct tree_reader, tree_reader_free)
#define AUTO_TREE_READER AUTO(tree_reader_free_auto)
/* The content of this block did not come over: no later plan counts on a tree `have` for it. Out of range:
 * EX_DATAERR. */
int tree_forget(struct tree *t, struct tree_block b, struct err *e);

/* Brings the folder, which must be as plan's `have` says and used by nobody, into the state of `want`. Every
 * step stays beneath `root`, follows no link and crosses no mount. A failure leaves a mixture: scan again
 * before the next try. */
#define TREE_DEVICES \
	1 /* allow all devices, not just whiteouts and null, zero, full, random, urandom, tty, ptmx */
#define TREE_LIVE 2 /* not the last round: forgotten blocks may be lacking */
struct tree_apply;
/* Removes, makes, truncates and copies what is here already. Refuses devices (EX_NOPERM) before it changes
 * anything. */
int tree_apply_start(struct tree_apply **a, const struct tree_plan *p, int root, int flags, struct err *e);
/* Verifies (EX_DATAERR) and writes to every place that wants this content. A block that nobody needs is
 * passed over. */
int tree_apply_put(struct tree_apply *a, struct tree_block b, const void *data, size_t len, struct err *e);
/* Owners, modes, xattrs, times. EX_DATAERR when a block is lacking. */
int tree_apply_finish(struct tree_apply *a, struct err *e);
void tree_apply_free(struct tree_apply *a);
AUTO_DEFINE(struct tree_apply, tree_apply_free)
#define AUTO_TREE_APPLY AUTO(tree_apply_free_auto)

/* To disk: syncfs(2). Nothing else here syncs. */
int tree_sync(int root, struct err *e);

#endif
