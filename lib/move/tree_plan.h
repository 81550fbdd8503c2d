/* SPDX-License-Identifier: MIT */
/* The inside of a plan, for tree_apply.c. */
#ifndef EDGE_MOVE_TREE_PLAN_H
#define EDGE_MOVE_TREE_PLAN_H

#include "lib/move/tree_int.h"

enum act {
	KEEP,
	META,  /* owner, mode, xattrs or times differ */
	PATCH, /* content differs: the same inode is changed in place */
	FRESH, /* made anew */
	LINK,  /* a further name, made anew */
};

/* A block of `want` that is not where it should be. */
struct plan_block {
	struct tree_block at;
	const uint8_t *digest;
	struct tree_block src; /* in `have`; entry TREE_NONE: it must be sent */
	uint32_t next;         /* of the same content, from the first such block on */
	bool repeat;           /* not the first of its content */
	bool spool;            /* the source is overwritten or removed: saved before */
	bool done;
};

struct tree_plan {
	const struct tree *have, *want;
	uint32_t *from, *to; /* the entry of the same path, want to have and have to want */
	uint8_t *act;        /* enum act, per entry of want */
	struct plan_block *blocks;
	size_t n_blocks, cap_blocks;
	struct tree_block *needs;
	size_t n_needs;
};

struct plan_block *plan_find(const struct tree_plan *p, struct tree_block at);

#endif
