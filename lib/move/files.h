/* SPDX-License-Identifier: MIT */
/* Keeping a folder at the destination in step with one at the source, over the control stream.
 *
 *   CALL {verb: "files", tree: K, delta: bool, final: bool}
 *   MANIFEST frames, an empty one at the end
 *   first time: BLOCKS_WANT frames back, an empty one at the end   (a delta needs no answer: both ends know the needs)
 *   BLOCKS frames, an empty one at the end; REPLY {}
 */
#ifndef EDGE_MOVE_FILES_H
#define EDGE_MOVE_FILES_H

#include <stdbool.h>

#include "lib/base/stream.h"
#include "lib/move/tree.h"
#include "lib/move/wire.h"

struct files_stats {
	uint64_t files, raw_bytes, sent_bytes, there_bytes;
	double ms;
};

/* One folder's state at either end. */
struct files {
	unsigned number;     /* K: which of the service's folders */
	char what[80];       /* "volume /data", for messages */
	int root;            /* owned; -1: none yet */
	struct tree *tree;   /* owned; what both ends have agreed on */
	bool final;          /* the destination has had its last round */
};

void files_clear(struct files *f);

/* The source: scans and brings the other end up to date. final: the service is frozen. */
int files_send(struct files *f, struct stream *s, const struct tree_inode *mapped, size_t n_mapped, bool final,
	       struct files_stats *st, struct err *e);
/* The destination: carries out the rest of such a call. The reply is the caller's. */
int files_receive(struct files *f, struct stream *s, const struct json *call, struct err *e);

#endif
