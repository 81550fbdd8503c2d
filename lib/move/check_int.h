/* SPDX-License-Identifier: MIT */
/* What check.c and check_base.c share. */
#ifndef EDGE_MOVE_CHECK_INT_H
#define EDGE_MOVE_CHECK_INT_H

#include "lib/move/check.h"

/* Adds {check, why}; why is cut at 511 bytes. */
void check_refuse(struct json *list, const char *check, const char *fmt, ...) __attribute__((format(printf, 3, 4)));

/* An array of {path, sha256}, by path, of the files of "/" that these processes have open or mapped. */
struct json *check_base_facts(const struct service *s, const pid_t *pids, size_t n, struct err *e);
/* Which of the call's are not the same here: refused, or with its ship_base wanted. */
void check_base_here(const struct service *s, const struct json *call, struct json *list, struct json *wanted);

#endif
