/* SPDX-License-Identifier: MIT */
#include "lib/discover/position.h"

#include <math.h>
#include <stdlib.h>
#include <unistd.h>

#include "lib/base/file.h"
#include "tests/unit/tap.h"

static char path[] = "/tmp/position_test.XXXXXX.csv";
static struct err e;

static struct position *table(const char *text)
{
	struct position *p = NULL;

	file_write(path, text, strlen(text), 0600, &e);
	position_open(&p, path, &e);
	return p;
}

static bool at(const struct position *p, const char *addr, double lat, double lon)
{
	double a = NAN, b = NAN;

	return position_find(p, addr, &a, &b) == 1 && fabs(a - lat) < 1e-9 && fabs(b - lon) < 1e-9;
}

static void bad(const char *text, const char *why, const char *name)
{
	AUTO_POSITION struct position *p = table(text);
	char want[300];

	snprintf(want, sizeof(want), "%s: %s", path, why);
	ok(!p && e.code == EX_DATAERR, name);
	is_str(e.text, want, "... with the line and the reason");
}

static void test_lookup(void)
{
	AUTO_POSITION struct position *p = table("network,latitude,longitude\n\n# ours\r\n10.0.0.0/8,1,2\n10.1.0.0/16,3,4\r\n"
						 "10.1.2.3,5,6\nfd77::/16,-7.5,8\n0.0.0.0/0,9,10\n");
	double lat, lon;

	ok(at(p, "10.2.3.4", 1, 2), "an address of a network");
	ok(at(p, "10.1.255.255", 3, 4), "the narrower one holds");
	ok(at(p, "10.1.2.3", 5, 6), "... down to one address");
	ok(at(p, "fd77:1::5", -7.5, 8), "IPv6");
	ok(at(p, "192.0.2.1", 9, 10), "a network of everything holds for IPv4 ...");
	ok(!position_find(p, "fe80::1", &lat, &lon), "... and not for IPv6");
	ok(!position_find(p, "localhost", &lat, &lon) && !position_find(p, "", &lat, &lon), "a name is no address");
	ok(at(p, "::ffff:10.2.3.4", 1, 2), "a mapped address is the one that it stands for");

	AUTO_JSON struct json *rec = json_parse("{\"addr\":\"10.2.3.4\"}", 19, &e);
	ok(position_add(p, rec) == 1 && json_num(rec, "geo.lat", 0) == 1, "a record is told where it is");
	ok(position_add(p, rec) == 0, "... once");
}

int main(void)
{
	int fd = mkstemps(path, 4);

	close(fd);
	test_lookup();
	bad("10.0.0.0/8;1;2\n", "line 1: not NETWORK,LATITUDE,LONGITUDE", "no commas");
	bad("10.0.0.0/8,1,2\n10.0.0/8,1,2\n", "line 2: not an IP network", "half an address");
	bad("10.0.0.0/33,1,2\n", "line 1: not a length of a network", "more bits than there are");
	bad("10.0.0.0/,1,2\n", "line 1: not a length of a network", "no bits");
	bad("10.0.0.0/8,91,2\n", "line 1: latitude: not between -90 and 90", "north of the pole");
	bad("10.0.0.0/8,nan,2\n", "line 1: latitude: not between -90 and 90", "not a number");
	bad("10.0.0.0/8,1,181\n", "line 1: longitude: not between -180 and 180", "beyond the date line");
	bad("10.0.0.0/8,1,2,3\n", "line 1: longitude: not between -180 and 180", "a column too many");
	unlink(path);
	return done();
}
