/* SPDX-License-Identifier: MIT */
/* The bulk streams of a move at its destination. Each comes in a session of its own, served by a process of its own;
 * that process hands its descriptors to the one that has the move, so that one process holds the whole state. */
#ifndef EDGE_MOVE_BULK_H
#define EDGE_MOVE_BULK_H

#include "lib/base/err.h"
#include "lib/base/stream.h"

struct bulk;

/* What is done with a stream, in a thread of its own, until it ends. */
typedef void bulk_line_fn(void *ctx, struct stream *s);

/* Waits, in threads of its own, for streams that join the move. */
int bulk_listen(struct bulk **b, const char *move, bulk_line_fn *fn, void *ctx, struct err *e);
/* Ends all of them. NULL is allowed. */
void bulk_free(struct bulk *b);
/* Stops all but one (NULL: all). */
void bulk_stop(struct bulk *b, const struct stream *but);
int bulk_lines(struct bulk *b); /* how many there are */

/* The name that streams join by which bring a move's late pages (lib/move/late.h). */
#define BULK_NAME_MAX 72
const char *bulk_late_name(const char *move, char name[BULK_NAME_MAX]);
/* Removes what a process that was killed has left of it. */
void bulk_forget(const char *move);

/* The other process: hands over stdin and stdout and stays until the move is done with them. s: what it has said and heard there
 * itself (NULL: nothing yet). */
int bulk_attach(const struct stream *s, const char *move, struct err *e);

#endif
