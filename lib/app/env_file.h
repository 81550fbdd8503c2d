/* SPDX-License-Identifier: MIT */
/* Files of lines KEY=VALUE, as .env and those that env_file names: comments, quotes, `export`, variables. */
#ifndef EDGE_APP_ENV_FILE_H
#define EDGE_APP_ENV_FILE_H

#include "lib/app/interpolate.h"
#include "lib/base/json.h"

/* Adds "KEY=VALUE" strings to the array. "PATH: line N: ...", EX_DATAERR; EX_UNAVAILABLE when it cannot be read. */
int env_file_read(const char *path, struct json *env, struct err *e);

/* Variables: those of the environment, then those of such an array. */
struct env_lookup {
	const struct json *env;                            /* or NULL */
	void (*unset)(void *ctx, const char *name);        /* as in struct variables */
	void *ctx;
	char *last;                                        /* owned: what was found in the array */
};
/* The text with its variables filled in, as interpolate(). */
char *env_fill(struct env_lookup *l, const char *text, struct err *e);
void env_lookup_clear(struct env_lookup *l);

#endif
