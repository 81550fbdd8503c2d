/* SPDX-License-Identifier: MIT */
#ifndef EDGE_BASE_RANDOM_H
#define EDGE_BASE_RANDOM_H

#include <stddef.h>

#include "lib/base/err.h"

#define RANDOM_BYTES_MAX 64

/* So many bytes (at most RANDOM_BYTES_MAX) that nobody can guess, as 2 * bytes hexadecimal digits and a 0. */
int random_hex(char *text, size_t bytes, struct err *e);

#endif
