/* SPDX-License-Identifier: MIT */
/* Where the services of an application are. */
#ifndef EDGE_APP_WHERE_H
#define EDGE_APP_WHERE_H

#include "lib/discover/registry.h"

/* *rec: the record of the service of that name that belongs to the application: as this node has it, unless that has moved away,
 * else as the registry knows it at another node, else, in state "moved", what it left here; NULL: nowhere. EX_UNAVAILABLE: the
 * name is used by something else here. */
int where_is(struct registry *r, const char *name, const char *app, struct json **rec, struct err *e);

#endif
