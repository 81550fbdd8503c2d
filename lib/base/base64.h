/* SPDX-License-Identifier: MIT */
#ifndef EDGE_BASE_BASE64_H
#define EDGE_BASE_BASE64_H

#include <stddef.h>

/* Both give NUL-terminated text that the caller frees, NULL when out of memory or without libresolv; decoding also for what is no
 * base64. */
char *base64_encode(const void *data, size_t n);
char *base64_decode(const char *text, size_t *n); /* n may be NULL */

#endif
