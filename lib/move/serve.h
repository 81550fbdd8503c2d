/* SPDX-License-Identifier: MIT */
/* One session of edge-serve: hello, then calls until the stream ends. */
#ifndef EDGE_MOVE_SERVE_H
#define EDGE_MOVE_SERVE_H

#include "lib/base/err.h"

/* Over stdin and stdout. as: whose key it was, which then may do only what lib/discover/grant.h says; NULL: one that may do all. */
int serve_session(const char *as, struct err *e);

#endif
