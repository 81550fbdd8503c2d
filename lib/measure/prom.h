/* SPDX-License-Identifier: MIT */
/* Records as metrics in Prometheus' text format, for the textfile collector of its node exporter. */
#ifndef EDGE_MEASURE_PROM_H
#define EDGE_MEASURE_PROM_H

#include "lib/base/json.h"

/* The metrics of an array of node and service records: their main numbers, each under its name, "edge_node_cpu_use" of cpu.use,
 * with the labels node or, of services, node, service, id and engine. The caller frees the text. */
char *prom_text(const struct json *records);

#endif
