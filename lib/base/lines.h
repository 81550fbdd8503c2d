/* SPDX-License-Identifier: MIT */
/* NDJSON in, for filters that read very many records: lines of a descriptor, in large blocks, without copies. */
#ifndef EDGE_BASE_LINES_H
#define EDGE_BASE_LINES_H

#include <stdio.h>

#include "lib/base/auto.h"
#include "lib/base/err.h"

struct lines;

/* `name` is for messages: "stdin". `out` is flushed before each wait for input, so that what was written for the lines
 * so far does not wait for the next; it may be NULL. The descriptor stays the caller's. */
struct lines *lines_open(int fd, const char *name, FILE *out);
void lines_free(struct lines *l);
AUTO_DEFINE(struct lines, lines_free)
#define AUTO_LINES AUTO(lines_free_auto)

/* From now on lines_next() also gives out blank lines, of length 0. */
void lines_keep_blank(struct lines *l);
/* 1: *line is the next that is not blank, *len bytes without its newline, valid until the next call; 0: the end; -1:
 * "NAME: cannot read: ...", "NAME: line N: longer than 16 MB", or `out` could not be written (EX_IOERR). */
int lines_next(struct lines *l, const char **line, size_t *len, struct err *e);
/* Puts "NAME: line N: " before the text of an error about the last line; -1. */
int lines_wrap(const struct lines *l, struct err *e);
/* Writes the last line, as it came, and a newline; -1 and EX_IOERR. */
int lines_pass(FILE *out, const char *line, size_t len, struct err *e);

#endif
