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
/* Two programs may want to decide a move: appends the step, with the members of `more` (may be NULL), if the last one is a
 * word of `from`, under the file's lock. 0 done; 1 it is another one, and nothing was written; EX_UNAVAILABLE when there is no
 * such move. */
int journal_turn(const char *move, const char *from, const char *step, const struct json *more, struct err *e);
/* The step that was written last; "" when the move is not in the journal. Static storage per thread. */
const char *journal_last(const char *move);
/* The last value that a line gives for the string member `key` (new), or NULL. */
char *journal_member(const char *move, const char *key);
/* A move of that role ("source") and instance that is still in the journal: its name, or false. */
bool journal_find(const char *role, const char *id, char move[64]);
/* The move is over and both ends know: removes the file. */
int journal_end(struct journal *j, struct err *e);
void journal_free(struct journal *j);
AUTO_DEFINE(struct journal, journal_free)
#define AUTO_JOURNAL AUTO(journal_free_auto)

#endif
