/* SPDX-License-Identifier: MIT */
/* What another machine may do here. One file for each, /var/lib/edge/grants/NAME.json, an object:
 *
 *   name, key          who, and the public key that shows it
 *   accept             "always" or "once" (only with a ticket): the owner lets it invite this node
 *   accept_until       when the last of its tickets expires
 *   fleet, verbs, since, until   it has invited this node: for which fleet, what it may do (words below) and until when
 *   member             an object {since, verbs}: this node has invited it, and these are the verbs that it gave
 *   by                 the machine that brought the two together, both being members of its fleet
 *   addr, port, user   how it is reached
 *   used               [{nonce, expires}]: tickets that it has used
 */
#ifndef EDGE_DISCOVER_GRANT_H
#define EDGE_DISCOVER_GRANT_H

#include <stdbool.h>
#include <time.h>

#include "lib/base/json.h"

enum grant_verb { /* bits */
	GRANT_INVITE = 1 << 0,
	GRANT_PROBE = 1 << 1,      /* edge-probe */
	GRANT_LATENCY = 1 << 2,
	GRANT_RUN = 1 << 3,
	GRANT_STOP = 1 << 4,
	GRANT_CHECKPOINT = 1 << 5,
	GRANT_SHIP = 1 << 6,
	GRANT_RESTORE = 1 << 7,    /* also: to bring a service here */
	GRANT_MIGRATE = 1 << 8,
};
#define GRANT_ALL (GRANT_MIGRATE * 2 - 1)
#define GRANT_GUEST (GRANT_ALL & ~GRANT_INVITE) /* what an inviter is given when nothing else is said */
/* What the books of a move need: at its destination, and at its source. */
#define GRANT_MOVES (GRANT_CHECKPOINT | GRANT_SHIP | GRANT_RESTORE | GRANT_MIGRATE)

/* "probe" -> GRANT_PROBE; 0 for none of these words ("invite" is not one that can be granted). */
unsigned grant_verb(const char *word);
/* The words of an array, and the other way round (new). -1 and EX_DATAERR for one that is unknown. */
int grant_verbs(const struct json *words, unsigned *verbs, struct err *e);
struct json *grant_words(unsigned verbs);

/* Held while one or more of the files are changed. */
int grant_lock(struct err *e);
/* New, or NULL: EX_NOPERM "NAME: not known here". */
struct json *grant_load(const char *name, struct err *e);
/* Also the line of authorized_keys: there is one as long as there is something that it may do. */
int grant_save(const struct json *grant, struct err *e);
int grant_remove(const char *name, struct err *e);
/* All, in the order of their names: a new array. */
struct json *grant_list(struct err *e);

/* What it may do at that time; `until` (may be NULL): when that ends by itself, 0 for never. */
unsigned grant_now(const struct json *grant, time_t now, time_t *until);
/* It has invited this node, and that holds at that time. */
bool grant_joined(const struct json *grant, time_t now);
/* The fleet for which it acts here: that of the one who has invited this node, itself or the one who brought it; else NULL.
 * Static storage. */
const char *grant_fleet(const struct json *grant);
/* Forgets that it has invited this node, what it brought here with it included, or that this node has invited it. */
int grant_end(const char *name, bool guest, bool member, struct err *e);

#endif
