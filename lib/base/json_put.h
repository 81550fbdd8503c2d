/* SPDX-License-Identifier: MIT */
/* Writing very many small records fast: the pieces of a line. For all else there is json.h. */
#ifndef EDGE_BASE_JSON_PUT_H
#define EDGE_BASE_JSON_PUT_H

#include <stdio.h>

/* In quotes, escaped. */
void json_put_string(FILE *f, const char *s);
/* With up to `places` (0 to 9) digits behind the point, as few as it needs; null when it is not finite. */
void json_put_number(FILE *f, double v, int places);

#endif
