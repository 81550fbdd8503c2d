/* SPDX-License-Identifier: MIT */
/* Docker's daemon of this machine, asked over its socket: DOCKER_HOST (unix:///path), else /run/docker.sock. */
#ifndef EDGE_ENGINE_DOCKER_H
#define EDGE_ENGINE_DOCKER_H

#include <stdbool.h>

#include "lib/base/json.h"

/* Is there a socket? */
bool docker_here(void);
/* `before` NAME `after`, with the name of an image or network, which may hold anything, escaped. Room for 512: what does not fit
 * in that is refused by whom it is given to. */
void docker_path(char path[512], const char *before, const char *name, const char *after);
/* GET of a path of its API, such as "/info". "docker: ...", EX_UNAVAILABLE or EX_NOPERM. */
int docker_get(const char *path, struct json **answer, struct err *e);
/* POST of a body (NULL: an empty object), which it takes over; answer NULL: whatever it says. Waits for up to a minute. */
int docker_post(const char *path, struct json *body, struct json **answer, struct err *e);
/* Was it an update of something that somebody else has changed since it was read? Then it may be read and changed again. */
bool docker_raced(const struct err *e);
/* Is it the daemon that did not answer, or not now? What it says is unknown then; it may be asked again. */
bool docker_silent(const struct err *e);
int docker_delete(const char *path, struct err *e);

#endif
