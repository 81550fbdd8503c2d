/* SPDX-License-Identifier: MIT */
/* Users that are served badly, grouped by where they are. */
#include "lib/measure/group.h"

#include <math.h>
#include <stdlib.h>
#include <time.h>

#include "tests/unit/tap.h"

static struct groups *g;

static void user(const char *service, int number, double p50, double lat, double lon)
{
	AUTO_JSON struct json *j = json_object();
	char addr[32];

	snprintf(addr, sizeof(addr), "10.%d.%d.%d", number / 65536, number / 256 % 256, number % 256);
	json_set_str(j, "kind", "user");
	json_set_str(j, "addr", addr);
	json_set_str(j, "service", service);
	json_set_str(j, "node", "edge1");
	json_set_num(j, "rtt_ms.p50", p50);
	json_set_num(j, "geo.lat", lat);
	json_set_num(j, "geo.lon", lon);
	groups_user(g, j);
}

struct found {
	int n;
	double users, lat, lon, qoe, worst;
	bool placed;
};

static int count(void *ctx, struct json *made, struct err *e)
{
	AUTO_JSON struct json *j = made;
	struct found *f = ctx;

	(void)e;
	f->n++;
	f->users += json_num(j, "users", NAN);
	f->lat = json_num(j, "geo.lat", NAN);
	f->lon = json_num(j, "geo.lon", NAN);
	f->placed = json_has(j, "geo");
	f->qoe = json_num(j, "qoe", NAN);
	f->worst = json_num(j, "rtt_ms.max", NAN);
	return 0;
}

static struct found look(void)
{
	struct found f = { 0 };

	groups_each(g, count, &f, NULL);
	return f;
}

static void test_few(void)
{
	struct found f;

	g = groups_new(20, 50);
	user("web", 1, 19, 48.1, 11.6);
	is_int(look().n, 0, "a user within the bound is in no group");
	user("web", 1, 30, 48.1, 11.6);
	user("web", 2, 40, 48.2, 11.6);
	f = look();
	ok(f.n == 1 && f.users == 2, "two that are near each other are one group");
	ok(fabs(f.lat - 48.15) < 0.001 && fabs(f.lon - 11.6) < 0.001, "... with a centre between them");
	ok(fabs(f.qoe - 0.75) < 1e-6 && f.worst == 40, "... half of the bound and all of it over: 0.75 on average");
	user("web", 3, 30, 52.5, 13.4);
	is_int(look().n, 2, "one that is far away is another");
	user("other", 4, 30, 48.1, 11.6);
	is_int(look().n, 3, "... and so is one of another service");
	user("web", 2, 30, 52.5, 13.5);
	f = look();
	ok(f.n == 3 && f.users == 4, "who moves changes the group");
	user("web", 1, 10, 48.1, 11.6);
	is_int(look().n, 2, "a group ends with its last user");
	groups_free(g);

	g = groups_new(20, 50);
	user("web", 1, 30, 10, 179.9);
	user("web", 2, 30, 10, -179.9);
	f = look();
	ok(f.n == 1 && fabs(fabs(f.lon) - 180) < 0.01, "the date line parts nobody");
	user("web", 3, 30, 89.9, 0);
	user("web", 4, 30, 89.9, 180);
	is_int(look().n, 2, "nor does the pole");
	user("web", 5, 30, NAN, NAN);
	user("web", 6, 30, 91, 0);
	f = look();
	ok(f.n == 3 && f.users == 6, "those whose position nobody knows are one group");
	groups_window(g, 2);
	user("web", 1, 30, 10, 179.9);
	groups_window(g, 2);
	f = look();
	ok(f.n == 1 && f.users == 1, "who is not heard of any more has left");
	groups_free(g);
}

static void test_bound(void)
{
	AUTO_JSON struct json *j = json_object();

	g = groups_new(20, 50);
	json_set_str(j, "name", "game");
	json_set_num(j, "needs.rtt_ms", 5);
	groups_service(g, j);
	user("game", 1, 10, 0, 0);
	user("web", 2, 10, 0, 0);
	is_int(look().n, 1, "a service's own bound comes before that of all");
	groups_free(g);
}

static void test_many(void)
{
	clock_t began = clock();
	struct found f;
	bool all = true;
	int over = 0;

	g = groups_new(20, 50);
	srandom(1);
	for (int round = 0; round < 3; round++) {
		over = 0;
		for (int i = 0; i < 100000; i++) {
			int rtt = (int)(random() % 40);

			over += rtt > 20;
			user("web", i, rtt, 45 + (double)(random() % 10000) / 1000, 5 + (double)(random() % 10000) / 1000);
		}
		f = look();
		all &= f.users == over;
	}
	ok(all, "100,000 users, changed three times: as many are in groups as are over the bound");
	double seconds = (double)(clock() - began) / CLOCKS_PER_SEC / 3;
	printf("# %d groups, %.2f s of processor time a round\n", f.n, seconds);
	ok(seconds < 10, "... in reasonable time");
	groups_free(g);
}

int main(void)
{
	test_few();
	test_bound();
	test_many();
	return done();
}
