/* SPDX-License-Identifier: MIT */
/* An application as a whole: started in the order of its dependencies, and taken down in the other one. */
#ifndef EDGE_APP_UP_H
#define EDGE_APP_UP_H

#include <stdio.h>

#include "lib/app/compose.h"

struct up_options {
	const char *on;                 /* the node; NULL: this one, or the one that a service's own needs name */
	const char *engine;             /* for those that name none; NULL: process */
	FILE *out;                      /* records */
	void (*say)(const char *line);  /* what programs at other nodes say */
};

/* Starts what does not run, and prints the records of all; what runs as the file says is left as it is. When one cannot be
 * started, those that were started before it are taken down again. EX_UNAVAILABLE, too, for one that runs otherwise. */
int up(struct compose *c, const struct up_options *opt, struct err *e);
/* Prints the `service` records of what would be started, in their order, each with its definition. */
int up_emit(struct compose *c, const struct up_options *opt, struct err *e);
/* Calls `stop` for each service that is somewhere, the last one first: its name and node (NULL: this one). Gives the last
 * exit status that is not 0. */
int down(struct compose *c, int (*stop)(const char *name, const char *node), struct err *e);

#endif
