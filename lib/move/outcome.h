/* SPDX-License-Identifier: MIT */
/* How a move went: asked by a source that has said "go" and lost its connection, answered by the destination's journal. */
#ifndef EDGE_MOVE_OUTCOME_H
#define EDGE_MOVE_OUTCOME_H

#include "lib/base/json.h"
#include "lib/base/ssh.h"

enum outcome {
	OUTCOME_UNKNOWN = -1, /* nobody could be asked */
	OUTCOME_NOT,          /* it does not run there, and never will by this move */
	OUTCOME_RUNNING,      /* it was committed to that node, whatever became of it since */
	OUTCOME_DIED,         /* it was, and that node was switched off since */
};

/* Asks over a stream. A move that has not come to its commit there is void from then on. */
enum outcome outcome_ask(struct stream *s, const char *move);
/* Asks a node, over new connections, until it answers or limit_ms is over. *open (may be NULL): the stream that answered. */
enum outcome outcome_learn(const struct ssh_target *to, const char *move, int limit_ms, struct stream **open);
/* The error of a source that does not know. */
int outcome_unknown(const char *service, const char *to, const char *move, struct err *e);
/* Tells the destination that the source knows: its journal can forget the move. */
void outcome_known(struct stream *s, const char *move);

/* edge-serve's side of the first; of the last: recover_known. */
int outcome_tell(struct stream *s, const struct json *call, struct err *e);

#endif
