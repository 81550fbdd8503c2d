/* SPDX-License-Identifier: MIT */
#include "lib/base/json.h"

#include <ctype.h>
#include <errno.h>
#include <math.h>
#include <string.h>

#include "lib/base/file.h"
#include "lib/base/json_int.h"

#define TEXT_MAX      (64u << 20)
#define LINE_SIZE_MAX (16u << 20)
#define DEPTH_MAX     64

static bool is_kind(jv v, jv_kind kind)
{
	return jv_get_kind(v) == kind;
}

void json_free(struct json *j)
{
	if (!j)
		return;
	jv_free(j->v);
	free(j);
}

struct json *json_object(void)
{
	return json_wrap(jv_object());
}

struct json *json_array(void)
{
	return json_wrap(jv_array());
}

struct json *json_string(const char *s)
{
	return json_wrap(jv_string(s));
}

struct json *json_number(double v)
{
	return json_wrap(jv_number(v));
}

struct json *json_copy(const struct json *j)
{
	return json_wrap(jv_copy(j->v));
}

/* libjq's own limit is 256 and its printer recurses. */
static bool too_deep(const char *text, size_t len)
{
	bool quoted = false;
	int depth = 0;

	for (size_t i = 0; i < len; i++) {
		char c = text[i];

		if (quoted) {
			if (c == '\\')
				i++;
			else if (c == '"')
				quoted = false;
		} else if (c == '"') {
			quoted = true;
		} else if (c == '[' || c == '{') {
			if (++depth > DEPTH_MAX)
				return true;
		} else if (c == ']' || c == '}') {
			depth--;
		}
	}
	return false;
}

/* Takes what libjq says about an invalid value, without its quotation of the whole text. */
static void parse_error(jv invalid, struct err *e)
{
	jv msg = jv_invalid_get_msg(invalid);
	char text[200] = "empty";
	char *end;

	if (is_kind(msg, JV_KIND_STRING)) {
		snprintf(text, sizeof(text), "%s", jv_string_value(msg));
		end = strstr(text, " (while parsing");
		if (end)
			*end = '\0';
		text[0] = (char)tolower((unsigned char)text[0]);
	}
	jv_free(msg);
	err_set(e, EX_DATAERR, "not JSON: %s", text);
}

struct json *json_parse(const char *text, size_t len, struct err *e)
{
	jv v;

	if (len > TEXT_MAX) {
		err_set(e, EX_DATAERR, "not JSON: larger than 64 MB");
		return NULL;
	}
	if (too_deep(text, len)) {
		err_set(e, EX_DATAERR, "not JSON: deeper than %d levels", DEPTH_MAX);
		return NULL;
	}
	v = jv_parse_sized(text, (int)len);
	if (!jv_is_valid(v)) {
		parse_error(v, e);
		return NULL;
	}
	return json_wrap(v);
}

struct json *json_read_file(const char *path, struct err *e)
{
	size_t len;
	AUTO_FREE char *text = file_slurp(path, &len, e);
	struct json *j;

	if (!text)
		return NULL;
	j = json_parse(text, len, e);
	if (!j)
		err_wrap(e, "%s", path);
	return j;
}

/* The member that `path` names, a new reference; invalid when there is none. */
static jv lookup(const struct json *j, const char *path)
{
	jv v;

	if (!j)
		return jv_invalid();
	v = jv_copy(j->v);
	while (path && *path && is_kind(v, JV_KIND_OBJECT)) {
		size_t n = strcspn(path, ".");

		v = jv_object_get(v, jv_string_sized(path, (int)n));
		path += n + (path[n] == '.');
	}
	if (path && *path) { /* there is more of the path than of the objects */
		jv_free(v);
		return jv_invalid();
	}
	return v;
}

bool json_is_object(const struct json *j)
{
	return j && is_kind(j->v, JV_KIND_OBJECT);
}

bool json_has(const struct json *j, const char *path)
{
	jv v = lookup(j, path);
	bool has = jv_is_valid(v);

	jv_free(v);
	return has;
}

