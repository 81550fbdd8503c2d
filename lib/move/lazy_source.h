/* SPDX-License-Identifier: MIT */
/* Where the pages of a service come from while it is being restored lazily: the folder of its images, as CRIU would read it:
 * the pagemaps on top say which pages are to come later, those of the chain of parents (image_link_parents) where all lie.
 * Nobody changes these files until the last page has been read; they may be removed. Pages that lie in no parent are late: they
 * come from the node that the service has left (lazy_late.h). */
#ifndef EDGE_MOVE_LAZY_SOURCE_H
#define EDGE_MOVE_LAZY_SOURCE_H

#include "lib/base/auto.h"
#include "lib/base/err.h"
#include "lib/move/criu_mm.h"
#include "lib/move/lazy_late.h"
#include "lib/move/lazy_space.h"

struct lazy_source;

/* Opens all files that will be needed. */
int lazy_source_open(struct lazy_source **s, const char *images, struct err *e);
void lazy_source_free(struct lazy_source *s);
AUTO_DEFINE(struct lazy_source, lazy_source_free)
#define AUTO_LAZY_SOURCE AUTO(lazy_source_free_auto)

/* Its late pages; NULL when it has none. They stay its own. */
struct lazy_late *lazy_source_late(const struct lazy_source *s);
/* Adds the pages of an object that are to come later: those that can be read now, and those that have yet to arrive. */
int lazy_source_wanted(const struct lazy_source *s, uint64_t object, struct lazy_space *space, struct lazy_space *late);
/* Takes out what a child of this object's process does not get (MADV_WIPEONFORK): it finds zeros there. */
int lazy_source_fork(const struct lazy_source *s, uint64_t object, struct lazy_space *space);
/* The mappings of an object's process; NULL. */
const struct criu_mm *lazy_source_mm(const struct lazy_source *s, uint64_t object);
/* Consecutive pages of an object. Safe in several threads. 0, or -1 with errno when they cannot be read. */
int lazy_source_read(const struct lazy_source *s, uint64_t object, uint64_t addr, uint64_t pages, void *buf);

#endif
