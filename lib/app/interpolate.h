/* SPDX-License-Identifier: MIT */
/* The variables of a compose file's texts: $NAME, ${NAME}, ${NAME:-otherwise}, ${NAME-otherwise}, ${NAME:?complaint},
 * ${NAME?complaint}, ${NAME:+instead}, ${NAME+instead}, nested up to 8 deep; $$ is a dollar sign. */
#ifndef EDGE_APP_INTERPOLATE_H
#define EDGE_APP_INTERPOLATE_H

#include "lib/base/err.h"

struct variables {
	const char *(*value)(void *ctx, const char *name);      /* NULL: not set */
	void (*unset)(void *ctx, const char *name);             /* is told of each use of one that is not set; or NULL */
	void *ctx;
};

/* The text with all values in it, at most 64 KiB, for the caller to free; NULL and EX_DATAERR. */
char *interpolate(const struct variables *v, const char *text, struct err *e);

#endif
