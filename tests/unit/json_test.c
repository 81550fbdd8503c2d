/* SPDX-License-Identifier: MIT */
#include "lib/base/json.h"

#include <math.h>

#include "lib/base/file.h"
#include "tests/unit/tap.h"

static void is_json(const struct json *j, const char *want, const char *name)
{
	AUTO_FREE char *text = json_text(j);

	is_str(text, want, name);
}

static void test_writing(void)
{
	AUTO_JSON struct json *j = json_object(), *list = json_array(), *copy = NULL;

	json_set_str(j, "kind", "node");
	json_set_str(j, "none", NULL);
	json_set_num(j, "mem.total_bytes", 8589934592.0);
	json_set_num(j, "rtt_ms.p50", 2.5);
	json_set_num(j, "rtt_ms.max", 3);
	json_set_num(j, "bad", NAN);
	json_set_bool(j, "up", true);
	json_add(list, json_string("a\"b"));
	json_add(list, json_object());
	json_add(list, NULL);
	json_set(j, "list", json_copy(list));
	json_set(j, "gone", NULL);
	is_json(j,
	        "{\"kind\":\"node\",\"mem\":{\"total_bytes\":8589934592},\"rtt_ms\":{\"p50\":2.5,\"max\":3},"
	        "\"up\":true,\"list\":[\"a\\\"b\",{}]}",
	        "members and nested members are written in order");
	copy = json_copy(j);
	json_set_num(copy, "rtt_ms.max", 4);
	json_remove(copy, "list");
	is_int(json_int(j, "rtt_ms.max", 0), 3, "changing a copy leaves the original alone");
	ok(json_has(j, "list") && !json_has(copy, "list"), "json_remove removes a member");
	json_set_str(copy, "kind.of", "x");
	is_str(json_str(copy, "kind.of"), "x", "an object takes the place of what is no object");
	json_set_num(copy, "big", 70123456789012.0);
	json_set_num(copy, "neg", -5);
	is_int(json_int(copy, "big", 0), 70123456789012, "large integers come back");
	json_set_num(list, "x", 1);
	json_add(j, json_string("x"));
	is_int((long long)json_len(list, NULL), 2, "setting a member of an array does nothing");
}

static void test_numbers(void)
{
	AUTO_JSON struct json *j = json_object();

	json_set_num(j, "a", 0);
	json_set_num(j, "b", -1);
	json_set_num(j, "c", 1e15);
	json_set_num(j, "d", 9007199254740991.0);
	json_set_num(j, "e", 0.1);
	is_json(j, "{\"a\":0,\"b\":-1,\"c\":1000000000000000,\"d\":9007199254740991,\"e\":0.1}",
	        "integers print as integers, and 0.1 as 0.1");
}

static void test_reading(void)
{
	static const char text[] =
		" {\"s\":\"x\",\"n\":1.5,\"t\":true,\"f\":false,\"z\":null,\"o\":{\"p\":{\"q\":7}},"
		"\"l\":[1,\"two\"]} ";
	struct err e = { 0 };
	AUTO_JSON struct json *j = json_parse(text, sizeof(text) - 1, &e), *o = NULL, *two = NULL;

	ok(json_is_object(j), "an object is parsed");
	is_str(json_str(j, "s"), "x", "json_str reads a string");
	is_str(json_str(j, "n"), NULL, "json_str of a number is NULL");
	is_str(json_str(j, "s.t"), NULL, "a path through a string leads nowhere");
	ok(json_num(j, "n", 0) == 1.5 && json_num(j, "s", 9) == 9,
	   "json_num reads a number or gives the default");
	is_int(json_int(j, "o.p.q", 0), 7, "json_int follows a path");
	is_int(json_int(j, "o.p", 3), 3, "json_int of an object is the default");
	ok(json_bool(j, "t", false) && !json_bool(j, "f", true) && json_bool(j, "z", true) &&
	           !json_bool(j, "z", false),
	   "json_bool reads true and false, else gives the default");
	ok(json_has(j, "z") && !json_has(j, "y") && !json_has(j, "o.y"), "json_has tells null from absent");
	is_int((long long)json_len(j, "l"), 2, "json_len counts");
	is_int((long long)json_len(j, "s"), 0, "json_len of a string is 0");
	o = json_get(j, "o.p");
	is_json(o, "{\"q\":7}", "json_get gives a part");
	ok(json_get(j, "o.x") == NULL, "json_get of nothing is NULL");
	json_free(TAKE_PTR(o));
	o = json_get(j, "l");
	two = json_at(o, 1);
	is_str(json_value(two), "two", "json_at and json_value read an array's string");
	ok(json_at(o, 2) == NULL && json_at(two, 0) == NULL, "json_at beyond the end is NULL");
	is_str(json_value(o), NULL, "json_value of an array is NULL");
	ok(json_str(NULL, "x") == NULL && json_int(NULL, "x", 4) == 4, "a NULL value has no members");
}

static void refuse(const char *text, size_t len, const char *want, const char *name)
{
	struct err e = { 0 };
	AUTO_JSON struct json *j = json_parse(text, len, &e);

	is_str(j ? "parsed" : e.text, want, name);
	if (!j)
		is_int(e.code, EX_DATAERR, "... as bad data");
}

