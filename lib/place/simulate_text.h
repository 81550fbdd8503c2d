/* SPDX-License-Identifier: MIT */
/* What came of a trace, as a record and in a line. These write to `f` and leave it to the caller to check it. */
#ifndef EDGE_PLACE_SIMULATE_TEXT_H
#define EDGE_PLACE_SIMULATE_TEXT_H

#include <stdio.h>

#include "lib/place/simulate.h"

/* The record "simulation". */
void simulate_put(FILE *f, const struct simulate_totals *t, const char *policy);
/* For people. */
void simulate_show(FILE *f, const struct simulate_totals *t, const char *policy);
/* Seconds since 1970 as 2026-01-01T00:00:00Z. */
void simulate_time(double seconds, char text[32]);

#endif
