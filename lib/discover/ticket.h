/* SPDX-License-Identifier: MIT */
/* Tickets: what a node's owner hands to an inviter. With it the inviter believes the node's host key from the first connection
 * on; and if it has a token, it lets the inviter in once, until it expires. A record of kind "ticket":
 *
 *   node, addr, port, user, host_keys   the node, and how it is reached
 *   inviter                             for whom
 *   nonce, expires, token               absent where the inviter may come as often as it likes
 *
 * The token is HMAC-SHA256, by a secret that never leaves the node, of the other members and the inviter's key. */
#ifndef EDGE_DISCOVER_TICKET_H
#define EDGE_DISCOVER_TICKET_H

#include <time.h>

#include "lib/base/json.h"

#define TICKET_MAX 65536 /* bytes of its text */

/* For the inviter of a grant (grant.h). seconds 0: without a token. NULL: no random numbers, no disk. */
struct json *ticket_issue(const struct json *grant, long seconds, struct err *e);
/* Is {nonce, expires, token} good for the inviter of this grant, at this node, now? EX_NOPERM and why not: forged or another's,
 * expired, used. */
int ticket_check(const struct json *token, const struct json *grant, time_t now, struct err *e);
/* Notes in the grant, which the caller then writes, that it is used; those that have expired anyway are left out. */
void ticket_burn(struct json *grant, const struct json *token, time_t now);
/* One of a file, or of stdin ("-"), looked at from outside: has it all members? EX_DATAERR. */
struct json *ticket_read(const char *path, struct err *e);

#endif
