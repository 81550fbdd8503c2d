/* SPDX-License-Identifier: MIT */
/* The inviter's side of an invitation (lib/move/guest.h is the other): many nodes at a time. */
#ifndef EDGE_MOVE_INVITE_H
#define EDGE_MOVE_INVITE_H

#include <stddef.h>

#include "lib/base/json.h"

struct invitation {
	const struct json *nodes;   /* array of {target, name}: NAME or ssh://... to reach it; its name, absent when not known */
	const struct json *tickets; /* array (lib/discover/ticket.h) */
	const struct json *verbs;   /* array of words; NULL: all that it lets be granted */
	int at_once, timeout_ms;
	/* Of node i, once: the `member` record, or NULL and the reason. */
	void (*done)(void *ctx, size_t i, const struct json *member, const struct err *why);
	void *ctx;
	/* Something that does not keep the node from being a member. */
	void (*warn)(const struct err *e);
};

/* Believes the host keys of the tickets, invites the nodes, lets those that come bring services here, writes them to the
 * registry, and makes the members known to one another. The number of those that did not come, or -1 when nothing can be done. */
int invite_run(const struct invitation *inv, struct err *e);

/* Ends it, on both sides: this node and `name` have invited each other no more, and the other members do not know it any
 * more. What others do not hear is told through warn(). */
int invite_end(const char *name, void (*warn)(const struct err *e), struct err *e);

/* A `member` record of a grant (lib/discover/grant.h): who has invited whom; NULL when neither has. `member`: of those that
 * this node has invited, else of those that have invited it. */
struct json *invite_record(const struct json *grant, bool member);

#endif
