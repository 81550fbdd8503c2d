/* SPDX-License-Identifier: MIT */
/* What edge-run needs to start a service, out of its record. */
#include <stdlib.h>
#include <string.h>

#include "lib/place/world_int.h"

/* What a record says of one instance, which another one has not; its address is another matter. */
static const char *const own[] = { "kind", "id",    "node",     "epoch", "state", "log",        "usage",   "moved", "moved_at", "addr",
				   "addrs", "mac",  "pid",      "start_time", "log_ino", "health", "restored", "peers", "service_spec", NULL };

static bool is_own(const struct json_token *name)
{
	for (const char *const *o = own; *o; o++)
		if (strlen(*o) == name->len && !memcmp(*o, name->at, name->len))
			return true;
	return false;
}

/* The object whose members say what is to be started: -1, where none does. */
static int definition(const struct json_scan *s)
{
	static const char *const signs[] = { "argv", "bundle", "definition" };
	int tok = json_scan_find(s, 0, "service_spec");

	if (tok >= 0)
		return s->tok[tok].type == JSON_OBJECT ? tok : -1;
	for (size_t i = 0; i < sizeof(signs) / sizeof(*signs); i++)
		if (json_scan_find(s, 0, signs[i]) >= 0)
			return 0;
	return -1;
}

int world_spec_of(struct world *w, const struct json_scan *s)
{
	int object = definition(s), word = -1;
	AUTO_FREE char *text = object < 0 ? NULL : malloc((size_t)s->tok[object].len + 1);
	size_t n = 0;

	if (object < 0)
		return -1;
	if (!text)
		abort();
	for (int name = object + 1; name < s->tok[object].next; name = s->tok[name + 1].next) {
		const struct json_token *value = &s->tok[name + 1];
		const char *from = s->tok[name].at - 1, *to = value->at + value->len + (value->type == JSON_STRING);

		if (is_own(&s->tok[name]))
			continue;
		if (n)
			text[n++] = ',';
		memcpy(text + n, from, (size_t)(to - from));
		n += (size_t)(to - from);
	}
	if (n)
		word = world_word_of(w, text, n);
	return word;
}
