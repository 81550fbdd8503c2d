/* SPDX-License-Identifier: MIT */
/* Archives into folders: tar, plain or compressed by gzip, zstd, xz or bzip2. By libarchive, which is loaded when it is first
 * used; what is written, and where, is decided here. */
#ifndef EDGE_APP_UNPACK_H
#define EDGE_APP_UNPACK_H

#include <stdbool.h>

#include "lib/base/err.h"

/* The archive that `fd` reads, into the folder `root`. Links on the way are followed inside it, never out of it; what is in
 * the way is replaced. Kept: owners, modes, times, hard links, capabilities and user xattrs. Left out: devices.
 * `whiteouts`: the archive is a layer of an image: its .wh. entries take away what earlier layers have put there. */
int unpack(int fd, int root, bool whiteouts, struct err *e);

/* A path as seen from inside the folder: links are followed there, never out of it. -1 with errno. */
int open_inside(int root, const char *path, int flags);

#endif
