/* SPDX-License-Identifier: MIT */
/* Both ends of a move show each other that they are alive, as a link that is cut says nothing: a ping every PULSE_MS, and
 * one who has not been heard of for PULSE_LIMIT_MS is taken for gone. */
#ifndef EDGE_MOVE_PULSE_H
#define EDGE_MOVE_PULSE_H

#include "lib/base/stream.h"

#define PULSE_MS 1000
#define PULSE_LIMIT_MS 8000

struct pulse;

/* Starts beating on this stream, which must be greeted. Some ten times a second look(ctx) is asked for a reason to give up
 * (static text), NULL being none; look may be NULL. With a reason, or when the other end is silent, stop(ctx) is called,
 * once, in a thread of its own: it makes whatever waits end. */
int pulse_start(struct pulse **p, struct stream *s, const char *(*look)(void *), void (*stop)(void *), void *ctx,
		struct err *e);
/* Why it was stopped ("no sign of life for 8 s", or what `look` said); NULL when it was not. */
const char *pulse_reason(const struct pulse *p);
/* Ends it; the stream is free again. NULL is allowed. */
void pulse_end(struct pulse *p);

#endif
