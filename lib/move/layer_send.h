/* SPDX-License-Identifier: MIT */
/* A layer of the store brought to another node, if it lacks it.
 *
 *   layer {layer: HEX}                     -> {need: bool}
 *   then, if it is needed, as in files.h   -> {} */
#ifndef EDGE_MOVE_LAYER_SEND_H
#define EDGE_MOVE_LAYER_SEND_H

#include "lib/base/json.h"
#include "lib/base/stream.h"
#include "lib/move/tree.h"

int layer_send(const char *node, const char *root, struct err *e);
/* The same over a session that is open, to a node of that name. */
int layer_send_over(struct stream *s, const char *root, struct err *e);
/* What both ends of it do for any folder; *tree (may be NULL, else the caller's): what came. */
int folder_send(struct stream *s, const char *path, struct err *e);
int folder_receive(struct stream *s, const char *path, struct tree **tree, struct err *e);
/* The other side: serves the call. */
int layer_serve(struct stream *s, const struct json *call, struct err *e);

#endif
