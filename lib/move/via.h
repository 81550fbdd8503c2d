/* SPDX-License-Identifier: MIT */
/* How far targets are from another node: edge-latency there measures them. */
#ifndef EDGE_MOVE_VIA_H
#define EDGE_MOVE_VIA_H

#include "lib/base/json.h"
#include "lib/measure/probe.h"

/* Measures p's targets from `node`, without that node itself: a `latency` record of each, with p's name for it, to each(),
 * which owns it; not 0 from it ends this. Gives edge-latency's exit status there, whose messages go to say(); -1: it
 * could not be run. */
int via_run(const char *node, const struct probe *p, void (*say)(const char *),
	    int (*each)(void *ctx, struct json *latency, struct err *e), void *ctx, struct err *e);

#endif
