/* SPDX-License-Identifier: MIT */
#include "lib/base/json_scan.h"

#include <math.h>
#include <stdlib.h>

#include "lib/base/json.h"
#include "tests/unit/tap.h"

static struct json_scan scan;

static bool takes(const char *text)
{
	return json_scan(&scan, text, strlen(text), NULL) == 0;
}

static void test_grammar(void)
{
	static const char *const good[] = { "{}", "[]", " {\t} \r\n", "1", "-0", "0.5", "-1.5e+10", "1E3", "\"\"", "null", "true",
		"false", "[1,2,[3],{}]", "{\"a\":{\"b\":[null]},\"c\":\"d\"}", "\"\\u00e4\\n\\\"\\\\\\/\"", "\"\xc3\xa4\"", "[[[]]]" };
	static const char *const bad[] = { "", " ", "{", "}", "[", "]", "{]", "[}", "{\"a\"}", "{\"a\":}", "{\"a\":1,}", "{,}", "[1,]",
		"[,1]", "[1 2]", "{\"a\" 1}", "{a:1}", "{1:1}", "01", "1.", ".5", "-", "+1", "1e", "1e+", "0x1", "NaN", "nan",
		"Infinity", "-Infinity", "tru", "nulls", "\"", "\"a", "\"\\\"", "\"\\x\"", "\"\\u12g4\"", "\"\\u12\"", "\"\n\"",
		"{} {}", "{}x", "[1]]", "'a'", "\"a\"b", "{\"a\":1 \"b\":2}", "{\"a\":1;}" };
	bool all = true;

	for (size_t i = 0; i < sizeof(good) / sizeof(*good); i++)
		if (!takes(good[i])) {
			printf("# refused: %s\n", good[i]);
			all = false;
		}
	ok(all, "what is JSON is taken");
	all = true;
	for (size_t i = 0; i < sizeof(bad) / sizeof(*bad); i++)
		if (takes(bad[i])) {
			printf("# taken: %s\n", bad[i]);
			all = false;
		}
	ok(all, "what is not JSON is refused");
	ok(!json_scan(&scan, "{\"a\":1}xxx", 7, NULL), "the length counts, not a NUL");
}

static void test_depth(void)
{
	char text[200] = "";
	struct err e = { 0 };

	memset(text, '[', 64);
	memset(text + 64, ']', 64);
	ok(takes(text), "64 levels are taken");
	memset(text, '[', 65);
	memset(text + 65, ']', 65);
	ok(json_scan(&scan, text, 130, &e) < 0 && e.code == EX_DATAERR, "65 levels are refused");
	is_str(e.text, "not JSON: deeper than 64 levels, at column 65", "... and the message says where");
}

static double number(const char *text)
{
	return takes(text) ? json_scan_number(&scan, 0) : NAN;
}

static void test_numbers(void)
{
	static const char *const text[] = { "0", "-0", "1", "-1", "0.1", "0.3", "31.62", "123456789012345", "1234567890.12345",
		"0.000000000000001", "9007199254740993", "1e308", "-2.5e-3", "8589934592", "48.14", "0.1234567890123456",
		"1.7976931348623157e308", "5e-324", "99999999999999999999" };
	bool all = true;

	for (size_t i = 0; i < sizeof(text) / sizeof(*text); i++)
		if (number(text[i]) != strtod(text[i], NULL)) {
			printf("# %s: %.17g\n", text[i], number(text[i]));
			all = false;
		}
	for (int i = 0; i < 100000; i++) {
		char random[40];

		snprintf(random, sizeof(random), "%.*f", rand() % 7, (rand() - RAND_MAX / 2) / 1e4);
		all &= number(random) == strtod(random, NULL);
	}
	ok(all, "numbers are read as strtod(3) reads them, to the last bit");
	ok(isinf(number("1e999")), "what is too large is infinite");
}

static void is_string(const char *text, const char *want, const char *name)
{
	size_t len = 0;
	const char *s = takes(text) ? json_scan_string(&scan, 0, &len) : "(refused)";
	char have[100];

	snprintf(have, sizeof(have), "%.*s", (int)len, s);
	is_str(have, want, name);
}

static void test_strings(void)
{
	is_string("\"edge1\"", "edge1", "a string");
	is_string("\"a\\\"b\\\\c\\/d\\n\\t\\b\\f\\r\"", "a\"b\\c/d\n\t\b\f\r", "escapes");
	is_string("\"\\u0041\\u00e4\\u20ac\"", "A\xc3\xa4\xe2\x82\xac", "characters by number");
	is_string("\"\\ud83d\\ude00\"", "\xf0\x9f\x98\x80", "a pair of halves");
	is_string("\"\\ud83dx\\ude00\"", "\xef\xbf\xbdx\xef\xbf\xbd", "halves that stand alone");
}

static void test_find(void)
{
	const char *text = "{\"a\":1,\"b\":{\"c\":2,\"d\":[1,{\"c\":9}],\"e\":null},\"a\":3,\"f\":\"x\"}";

	ok(takes(text), "an object");
	ok(json_scan_number(&scan, json_scan_find(&scan, 0, "b.c")) == 2, "a nested member is found");
	ok(json_scan_number(&scan, json_scan_find(&scan, 0, "a")) == 3, "of two members of a name, the last");
	is_int(json_scan_find(&scan, 0, "c"), -1, "a member of an inner object is not one of the outer");
	is_int(json_scan_find(&scan, 0, "b.e"), -1, "null is absent");
	is_int(json_scan_find(&scan, 0, "x.y.z"), -1, "what is absent has no members");
	is_int(json_scan_find(&scan, 0, "f.g"), -2, "a string has no members, and is not absent");
	is_int(scan.tok[0].next, scan.n, "the first token spans all");
}

/* A text of few characters that is often nearly JSON. */
static void random_text(char *text, int n)
{
	static const char *const piece[] = { "{", "}", "[", "]", ",", ":", "\"a\"", "\"\\u12ab\"", "1", "-2.5e3", "null", "true",
		" ", "0", "\"\\", "\"", "[]", "{}", "\"k\":", "1," };
	int count = sizeof(piece) / sizeof(*piece);

	*text = '\0';
	for (int i = 0; i < n; i++)
		strcat(text, piece[rand() % count]);
}

static void test_against_libjq(void)
{
	int same = 0, taken = 0, all = 200000;

	for (int i = 0; i < all; i++) {
		char text[200];
		AUTO_JSON struct json *j = NULL;
		struct err e;

		random_text(text, 1 + rand() % 9);
		j = json_parse(text, strlen(text), &e);
		taken += takes(text);
		same += !(takes(text) && !j); /* the other way round: libjq also takes 01 */
	}
	is_int(same, all, "of 200,000 random texts none is taken that libjq refuses");
	ok(taken > 5000, "... and many are taken");
}

int main(void)
{
	srand(1);
	test_grammar();
	test_depth();
	test_numbers();
	test_strings();
	test_find();
	test_against_libjq();
	json_scan_clear(&scan);
	return done();
}
