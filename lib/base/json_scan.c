/* SPDX-License-Identifier: MIT */
#include "lib/base/json_scan.h"

#include <stdbool.h>
#include <stdlib.h>
#include <string.h>

#include "lib/base/auto.h"

#define DEPTH_MAX 64
#define TEXT_MAX  (64u << 20)

struct scanner {
	struct json_scan *s;
	const char *p, *end;
	int open[DEPTH_MAX]; /* the containers around p */
	int depth;
};

static const char *skip_blank(const char *p, const char *end)
{
	while (p < end && (*p == ' ' || *p == '\t' || *p == '\n' || *p == '\r'))
		p++;
	return p;
}

static struct json_token *add(struct scanner *c, enum json_type type)
{
	struct json_scan *s = c->s;

	if (s->n == s->room) {
		s->room = s->room ? s->room * 2 : 64;
		s->tok = realloc(s->tok, (size_t)s->room * sizeof(*s->tok));
		if (!s->tok)
			abort();
	}
	s->tok[s->n] = (struct json_token){ .at = c->p, .type = (uint8_t)type, .next = s->n + 1 };
	return &s->tok[s->n++];
}

static bool is_hex(char ch)
{
	return (ch >= '0' && ch <= '9') || ((ch | 0x20) >= 'a' && (ch | 0x20) <= 'f');
}

/* NULL, or what is wrong. p is behind the opening quote. */
static const char *scan_string(struct scanner *c)
{
	struct json_token *t = add(c, JSON_STRING);
	const char *p = c->p;

	for (;; p++) {
		if (p == c->end)
			return "unfinished string";
		if (*p == '"')
			break;
		if ((unsigned char)*p < 0x20)
			return "control character in a string";
		if (*p != '\\')
			continue;
		t->escaped = 1;
		if (++p == c->end || !strchr("\"\\/bfnrtu", *p) || !*p)
			return "bad escape in a string";
		if (*p != 'u')
			continue;
		if (c->end - p < 5 || !is_hex(p[1]) || !is_hex(p[2]) || !is_hex(p[3]) || !is_hex(p[4]))
			return "bad escape in a string";
		p += 4;
	}
	t->len = (uint32_t)(p - c->p);
	c->p = p + 1;
	return NULL;
}

static const char *skip_digits(const char *p, const char *end)
{
	while (p < end && *p >= '0' && *p <= '9')
		p++;
	return p;
}

static const char *scan_number(struct scanner *c)
{
	struct json_token *t = add(c, JSON_NUMBER);
	const char *p = c->p + (*c->p == '-'), *digits = p;

	p = skip_digits(p, c->end);
	if (p == digits || (*digits == '0' && p > digits + 1))
		return "bad number";
	if (p < c->end && *p == '.') {
		digits = ++p;
		p = skip_digits(p, c->end);
		if (p == digits)
			return "bad number";
	}
	if (p < c->end && (*p | 0x20) == 'e') {
		p++;
		p += p < c->end && (*p == '+' || *p == '-');
		digits = p;
		p = skip_digits(p, c->end);
		if (p == digits)
			return "bad number";
	}
	t->len = (uint32_t)(p - c->p);
	c->p = p;
	return NULL;
}

static const char *scan_literal(struct scanner *c, const char *word, enum json_type type)
{
	size_t n = strlen(word);

	if ((size_t)(c->end - c->p) < n || memcmp(c->p, word, n) != 0)
		return "invalid literal";
	add(c, type)->len = (uint32_t)n;
	c->p += n;
	return NULL;
}

static const char *scan_open(struct scanner *c, enum json_type type)
{
	if (c->depth == DEPTH_MAX)
		return "deeper than 64 levels";
	c->open[c->depth++] = c->s->n;
	add(c, type);
	c->p++;
	return NULL;
}

static const char *scan_value(struct scanner *c)
{
	if (c->p == c->end)
		return "unfinished";
	switch (*c->p) {
	case '"':
		c->p++;
		return scan_string(c);
	case '{':
		return scan_open(c, JSON_OBJECT);
	case '[':
		return scan_open(c, JSON_ARRAY);
	case 't':
		return scan_literal(c, "true", JSON_TRUE);
	case 'f':
		return scan_literal(c, "false", JSON_FALSE);
	case 'n':
		return scan_literal(c, "null", JSON_NULL);
	default:
		return *c->p == '-' || (*c->p >= '0' && *c->p <= '9') ? scan_number(c) : "invalid literal";
	}
}

static const char *scan_key(struct scanner *c)
{
	const char *wrong;

	c->p = skip_blank(c->p, c->end);
	if (c->p == c->end || *c->p != '"')
		return "a member without a name";
	c->p++;
	wrong = scan_string(c);
	if (wrong)
		return wrong;
	c->p = skip_blank(c->p, c->end);
	if (c->p == c->end || *c->p != ':')
		return "a member without a value";
	c->p++;
	return NULL;
}

/* Behind a value: closes what ends here, and goes to the next value. *done when the whole text has been read. */
static const char *scan_on(struct scanner *c, bool opened, bool *done)
{
	for (;; opened = false) {
		struct json_token *t = c->depth ? &c->s->tok[c->open[c->depth - 1]] : NULL;
		bool object = t && t->type == JSON_OBJECT;

		c->p = skip_blank(c->p, c->end);
		if (!t) {
			*done = true;
			return c->p == c->end ? NULL : "something behind it";
		}
		if (c->p == c->end)
			return "unfinished";
		if (*c->p == (object ? '}' : ']')) {
			c->p++;
			t->len = (uint32_t)(c->p - t->at);
			t->next = c->s->n;
			c->depth--;
			continue;
		}
		if (!opened && *c->p++ != ',')
			return "no comma between values";
		return object ? scan_key(c) : NULL;
	}
}

