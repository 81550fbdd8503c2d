/* SPDX-License-Identifier: MIT */
/* Nodes that a plan uses and that must be invited before, as they are not of the fleet. */
#ifndef EDGE_PLACE_INVITATION_H
#define EDGE_PLACE_INVITATION_H

#include <stdio.h>

#include "lib/place/problem.h"

struct invitations {
	const struct problem *p;
	bool *asked; /* [nodes] */
};

/* Out of memory: asked is NULL, and nobody is invited. */
void invitations_init(struct invitations *v, const struct problem *p);
void invitations_release(struct invitations *v);
#define AUTO_INVITATIONS AUTO(invitations_release)

/* The fleet to which node `to` must be invited before something comes from node `from` (-1: from nowhere), the first time that
 * this is asked for it: that of the options, else the one that `from` belongs to. NULL: there is none, it belongs to it, or
 * it was asked before. */
const char *invitations_fleet(struct invitations *v, int from, int to);
/* The move record, if one is needed. `job` -1: `service` alone is known. */
void invitations_put(struct invitations *v, FILE *f, int job, int service, int from, int to);

#endif
