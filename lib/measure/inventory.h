/* SPDX-License-Identifier: MIT */
/* This machine's node record, and the records of the services on it. */
#ifndef EDGE_MEASURE_INVENTORY_H
#define EDGE_MEASURE_INVENTORY_H

#include "lib/measure/machine.h"

struct inventory {
	double window_s; /* over which use is told; what earlier programs have counted is used */
	bool services;   /* of them too */
};

/* An array, the node first. Takes half a second when nobody has counted before. */
struct json *inventory(const struct inventory *plan, const struct absence *a);

#endif
