/* SPDX-License-Identifier: MIT */
/* What tree_scan.c (the walk) and tree_file.c (one file) share. */
#ifndef EDGE_MOVE_TREE_SCAN_H
#define EDGE_MOVE_TREE_SCAN_H

#include "lib/move/tree_content.h"

#define XATTR_LIST_MAX 65536

struct scan {
	struct tree *t;
	const struct tree *prev;
	uint32_t at; /* the first entry of prev that has not been passed */
	bool deep;   /* entries of prev are copied, not shared */
	struct timespec hot;
	struct tree_inode *mapped; /* sorted */
	size_t n_mapped;
	uint64_t dev;
	struct content content;
	char path[TREE_PATH_MAX + 1];
	size_t path_len;
	char *names; /* of one folder, one behind the other */
	size_t names_len, names_cap;
	uint32_t *links; /* hash table of entries with several names */
	uint32_t n_links, links_cap;
	char *list;      /* XATTR_LIST_MAX */
	uint8_t *xattrs; /* encoded, of one file */
	size_t xattrs_len, xattrs_cap;
	uint8_t *value; /* XATTR_VALUE_MAX */
	char target[TREE_PATH_MAX + 1];
};

/* The path for messages. */
static inline const char *scan_where(const struct scan *s)
{
	return path_show(&(struct tree_entry){ .path = s->path, .path_len = (uint32_t)s->path_len });
}

/* Reads what statx does not tell: xattrs, content, target. Strings are scratch memory of s until the next
 * call. 1: vanished or replaced. */
int scan_file(struct scan *s, int dir, const char *name, struct tree_entry *en, const struct tree_entry *was,
	      struct err *e);

#endif
