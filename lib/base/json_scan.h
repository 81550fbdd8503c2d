/* SPDX-License-Identifier: MIT */
/* Reading many small JSON texts fast: one pass checks the grammar of RFC 8259 and notes where each value is. Nothing is
 * copied, nothing is allocated for a text once the array has grown to its size. For building and changing values there
 * is json.h. */
#ifndef EDGE_BASE_JSON_SCAN_H
#define EDGE_BASE_JSON_SCAN_H

#include <stddef.h>
#include <stdint.h>

#include "lib/base/err.h"

enum json_type { JSON_OBJECT, JSON_ARRAY, JSON_STRING, JSON_NUMBER, JSON_TRUE, JSON_FALSE, JSON_NULL };

struct json_token {
	const char *at;  /* in the text; of a string: behind its opening quote */
	uint32_t len;    /* of a string: up to its closing quote */
	int32_t next;    /* the token behind this value and all that is within it */
	uint8_t type;
	uint8_t escaped; /* a string with backslashes */
};

/* Token 0 is the whole text. Behind an object come its members, each a string and a value; behind an array its items. */
struct json_scan {
	struct json_token *tok;
	int n, room;
	char *decoded; /* the last string that had backslashes */
	size_t decoded_room;
};

/* Begin with a zeroed struct. The tokens point into `text`, and count until the next call. -1: "not JSON: ...", also for
 * more than 64 levels. */
int json_scan(struct json_scan *s, const char *text, size_t len, struct err *e);
void json_scan_clear(struct json_scan *s);

/* The value that `path` ("rtt_ms.p50") names within the object `tok`; of equal names the last. -1: there is none, or it
 * is null; -2: a part of the way is there, but is no object. */
int json_scan_find(const struct json_scan *s, int tok, const char *path);
/* Of a number. */
double json_scan_number(const struct json_scan *s, int tok);
/* Of a string: not ended by NUL, in the text or in s->decoded. */
const char *json_scan_string(struct json_scan *s, int tok, size_t *len);

#endif
