/* SPDX-License-Identifier: MIT */
#include "lib/move/refusal.h"

#include <string.h>

int refusal_error(const char *to, const struct json *refusals, struct err *e)
{
	size_t n = refusals ? json_len(refusals, NULL) : 0;
	AUTO_JSON struct json *first = n ? json_at(refusals, 0) : NULL;

	if (!first)
		return err_set(e, EX_DATAERR, "node %s: refuses, and does not say why", to);
	const char *check = json_str(first, "check"), *why = json_str(first, "why");
	err_set(e, EX_UNAVAILABLE, "node %s: refuses: %.40s: %s", to, check ? check : "?", why ? why : "it does not say why");
	if (n > 1)
		snprintf(e->text + strlen(e->text), sizeof(e->text) - strlen(e->text), " (and %zu more)", n - 1);
	return -1;
}

struct json *refusal_record(const struct service *s, const char *from, const char *to, struct json *refusals)
{
	bool stay = refusals && json_len(refusals, NULL);
	struct json *j = json_object();

	json_set_str(j, "kind", "move");
	json_set_str(j, "action", stay ? "stay" : "migrate");
	json_set_str(j, "service", s->name);
	json_set_str(j, "id", s->id);
	json_set_str(j, "from", from);
	json_set_str(j, "to", to);
	json_set(j, "refusals", refusals ? refusals : json_array());
	return j;
}
