/* SPDX-License-Identifier: MIT */
/* Programs that the keeper starts for its service, as keeper_exec asks for: criu, or runc. */
#ifndef EDGE_ENGINE_KEEPER_HELPER_H
#define EDGE_ENGINE_KEEPER_HELPER_H

#include "lib/engine/service.h"

/* argv as a child of ours, in the service's cgroups and in the network namespace `netns`; returns when it runs, with its pid. fd3 (-1:
 * none) and log become its descriptors 3 and 4; errlog as keeper_exec has it. */
int keeper_helper_spawn(const struct service *s, char *const *argv, int netns, int fd3, int log, const char *errlog, pid_t *pid,
			struct err *e);

#endif
