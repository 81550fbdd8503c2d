/* SPDX-License-Identifier: MIT */
/* Network coordinates: estimates for the pairs of nodes that nobody has measured, from those that somebody has.
 *
 * A node is a point in eight dimensions and a height above them; the estimate for a pair is the distance of their points plus
 * both heights, as Vivaldi has it (Dabek et al., 2004). All measurements are fitted at once, by the error of the logarithm, of
 * which an outlier can only move so much; then those are left out that are far longer than the others make likely, and the rest is
 * fitted anew. Heights alone keep two nodes behind one slow line far apart, so a pair's estimate
 * is lessened when the coordinates of either explain the measurements of the other as well as its own do. */
#ifndef EDGE_MEASURE_COORD_H
#define EDGE_MEASURE_COORD_H

#include <stddef.h>

#include "lib/base/auto.h"
#include "lib/base/json.h"

struct coords;

struct coords *coords_new(void);
void coords_free(struct coords *c);
AUTO_DEFINE(struct coords, coords_free)
#define AUTO_COORDS AUTO(coords_free_auto)

/* Of several measurements of a pair, in either direction, the smallest holds. One that is not between a microsecond and a
 * minute, or of a node to itself, is passed over. */
void coords_measured(struct coords *c, const char *from, const char *to, double rtt_ms);
/* Places all nodes that have been named. The same measurements give the same coordinates. */
void coords_fit(struct coords *c);

/* Nodes are numbered in the order in which they were named. */
size_t coords_count(const struct coords *c);
const char *coords_name(const struct coords *c, size_t i);
/* -1: never named. */
long coords_find(const struct coords *c, const char *name);
bool coords_known(const struct coords *c, size_t i, size_t j);
/* In ms; *error (may be NULL): how far off it may well be, as a part of it. */
double coords_estimate(const struct coords *c, size_t i, size_t j, double *error);
/* A `latency` record of it, by the method "predicted". */
struct json *coords_record(const struct coords *c, size_t i, size_t j);
/* {"at":[...],"height":...,"error":...} in ms, for a node's record. */
struct json *coords_json(const struct coords *c, size_t i);

#endif
