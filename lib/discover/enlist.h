/* SPDX-License-Identifier: MIT */
#ifndef EDGE_DISCOVER_ENLIST_H
#define EDGE_DISCOVER_ENLIST_H

#include "lib/discover/registry.h"

/* Writes a node record to the registry. Of the record that was there before, how to reach the node is kept (addr, port,
 * user) where the new one does not say it. EX_DATAERR for one without a name. */
int enlist(struct registry *r, const struct json *node, struct err *e);
/* The node belongs to no fleet any more, if it was that one. No record of it: nothing is done. */
int enlist_leaves(struct registry *r, const char *node, const char *fleet, struct err *e);

#endif
