/* SPDX-License-Identifier: MIT */
#include "lib/base/json_put.h"

#include <math.h>
#include <string.h>

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

void json_put_number(FILE *f, double v, int places)
{
	char text[400];
	int n;

	if (!isfinite(v)) {
		fputs_unlocked("null", f);
		return;
	}
	n = snprintf(text, sizeof(text), "%.*f", places, v);
	while (places > 0 && text[n - 1] == '0')
		n--;
	if (places > 0 && text[n - 1] == '.')
		n--;
	text[n] = '\0';
	fputs_unlocked(strcmp(text, "-0") ? text : "0", f);
}
