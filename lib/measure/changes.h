/* SPDX-License-Identifier: MIT */
/* Which records say something new. */
#ifndef EDGE_MEASURE_CHANGES_H
#define EDGE_MEASURE_CHANGES_H

#include "lib/base/json.h"

struct changes;

struct changes *changes_new(void);
void changes_free(struct changes *c);
/* Is this record of a node or service new, or other than when it was last new? What counts: all members but "seen" and
 * "window_s"; numbers that differ by more than a tenth, shares (0 to 1) by more than 0.05, rates ("_bps") by more than
 * 10 kB/s besides, bytes ("_bytes") by more than 1 MB. */
bool changes_take(struct changes *c, const struct json *rec);
/* Ends a round. Gives the services that were there in the last one and are not in this, though their node is: an array of
 * their records, with the state "exited". */
struct json *changes_round(struct changes *c);

#endif
