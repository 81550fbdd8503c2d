/* SPDX-License-Identifier: MIT */
/* What a move writes is brought to disk as it comes, and the rest before the service stands still: a step of the journal is on
 * disk only when all is that the disk had to write before it, and the client would wait for that. */
#ifndef EDGE_MOVE_SETTLE_H
#define EDGE_MOVE_SETTLE_H

#define SETTLE_MS 5000 /* of a service that waits for its freeze: a disk that has still not caught up is not waited for */

struct settle;

/* From now on, in a thread, what is written to the files in `pages` is sent to disk about once a second, and all that the
 * filesystem of `dir` holds every few seconds. NULL when that cannot be: then it goes when the kernel thinks fit. */
struct settle *settle_start(const char *dir, const char *pages);
/* Until all that was written before is on disk, at most so many milliseconds. Nothing of what is written later is brought there. */
void settle_now(struct settle *s, int ms);
/* Ends it, and waits for no disk; NULL is allowed. */
void settle_free(struct settle *s);

#endif
