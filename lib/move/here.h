/* SPDX-License-Identifier: MIT */
/* A service that is to be here; when it is not, the error says where it is. */
#ifndef EDGE_MOVE_HERE_H
#define EDGE_MOVE_HERE_H

#include "lib/engine/service.h"

/* As service_load; one that another node has is told with that node and the program's option that goes there ("--from"). */
int here_load(struct service **s, const char *name, const char *option, struct err *e);
/* 0 it runs here. Else EX_UNAVAILABLE: the node that has it, or that it has ended and where its log is. */
int here_running(const struct service *s, const char *option, struct err *e);
/* Adds to an error that says that a service is not here the node that has it by the registry. id: of the instance, or NULL. */
int here_hint(const char *name, const char *id, const char *option, struct err *e);

#endif