const char *json_str(const struct json *j, const char *path)
{
	jv v = lookup(j, path);
	const char *s = is_kind(v, JV_KIND_STRING) ? jv_string_value(v) : NULL;

	jv_free(v); /* the object that it is a member of still holds it */
	return s;
}

double json_num(const struct json *j, const char *path, double otherwise)
{
	jv v = lookup(j, path);
	double d = is_kind(v, JV_KIND_NUMBER) ? jv_number_value(v) : otherwise;

	jv_free(v);
	return d;
}

int64_t json_int(const struct json *j, const char *path, int64_t otherwise)
{
	double d = json_num(j, path, NAN);

	if (!(d >= -9223372036854775808.0 && d < 9223372036854775808.0)) /* also for NaN */
		return otherwise;
	return (int64_t)d;
}

bool json_bool(const struct json *j, const char *path, bool otherwise)
{
	jv v = lookup(j, path);
	bool b = is_kind(v, JV_KIND_TRUE) || (otherwise && !is_kind(v, JV_KIND_FALSE));

	jv_free(v);
	return b;
}

struct json *json_get(const struct json *j, const char *path)
{
	jv v = lookup(j, path);

	return jv_is_valid(v) ? json_wrap(v) : (jv_free(v), NULL);
}

size_t json_len(const struct json *array, const char *path)
{
	jv v = lookup(array, path);

	if (is_kind(v, JV_KIND_ARRAY))
		return (size_t)jv_array_length(v);
	jv_free(v);
	return 0;
}

struct json *json_at(const struct json *array, size_t i)
{
	if (i >= json_len(array, NULL))
		return NULL;
	return json_wrap(jv_array_get(jv_copy(array->v), (int)i));
}

const char *json_value(const struct json *string)
{
	return string && is_kind(string->v, JV_KIND_STRING) ? jv_string_value(string->v) : NULL;
}

struct json *json_keys(const struct json *object)
{
	return json_wrap(is_kind(object->v, JV_KIND_OBJECT) ? jv_keys(jv_copy(object->v)) : jv_array());
}

/* Takes obj and v, returns the object with v in it. */
static jv set_path(jv obj, const char *path, jv v)
{
	size_t n = strcspn(path, ".");
	jv key = jv_string_sized(path, (int)n), child;

	if (!is_kind(obj, JV_KIND_OBJECT)) {
		jv_free(obj);
		obj = jv_object();
	}
	if (path[n] == '\0')
		return jv_object_set(obj, key, v);
	child = jv_object_get(jv_copy(obj), jv_copy(key));
	/* with our reference the only one, libjq changes the child in place */
	obj = jv_object_set(obj, jv_copy(key), jv_null());
	return jv_object_set(obj, key, set_path(child, path + n + 1, v));
}

static void set(struct json *j, const char *path, jv v)
{
	if (is_kind(j->v, JV_KIND_OBJECT))
		j->v = set_path(j->v, path, v);
	else
		jv_free(v);
}

void json_set_str(struct json *j, const char *path, const char *s)
{
	if (s)
		set(j, path, jv_string(s));
}

void json_set_num(struct json *j, const char *path, double v)
{
	if (isfinite(v)) /* JSON has no other numbers: unknown is absent */
		set(j, path, jv_number(v));
}

void json_set_ms(struct json *j, const char *path, double ms)
{
	json_set_num(j, path, round(ms * 1000) / 1000);
}

void json_set_bool(struct json *j, const char *path, bool v)
{
	set(j, path, jv_bool(v));
}

void json_set(struct json *j, const char *path, struct json *v)
{
	if (!v)
		return;
	set(j, path, jv_copy(v->v));
	json_free(v);
}

void json_remove(struct json *j, const char *key)
{
	if (is_kind(j->v, JV_KIND_OBJECT))
		j->v = jv_object_delete(j->v, jv_string(key));
}

void json_add(struct json *array, struct json *v)
{
	if (!v)
		return;
	if (is_kind(array->v, JV_KIND_ARRAY))
		array->v = jv_array_append(array->v, jv_copy(v->v));
	json_free(v);
}

