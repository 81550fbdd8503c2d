/* SPDX-License-Identifier: MIT */
/* The loop that edge-ship and edge-restore share: each record of some kinds becomes another, the rest pass. */
#ifndef EDGE_MOVE_FILTER_H
#define EDGE_MOVE_FILTER_H

#include <stdio.h>

#include "lib/base/json.h"

/* What becomes of a record: 0 with *out (new); -1 with the error; 1 it failed, and people have been told. */
typedef int filter_fn(const struct json *rec, void *ctx, struct json **out, struct err *e);

/* Reads `in` to its end, or until `out` has lost its reader (EX_IOERR): what comes before in the pipe may wait for us,
 * holding a frozen service. A record whose kind is in `kinds` (NULL-terminated) goes through fn, others are passed on
 * unchanged and in order. An fn that fails is told through `tell` and counted in *failed; -1 for malformed input. */
int filter_records(FILE *in, FILE *out, const char *const kinds[], filter_fn *fn, void *ctx,
		   void (*tell)(const struct err *), int *failed, struct err *e);

#endif