static void test_refusals(void)
{
	char deep[130];

	refuse("", 0, "not JSON: expected JSON value", "empty text is refused");
	refuse("{\"a\":1", 6, "not JSON: unfinished JSON term at EOF at line 1, column 6",
	       "a cut text is refused");
	refuse("{} {}", 5, "not JSON: unexpected extra JSON values", "a second value is refused");
	refuse("{\"a\" 1}", 7, "not JSON: expected separator between values at line 1, column 7",
	       "a missing colon is refused");
	refuse("{\"a\":1}\0x", 9, "not JSON: unexpected extra JSON values", "a NUL is refused");
	memset(deep, '[', 65);
	memset(deep + 65, ']', 65);
	refuse(deep, 130, "not JSON: deeper than 64 levels", "65 levels are refused");
	refuse(deep + 1, 128, "parsed", "64 levels are parsed");
	snprintf(deep, sizeof(deep), "[\"%.70s\\\"[\"]",
	         "[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[");
	refuse(deep, strlen(deep), "parsed", "brackets in strings do not count");
}

static void test_records(void)
{
	char text[] = "{\"a\":1}\n\n  \r\n{\"b\": 2} \n[1]\n{\"c\"\n{\"d\":1}";
	FILE *f = fmemopen(text, sizeof(text) - 1, "r");
	AUTO_RECORDS struct records *r = records_open(f, "stdin");
	struct json *j = NULL;
	struct err e = { 0 };

	is_int(records_next(r, &j, &e), 1, "the first record is read");
	is_int(json_int(j, "a", 0), 1, "... and holds its member");
	json_free(TAKE_PTR(j));
	is_int(records_next(r, &j, &e), 1, "empty lines are passed over");
	is_str(records_line(r), "{\"b\": 2} ", "the line is there as it came");
	json_free(TAKE_PTR(j));
	is_int(records_next(r, &j, &e), -1, "an array is refused");
	is_str(e.text, "stdin: line 5: not a JSON object", "... with its line number");
	is_int(records_next(r, &j, &e), -1, "a malformed line is refused");
	is_str(e.text, "stdin: line 6: not JSON: unfinished JSON term at EOF", "... saying what is wrong");
	is_int(e.code, EX_DATAERR, "... as bad data");
	is_int(records_next(r, &j, &e), 1, "a last line without a newline is a record");
	json_free(TAKE_PTR(j));
	is_int(records_next(r, &j, &e), 0, "then the end");
	fclose(f);
}

static void test_long_lines(void)
{
	size_t n = (17u << 20);
	AUTO_FREE char *text = malloc(n);
	AUTO_FILE FILE *f = NULL;
	struct records *r;
	struct json *j = NULL;
	struct err e = { 0 };

	memset(text, ' ', n);
	memcpy(text, "{\"a\":\"", 6);
	memset(text + 6, 'x', 1 << 20);
	memcpy(text + 6 + (1 << 20), "\"}\n", 3);
	f = fmemopen(text, n, "r");
	r = records_open(f, "in");
	is_int(records_next(r, &j, &e), 1, "a line of 1 MB is read");
	is_int((long long)strlen(json_str(j, "a")), 1 << 20, "... whole");
	json_free(j);
	records_free(r);
	rewind(f);
	text[6 + (1 << 20)] = 'x';
	memset(text + 6, 'x', n - 6);
	r = records_open(f, "in");
	is_int(records_next(r, &j, &e), -1, "a line of 17 MB is refused");
	is_str(e.text, "in: line 1: longer than 16 MB", "... saying so");
	records_free(r);
}

static void test_files(void)
{
	char path[] = "/tmp/json_test.XXXXXX", *text = NULL;
	int fd = mkstemp(path);
	struct err e = { 0 };
	AUTO_JSON struct json *j = json_object(), *back = NULL;
	FILE *full = fopen("/dev/full", "w"), *f;
	size_t n;

	json_set_str(j, "name", "\xc3\xa4");
	is_int(json_write_file(j, path, &e), 0, "a value is written to a file");
	text = file_slurp(path, &n, &e);
	is_str(text, "{\"name\":\"\xc3\xa4\"}\n", "... as one line");
	back = json_read_file(path, &e);
	is_str(json_str(back, "name"), "\xc3\xa4", "... and read back");
	f = fopen(path, "w");
	is_int(record_print(f, j, &e), 0, "a record is printed");
	is_int(record_pass(f, "{ }", &e), 0, "a line is passed on");
	fclose(f);
	free(text);
	text = file_slurp(path, &n, &e);
	is_str(text, "{\"name\":\"\xc3\xa4\"}\n{ }\n", "... each on its line");
	ok(json_read_file(path, &e) == NULL && strncmp(e.text, path, strlen(path)) == 0,
	   "a bad file's error names it");
	is_int(record_print(full, j, &e), -1, "a full disk is noticed");
	is_int(e.code, EX_IOERR, "... as an I/O error");
	fclose(full);
	free(text);
	close(fd);
	unlink(path);
}

int main(void)
{
	test_writing();
	test_numbers();
	test_reading();
	test_refusals();
	test_records();
	test_long_lines();
	test_files();
	return done();
}
