/* SPDX-License-Identifier: MIT */
/* The journal: one file per move on each of its two nodes, a line per step, on disk before the step is taken for done; but for
 * "restoring", as what is restored ends with the node.
 * The destination's "running" is the moment from which the service is there.
 *
 *   source       begun -> frozen (-> shipped) -> go -> handed-over      or -> thawed, failed, refused: it goes on here
 *   destination  begun -> restoring -> running                          or -> void: it will not run there
 *
 * tests/model proves that with these steps an instance never runs twice. */
#ifndef EDGE_MOVE_JOURNAL_H
#define EDGE_MOVE_JOURNAL_H

#include "lib/base/auto.h"
#include "lib/base/err.h"
#include "lib/base/json.h"
#include "lib/engine/service.h"

/* Begins the file of a move with a first line: {"step":"begun", "boot":..., ...head}. EX_TEMPFAIL when it has begun before. */
int journal_begin(const char *move, const struct json *head, struct err *e);
/* The same at a source: {"role":"source", "service", "id", "to"}. */
int journal_begin_source(const char *move, const struct service *s, const char *to, struct err *e);
/* Several may want to decide a move: appends {"step":STEP,"at":TIME} and the members of `more` (may be NULL) if the last
 * step is a word of `from`, under the file's lock, and waits until it is on disk. 0 done; 1 it is another one, and nothing
 * was written; EX_UNAVAILABLE when there is no such move. */
int journal_turn(const char *move, const char *from, const char *step, const struct json *more, struct err *e);
/* The same without waiting for the disk: of a step that other processes must see, but that tells nothing any more when this node
 * has been switched off, as what it is about ends with that. The next step brings it to disk. */
int journal_turn_cached(const char *move, const char *from, const char *step, const struct json *more, struct err *e);
/* The step that was written last; "" when the move is not in the journal. Static storage per thread. */
const char *journal_last(const char *move);
/* The last value that a line gives for the string member `key` (new), or NULL. */
char *journal_member(const char *move, const char *key);

/* A move as its file tells it. */
struct journal_entry {
	char move[64], step[32], at[32]; /* its name, last step and when that was */
	char role[16];                   /* "source", "destination" */
	char service[64], id[17];
	char peer[256];                  /* the other node, as this one reaches it; "" unknown */
	bool same_boot;                  /* this node has not been switched off since it began */
	bool was_here;                   /* destination: the service's folder is older than the move */
	bool forced;                     /* destination: the source will never answer, somebody said */
};
/* False only when there surely is no such move: one that cannot be read counts. */
bool journal_has(const char *move);
/* All that are in the journal, oldest first: a new array. */
int journal_entries(struct journal_entry **list, size_t *n, struct err *e);
int journal_entry(const char *move, struct journal_entry *entry, struct err *e);
/* A move of that role and instance that is still in the journal: its name, or false. */
bool journal_find(const char *role, const char *id, char move[64]);
/* The service's lock, as service_lock gives it; EX_TEMPFAIL says which move has it, if one has. */
int journal_lock(const char *service, int wait_ms, struct err *e);
/* The move is over and both ends know, or it never came to anything: removes its file; a missing one is no error. */
int journal_forget(const char *move, struct err *e);

/* A test's switch, EDGE_FAULT=hold: whoever has written a step for which there is a file hold-STEP stops there, and renames it
 * to held-STEP, until the test has done what it wants to see survived and removes that. */
void journal_hold(const char *step);

#endif
