/* SPDX-License-Identifier: MIT */
/* Who is at the other end of a session of edge-serve, and what it may do: asked at each call, and watched in between. */
#ifndef EDGE_MOVE_CALLER_H
#define EDGE_MOVE_CALLER_H

#include "lib/base/auto.h"
#include "lib/base/json.h"
#include "lib/base/stream.h"

struct caller;

/* Of "edge-serve --as NAME". From now on the stream is stopped as soon as what is being done is no longer granted. Sets
 * EDGE_FLEET for the programs of the session. */
int caller_open(struct caller **c, const char *name, struct stream *s, struct err *e);
void caller_close(struct caller *c);
AUTO_DEFINE(struct caller, caller_close)
#define AUTO_CALLER AUTO(caller_close_auto)

const char *caller_name(const struct caller *c);
/* May it call that? EX_NOPERM "run: not granted to edge1". Either is noted in /var/lib/edge/grants/log. NULL: whoever may run
 * edge-serve without --as may do all. */
int caller_may(struct caller *c, const struct json *call, struct err *e);

#endif
