/* SPDX-License-Identifier: MIT */
/* Moving a stateless service: started at the destination first, then stopped at the source.
 *
 *   start   checked, started, cut off; answered when it listens on its ports   -> {refusals} | {service}
 *   take    the source has let go of the address                               -> {}
 *   done    the source has stopped it: the journal can forget it               -> {} */
#ifndef EDGE_MOVE_STATELESS_H
#define EDGE_MOVE_STATELESS_H

#include "lib/move/outgoing.h"

/* As migrate(). The old one is cut off before the new one answers, and comes back when that fails. */
int migrate_stateless(struct service *s, const char *to, const struct ssh_target *t, const struct move_options *opt,
		      struct json **record, struct err *e);
/* The destination's side: serves the "start" call and what follows it. 1: the session is over. */
int stateless_serve(struct stream *ctl, const struct json *call, struct err *e);

#endif
