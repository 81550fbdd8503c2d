/* SPDX-License-Identifier: MIT */
/* A whole live move, from this node to another. */
#ifndef EDGE_MOVE_MIGRATE_H
#define EDGE_MOVE_MIGRATE_H

#include "lib/base/json.h"
#include "lib/move/outgoing.h"

/* Moves the service to the node. 0: *record (new) is its service record from there, with "moved"; for a dry run a `move`
 * record that says what would be done. Refused: -1, EX_UNAVAILABLE, the error names the first reason, and *record (new) is
 * a `move` record of action "stay" with all of them. */
int migrate(const char *name, const char *to, const struct move_options *opt, struct json **record, struct err *e);

#endif
