/* SPDX-License-Identifier: MIT */
/* Writing very many small records fast: the pieces of a line. For all else there is json.h. */
#ifndef EDGE_BASE_JSON_PUT_H
#define EDGE_BASE_JSON_PUT_H

#include <stdio.h>

/* In quotes, escaped. */
void json_put_string(FILE *f, const char *s);
/* Rounded to so many significant digits (1 to 17); null when it is not finite. */
void json_put_number(FILE *f, double v, int digits);

#endif
