/* SPDX-License-Identifier: MIT */
/* What services use, by the cgroups (v1 and v2) and the network namespace of their first process. */
#ifndef EDGE_MEASURE_USAGE_H
#define EDGE_MEASURE_USAGE_H

#include "lib/measure/machine.h"

/* The counters of now of services (containers.h), as member "services" of a sample of samples.h. */
void usage_sample(struct json *sample, const struct json *services, const struct absence *a);
/* Gives the services as records, with "usage" of what was used between the two samples; a service that is younger than that
 * has its own age as its window. */
struct json *usage_records(const struct json *services, const struct json *then, const struct json *now);

#endif
