/* SPDX-License-Identifier: MIT */
/* The bulk streams of a move at its destination. Each comes in a session of its own, served by a process of its own;
 * that process hands its descriptors to the one that has the move, so that one process holds the whole state. */
#ifndef EDGE_MOVE_BULK_H
#define EDGE_MOVE_BULK_H

#include "lib/base/err.h"
#include "lib/base/stream.h"
#include "lib/move/image.h"

struct bulk;

/* Waits, in threads of its own, for streams that join the move, and receives pages from them into the image. */
int bulk_listen(struct bulk **b, const char *move, struct image *im, struct err *e);
/* Ends all of them. NULL is allowed. */
void bulk_free(struct bulk *b);
/* Removes what a process that was killed has left of it. */
void bulk_forget(const char *move);

/* The other process: hands over stdin and stdout and stays until the move is done with them. s: what it has said and heard there
 * itself (NULL: nothing yet). */
int bulk_attach(const struct stream *s, const char *move, struct err *e);

#endif
