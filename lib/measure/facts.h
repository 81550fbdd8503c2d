/* SPDX-License-Identifier: MIT */
/* What takes long to find out and holds for as long as the kernel runs on this machine: kept in
 * /var/lib/edge/facts.json. */
#ifndef EDGE_MEASURE_FACTS_H
#define EDGE_MEASURE_FACTS_H

#include "lib/base/json.h"

/* The fact of that name, found out by `find` when it is not known; NULL when that gives NULL. `about`: what else it depends
 * on, such as a program's version; at most 255 bytes. A new value. */
struct json *fact(const char *name, const char *about, struct json *(*find)(void *ctx), void *ctx);

#endif
