/* SPDX-License-Identifier: MIT */
/* The store: content that this node keeps because a move may want it again. Memory images by instance, layers by digest.
 * All of it can be had again, so it gives way when space is short. */
#ifndef EDGE_MOVE_STORE_H
#define EDGE_MOVE_STORE_H

#include <stdint.h>

#include "lib/base/err.h"

/* Where an instance's memory image is kept. Static ring of buffers. */
const char *store_memory_dir(const char *id);
/* Forgets an instance's memory. */
int store_forget(const char *id, struct err *e);
/* Makes room until `bytes` are free on the store's filesystem: removes memory images of instances that are not in
 * `services` of this node or have left it, and are in no move of the journal, oldest first, but not that of `keep`. Gives the bytes that are free then. */
uint64_t store_make_room(uint64_t bytes, const char *keep);

#endif
