/* SPDX-License-Identifier: MIT */
/* The guard of a frozen service: a small process that notices when the program that moves it has died, or lets it stand
 * still for too long, and brings the move to an end. It holds the service's lock together with that program. */
#ifndef EDGE_MOVE_GUARD_H
#define EDGE_MOVE_GUARD_H

#include "lib/base/err.h"

struct guard {
	int fd; /* to it; -1: none */
};

/* Forks it. `lock` is the service's lock, `move` a move that will be in the journal. */
int guard_start(struct guard *g, const char *service, const char *move, int lock, struct err *e);
/* The service is being frozen: thawed by the guard after limit_ms, if "go" was not said. 0: no limit (any more). */
void guard_limit(struct guard *g, int limit_ms);
/* The error of who finds that the guard has thawed it. frozen_at: of clock_ms. */
int guard_thawed(const char *service, double frozen_at, int limit_ms, struct err *e);
/* The move has come to its end: nothing to guard any more. Safe on one without a guard. */
void guard_end(struct guard *g);

#endif
