/* SPDX-License-Identifier: MIT */
/* Names that shells offer at the command line. */
#ifndef EDGE_DISCOVER_NAMES_H
#define EDGE_DISCOVER_NAMES_H

#include <stdio.h>

/* Prints, one a line: "nodes" of the registry; "services@NODE" that the registry has at that node, "services@" those of
 * this node; "checkpoints" of this node. What cannot be read is left out without a word. -1: `what` is none of these. */
int names_print(const char *what, FILE *f);

#endif
