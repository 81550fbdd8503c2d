/* SPDX-License-Identifier: MIT */
/* These programs on machines that have none. */
#ifndef EDGE_MOVE_INSTALL_H
#define EDGE_MOVE_INSTALL_H

#include "lib/base/json.h"

int install_all(const struct json *nodes, struct json *tickets, void (*warn)(const struct err *e), struct err *e);

#endif
