/* SPDX-License-Identifier: MIT */
/* The invitations of a plan: move records whose action is invite. */
#ifndef EDGE_MOVE_INVITE_PLAN_H
#define EDGE_MOVE_INVITE_PLAN_H

#include <stdio.h>

#include "lib/move/invite.h"

/* Reads records to the end, invites all nodes that moves ask to invite (`how`: all but nodes, done and ctx of it), and prints
 * what it has read in its order: in place of an invitation the `member` record, or, where the node did not come, `stay` with the
 * reason; what was to go there stays, too. A node that is not in the registry is reached as its node record says. The number
 * of nodes that did not come, each told through how->warn; -1. */
int invite_plan(FILE *in, FILE *out, const struct invitation *how, struct err *e);

#endif
