/* SPDX-License-Identifier: MIT */
/* Counters as they once were, kept in /run/edge/samples-NAME.json from one program to the next, so that what was used over the
 * last minute can be told at once. A sample is an object; its member "at" is in seconds since boot. */
#ifndef EDGE_MEASURE_SAMPLES_H
#define EDGE_MEASURE_SAMPLES_H

#include "lib/base/json.h"

/* Seconds since boot, sleep included: what processes' start times are in. */
double samples_clock(void);
/* The oldest sample that is younger than the window (and a quarter of it, for who comes once a window), NULL when there
 * is none. A new value. */
struct json *samples_since(const char *name, const struct json *now, double window_s);
/* Keeps this one too, unless one of the last twelfth of the window is there. -1: cannot be written. */
int samples_keep(const char *name, const struct json *now, double window_s, struct err *e);

#endif
