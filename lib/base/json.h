/* SPDX-License-Identifier: MIT */
/* JSON values and NDJSON streams; the only door to libjq. Numbers are doubles, so ids and digests are strings.
 *
 * A `path` names a member of nested objects with dots: "rtt_ms.p50". Functions that read never fail on a
 * missing or differently typed member: they give the default. */
#ifndef EDGE_BASE_JSON_H
#define EDGE_BASE_JSON_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>

#include "lib/base/auto.h"
#include "lib/base/err.h"

struct json;

void json_free(struct json *j);
AUTO_DEFINE(struct json, json_free)
#define AUTO_JSON AUTO(json_free_auto)

/* All of these return a new value that the caller owns. */
struct json *json_object(void);
struct json *json_array(void);
struct json *json_string(const char *s);
struct json *json_number(double v);
struct json *json_copy(const struct json *j);
/* One JSON text of any kind; NULL and `e` (EX_DATAERR) when malformed, deeper than 64 levels or followed by anything. */
struct json *json_parse(const char *text, size_t len, struct err *e);
struct json *json_read_file(const char *path, struct err *e);

/* Reading. Strings stay valid until `j` is changed or freed. json_get gives a new value or NULL. */
bool json_is_object(const struct json *j);
bool json_has(const struct json *j, const char *path);
const char *json_str(const struct json *j, const char *path);
double json_num(const struct json *j, const char *path, double otherwise);
int64_t json_int(const struct json *j, const char *path, int64_t otherwise);
bool json_bool(const struct json *j, const char *path, bool otherwise);
struct json *json_get(const struct json *j, const char *path);
size_t json_len(const struct json *array, const char *path); /* path "" or NULL: the value itself */
struct json *json_at(const struct json *array, size_t i);
const char *json_value(const struct json *string); /* of a string value, else NULL */
struct json *json_keys(const struct json *object); /* an array of the names of its members, sorted */

/* Writing into an object; objects on the way are made. A NULL string leaves the member absent.
 * json_set and json_add take ownership of `v` (NULL leaves the member absent). */
void json_set_str(struct json *j, const char *path, const char *s);
void json_set_num(struct json *j, const char *path, double v);
void json_set_ms(struct json *j, const char *path, double ms); /* to the microsecond: records need no finer ones */
void json_set_bool(struct json *j, const char *path, bool v);
void json_set(struct json *j, const char *path, struct json *v);
void json_remove(struct json *j, const char *key);
void json_add(struct json *array, struct json *v);

/* The compact text on one line; the caller frees it. */
char *json_text(const struct json *j);
/* The same with a newline behind it; NULL: out of memory. */
char *json_line(const struct json *j);
/* Writes that to a temporary name beside `path`, fsyncs and renames. */
int json_write_file(const struct json *j, const char *path, struct err *e);

/* NDJSON in. Empty lines are passed over. */
struct records;
struct records *records_open(FILE *f, const char *name); /* name for messages: "stdin" */
void records_free(struct records *r);
AUTO_DEFINE(struct records, records_free)
#define AUTO_RECORDS AUTO(records_free_auto)
/* 1: *rec is a new object that the caller owns; 0: the end; -1: "NAME: line N: problem", EX_DATAERR. */
int records_next(struct records *r, struct json **rec, struct err *e);
/* The last record's line exactly as it came, without its newline: for passing it on unchanged. */
const char *records_line(const struct records *r);

/* NDJSON out: one object and a newline, flushed; -1 and EX_IOERR when the stream has failed. */
int record_print(FILE *f, const struct json *rec, struct err *e);
/* Each element of an array. */
int record_print_all(FILE *f, const struct json *array, struct err *e);
int record_pass(FILE *f, const char *line, struct err *e);

#endif
