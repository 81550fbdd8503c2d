/* SPDX-License-Identifier: MIT */
/* A test's switch, EDGE_FAULT=compare: at both ends the memory of the frozen service is held against the memory image, page by
 * page, before anything goes on. The images of both ends are the same by their digests. */
#ifndef EDGE_MOVE_COMPARE_H
#define EDGE_MOVE_COMPARE_H

#include "lib/move/image.h"
#include "lib/move/memory.h"

/* Nothing without the switch. EX_SOFTWARE names the first page that differs. shared: shared memory, too, which has other
 * names where it was restored. */
int compare_memory(struct image *im, const pid_t *pids, int n, bool shared, struct err *e);

#endif
