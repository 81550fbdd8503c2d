/* SPDX-License-Identifier: MIT */
/* A move as its destination sees it: one control stream, and bulk streams that join it.
 *
 *   prepare   what is to come; checked, refused or reserved      -> {refusals} | {move}
 *   files     a folder (lib/move/files.h), as often as need be   -> {}
 *   arm       network (held), cgroups, keeper, a warm criu       -> {}
 *   catch     its network is held at the source now: keep what comes for it (no answer)
 *   IMAGE     the checkpoint's small files
 *   restore   all of it is here: put together, not yet running   -> {}
 *   go        run                                                -> {service}
 *   done      the source knows: the journal can forget it        -> {}
 *   seal      instead of the last three: keep it as a checkpoint -> {}
 *
 * Until "go" anything that goes wrong, the loss of the control stream included, undoes everything here. */
#ifndef EDGE_MOVE_INCOMING_H
#define EDGE_MOVE_INCOMING_H

#include "lib/base/json.h"
#include "lib/base/stream.h"

/* Serves a whole move, from its "prepare" (or, for a sealed checkpoint, "open") call on; every answer has been sent. */
int incoming_serve(struct stream *ctl, const struct json *call, struct err *e);

/* Serves the call "drop": removes a checkpoint that was sealed here for a holder that does not wait any more. */
int incoming_drop(struct stream *ctl, const struct json *call, struct err *e);

/* It does not run here: the registry is not to say that it does, as it may since a snapshot was to be restored here. */
void incoming_unclaim(const char *id);

#endif
