/* SPDX-License-Identifier: MIT */
#include "lib/measure/changes.h"

#include <math.h>
#include <string.h>

#define PART 0.1
#define SHARE 0.05
#define RATE 10e3
#define BYTES 1e6 /* the kernel itself counts memory in lots */

struct known {
	char key[600];
	struct json *rec;
	unsigned round; /* in which it was last seen */
};

struct changes {
	struct known *all;
	size_t n, room;
	unsigned round;
};

struct changes *changes_new(void)
{
	struct changes *c = calloc(1, sizeof(*c));

	if (!c)
		abort();
	return c;
}

void changes_free(struct changes *c)
{
	for (size_t i = 0; c && i < c->n; i++)
		json_free(c->all[i].rec);
	if (c)
		free(c->all);
	free(c);
}

static bool close_to(double x, double y, const char *name)
{
	size_t n = strlen(name);
	double far = fabs(x - y);

	return far <= PART * fmax(fabs(x), fabs(y)) || (fabs(x) <= 1 && fabs(y) <= 1 && far <= SHARE) ||
	       (n > 4 && !strcmp(name + n - 4, "_bps") && far <= RATE) || (n > 6 && !strcmp(name + n - 6, "_bytes") && far <= BYTES);
}

static bool same(const struct json *a, const struct json *b, const char *name);

static bool same_members(const struct json *a, const struct json *b)
{
	AUTO_JSON struct json *keys = json_keys(a), *others = json_keys(b);
	size_t n = json_len(keys, NULL);

	if (n != json_len(others, NULL))
		return false;
	for (size_t i = 0; i < n; i++) {
		AUTO_JSON struct json *key = json_at(keys, i);
		const char *k = json_value(key);

		if (!strcmp(k, "seen") || !strcmp(k, "window_s"))
			continue;
		AUTO_JSON struct json *x = json_get(a, k), *y = json_get(b, k);
		if (!x || !y || !same(x, y, k))
			return false;
	}
	return true;
}

static bool same(const struct json *a, const struct json *b, const char *name)
{
	double x = json_num(a, NULL, NAN), y = json_num(b, NULL, NAN);
	size_t n = json_len(a, NULL);

	if (!isnan(x) && !isnan(y))
		return close_to(x, y, name);
	if (json_is_object(a) && json_is_object(b))
		return same_members(a, b);
	if (!n || n != json_len(b, NULL)) {
		AUTO_FREE char *s = json_text(a), *t = json_text(b);

		return !strcmp(s, t);
	}
	for (size_t i = 0; i < n; i++) {
		AUTO_JSON struct json *v = json_at(a, i), *w = json_at(b, i);

		if (!same(v, w, name))
			return false;
	}
	return true;
}

static struct known *find(struct changes *c, const char *key)
{
	for (size_t i = 0; i < c->n; i++)
		if (!strcmp(c->all[i].key, key))
			return &c->all[i];
	if (c->n == c->room) {
		c->room = c->room ? 2 * c->room : 64;
		c->all = realloc(c->all, c->room * sizeof(*c->all));
		if (!c->all)
			abort();
	}
	struct known *k = &c->all[c->n++];
	*k = (struct known){ 0 };
	snprintf(k->key, sizeof(k->key), "%s", key);
	return k;
}

static const char *word(const struct json *rec, const char *member)
{
	return json_str(rec, member) ? json_str(rec, member) : "";
}

bool changes_take(struct changes *c, const struct json *rec)
{
	char key[600];

	snprintf(key, sizeof(key), "%.20s %.255s %.255s", word(rec, "kind"), word(rec, json_has(rec, "id") ? "id" : "name"),
		 word(rec, "node"));
	struct known *k = find(c, key);
	k->round = c->round;
	if (k->rec && same(k->rec, rec, ""))
		return false;
	json_free(k->rec);
	k->rec = json_copy(rec);
	return true;
}

static bool node_answered(const struct changes *c, const char *node)
{
	for (size_t i = 0; i < c->n; i++)
		if (c->all[i].round == c->round && !strcmp(word(c->all[i].rec, "kind"), "node") &&
		    !strcmp(word(c->all[i].rec, "name"), node))
			return true;
	return false;
}

struct json *changes_round(struct changes *c)
{
	struct json *gone = json_array();

	for (size_t i = 0; i < c->n;) {
		struct known *k = &c->all[i];

		if (k->round == c->round || strcmp(word(k->rec, "kind"), "service") || !node_answered(c, word(k->rec, "node"))) {
			i++;
			continue;
		}
		json_remove(k->rec, "usage");
		json_set_str(k->rec, "state", "exited");
		json_add(gone, k->rec);
		*k = c->all[--c->n];
	}
	c->round++;
	return gone;
}
