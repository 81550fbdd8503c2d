/* SPDX-License-Identifier: MIT */
/* What a value is made of, for the files that talk to libjq. Its values are counted references; jv_* functions take over
 * (free) their arguments, except jv_copy, jv_get_kind, jv_string_value, jv_number_value and the object iterators. It
 * aborts when memory runs out. */
#ifndef EDGE_BASE_JSON_INT_H
#define EDGE_BASE_JSON_INT_H

#include <jv.h>
#include <stdlib.h>

struct json {
	jv v;
};

/* Takes `v`. */
static inline struct json *json_wrap(jv v)
{
	struct json *j = malloc(sizeof(*j));

	if (!j)
		abort();
	j->v = v;
	return j;
}

#endif
