/* SPDX-License-Identifier: MIT */
/* edge-probe on other nodes, many at a time. */
#ifndef EDGE_MOVE_SURVEY_H
#define EDGE_MOVE_SURVEY_H

#include "lib/base/json.h"

struct survey {
	const struct json *nodes; /* an array: strings as operands are (NAME or ssh://...), or node records */
	const struct json *args;  /* of edge-probe there: an array of strings */
	int at_once, timeout_ms;
	bool bootstrap; /* where nothing of ours is installed: bundle.h */
	void (*say)(const char *line);                                     /* what edge-probe says there, and in which process */
	int (*record)(void *ctx, struct json *rec, struct err *e);         /* takes the record */
	void (*failed)(void *ctx, const struct err *e);                    /* of one node */
	void *ctx;
};

/* Gives an exit status: 0; EX_NO when some of several nodes have failed; a single one's own. -1 when nothing can be done any
 * more. Node records get the address that the node was reached at. */
int survey_run(const struct survey *s, struct err *e);

#endif
