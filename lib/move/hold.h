/* SPDX-License-Identifier: MIT */
/* Checkpoints as programs in a pipe see them: one that holds the frozen service, one that ships, one that restores. The
 * holder learns from the journal how it went. */
#ifndef EDGE_MOVE_HOLD_H
#define EDGE_MOVE_HOLD_H

#include <stdio.h>

#include "lib/move/outgoing.h"

/* Freezes the service and prints its `checkpoint` record on `out`. Then, unless leave_running, holds it until the journal
 * says that it was handed over (it is killed here), or `out` has lost its reader or hold_s seconds are over (it is
 * thawed: EX_TEMPFAIL). A signal INT, TERM or HUP thaws it too. */
int hold(const char *name, const char *to, bool leave_running, int hold_s, const struct move_options *opt, FILE *out,
	 struct err *e);
/* The same for a tree of processes that is none of our services: a snapshot that goes on at once. */
int hold_pid(pid_t pid, const struct move_options *opt, FILE *out, struct err *e);

/* Ships the checkpoint of a `checkpoint` record (or of {"id": ID}) to the node; *record (new): a `shipment`. */
int ship(const struct json *checkpoint, const char *to, const struct move_options *opt, struct json **record,
	 struct err *e);

/* Restores a shipment at its destination, or a checkpoint of this node here; *record (new): a `service`. */
int restore(const struct json *shipment, const struct move_options *opt, struct json **record, struct err *e);

#endif