int json_scan(struct json_scan *s, const char *text, size_t len, struct err *e)
{
	struct scanner c = { .s = s, .p = text, .end = text + len };
	const char *wrong = len > TEXT_MAX ? "larger than 64 MB" : NULL;
	bool done = false;

	s->n = 0;
	while (!wrong && !done) {
		int depth = c.depth;

		c.p = skip_blank(c.p, c.end);
		wrong = scan_value(&c);
		if (!wrong)
			wrong = scan_on(&c, c.depth > depth, &done);
	}
	if (!wrong)
		return 0;
	return err_set(e, EX_DATAERR, "not JSON: %s, at column %zu", wrong, (size_t)(c.p - text) + 1);
}

void json_scan_clear(struct json_scan *s)
{
	free(s->tok);
	free(s->decoded);
	memset(s, 0, sizeof(*s));
}

/* Names with backslashes are not found: none of ours needs them. */
static int find_member(const struct json_scan *s, int tok, const char *name, size_t len)
{
	int found = -1, end = s->tok[tok].next;

	for (int i = tok + 1; i < end; i = s->tok[i + 1].next)
		if (s->tok[i].len == len && memcmp(s->tok[i].at, name, len) == 0)
			found = i + 1;
	return found >= 0 && s->tok[found].type == JSON_NULL ? -1 : found;
}

int json_scan_find(const struct json_scan *s, int tok, const char *path)
{
	for (;;) {
		size_t n = strcspn(path, ".");

		if (s->tok[tok].type != JSON_OBJECT)
			return -2;
		tok = find_member(s, tok, path, n);
		if (tok < 0 || !path[n])
			return tok;
		path += n + 1;
	}
}

/* Exact where 15 digits and a power of ten that doubles hold exactly are enough; nearly all numbers of records are so. */
static bool quick_number(const char *p, const char *end, double *v)
{
	static const double ten[] = { 1e0, 1e1, 1e2, 1e3, 1e4, 1e5, 1e6, 1e7, 1e8, 1e9, 1e10, 1e11, 1e12, 1e13, 1e14, 1e15 };
	bool negative = *p == '-', behind = false;
	int64_t m = 0;
	int places = 0;

	p += negative;
	if (end - p > 16)
		return false;
	for (; p < end; p++) {
		if (*p == '.') {
			behind = true;
			continue;
		}
		if (*p < '0' || *p > '9')
			return false;
		m = m * 10 + (*p - '0');
		places += behind;
	}
	if (m >= 1000000000000000)
		return false;
	*v = (double)(negative ? -m : m) / ten[places];
	return true;
}

double json_scan_number(const struct json_scan *s, int tok)
{
	const struct json_token *t = &s->tok[tok];
	AUTO_FREE char *text = NULL;
	double v;

	if (quick_number(t->at, t->at + t->len, &v))
		return v;
	text = strndup(t->at, t->len);
	if (!text)
		abort();
	return strtod(text, NULL);
}

static unsigned hex4(const char *p)
{
	char text[5] = { p[0], p[1], p[2], p[3], 0 };

	return (unsigned)strtoul(text, NULL, 16);
}

static char *put_utf8(char *to, unsigned c)
{
	if (c < 0x80) {
		*to++ = (char)c;
		return to;
	}
	if (c < 0x800) {
		*to++ = (char)(0xc0 | c >> 6);
	} else {
		if (c < 0x10000) {
			*to++ = (char)(0xe0 | c >> 12);
		} else {
			*to++ = (char)(0xf0 | c >> 18);
			*to++ = (char)(0x80 | (c >> 12 & 0x3f));
		}
		*to++ = (char)(0x80 | (c >> 6 & 0x3f));
	}
	*to++ = (char)(0x80 | (c & 0x3f));
	return to;
}

/* p is at the first digit of \uXXXX. Halves of a pair that stand alone become the replacement character. */
static const char *decode_unicode(const char *p, const char *end, char **to)
{
	unsigned c = hex4(p);

	p += 4;
	if (c >= 0xd800 && c < 0xdc00 && end - p >= 6 && p[0] == '\\' && p[1] == 'u') {
		unsigned low = hex4(p + 2);

		if (low >= 0xdc00 && low < 0xe000) {
			c = 0x10000 + ((c - 0xd800) << 10) + (low - 0xdc00);
			p += 6;
		}
	}
	*to = put_utf8(*to, c >= 0xd800 && c < 0xe000 ? 0xfffd : c);
	return p;
}

const char *json_scan_string(struct json_scan *s, int tok, size_t *len)
{
	static const char from[] = "\"\\/bfnrt", what[] = "\"\\/\b\f\n\r\t";
	const struct json_token *t = &s->tok[tok];
	const char *p = t->at, *end = t->at + t->len;
	char *to;

	*len = t->len;
	if (!t->escaped)
		return t->at;
	if (s->decoded_room < t->len) {
		s->decoded_room = t->len;
		s->decoded = realloc(s->decoded, t->len);
		if (!s->decoded)
			abort();
	}
	for (to = s->decoded; p < end;) {
		if (*p != '\\') {
			*to++ = *p++;
		} else if (p[1] == 'u') {
			p = decode_unicode(p + 2, end, &to);
		} else {
			*to++ = what[strchr(from, p[1]) - from];
			p += 2;
		}
	}
	*len = (size_t)(to - s->decoded);
	return s->decoded;
}
