/* SPDX-License-Identifier: MIT */
/* Pages on their way from one memory image to another, over several streams at once.
 *
 * Per round, each stream's frames:  COVER {object, window}...
 *   HAVE  where pages stand, and the digest of each       ->  WANT  one bit a page
 *   PAGES where pages stand, one digest for all of it; then the pages, as one zstd frame or raw
 *   SYNC                                                  ->  SYNCED (JSON: {}, or {error, code})
 * In the freeze there is no HAVE: what changed since the last round is sent at once. */
#ifndef EDGE_MOVE_PAGES_H
#define EDGE_MOVE_PAGES_H

#include <stdbool.h>

#include "lib/base/stream.h"
#include "lib/move/image.h"
#include "lib/move/memory.h"
#include "lib/move/wire.h"

struct pages_stats {
	uint64_t looked_at;  /* pages compared */
	uint64_t changed;    /* of these, changed since they were sent last */
	uint64_t zero;       /* of these, all zeros: not sent */
	uint64_t there;      /* of these, at the destination already */
	uint64_t sent;       /* of these, sent */
	uint64_t raw_bytes, sent_bytes;
	double ms;
};

/* The sending end: threads that work through rounds. */
struct sender;

/* Uses these streams until sender_free, which does not free them. `im` is this node's own image; it is kept in step,
 * so that a move back finds the pages there. With one stream that is NULL nothing is sent: only the image is filled. */
int sender_new(struct sender **s, struct image *im, struct stream *const *streams, int n, struct err *e);
void sender_free(struct sender *s);
AUTO_DEFINE(struct sender, sender_free)
#define AUTO_SENDER AUTO(sender_free_auto)

/* One round over these runs: sends each page that differs from what was sent last, and returns when the far end has all
 * of them in its image. ask: let the far end say what it lacks (rounds before the freeze). final: these are the
 * service's pages as they stay (image_use), and one that cannot be read is an error. Adds to *st. */
int sender_round(struct sender *s, const struct page_runs *runs, bool ask, bool final, struct pages_stats *st,
		 struct err *e);
/* Whether one more round before the freeze would shorten it by a fifth of its own time at least, judging by three rounds so
 * far (the first two may be one): what pages cost, and how fast the service writes. */
bool pages_round_pays(const struct pages_stats *first, const struct pages_stats *before, const struct pages_stats *last);
/* The far end knows where pages belong, and gets all of a round, changed or not. */
void sender_send_all(struct sender *s);
/* One run at once, over the first stream of such a sender, without waiting for an answer; not while a round is under way. */
int sender_now(struct sender *s, const struct page_run *run, struct err *e);
/* Called by one of the threads from time to time in a round, with the runs done so far and all of them. -1: the round
 * is given up, with that error. */
void sender_progress(struct sender *s, int (*fn)(void *ctx, uint64_t done, uint64_t all, struct err *e), void *ctx);

/* The receiving end of one stream: handles its frames until the stream closes. What goes wrong is told to the sender
 * at its next SYNC; -1 when the stream itself is broken. */
int receiver_run(struct stream *s, struct image *im, struct err *e);

/* The same where no image takes the pages. */
struct page_sink {
	/* Pages one behind the other, which have arrived as they were sent; data NULL: all zeros. */
	int (*take)(void *ctx, uint64_t object, uint64_t addr, uint64_t pages, const void *data, struct err *e);
	/* A call (FRAME_CALL); -1 with `e`: the stream is broken. */
	int (*call)(void *ctx, struct stream *s, const struct json *call, struct err *e);
	void *ctx;
};
int receiver_pour(struct stream *s, const struct page_sink *sink, struct err *e);

#endif
