/* SPDX-License-Identifier: MIT */
/* Archives as ustar (POSIX.1) has them, written to a descriptor. */
#ifndef EDGE_MOVE_TAR_H
#define EDGE_MOVE_TAR_H

#include "lib/base/err.h"

/* The file at `path` as `name` (at most 99 bytes), executable by its owner. */
int tar_file(int to, const char *name, const char *path, struct err *e);
int tar_end(int to, struct err *e);

#endif
