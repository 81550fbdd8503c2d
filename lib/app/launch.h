/* SPDX-License-Identifier: MIT */
/* Starting one service as its definition says, here or at another node: what edge-run does for one service and for an
 * application alike. */
#ifndef EDGE_APP_LAUNCH_H
#define EDGE_APP_LAUNCH_H

#include <stdio.h>

#include "lib/base/json.h"
#include "lib/engine/service.h"

/* Here: its image is brought here, it is started and written into the registry; else nothing of it is left. *record: its
 * record. */
int launch_here(struct service *s, struct json **record, struct err *e);
/* At that node, to which the files of its image are brought if it lacks them; its record goes to `out`. Gives the exit status of
 * edge-run there, whose messages go to `say`; -1. */
int launch_there(const char *node, struct service *s, FILE *out, void (*say)(const char *line), struct err *e);
/* A definition in JSON without what only a running instance has. */
int launch_definition(struct service **s, const struct json *spec, struct err *e);

#endif
