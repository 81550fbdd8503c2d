/* SPDX-License-Identifier: MIT */
#include "lib/app/env_file.h"

#include <ctype.h>
#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "lib/base/file.h"

static const char *look_up(void *ctx, const char *name)
{
	struct env_lookup *l = ctx;
	const char *own = getenv(name);
	size_t len = strlen(name);

	for (size_t i = !own && l->env ? json_len(l->env, NULL) : 0; i-- > 0;) { /* the last one holds */
		AUTO_JSON struct json *item = json_at(l->env, i);
		const char *text = json_value(item);

		if (!strncmp(text, name, len) && text[len] == '=') {
			free(l->last);
			return l->last = strdup(text + len + 1);
		}
	}
	return own;
}

static void tell_unset(void *ctx, const char *name)
{
	const struct env_lookup *l = ctx;

	if (l->unset)
		l->unset(l->ctx, name);
}

char *env_fill(struct env_lookup *l, const char *text, struct err *e)
{
	const struct variables v = { .value = look_up, .unset = tell_unset, .ctx = l };

	return interpolate(&v, text, e);
}

void env_lookup_clear(struct env_lookup *l)
{
	free(TAKE_PTR(l->last));
}

/* What stands behind the "=", in place: quotes and comments taken away. *literal: no variables in it. */
static char *unquote(char *v, bool *literal, struct err *e)
{
	const char quote = (char)(*v == '"' || *v == '\'' ? *v : 0);
	char *to = v, *end;

	*literal = quote == '\'';
	if (!quote) {
		for (end = v; *end && !(*end == '#' && (end == v || isspace((unsigned char)end[-1]))); end++)
			;
		while (end > v && isspace((unsigned char)end[-1]))
			end--;
		*end = '\0';
		return v;
	}
	for (const char *p = v + 1; *p; p++) {
		if (*p == quote) {
			*to = '\0';
			return v;
		}
		if (quote == '"' && *p == '\\' && p[1]) {
			p++;
			*to++ = (char)(*p == 'n' ? '\n' : *p == 't' ? '\t' : *p);
		} else {
			*to++ = *p;
		}
	}
	err_set(e, EX_DATAERR, "a quote that does not end");
	return NULL;
}

static int take_line(char *line, struct json *env, struct err *e)
{
	struct env_lookup look = { .env = env };
	AUTO_FREE char *filled = NULL, *text = NULL;
	char *key = line + strspn(line, " \t"), *eq, *end, *value;
	bool literal;

	if (!*key || *key == '#')
		return 0;
	if (!strncmp(key, "export ", 7))
		key += 7 + strspn(key + 7, " \t");
	eq = strchr(key, '=');
	for (end = eq ? eq : key; end > key && isspace((unsigned char)end[-1]); end--)
		;
	if (!eq || end == key || strcspn(key, " \t#\"'") < (size_t)(end - key))
		return err_set(e, EX_DATAERR, "not of the form KEY=VALUE");
	*end = '\0';
	if (!(value = unquote(eq + 1 + strspn(eq + 1, " \t"), &literal, e)))
		return -1;
	if (!literal) {
		filled = env_fill(&look, value, e);
		env_lookup_clear(&look);
		if (!filled)
			return -1;
	}
	if (asprintf(&text, "%s=%s", key, literal ? value : filled) < 0)
		return err_set(e, EX_OSERR, "out of memory");
	json_add(env, json_string(text));
	return 0;
}

int env_file_read(const char *path, struct json *env, struct err *e)
{
	AUTO_FREE char *text = NULL;
	int number = 0;

	if (access(path, R_OK))
		return err_set(e, EX_UNAVAILABLE, "%s: %s", path, strerror(errno));
	if (!(text = file_slurp(path, NULL, e)))
		return -1;
	for (char *line = text, *next; line; line = next) {
		if ((next = strchr(line, '\n')))
			*next++ = '\0';
		line[strcspn(line, "\r")] = '\0';
		number++;
		if (take_line(line, env, e))
			return err_wrap(e, "%s: line %d", path, number);
	}
	return 0;
}
