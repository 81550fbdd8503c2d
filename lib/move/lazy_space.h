/* SPDX-License-Identifier: MIT */
/* Which pages of one restored process are still to come, and where each lay when it was dumped: what the process has unmapped
 * or emptied since is wanted no more, what it has moved is wanted elsewhere, and what it has forked is wanted twice.
 *
 * Addresses are multiples of a page. Not for several threads at once. -1 is: out of memory. */
#ifndef EDGE_MOVE_LAZY_SPACE_H
#define EDGE_MOVE_LAZY_SPACE_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

struct lazy_piece {
	uint64_t addr;  /* where they are wanted now */
	uint64_t from;  /* where they were, and so what they are called in the image */
	uint64_t pages;
};

/* Zeroed: nothing to come. */
struct lazy_space {
	struct lazy_piece *piece; /* by address; owned */
	size_t n, room;
};

void lazy_space_clear(struct lazy_space *s);
/* Pages that were not wanted before. */
int lazy_space_add(struct lazy_space *s, struct lazy_piece p);
/* These are wanted no more. */
int lazy_space_cut(struct lazy_space *s, uint64_t addr, uint64_t pages);
/* They have moved, over whatever was there. */
int lazy_space_move(struct lazy_space *s, uint64_t from, uint64_t to, uint64_t pages);
/* The piece that holds the page, cut to begin with it and to have `most` pages; false: it is not wanted. */
bool lazy_space_find(const struct lazy_space *s, uint64_t addr, uint64_t most, struct lazy_piece *p);
/* The first piece that is wanted behind the address, or from it on; false: there is none. */
bool lazy_space_next(const struct lazy_space *s, uint64_t addr, struct lazy_piece *p);
/* Takes off the last piece, or so many pages of it. False when there is none. */
bool lazy_space_take(struct lazy_space *s, uint64_t most, struct lazy_piece *p);
/* What is called so in the image, to `to`. moved: pieces may lie elsewhere than they did then. */
int lazy_space_named(const struct lazy_space *s, struct lazy_space *to, uint64_t from, uint64_t pages, bool moved);
/* The same, and `s` has it no more. */
int lazy_space_give(struct lazy_space *s, struct lazy_space *to, uint64_t from, uint64_t pages, bool moved);
/* `to` wants what `s` does, beside what it wants already. */
int lazy_space_copy(const struct lazy_space *s, struct lazy_space *to);

#endif
