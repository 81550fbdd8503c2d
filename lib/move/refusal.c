/* SPDX-License-Identifier: MIT */
#include "lib/move/refusal.h"

#include <string.h>

int refusal_error(const char *to, const struct json *refusals, struct err *e)
{
	size_t n = refusals ? json_len(refusals, NULL) : 0;
	AUTO_JSON struct json *first = n ? json_at(refusals, 0) : NULL;

	if (!first)
		return err_set(e, EX_DATAERR, "node %s: refuses, and does not say why", to);
	err_set(e, EX_UNAVAILABLE, "node %s: refuses: %s: %s", to, json_str(first, "check"), json_str(first, "why"));
	if (n > 1)
		snprintf(e->text + strlen(e->text), sizeof(e->text) - strlen(e->text), " (and %zu more)", n - 1);
	return -1;
}
