/* SPDX-License-Identifier: MIT */
/* Running one of the toolkit's own programs on another node: edge-serve there starts it with these arguments, no shell in
 * between; its records come back on `out`, its messages line by line through `say`. */
#ifndef EDGE_MOVE_REMOTE_H
#define EDGE_MOVE_REMOTE_H

#include <stdio.h>

#include "lib/base/json.h"
#include "lib/base/ssh.h"
#include "lib/base/stream.h"

/* Gives the program's exit status, or -1 when it could not be run there. `args`: an array of strings. `say` gets each line
 * that the program says on its stderr, its name before it, free of control characters; NULL: they are dropped. */
int remote_run(const char *node, const char *program, const struct json *args, FILE *out, void (*say)(const char *line),
	       struct err *e);

/* edge-serve's side of it: runs the program that the call names, if it is one that may be, and answers. 1: it ran, and the
 * session is over. */
int remote_serve(struct stream *s, const struct json *call, struct err *e);

/* An open, greeted stream to a node by its name or URL. */
struct stream *remote_open(const char *node, struct err *e);
struct stream *remote_open_target(const struct ssh_target *t, struct err *e);

#endif
