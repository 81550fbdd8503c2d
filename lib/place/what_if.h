/* SPDX-License-Identifier: MIT */
/* Questions: what if a node failed, or there were more users? */
#ifndef EDGE_PLACE_WHAT_IF_H
#define EDGE_PLACE_WHAT_IF_H

#include "lib/place/world.h"

/* Changes the world, which is indexed, to what the question supposes; failed[] by index of the node.
 *   node NAME fails               it and what runs there are gone
 *   node NAME fills               it takes nothing more
 *   users xN                      each asks for N times as much, and what serves them uses more by as much
 *   users xN at LAT,LON           those within 50 km of it
 *   users xN at LAT,LON within KM
 * -1 and EX_USAGE for other words or an unknown node. */
int what_if(struct world *w, bool *failed, const char *question, struct err *e);

#endif
