/* SPDX-License-Identifier: MIT */
/* The late pages of a service that runs elsewhere already, at the node that it has left: it stands frozen here, and its pages
 * are read from it until the last one is there. lazy_lines.h is the other end.
 *
 * Three streams join the process that gives the service its pages there. Over the first it asks for pages that are waited for,
 * which are sent at once; over the others come all that lack, in order. What lacks is known there alone: so whoever has the
 * frozen processes, the same program after its link was lost or another one, can begin at any time.
 *
 *   CALL ask      on the first line: from now on  <- LACK {object, address, pages}...   -> PAGES
 *   CALL lacking  -> LACK {object, address, pages}... and an empty one; then PAGES, SYNC -> SYNCED (lib/move/pages.h) */
#ifndef EDGE_MOVE_LATE_H
#define EDGE_MOVE_LATE_H

#include "lib/base/ssh.h"
#include "lib/engine/service.h"
#include "lib/move/lazy_late.h"
#include "lib/move/pages.h"
#include "lib/move/wire.h"

#define LATE_LIST 4096 /* runs in a frame, at most */
#define LATE_BYTES 20

static inline void late_put(uint8_t *p, const struct late_run *r)
{
	put_le64(p, r->object);
	put_le64(p + 8, r->addr);
	put_le32(p + 16, (uint32_t)r->pages);
}

static inline struct late_run late_get(const uint8_t *p)
{
	return (struct late_run){ get_le64(p), get_le64(p + 8), get_le32(p + 16) };
}

struct late;

struct late_stats {
	struct pages_stats pages; /* all that were sent */
	uint64_t asked;           /* pages of them that were asked for */
	int connected;            /* how often */
	uint64_t wire_bytes;
	double ms;
};

/* What somebody wants to know, and to say, while it takes its time; either may be NULL. */
struct late_hooks {
	bool (*interrupted)(void *ctx); /* not to be connected again */
	void (*lost)(void *ctx, const char *why);
	void *ctx;
};

/* Opens the lines of this move at the destination, which must be armed. 1: the destination says that nobody is there who wants pages;
 * -1: it cannot be reached, of which nothing follows. */
int late_open(struct late **l, const struct ssh_target *to, const char *move, int timeout_ms, struct err *e);
void late_free(struct late *l);
AUTO_DEFINE(struct late, late_free)
#define AUTO_LATE AUTO(late_free_auto)

/* The service stands still: from now on pages that are asked for are sent. `im` is kept in step, as by a sender. */
int late_begin(struct late *l, const struct service *s, struct image *im, struct err *e);
enum late_end {
	LATE_DONE, /* the last one is there, or nobody wants any more */
	LATE_DIED, /* the service has died with its node */
	LATE_LOST, /* the destination could not be reached for deadline_ms: `e` says why */
};
/* Sends all that lack; connects again where the connection is lost. To be begun by late_begin. */
enum late_end late_deliver(struct late *l, int deadline_ms, const struct late_hooks *hooks, struct err *e);
struct late_stats late_stats(const struct late *l);

#endif
