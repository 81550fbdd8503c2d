/* SPDX-License-Identifier: MIT */
/* Checkpoints as programs in a pipe see them: one that holds the frozen service, one that ships, one that restores. The
 * holder learns from the journal how it went. */
#ifndef EDGE_MOVE_HOLD_H
#define EDGE_MOVE_HOLD_H

#include <stdio.h>

#include "lib/move/outgoing.h"

/* Freezes the service and prints its `checkpoint` record on `out`. Then holds it until the journal says that it was handed
 * over (it is killed here), or that this failed, or `out` has lost its reader or hold_s seconds are over (it is thawed:
 * EX_TEMPFAIL). A signal INT, TERM or HUP thaws it too. leave_running: a snapshot, with copies of the memory and the
 * folders; the service goes on at once. */
int hold(const char *name, const char *to, bool leave_running, int hold_s, const struct move_options *opt, FILE *out,
	 struct err *e);
/* A snapshot of a tree of processes that is none of our services, which goes on at once. Its folder is one that
 * `criu restore` can use. */
int hold_pid(pid_t pid, const struct move_options *opt, FILE *out, struct err *e);

/* What becomes of a held checkpoint, written into the journal beside its holder: "go" before the destination runs it,
 * then "handed-over" or "failed"; "refused" instead of "go". `to`: where it is to run, with "go" (else
 * NULL). EX_UNAVAILABLE HOLD_OVER when the holder does not wait for
 * that (any more). */
int hold_note(const char *move, const char *step, const char *to, struct err *e);
#define HOLD_OVER "checkpoint %s: its holder does not wait for it any more"

/* Ships the checkpoint of a `checkpoint` record (or of {"id": ID}) to the node; *record (new): a `shipment`. The holder
 * of one that cannot be shipped thaws it. */
int ship(const struct json *checkpoint, const char *to, const struct move_options *opt, struct json **record,
	 struct err *e);
/* Removes what was shipped there and will not be restored, as well as that can be done. */
void ship_undo(const char *node, const char *id);

/* Restores a shipment at its destination, or a checkpoint of this node here; *record (new): a `service`. */
int restore(const struct json *shipment, struct json **record, struct err *e);

#endif
