/* SPDX-License-Identifier: MIT */
/* Nodes brought into this node's Docker Swarm, and services of it taken to them.
 *
 *   swarm {addr, token}   the node's Docker joins the swarm at that address -> {id: the node's there}
 *
 * The token goes over the session, and stands in no argument and in no log. */
#ifndef EDGE_MOVE_WORKER_H
#define EDGE_MOVE_WORKER_H

#include "lib/base/stream.h"
#include "lib/move/outgoing.h"

/* The node at the other end of a greeted session joins, and is known there as `name`; one that is there already stays. */
int worker_bring_over(struct stream *s, const char *name, struct err *e);
/* Brings the node in, unless it is there (this one itself: manages a swarm from then on), and the image of a service that only this node has. */
int worker_prepare(const char *name, const struct service *svc, struct err *e);
/* The node's side: serves the call of `who` (NULL: one that may do all). */
int worker_serve(struct stream *s, const char *who, const struct json *call, struct err *e);

/* As migrate(), for a service that this node governs. */
int migrate_assigned(struct service *s, const char *to, const struct move_options *opt, struct json **record, struct err *e);

#endif
