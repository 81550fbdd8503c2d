/* SPDX-License-Identifier: MIT */
/* What services use, by the cgroups (v1 and v2) and the network namespace of their first process. */
#ifndef EDGE_MEASURE_USAGE_H
#define EDGE_MEASURE_USAGE_H

#include <limits.h>
#include <stdbool.h>
#include <sys/types.h>

#include "lib/measure/machine.h"

/* The counters of now of services (containers.h), as member "services" of a sample of samples.h. */
void usage_sample(struct json *sample, const struct json *services, const struct absence *a);
/* Gives the services as records, with "usage" of what was used between the two samples; a service that is younger than that
 * has its own age as its window. */
struct json *usage_records(const struct json *services, const struct json *then, const struct json *now);

/* The network namespace of a container's first process, a descriptor; -1 when it has none of its own (EX_UNAVAILABLE). */
int usage_network(pid_t pid, struct err *e);
/* Its cgroup of version 2, if that is the container's alone, which its name with the id in it shows. */
bool usage_cgroup(pid_t pid, const char *id, char dir[PATH_MAX]);

#endif
