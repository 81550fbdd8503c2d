/* SPDX-License-Identifier: MIT */
/* Reading a file's content into runs of digests, for tree_scan.c. */
#ifndef EDGE_MOVE_TREE_CONTENT_H
#define EDGE_MOVE_TREE_CONTENT_H

#include "lib/move/tree_int.h"

/* Scratch memory, kept from file to file. */
struct content {
	uint64_t seed;
	uint8_t *buf; /* TREE_BLOCK */
	uint8_t *digests, *quick;
	struct tree_run *runs;
	size_t n, cap; /* blocks */
	uint32_t n_runs, cap_runs;
};

int content_init(struct content *c, uint64_t seed, struct err *e);
void content_release(struct content *c);
/* Fills en->runs and n_runs for the open file of en->size bytes; `prev` (or NULL) is what the file was
 * before, hashed with the same seed. */
int content_read(struct content *c, int fd, struct tree *t, struct tree_entry *en,
		 const struct tree_entry *prev, struct err *e);

#endif
