/* SPDX-License-Identifier: MIT */
/* The node's side of an invitation (lib/move/invite.h is the other): the calls of a session of "edge-serve --as NAME".
 *
 *   invite {fleet, verbs}         would it come, and does it want a token first? {"answer":"join"|"token", verbs, quota}
 *   join {fleet, verbs, name, addr, port, user, host_keys, ticket}   it comes: {node, key, host_keys, verbs, until, quota}
 *   meet {peers}                  other members, who may bring services here from now on
 *   part {peer}                   that one is no member any more; without `peer`: the caller has nothing to do with it any more
 *
 * An answer to "join" is given when all of it is on disk; to say it again changes nothing but its end. */
#ifndef EDGE_MOVE_GUEST_H
#define EDGE_MOVE_GUEST_H

#include <stdbool.h>

#include "lib/base/json.h"
#include "lib/base/stream.h"

bool guest_knows(const char *verb);
/* `who`: as caller_name() says; NULL: EX_NOPERM, as nobody knows who asks. */
int guest_serve(struct stream *s, const char *who, const struct json *call, struct err *e);

/* Also the inviter's: another node, of {name, key, host_keys, addr, port, user}, is known from now on. Adds what is new to its
 * grant: `with` is an object of members. Writes it to the registry, if it is not there, with that fleet. The caller holds
 * grant_lock. EX_NOPERM when the name is known here with another key. */
int guest_admit(const struct json *node, const struct json *with, const char *fleet, struct err *e);

#endif
