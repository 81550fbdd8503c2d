/* SPDX-License-Identifier: MIT */
/* Docker's daemon of this machine, asked over its socket: DOCKER_HOST (unix:///path), else /run/docker.sock. */
#ifndef EDGE_MEASURE_DOCKER_H
#define EDGE_MEASURE_DOCKER_H

#include "lib/base/json.h"

/* Is there a socket? */
bool docker_here(void);
/* GET of a path of its API, such as "/info". "docker: ...", EX_UNAVAILABLE or EX_NOPERM. */
int docker_get(const char *path, struct json **answer, struct err *e);

#endif
