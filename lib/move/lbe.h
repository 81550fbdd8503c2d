/* SPDX-License-Identifier: MIT */
/* Less than best effort (RFC 6297): memory is sent without a queue standing in front of the link. A stream that takes all it can
 * get keeps the link's queue full, and the service's own packets wait in it: a client that had its answer after 1 ms has it after 6.
 * With the streams paced to just what the link carries that queue is empty, and nearly as much gets through.
 *
 * As in BBR (Cardwell et al., ACM Queue 14(5), 2016) the link is measured by sending without limit for a moment, and from then on the
 * limit follows the delay: up by a little while the round trip is as short as it has been since then, down when it is longer, as the
 * least of an interval tells (CoDel, RFC 8289). Each stream is judged by itself: not all are as fast, nor go the same way; and by the
 * time in which it had something on its way, as many ask and send by turns. Where the round trip is long anyway nothing is paced. The
 * limit never goes below LBE_FLOOR of what gets through unlimited, as far as is known: where the delay says nothing, for jitter or for
 * others' queues, that is about all that a stream loses. What it knows is too little after others had the link for a while; it is
 * measured again in some seconds then. */
#ifndef EDGE_MOVE_LBE_H
#define EDGE_MOVE_LBE_H

#include <stdbool.h>

#include "lib/base/stream.h"

#define LBE_FLOOR 0.75

struct lbe;

/* From now on, in a thread of its own. The streams must outlive it, and those that do not leave by a TCP socket of this process are
 * not paced. NULL when there is nothing to pace, or no thread: then all is sent as fast as it goes. */
struct lbe *lbe_start(struct stream *const *streams, int n);
/* From now on nothing is paced; NULL is allowed. */
void lbe_end(struct lbe *l);

/* The law of one stream, by itself; rates in bytes per millisecond, times in ms. */
struct lbe_law {
	double limit;    /* 0: none, while the link is measured */
	double best;     /* that got through since the link was measured, or since it became slower */
	double before;   /* that got through in the last interval of the measuring */
	double base[2];  /* least round trip without a queue in the last intervals, and in those before; 0: none */
	double last;     /* round trip in the last interval */
	unsigned n;      /* intervals that base[0] is of */
	unsigned ups;    /* since it was last too high */
	unsigned busy;   /* intervals in a row in which it held the stream up; */
	unsigned idle;   /* since then, in which the link itself did; */
	unsigned low;    /* in which it was no higher than the floor, less those in which it was; */
	unsigned slow;   /* in a row in which less got through, for a queue, */
	double less;     /* and the most of that */
};
#define LBE_LAW_NEW { 0 }

/* What an interval says: how much got through while something was on its way, the least round trip, and whether there was more to be
 * sent all the time. */
void lbe_decide(struct lbe_law *w, double rate, double rtt, bool always);

#endif
