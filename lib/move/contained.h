/* SPDX-License-Identifier: MIT */
/* Moving a service with its memory whose engine makes the checkpoint (docker, podman): the same journal, guard and word "go" as
 * for every other move, and in between some folders, of which only blocks are sent that the destination has not from an earlier
 * stay.
 *
 *   contain  what is to come; checked, refused or made ready                    -> {refusals}
 *   files    what the container has written (0) and its volumes (2 ...), as often as need be; what its engine has (1)   -> {}
 *   restore  all of it is here: restored, cut off and stopped again             -> {}
 *   go       run                                                                -> {service}
 *   done     the source has ended it: the journal can forget it                 -> {}
 *
 * Until "go" anything that goes wrong, the loss of the stream included, undoes everything there, and it goes on at its source,
 * where it has stood still all the time. */
#ifndef EDGE_MOVE_CONTAINED_H
#define EDGE_MOVE_CONTAINED_H

#include "lib/move/outgoing.h"

/* The folders that go over; the volumes are behind the first two. */
enum { CONTAINED_UPPER, CONTAINED_CHECKPOINT, CONTAINED_VOLUMES, CONTAINED_FOLDERS = CONTAINED_VOLUMES + SERVICE_VOLUMES_MAX };

/* What folder k is called in messages. */
void contained_name(char what[80], const struct service *s, unsigned k);

/* As migrate(). */
int migrate_contained(struct service *s, const char *to, const struct ssh_target *t, const struct move_options *opt,
		      struct json **record, struct err *e);
/* The destination's side: serves the "contain" call and what follows it. 1: the session is over. */
int contained_serve(struct stream *ctl, const struct json *call, struct err *e);

#endif
