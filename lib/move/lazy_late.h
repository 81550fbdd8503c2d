/* SPDX-License-Identifier: MIT */
/* Pages that come only after the service that they belong to (edge-migrate --post-copy): which they are, which of them have
 * arrived, and a file in which they lie until they are in place. It has no name, and all the room that it will need.
 *
 * What has arrived, and what was asked for, is for one thread at a time; places and data are for any. A page is called as in
 * the image: by object and address. */
#ifndef EDGE_MOVE_LAZY_LATE_H
#define EDGE_MOVE_LAZY_LATE_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "lib/base/auto.h"
#include "lib/base/err.h"

struct lazy_late;

struct late_run {
	uint64_t object, addr, pages;
};

struct lazy_late *lazy_late_new(void); /* NULL: out of memory */
void lazy_late_free(struct lazy_late *l);
AUTO_DEFINE(struct lazy_late, lazy_late_free)
#define AUTO_LAZY_LATE AUTO(lazy_late_free_auto)

/* All of them, and then the file, in the folder `dir`. EX_DATAERR when one was named twice. */
int lazy_late_add(struct lazy_late *l, struct late_run run, struct err *e);
int lazy_late_ready(struct lazy_late *l, const char *dir, struct err *e);

/* Is the page at the address late? *pages: how many from there on are, or are not, `most` at most. l may be NULL: none is. */
bool lazy_late_is(const struct lazy_late *l, uint64_t object, uint64_t addr, uint64_t most, uint64_t *pages);
enum late_state { LATE_NOT, LATE_LACKING, LATE_HERE };
/* The same, and whether it has arrived. */
enum late_state lazy_late_state(const struct lazy_late *l, uint64_t object, uint64_t addr, uint64_t most, uint64_t *pages);

/* Data of late pages of one run, into the file and from it. 0, or -1 with errno. */
int lazy_late_write(const struct lazy_late *l, struct late_run run, const void *data);
int lazy_late_read(const struct lazy_late *l, struct late_run run, void *data);
/* They are in the file, or all zeros. */
void lazy_late_arrived(struct lazy_late *l, struct late_run run);

/* How many pages from the address on, `most` at most, lack and were not asked for: now they are. 0: it was. */
uint64_t lazy_late_ask(struct lazy_late *l, uint64_t object, uint64_t addr, uint64_t most);
/* Nothing was asked for of those that still lack. */
void lazy_late_ask_again(struct lazy_late *l);
/* Goes through what lacks: *at is 0 at first. False: that was all. */
bool lazy_late_lacking(const struct lazy_late *l, uint64_t *at, struct late_run *run);
uint64_t lazy_late_left(const struct lazy_late *l); /* pages that lack */

#endif
