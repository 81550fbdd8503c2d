/* SPDX-License-Identifier: MIT */
/* What tree_apply.c and tree_meta.c share. */
#ifndef EDGE_MOVE_TREE_APPLY_H
#define EDGE_MOVE_TREE_APPLY_H

#include "lib/move/tree_plan.h"

struct cached {
	int fd; /* -1: none */
	uint32_t entry;
};

struct tree_apply {
	const struct tree_plan *plan;
	int root, flags;
	int spool; /* without a name; -1: not needed so far */
	struct cached folder, file, source;
	const char *folder_path; /* of folder, its first folder_len bytes */
	size_t folder_len;
	uint8_t *buf;     /* TREE_BLOCK */
	uint8_t *touched; /* per entry of want: a folder whose names changed */
};

/* The folder that an entry is in, kept open until another is asked for, and the entry's name there. */
int apply_folder(struct tree_apply *a, const struct tree_entry *en, const char **name, struct err *e);
void apply_close(struct tree_apply *a);
/* Owner, xattrs, mode and times of an entry of `want`. */
int apply_meta(struct tree_apply *a, uint32_t i, struct err *e);

#endif
