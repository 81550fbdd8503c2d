/* SPDX-License-Identifier: MIT */
/* Pages of a service that is being restored, given to it by address as it touches them (`criu restore --lazy-pages`), while
 * the rest is filled in; so that what is done while it stands still does not grow with its memory.
 *
 * It is a small process of its own beside the keeper, as much a part of the service as its memory is: all pages are at this
 * node and verified before it is needed, and it ends when the last one is in place. The keeper holds the userfaultfds, too:
 * where both were closed, a page that has not come would be one of zeros. So if this process dies before, the keeper ends the
 * service: before the commit the move has failed and its source goes on, after it the service has died, which is told. */
#ifndef EDGE_MOVE_LAZY_H
#define EDGE_MOVE_LAZY_H

#include "lib/engine/service.h"

/* NULL when this kernel can do it; else why not (static text). */
const char *lazy_missing(void);
/* The life of that process. `dir`: where criu looks for the socket "lazy-pages.socket"; late: the name of a move whose late pages
 * come from its source (lib/move/late.h), or NULL; `keeper`: lib/engine/keeper_pages.h. */
void lazy_main(const struct service *s, const char *images, const char *dir, const char *late, int keeper)
	__attribute__((noreturn));
/* Of a service that runs here: what it waits for, if it is its late pages, or NULL. Static storage. */
const char *lazy_note(const struct service *s);
/* Waits until the memory of a service that runs here is all in place, at most timeout_ms (then EX_TEMPFAIL). go_on (may be
 * NULL) is asked now and then; not 0 ends it. */
int lazy_wait(const struct service *s, int timeout_ms, int (*go_on)(void *ctx, struct err *e), void *ctx, struct err *e);

#endif
