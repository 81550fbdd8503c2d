/* SPDX-License-Identifier: MIT */
/* jq programs, compiled once and run on many values. */
#ifndef EDGE_BASE_JSON_QUERY_H
#define EDGE_BASE_JSON_QUERY_H

#include "lib/base/json.h"

struct json_query;

/* NULL and EX_USAGE with jq's own words when it is no program. Takes some 20 ms: jq compiles its own library, too. */
struct json_query *json_query_new(const char *program, struct err *e);
void json_query_free(struct json_query *q);
AUTO_DEFINE(struct json_query, json_query_free)
#define AUTO_JSON_QUERY AUTO(json_query_free_auto)

/* The first value that the program gives for `input`: *out is new, NULL when it gives none. -1: it failed (EX_DATAERR,
 * jq's words). */
int json_query_run(struct json_query *q, const struct json *input, struct json **out, struct err *e);

#endif
