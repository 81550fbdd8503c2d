/* SPDX-License-Identifier: MIT */
/* Several moves at a time, each in a process of its own. */
#ifndef EDGE_MOVE_SEVERAL_H
#define EDGE_MOVE_SEVERAL_H

#include <stdio.h>

#include "lib/base/json.h"

#define SEVERAL_MAX 64

/* Does each of these `move` records, at most at_once of them at the same time: `act` prints to `out`, and gives an exit status,
 * having told its error. What goes to a node waits until all has left it that stands before it, and of one service's moves
 * each waits for the one before it: so a plan that never gives a node too much does not do so now either, but for what of it
 * fails. What is printed comes to stdout, line by line. How many have failed; -1: they could not all be started, or printed:
 * in the latter case all have been done. */
int several_run(const struct json *moves, int at_once, int (*act)(const struct json *move, FILE *out), struct err *e);
/* Passes a signal on to them, from a handler; whoever begins later takes over what the handler has noted. */
void several_signal(int number);

#endif
