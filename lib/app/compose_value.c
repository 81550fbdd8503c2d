/* SPDX-License-Identifier: MIT */
#include <ctype.h>
#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "lib/app/compose_int.h"

#define WORDS_MAX 1024

int value_text(struct compose_reader *r, const struct ynode *n, const char **text)
{
	if (n->kind != YTREE_TEXT || ynode_null(n))
		return compose_fail(r, n, "not a text");
	*text = n->text;
	return 0;
}

int value_bool(struct compose_reader *r, const struct ynode *n, bool *v)
{
	if (n->kind != YTREE_TEXT || (strcasecmp(n->text, "true") && strcasecmp(n->text, "false")))
		return compose_fail(r, n, "not true or false");
	*v = !strcasecmp(n->text, "true");
	return 0;
}

int value_number(struct compose_reader *r, const struct ynode *n, double least, double most, double *v)
{
	char *end = NULL;

	if (n->kind == YTREE_TEXT && (isdigit((unsigned char)*n->text) || *n->text == '.' || *n->text == '-'))
		*v = strtod(n->text, &end);
	if (!end || *end || !isfinite(*v))
		return compose_fail(r, n, "not a number");
	if (*v < least || *v > most)
		return compose_fail(r, n, "%s: not from %g to %g", n->text, least, most);
	return 0;
}

int value_bytes(struct compose_reader *r, const struct ynode *n, double *v)
{
	static const char *const units[] = { "", "b", "k", "kb", "kib", "m", "mb", "mib", "g", "gb", "gib", "t", "tb", "tib" };
	static const int powers[] = { 0, 0, 10, 10, 10, 20, 20, 20, 30, 30, 30, 40, 40, 40 };
	char *end;

	if (n->kind == YTREE_TEXT && isdigit((unsigned char)*n->text)) {
		*v = strtod(n->text, &end);
		for (size_t i = 0; i < sizeof(units) / sizeof(*units); i++)
			if (!strcasecmp(end, units[i]) && (*v = ldexp(*v, powers[i])) <= 1e18)
				return 0;
	}
	return compose_fail(r, n, "not a size such as 64m or 1.5g");
}

int value_seconds(struct compose_reader *r, const struct ynode *n, double *v)
{
	static const char *const units[] = { "us", "ms", "s", "m", "h" };
	static const double seconds[] = { 1e-6, 1e-3, 1, 60, 3600 };
	const char *p = n->kind == YTREE_TEXT ? n->text : "";
	bool good = isdigit((unsigned char)*p);

	*v = 0;
	while (good && *p) {
		char *end = (char *)p;
		double part = isdigit((unsigned char)*p) ? strtod(p, &end) : NAN;
		size_t len = isfinite(part) ? strspn(end, "hmsu") : 0, i = 0;

		while (i < 5 && (strlen(units[i]) != len || strncmp(end, units[i], len) != 0))
			i++;
		good = len && i < 5;
		if (good) {
			*v += part * seconds[i];
			p = end + len;
		}
	}
	return good && *v <= 1e9 ? 0 : compose_fail(r, n, "not a time such as 1m30s");
}

struct json *value_strings(struct compose_reader *r, const struct ynode *n)
{
	AUTO_JSON struct json *all = json_array();
	const char *text = "";

	for (size_t i = 0; i < (n->kind == YTREE_LIST ? n->n : 1); i++) {
		if (value_text(r, n->kind == YTREE_LIST ? n->items[i] : n, &text))
			return NULL;
		json_add(all, json_string(text));
	}
	return TAKE_PTR(all);
}

/* The next word of *p, quotes taken away, into `word`, which has room for all of *p. 1: there is one; 0; -1: a quote is open. */
static int next_word(const char **p, char *word)
{
	const char *s = *p + strspn(*p, " \t\r\n");
	char quote = '\0';

	if (!*s)
		return 0;
	for (; *s && (quote || !strchr(" \t\r\n", *s)); s++) {
		if (quote != '\'' && *s == '\\' && s[1] && (!quote || strchr("\"\\$`", s[1])))
			*word++ = *++s;
		else if (quote && *s == quote)
			quote = '\0';
		else if (!quote && (*s == '"' || *s == '\''))
			quote = *s;
		else
			*word++ = *s;
	}
	*word = '\0';
	*p = s;
	return quote ? -1 : 1;
}

struct json *value_words(struct compose_reader *r, const struct ynode *n)
{
	AUTO_JSON struct json *all = NULL;
	const char *p = "";
	int rc;

	if (n->kind == YTREE_LIST)
		return value_strings(r, n);
	if (value_text(r, n, &p))
		return NULL;
	AUTO_FREE char *word = malloc(strlen(p) + 1);
	all = json_array();
	for (size_t i = 0; word && (rc = next_word(&p, word)) != 0; i++) {
		if (rc < 0 || i == WORDS_MAX) {
			compose_fail(r, n, rc < 0 ? "a quote that does not end" : "too many words");
			return NULL;
		}
		json_add(all, json_string(word));
	}
	return TAKE_PTR(all);
}

static int pair_add(struct compose_reader *r, struct json *all, const struct ynode *at, const char *key, const char *value,
		    bool environment)
{
	AUTO_FREE char *text = NULL;

	if (!*key || *key == '=')
		return compose_fail(r, at, "not of the form KEY=VALUE");
	if (!value && environment && !(value = getenv(key)))
		return 0;
	if (asprintf(&text, "%s=%s", key, value ? value : "") < 0)
		return compose_fail(r, at, "out of memory");
	json_add(all, json_string(text));
	return 0;
}

static int pair_of_list(struct compose_reader *r, struct json *all, const struct ynode *n, bool environment)
{
	const char *text = "";

	if (value_text(r, n, &text))
		return -1;
	if (strchr(text, '=')) {
		if (*text == '=')
			return compose_fail(r, n, "not of the form KEY=VALUE");
		json_add(all, json_string(text));
		return 0;
	}
	return pair_add(r, all, n, text, NULL, environment);
}

struct json *value_pairs(struct compose_reader *r, const struct ynode *n, bool environment)
{
	AUTO_JSON struct json *all = json_array();

	if (n->kind == YTREE_TEXT) {
		compose_fail(r, n, "not a map or a list");
		return NULL;
	}
	for (size_t i = 0; i < n->n; i++) {
		const struct ynode *item = n->items[i];
		int rc;

		if (n->kind == YTREE_LIST)
			rc = pair_of_list(r, all, item, environment);
		else if (item->kind != YTREE_TEXT)
			rc = compose_fail(r, item, "%.64s: not a text", n->keys[i]->text);
		else if (strchr(n->keys[i]->text, '='))
			rc = compose_fail(r, n->keys[i], "%.64s: not a name", n->keys[i]->text);
		else
			rc = pair_add(r, all, item, n->keys[i]->text, ynode_null(item) ? NULL : item->text, environment);
		if (rc)
			return NULL;
	}
	return TAKE_PTR(all);
}

int value_member(struct compose_reader *r, const struct ynode *n, const char *member, size_t most)
{
	const char *text = "";

	if (value_text(r, n, &text))
		return -1;
	if (strlen(text) > most)
		return compose_fail(r, n, "longer than %zu bytes", most);
	json_set_str(r->s->spec, member, text);
	return 0;
}
