/* SPDX-License-Identifier: MIT */
/* What a machine has and how busy it is, for the `node` record of edge-records(5). What cannot be read is absent. */
#ifndef EDGE_MEASURE_MACHINE_H
#define EDGE_MEASURE_MACHINE_H

#include "lib/base/json.h"

/* Is told of each member that stays absent, and why. */
struct absence {
	void (*tell)(void *ctx, const char *what, const char *why);
	void *ctx;
};
void absent(const struct absence *a, const char *what, const char *fmt, ...) __attribute__((format(printf, 3, 4)));

/* The counters of now (processors, interfaces, energy), as a sample of samples.h. */
void machine_sample(struct json *sample);
/* Adds to a node record what does not change from one moment to the next: flags of the processors, scores, addresses,
 * graphics processors, virtualisation, versions of engines, CRIU's features, the fleet that the machine belongs to. Takes a
 * second when it is done for the first time, as some of it is kept (facts.h). */
void machine_describe(struct json *node, const struct absence *a);
/* Adds what has been used between two samples. */
void machine_use(struct json *node, const struct json *then, const struct json *now, const struct absence *a);

/* The parts of machine_describe that have files of their own. */
void machine_gpus(struct json *node, const struct absence *a);
void machine_links(struct json *node, const struct absence *a);
void machine_engines(struct json *node, const struct absence *a);

/* A number in a file of one line; NAN when it cannot be read. */
double machine_number(const char *path);
/* Its first line, NULL when it cannot be read or is empty; the caller frees it. */
char *machine_line(const char *path);

#endif
