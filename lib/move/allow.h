/* SPDX-License-Identifier: MIT */
/* What the calls of a session of edge-serve need, for those who may not do all (lib/discover/grant.h). */
#ifndef EDGE_MOVE_ALLOW_H
#define EDGE_MOVE_ALLOW_H

#include "lib/base/json.h"

/* One of these verbs (bits) is enough for the call; 0: there is no such call, or no such program. */
unsigned allow_needs(const struct json *call);
/* Is the program of a `run` called as our own programs call it over there? Other options, which write files or change the
 * registry, are not for other machines; and services that run for others than `fleet` (NULL: for nobody) are not theirs to
 * stop or to move. EX_NOPERM. */
int allow_args(const struct json *call, const char *fleet, struct err *e);

#endif
