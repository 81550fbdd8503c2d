/* SPDX-License-Identifier: MIT */
/* Whether a service that has ended is to be started again, by "restart" of its definition: "no", "always", "unless-stopped",
 * "on-failure" or "on-failure:N". What is told to stop does not end by itself. */
#ifndef EDGE_ENGINE_AGAIN_H
#define EDGE_ENGINE_AGAIN_H

#include "lib/engine/service.h"

/* How long to wait before that; -1: it is not. status: as waitpid(2) gives it, -1 when it is unknown; lasted_ms: how long it ran. */
int again_after_ms(const struct service *s, int status, double lasted_ms);

#endif
