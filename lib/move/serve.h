/* SPDX-License-Identifier: MIT */
/* One session of edge-serve: hello, then calls until the stream ends. */
#ifndef EDGE_MOVE_SERVE_H
#define EDGE_MOVE_SERVE_H

#include "lib/base/err.h"

/* Over stdin and stdout. */
int serve_session(struct err *e);

#endif
