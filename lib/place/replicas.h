/* SPDX-License-Identifier: MIT */
/* How many instances a service has, and which of them serves whom, for the policy optimal.
 *
 * Within needs.min and needs.max (where neither is told the number stays) an instance is started where that lessens what its
 * users wait by more than it costs to run it (problem.h) and the margin, or where there are too few, or those that there are
 * cannot serve all (users_max); one ends whose users are hardly served worse by the others; stateful ones only with a needs.max. Then users go to the
 * nearest instance with room, those first that would lose most elsewhere; who would hardly gain stays. */
#ifndef EDGE_PLACE_REPLICAS_H
#define EDGE_PLACE_REPLICAS_H

#include "lib/place/nearest.h"

/* After the moves of `plan`: at most `max_moves` starts and ends, and users that go elsewhere. NULL: out of memory. */
struct near_plan *replicas_new(const struct problem *p, const struct plan *plan, int max_moves);

#endif