char *json_text(const struct json *j)
{
	jv s = jv_dump_string(jv_copy(j->v), 0);
	char *text = strdup(jv_string_value(s));

	jv_free(s);
	if (!text)
		abort();
	return text;
}

char *json_line(const struct json *j)
{
	AUTO_FREE char *text = json_text(j);
	char *line;

	return text && asprintf(&line, "%s\n", text) >= 0 ? line : NULL;
}

int json_write_file(const struct json *j, const char *path, struct err *e)
{
	AUTO_FREE char *line = json_line(j);

	return line ? file_write(path, line, strlen(line), 0644, e) : err_set(e, EX_OSERR, "out of memory");
}

struct records {
	FILE *f;
	char *name;
	char *line; /* NULL before the first */
	size_t len, room;
	unsigned long number;
};

struct records *records_open(FILE *f, const char *name)
{
	struct records *r = calloc(1, sizeof(*r));

	if (!r)
		abort();
	r->f = f;
	r->name = strdup(name);
	if (!r->name)
		abort();
	return r;
}

void records_free(struct records *r)
{
	if (!r)
		return;
	free(r->name);
	free(r->line);
	free(r);
}

const char *records_line(const struct records *r)
{
	return r->line;
}

/* 1: a line, 0: the end, -1: error. getline(3) would take any length. */
static int read_line(struct records *r, struct err *e)
{
	int c;

	r->len = 0;
	r->number++;
	flockfile(r->f);
	while ((c = getc_unlocked(r->f)) != EOF && c != '\n' && r->len <= LINE_SIZE_MAX) {
		if (r->len + 1 >= r->room) {
			r->room = r->room ? r->room * 2 : 1024;
			r->line = realloc(r->line, r->room);
			if (!r->line)
				abort();
		}
		r->line[r->len++] = (char)c;
	}
	funlockfile(r->f);
	if (c == EOF && ferror(r->f)) {
		err_sys(e, "%s: cannot read", r->name);
		return -1;
	}
	if (r->len > LINE_SIZE_MAX)
		return err_set(e, EX_DATAERR, "%s: line %lu: longer than 16 MB", r->name, r->number);
	if (r->len > 0)
		r->line[r->len] = '\0';
	return c != EOF || r->len > 0;
}

static bool is_blank(const struct records *r)
{
	for (size_t i = 0; i < r->len; i++)
		if (!strchr(" \t\r", r->line[i]) || !r->line[i])
			return false;
	return true;
}

int records_next(struct records *r, struct json **rec, struct err *e)
{
	struct err why = { 0 };
	AUTO_JSON struct json *j = NULL;
	const char *at;
	int rc;

	do {
		rc = read_line(r, e);
		if (rc <= 0)
			return rc;
	} while (is_blank(r));
	j = json_parse(r->line, r->len, &why);
	if (json_is_object(j)) {
		*rec = TAKE_PTR(j);
		return 1;
	}
	if (j)
		return err_set(e, EX_DATAERR, "%s: line %lu: not a JSON object", r->name, r->number);
	at = strstr(why.text, " at line ");
	at = at ? at : why.text + strlen(why.text); /* libjq's line number is that within the line */
	return err_set(e, EX_DATAERR, "%s: line %lu: %.*s", r->name, r->number, (int)(at - why.text),
	               why.text);
}

int record_print_all(FILE *f, const struct json *array, struct err *e)
{
	for (size_t i = 0, n = json_len(array, NULL); i < n; i++) {
		AUTO_JSON struct json *rec = json_at(array, i);

		if (record_print(f, rec, e))
			return -1;
	}
	return 0;
}

int record_pass(FILE *f, const char *line, struct err *e)
{
	if (fputs(line, f) == EOF || putc('\n', f) == EOF || fflush(f) == EOF || ferror(f)) {
		err_sys(e, "cannot write");
		if (e)
			e->code = EX_IOERR;
		return -1;
	}
	return 0;
}

int record_print(FILE *f, const struct json *rec, struct err *e)
{
	AUTO_FREE char *text = json_text(rec);

	return record_pass(f, text, e);
}
