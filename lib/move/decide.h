/* SPDX-License-Identifier: MIT */
/* Who decides a move when its two nodes cannot talk to each other, but share a registry: the first one that takes it there,
 * by compare-and-swap under the key move/ID. The destination takes it before it writes "running" into its journal, --force
 * at the source before it lets the service go on. The registry in tests/model/hand-over.pml is this. */
#ifndef EDGE_MOVE_DECIDE_H
#define EDGE_MOVE_DECIDE_H

struct registry;

enum decided {
	DECIDED_UNKNOWN = -1, /* no registry is shared, or it cannot be asked: it keeps nobody back */
	DECIDED_NOT,          /* nobody has taken it yet */
	DECIDED_RUNNING,      /* the destination has */
	DECIDED_THAWED,       /* the source has, by force */
};

/* Takes it for this end (DECIDED_RUNNING or DECIDED_THAWED), if nobody has yet: who has it now. Twice is once. */
enum decided decide(const char *move, enum decided how);
/* For who cannot wait later: the registry, with all done that can be done ahead; the caller closes it. NULL: none is shared. */
struct registry *decide_ready(const char *move, enum decided how);
/* decide in that registry; NULL: DECIDED_UNKNOWN. */
enum decided decide_in(struct registry *r, const char *move, enum decided how);
/* Who has it. */
enum decided decided(const char *move);
/* The destination's part of the move is over: nobody will ask any more. */
void decide_forget(const char *move);

#endif
