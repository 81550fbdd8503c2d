/* SPDX-License-Identifier: MIT */
/* The lines over which the late pages of a service come that runs here already: streams from its source, frozen there, which
 * join the process that gives the service its pages (lib/move/late.h is the other end). Where they break, it waits for new
 * ones: what has not arrived is asked for again. */
#ifndef EDGE_MOVE_LAZY_LINES_H
#define EDGE_MOVE_LAZY_LINES_H

#include "lib/engine/service.h"
#include "lib/move/lazy_fill.h"

struct lazy_lines;

/* Listens from now on. `fill` stays the caller's, and lives longer. note: a file that says how it goes (lazy_note). */
int lazy_lines_new(struct lazy_lines **l, const char *move, struct lazy_fill *fill, int note, struct err *e);
/* Asks for these before others come. */
void lazy_lines_ask(struct lazy_lines *l, struct late_run run);
/* How long the source has not been there: milliseconds. */
double lazy_lines_silent_ms(struct lazy_lines *l);
/* All has come: waits until the source has heard that, timeout_ms at most, and listens no more. */
void lazy_lines_end(struct lazy_lines *l, int timeout_ms);

#endif
