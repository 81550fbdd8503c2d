/* SPDX-License-Identifier: MIT */
/* What went wrong: an exit status of sysexits.h and one line of text, as a plain value. */
#ifndef EDGE_BASE_ERR_H
#define EDGE_BASE_ERR_H

#include <stdarg.h>
#include <sysexits.h>

/* "The answer is no", or some of the records failed: not an error of the program. */
#define EX_NO 1

struct err {
	int code;        /* exit status, as listed in edge(7) */
	char text[1024]; /* "object: problem: cause", lower case, no full stop, one line */
};

/* All three return -1, so that a caller can write `return err_set(...)`. A NULL err is allowed. */

/* Sets code and text. */
int err_set(struct err *e, int code, const char *fmt, ...) __attribute__((format(printf, 3, 4)));
/* The same for a failed system call: appends ": " and errno's text; the code follows from errno
 * (EX_NOPERM for EACCES and EPERM, EX_IOERR for ENOSPC, EIO and EPIPE, EX_TEMPFAIL for EAGAIN and EBUSY,
 * else EX_OSERR). */
int err_sys(struct err *e, const char *fmt, ...) __attribute__((format(printf, 2, 3)));
/* Puts "prefix: " before the text and keeps the code. */
int err_wrap(struct err *e, const char *fmt, ...) __attribute__((format(printf, 2, 3)));

/* A checker that sees one file at a time cannot know that they all return -1. */
#ifdef __clang_analyzer__
#define err_set(...) ((void)err_set(__VA_ARGS__), -1)
#define err_sys(...) ((void)err_sys(__VA_ARGS__), -1)
#define err_wrap(...) ((void)err_wrap(__VA_ARGS__), -1)
#endif

#endif
