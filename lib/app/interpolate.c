/* SPDX-License-Identifier: MIT */
#include "lib/app/interpolate.h"

#include <ctype.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "lib/base/auto.h"

#define TEXT_MAX  65536
#define NAME_SIZE 256
#define DEPTH_MAX 8

struct filling {
	const struct variables *v;
	FILE *out;
	size_t left;
	int depth;
	struct err *e;
};

static int fill(struct filling *f, const char *text, size_t n);

static int put(struct filling *f, const char *text, size_t n)
{
	if (n > f->left)
		return err_set(f->e, EX_DATAERR, "too long with its variables filled in");
	f->left -= n;
	return fwrite(text, 1, n, f->out) == n ? 0 : err_set(f->e, EX_OSERR, "out of memory");
}

static size_t name_length(const char *p, size_t n)
{
	size_t i = 0;

	if (n && isdigit((unsigned char)*p))
		return 0;
	while (i < n && (isalnum((unsigned char)p[i]) || p[i] == '_'))
		i++;
	return i;
}

static const char *value_of(const struct filling *f, const char *p, size_t n, char name[NAME_SIZE])
{
	snprintf(name, NAME_SIZE, "%.*s", (int)n, p);
	return f->v->value(f->v->ctx, name);
}

/* The brace that ends what begins behind a "${"; those inside are passed over. NULL: none. */
static const char *closing(const char *p, const char *end)
{
	int open = 1;

	for (; p < end; p++) {
		if (p + 1 < end && p[0] == '$' && (p[1] == '{' || p[1] == '$')) {
			open += p[1] == '{';
			p++;
		} else if (*p == '}' && !--open) {
			return p;
		}
	}
	return NULL;
}

static int complain(struct filling *f, const char *name, const char *word, size_t n)
{
	char *text = NULL;
	size_t size = 0;
	AUTO_FILE FILE *out = open_memstream(&text, &size);
	struct filling g = { .v = f->v, .out = out, .left = 512, .depth = f->depth, .e = f->e };

	int rc = !out || fill(&g, word, n) || fflush(out) ? -1 : 0;
	if (rc || !size)
		err_set(f->e, EX_DATAERR, "variable %s: is not set", name);
	else
		err_set(f->e, EX_DATAERR, "variable %s: %s", name, text);
	if (out)
		fclose(out);
	out = NULL;
	free(text);
	return -1;
}

/* What stands between "${" and "}". */
static int fill_braces(struct filling *f, const char *p, size_t n)
{
	size_t len = name_length(p, n), at = len;
	char name[NAME_SIZE];
	const char *value;

	if (!len || len >= NAME_SIZE)
		return err_set(f->e, EX_DATAERR, "${%.*s}: not a variable ($$ is a dollar sign)", (int)(n > 40 ? 40 : n), p);
	value = value_of(f, p, len, name);
	if (at < n && p[at] == ':') { /* an empty one is as good as none */
		at++;
		value = value && *value ? value : NULL;
	}
	const char how = (char)(at < n ? p[at] : 0);
	const char *word = p + at + 1;
	size_t rest = at < n ? n - at - 1 : 0;

	if (how == '-')
		return value ? put(f, value, strlen(value)) : fill(f, word, rest);
	if (how == '+')
		return value ? fill(f, word, rest) : 0;
	if (how == '?')
		return value ? put(f, value, strlen(value)) : complain(f, name, word, rest);
	if (at < n || at != len)
		return err_set(f->e, EX_DATAERR, "${%.*s}: not a variable ($$ is a dollar sign)", (int)(n > 40 ? 40 : n), p);
	if (!value && f->v->unset)
		f->v->unset(f->v->ctx, name);
	return value ? put(f, value, strlen(value)) : 0;
}

static int fill_name(struct filling *f, const char *p, size_t len)
{
	char name[NAME_SIZE];

	if (!len || len >= NAME_SIZE)
		return err_set(f->e, EX_DATAERR, "a $ that no variable follows ($$ is a dollar sign)");
	const char *value = value_of(f, p, len, name);
	if (!value && f->v->unset)
		f->v->unset(f->v->ctx, name);
	return value ? put(f, value, strlen(value)) : 0;
}

static int fill(struct filling *f, const char *text, size_t n)
{
	const char *end = text + n;

	if (++f->depth > DEPTH_MAX)
		return err_set(f->e, EX_DATAERR, "variables nested too deeply");
	for (const char *p = text; p < end;) {
		const char *dollar = memchr(p, '$', (size_t)(end - p)), *close;
		size_t plain = (size_t)((dollar ? dollar : end) - p), len;

		if (put(f, p, plain))
			return -1;
		p += plain;
		if (p == end)
			break;
		if (p + 1 < end && p[1] == '$') {
			if (put(f, "$", 1))
				return -1;
			p += 2;
		} else if (p + 1 < end && p[1] == '{') {
			if (!(close = closing(p + 2, end)))
				return err_set(f->e, EX_DATAERR, "a ${ without its }");
			if (fill_braces(f, p + 2, (size_t)(close - p - 2)))
				return -1;
			p = close + 1;
		} else {
			len = name_length(p + 1, (size_t)(end - p - 1));
			if (fill_name(f, p + 1, len))
				return -1;
			p += 1 + len;
		}
	}
	f->depth--;
	return 0;
}

char *interpolate(const struct variables *v, const char *text, struct err *e)
{
	struct filling f = { .v = v, .left = TEXT_MAX, .e = e };
	char *out = NULL;
	size_t size = 0;

	if (!strchr(text, '$') && !(out = strdup(text)))
		err_set(e, EX_OSERR, "out of memory");
	if (!strchr(text, '$'))
		return out;
	if (!(f.out = open_memstream(&out, &size))) {
		err_set(e, EX_OSERR, "out of memory");
		return NULL;
	}
	int rc = fill(&f, text, strlen(text));
	if (fclose(f.out) && !rc)
		rc = err_set(e, EX_OSERR, "out of memory");
	if (!rc)
		return out;
	free(out);
	return NULL;
}
