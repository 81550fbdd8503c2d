/* SPDX-License-Identifier: MIT */
/* The journal: one file per move on each of its two nodes, a line per step, on disk before the step is taken for done.
 * The destination's "running" is the moment from which the service is there. */
#ifndef EDGE_MOVE_JOURNAL_H
#define EDGE_MOVE_JOURNAL_H

#include "lib/base/auto.h"
#include "lib/base/err.h"
#include "lib/base/json.h"

struct journal;

/* Begins the file of a move with a first line: {"step":"begun", ...head}. */
int journal_begin(struct journal **j, const char *move, const struct json *head, struct err *e);
/* Continues one that exists: EX_UNAVAILABLE when there is none. */
int journal_open(struct journal **j, const char *move, struct err *e);
/* Appends {"step":STEP,"at":TIME} and waits until it is on disk. */
int journal_step(struct journal *j, const char *step, struct err *e);
/* The step that was written last; "" when the move is not in the journal. Static storage per thread. */
const char *journal_last(const char *move);
/* The move is over and both ends know: removes the file. */
int journal_end(struct journal *j, struct err *e);
void journal_free(struct journal *j);
AUTO_DEFINE(struct journal, journal_free)
#define AUTO_JOURNAL AUTO(journal_free_auto)

#endif
