/* SPDX-License-Identifier: MIT */
/* The same work for many, several at a time, each in a process of its own with its own time limit: what hangs in one
 * holds up no other. */
#ifndef EDGE_BASE_CROWD_H
#define EDGE_BASE_CROWD_H

#include <stddef.h>
#include <stdio.h>
#include <sys/types.h>

#include "lib/base/err.h"

#define CROWD_LATE -1 /* its time was over, and it was killed */

struct crowd {
	size_t n;          /* pieces of work */
	int at_once;
	int timeout_ms;    /* for each */
	/* In the process of piece i: does it, writes lines to `out`, gives an exit status. */
	int (*work)(void *ctx, size_t i, FILE *out);
	/* In the caller's: a line (without its newline) of piece i, as soon as it is whole; its end, with its status. -1 from
	 * either ends all. */
	int (*line)(void *ctx, size_t i, char *line, struct err *e);
	int (*ended)(void *ctx, size_t i, int status, struct err *e);
	/* In the caller's, or NULL: at place k, less than at_once, works that process from now on; 0: it is about to be reaped. No
	 * signal comes between its start and that. */
	void (*works)(void *ctx, int k, pid_t pid);
	void *ctx;
};

/* Blocks until all have ended. -1 when a process could not be started, or what the callbacks say; none is left running. */
int crowd_run(const struct crowd *c, struct err *e);

#endif
