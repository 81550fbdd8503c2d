/* SPDX-License-Identifier: MIT */
#include "lib/base/json_put.h"

#include <math.h>

void json_put_string(FILE *f, const char *s)
{
	putc_unlocked('"', f);
	while (*s) {
		size_t n = 0;

		while (s[n] && s[n] != '"' && s[n] != '\\' && (unsigned char)s[n] >= 0x20)
			n++;
		fwrite_unlocked(s, 1, n, f);
		s += n;
		if (*s == '"' || *s == '\\')
			fprintf(f, "\\%c", *s++);
		else if (*s)
			fprintf(f, "\\u%04x", (unsigned char)*s++);
	}
	putc_unlocked('"', f);
}

void json_put_number(FILE *f, double v, int digits)
{
	if (isfinite(v))
		fprintf(f, "%.*g", digits, v == 0 ? 0 : v); /* 0 is not -0 */
	else
		fputs_unlocked("null", f);
}
