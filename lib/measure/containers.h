/* SPDX-License-Identifier: MIT */
/* Services on this machine: ours, and containers of Docker, podman and runc that somebody else has started. */
#ifndef EDGE_MEASURE_CONTAINERS_H
#define EDGE_MEASURE_CONTAINERS_H

#include <sys/types.h>

#include "lib/measure/machine.h"

/* An array of `service` records. Those that run have a member "pid" beside, of their first process; it is no part of the
 * record and to be taken out. Of others' containers only running ones are told. An engine that cannot be asked is told
 * as absent. */
struct json *containers_list(const struct absence *a);
/* The one of others' that runs and has that name: its first process, 0: there is none. *id is its engine's, to be freed. */
pid_t containers_find(const char *name, char **id);

#endif
