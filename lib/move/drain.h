/* SPDX-License-Identifier: MIT */
/* Services off a machine that leaves its fleet, live, before it does. */
#ifndef EDGE_MOVE_DRAIN_H
#define EDGE_MOVE_DRAIN_H

#include <stdio.h>

#include "lib/base/json.h"

struct drain {
	FILE *out;                                        /* the records of the services that have moved */
	int at_once, timeout_ms;                          /* of edge-probe on the nodes */
	void (*say)(const char *line);                    /* what programs over there say */
	void (*failed)(const struct err *e);              /* of a service, or a node */
};

/* A member of this node's fleet: where to is planned as edge-place does it, from fresh records of all members and this node,
 * for all services of the fleet at once. The number of services that are still there, or -1. */
int drain_member(const char *node, const struct drain *d, struct err *e);
/* This node, of what it has of one inviter's fleet: each service goes to the inviter, or to the first other member that takes
 * it. The same. */
int drain_self(const char *inviter, const struct drain *d, struct err *e);

#endif
