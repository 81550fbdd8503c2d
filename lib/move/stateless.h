/* SPDX-License-Identifier: MIT */
/* Moving a stateless service: started at the destination first, then stopped at the source. */
#ifndef EDGE_MOVE_STATELESS_H
#define EDGE_MOVE_STATELESS_H

#include "lib/move/outgoing.h"

/* As migrate(). The new instance holds its address from its start; the old one is cut off before. */
int migrate_stateless(struct service *s, const char *to, const struct ssh_target *t, const struct move_options *opt,
		      struct json **record, struct err *e);
/* The destination's side: serves the "start" call. */
int stateless_serve(struct stream *ctl, const struct json *call, struct err *e);

#endif
