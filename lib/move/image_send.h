/* SPDX-License-Identifier: MIT */
/* A container image brought to an engine of another node that has not the same one under its name.
 *
 *   image {engine, ref, id}                -> {need: bool}
 *   then, if it is needed, as in files.h, a folder with the archive -> {} */
#ifndef EDGE_MOVE_IMAGE_SEND_H
#define EDGE_MOVE_IMAGE_SEND_H

#include "lib/base/stream.h"
#include "lib/engine/service.h"

/* The image of a service whose engine has images of its own; nothing is done for others. */
int image_send_over(struct stream *s, const struct service *svc, struct err *e);
int image_send(const char *node, const struct service *svc, struct err *e);
/* The other side: serves the call. */
int image_serve(struct stream *s, const struct json *call, struct err *e);

#endif
