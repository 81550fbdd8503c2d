/* SPDX-License-Identifier: MIT */
/* Another program at work while we go on: what it says is read as it comes. */
#ifndef EDGE_VIEW_JOB_H
#define EDGE_VIEW_JOB_H

#include <stdbool.h>
#include <stddef.h>
#include <sys/types.h>

#include "lib/base/err.h"

/* Lines of a descriptor, read without waiting. A zeroed one with fd -1 is closed. */
struct feed {
	int fd;
	bool follow; /* a file that others write on: its end is not the end */
	char *buf; /* owned */
	size_t n, room;
};

/* Makes it one that does not wait; takes the descriptor. */
void feed_open(struct feed *f, int fd);
/* Hands over each whole line that has come, NUL-terminated and without its newline; one longer than 1 MB is cut into pieces.
 * False at the end, when it is closed. */
bool feed_read(struct feed *f, void (*line)(void *ctx, char *text), void *ctx);
void feed_close(struct feed *f);

struct job {
	pid_t pid; /* 0: none */
	struct feed out, err;
};

/* Starts argv[0] (looked up in PATH) in a session of its own, with stdin from /dev/null. */
int job_start(struct job *j, char *const argv[], struct err *e);
/* Has it said all it had to say? Then it is reaped: *status is its exit status (128 + N after a signal). */
bool job_ended(struct job *j, int *status);
/* Sends SIGTERM and reaps it. Safe on a zeroed one. */
void job_end(struct job *j);
/* Lets it work on by itself. */
void job_leave(struct job *j);

#endif
