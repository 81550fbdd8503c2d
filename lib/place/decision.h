/* SPDX-License-Identifier: MIT */
/* A log of decisions: `move` records as they were printed, with their time, their policy and what else there was to choose. */
#ifndef EDGE_PLACE_DECISION_H
#define EDGE_PLACE_DECISION_H

#include <stdio.h>

#include "lib/place/plan.h"

/* Writes the move records among these lines, with `at`, `policy` and, of those that a plan (or NULL) decides, `choices`. */
void decision_put(FILE *f, const char *lines, const struct problem *p, const struct plan *plan, const char *policy);
/* For people: what a line of such a log says about a service, if it does: a decision, or what has come of one (records of
 * edge-migrate). 1: it did; 0: nothing. */
int decision_show(FILE *f, const char *line, size_t len, const char *service);

#endif
