/* SPDX-License-Identifier: MIT */
/* A log file that rotates: NAME, NAME.1, NAME.2, each a little over 1 MiB at most. */
#ifndef EDGE_ENGINE_LOG_H
#define EDGE_ENGINE_LOG_H

#include <limits.h>
#include <stdbool.h>
#include <stddef.h>
#include <sys/types.h>

struct log {
	char path[PATH_MAX];
	int fd;        /* -1: cannot be written; what comes is dropped */
	off_t size;
	bool line_end; /* the last byte was a newline */
};

void log_open(struct log *l, const char *path);
/* Never fails: a full disk must not stop the service that is writing. */
void log_write(struct log *l, const char *data, size_t n);
void log_close(struct log *l);

#endif
