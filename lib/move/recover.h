/* SPDX-License-Identifier: MIT */
/* Moves that were interrupted: what the journal says of them, and bringing them to an end. Safe to do twice, and at both
 * nodes at once: each decision is one step of a journal, and a service's lock keeps everybody else away meanwhile. */
#ifndef EDGE_MOVE_RECOVER_H
#define EDGE_MOVE_RECOVER_H

#include "lib/base/json.h"
#include "lib/base/stream.h"
#include "lib/move/journal.h"

/* What is, or was, to be done about a move. */
enum recovery {
	RECOVERY_NONE,   /* it is under way */
	RECOVERY_THAW,   /* source: the service goes on here */
	RECOVERY_RETIRE, /* source: it runs there, what is left here ends */
	RECOVERY_UNDO,   /* destination: what was brought here is taken away */
	RECOVERY_KEEP,   /* destination: it runs here */
	RECOVERY_FENCE,  /* it runs elsewhere under a newer epoch: what is here ends */
	RECOVERY_FORGET, /* nothing is left of it but the journal's entry */
	RECOVERY_WAIT,   /* nobody knows yet: the service stays frozen */
};

struct recover_options {
	bool look;   /* change nothing */
	bool force;  /* the other node will never answer again */
	bool keep_entry; /* the program that has the move is alive, and ends it itself */
	int ask_ms;  /* how long it is asked */
	bool brief;  /* somebody waits for the answer: no memory is brought anywhere */
};

/* Brings one move to an end; the caller has the service's lock. *why: for people, static text. Not 0: it failed half way, and can
 * be tried again. */
int recover_move(const struct journal_entry *j, const struct recover_options *opt, enum recovery *what, const char **why,
		 struct err *e);
/* What interrupted moves of this instance there are, with the lock held: -1, EX_TEMPFAIL, when one of them has to wait, or when
 * it leaves this node and the one that it came from has not heard yet that it was here. */
int recover_instance(const char *service, const char *id, bool leaves, struct err *e);

/* All moves in this node's journal, or those of one service: `each` gets a `move` record of what was found and done. The
 * number that still have to wait or failed, or -1. */
int recover_all(const char *service, const struct recover_options *opt, int (*each)(void *ctx, const struct json *record),
		void *ctx, struct err *e);

/* edge-serve's side: the source says whether it still has the move, after it has tried to end it, and its epoch. */
int recover_serve(struct stream *s, const struct json *call, struct err *e);
/* And the destination hears, over a new connection, that the source knows: its part is over. */
int recover_known(struct stream *s, const struct json *call, struct err *e);

#endif
