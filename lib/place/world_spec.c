/* SPDX-License-Identifier: MIT */
/* What edge-run needs to start a service, out of its record; and who has refused one. */
#include <stdlib.h>
#include <string.h>

#include "lib/place/world_int.h"

/* What a record says of one instance, which another one has not; its address is another matter. */
static const char *const own[] = { "kind", "id",    "node",     "epoch", "state", "log",        "usage",   "moved", "moved_at", "moved_from", "addr",
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

static int word_at(struct world *w, struct json_scan *s, int tok)
{
	size_t len;
	const char *text = tok < 0 || s->tok[tok].type != JSON_STRING ? NULL : json_scan_string(s, tok, &len);

	return !text || memchr(text, '\0', len) ? -1 : world_word_of(w, text, len);
}

bool world_refusal_of(struct world *w, struct json_scan *s, struct world_score *c, uint64_t *key)
{
	int action = word_at(w, s, json_scan_find(s, 0, "action")), to = word_at(w, s, json_scan_find(s, 0, "to"));
	int name = word_at(w, s, json_scan_find(s, 0, "service")), id = word_at(w, s, json_scan_find(s, 0, "id"));
	int all = json_scan_find(s, 0, "refusals");

	if (action < 0 || action != world_find(w, "stay") || to < 0 || name < 0 || all < 0 || s->tok[all].type != JSON_ARRAY ||
	    s->tok[all].next == all + 1 || s->tok[all + 1].type != JSON_OBJECT)
		return false;
	*c = (struct world_score){ .app = world_app_of(w, name), .node = to, .score = NAN, .why = word_at(w, s, json_scan_find(s, all + 1, "why")) };
	c->service = id < 0 ? -1 : map_get(&w->in->services, map_pair(id, -1));
	*key = map_pair(c->service >= 0 ? c->service : c->app, to) ^ (c->service >= 0 ? 1ull << 62 : 3ull << 62);
	return true;
}
