/* SPDX-License-Identifier: MIT */
/* A destination's refusals, as an error and as a record. */
#ifndef EDGE_MOVE_REFUSAL_H
#define EDGE_MOVE_REFUSAL_H

#include "lib/base/json.h"
#include "lib/engine/service.h"

/* "node TO: refuses: CHECK: WHY (and N more)", EX_UNAVAILABLE; always -1. */
int refusal_error(const char *to, const struct json *refusals, struct err *e);

/* A `move` record: "stay" with the refusals, or "migrate" when there are none. Takes them. */
struct json *refusal_record(const struct service *s, const char *from, const char *to, struct json *refusals);

#endif
