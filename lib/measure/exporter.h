/* SPDX-License-Identifier: MIT */
/* Records from what others' monitors say: Prometheus' node exporter, and cAdvisor. */
#ifndef EDGE_MEASURE_EXPORTER_H
#define EDGE_MEASURE_EXPORTER_H

#include "lib/base/json.h"

/* Reads "node-exporter:URL" (a node record) or "cadvisor:URL" (service records), and adds the records to an array. Services
 * are at the node that the array has with the URL's host as its address; else the host is taken for their node's name.
 * The exporter only counts: use is told against what was read from it in the last window, or a second before.
 * EX_USAGE for another kind, EX_UNAVAILABLE when it does not answer, EX_DATAERR for what it cannot have meant. */
int exporter_read(const char *from, double window_s, struct json *records, struct err *e);

/* The parts, in files of their own. `host` is the URL's. */
struct exporter {
	const char *name; /* for messages: "cadvisor http://host:8080" */
	const char *url, *host;
	double window_s;
};
int exporter_node(const struct exporter *x, struct json *records, struct err *e);
int exporter_cadvisor(const struct exporter *x, struct json *records, struct err *e);

#endif
