/* SPDX-License-Identifier: MIT */
/* Files and folders, and where the toolkit keeps its own. */
#ifndef EDGE_BASE_FILE_H
#define EDGE_BASE_FILE_H

#include <limits.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>
#include <sys/types.h>

#include "lib/base/err.h"

/* Formats EDGE_ROOT + the path into a static ring of 8 buffers per thread: file_path("/var/lib/edge/services/%s", name). */
const char *file_path(const char *fmt, ...) __attribute__((format(printf, 1, 2)));

/* Is the path the folder itself, or below it, as both are written? */
bool file_is_below(const char *path, const char *folder);

int file_mkdirs(const char *path, mode_t mode, struct err *e);
/* A folder for this user alone (0700), also if it was there with another mode; missing folders above it are made 0755.
 * EX_NOPERM when it belongs to somebody else. */
int file_mkdir_private(const char *path, struct err *e);
/* The whole file with a NUL behind it (the caller frees it); its length in *len when len is not NULL.
 * Files over 64 MB are refused (EX_DATAERR). */
char *file_slurp(const char *path, size_t *len, struct err *e);
/* Writes a temporary name beside `path`, fsyncs it and its folder, renames. */
int file_write(const char *path, const void *data, size_t len, mode_t mode, struct err *e);
/* A name that has come into the folder of `path` is on disk when this returns. */
int file_sync_folder(const char *path, struct err *e);
/* As file_write, but without waiting for the disk: who reads it finds the new file, and a power cut may bring back the old one. */
int file_write_cached(const char *path, const void *data, size_t len, mode_t mode, struct err *e);
/* A short write to a file that exists, as those of /proc and cgroups want it. */
int file_poke(const char *path, const char *text, struct err *e);
/* Removes a tree without following links and without crossing into other filesystems; a missing one is no error. */
int file_remove_tree(const char *path, struct err *e);

/* Read or write all of n bytes; -1 with errno otherwise (EPIPE for an early end). Restarted on EINTR. */
int fd_read_all(int fd, void *buf, size_t n);
int fd_write_all(int fd, const void *buf, size_t n);
int fd_pwrite_all(int fd, const void *buf, size_t n, off_t at);

/* An exclusive lock on /run/edge/NAME.lock, held while the descriptor is open; -1 and EX_TEMPFAIL
 * "NAME: busy: ..." when another process has it. */
int file_lock(const char *name, struct err *e);
/* The same, after waiting for at most wait_ms. */
int file_lock_wait(const char *name, int wait_ms, struct err *e);

#endif
