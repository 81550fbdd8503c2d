/* SPDX-License-Identifier: MIT */
/* The arithmetic of lib/measure: statistics, histograms, tables. */
#include <arpa/inet.h>
#include <math.h>
#include <stdlib.h>

#include "lib/measure/bins.h"
#include "lib/measure/probe.h"
#include "lib/measure/stats.h"
#include "lib/measure/table.h"
#include "tests/unit/tap.h"

static bool near(double a, double b)
{
	return fabs(a - b) < 1e-9;
}

static void test_stats(void)
{
	double v[] = { 4, 1, 3, 2, 10 }, one[] = { 7 };
	struct stats s;

	stats_of(v, 5, &s);
	ok(s.n == 5 && near(s.min, 1) && near(s.max, 10) && near(s.mean, 4), "smallest, largest, mean");
	ok(near(s.p50, 3) && near(s.p95, 8.8) && near(s.p99, 9.76), "quantiles are linear between neighbours");
	ok(near(s.stddev, sqrt(12.5)), "standard deviation of the sample");
	ok(near(s.jitter, (3 + 2 + 1 + 8) / 4.0), "jitter is of the order in which they came");
	stats_of(one, 1, &s);
	ok(near(s.p50, 7) && near(s.p99, 7) && near(s.stddev, 0) && near(s.jitter, 0), "one value");
	stats_of(NULL, 0, &s);
	ok(s.n == 0, "no value");
}

static void add(struct bins *b, const char *addr, unsigned us, uint64_t count)
{
	struct rtt_key key = { .bin = rtt_bin(us) };

	inet_pton(AF_INET6, addr, key.addr);
	bins_add(b, &key, count);
}

static void test_bins(void)
{
	struct bins b = { 0 };
	unsigned last = 0;
	double worst = 0;
	bool grows = true;

	for (unsigned us = 1; us < 4000000000u; us += us / 97 + 1) {
		struct rtt_key key = { .bin = rtt_bin(us) };
		struct bin_count one = { key, 1 };

		grows &= key.bin >= last && key.bin < RTT_BINS && key.bin - last <= 1;
		last = key.bin;
		worst = fmax(worst, fabs(bins_quantile(&one, 1, 0.5) * 1e3 / us - 1));
	}
	ok(grows, "bins follow one another without a gap up to 4000 s");
	ok(worst < 0.0165, "the middle of a bin is within 1.65 % of what is in it");
	is_int(rtt_bin(0xffffffff), RTT_BINS - 1, "the last bin is that of the largest number");

	add(&b, "::2", 40000, 1);
	add(&b, "::1", 1000, 3);
	add(&b, "::1", 80000, 1);
	add(&b, "::1", 1000, 4);
	bins_sort(&b);
	is_int((long long)b.n, 3, "the same bin of a client is added up");
	is_int((long long)bins_run(&b, 0), 2, "a client's bins stand together");
	is_int((long long)bins_total(b.v, 2), 8, "... eight of them");
	ok(fabs(bins_quantile(b.v, 2, 0.5) - 1) < 0.02 && fabs(bins_quantile(b.v, 2, 1) - 80) < 1.4, "... median and largest");
	bins_clear(&b);
}

static bool even(void *entry, void *ctx)
{
	(void)ctx;
	return *(uint32_t *)entry % 2 == 0;
}

static void test_table(void)
{
	struct entry {
		uint32_t key, value;
	};
	struct table t = { .entry = sizeof(struct entry), .key = sizeof(uint32_t) };
	uint32_t key = 5, missing = 0;
	bool fresh, all = true;

	ok(!table_find(&t, &key), "an empty table has nothing");
	for (uint32_t i = 0; i < 100000; i++) {
		struct entry *e = table_at(&t, &i, &fresh);

		all &= fresh && !e->value;
		e->value = i * 3;
	}
	for (uint32_t i = 0; i < 100000; i++) {
		struct entry *e = table_at(&t, &i, &fresh);

		all &= !fresh && e->value == i * 3;
	}
	ok(all && t.n == 100000, "100,000 entries are found again");
	table_sift(&t, even, NULL);
	for (uint32_t i = 0; i < 100000; i++)
		missing += !table_find(&t, &i);
	ok(missing == 50000 && t.n == 50000, "half of them are sifted out");
	table_clear(&t);
}

static void test_plan(void)
{
	struct probe_plan plan = { .method = "icmp", .count = 3, .rate = 1000, .timeout_ms = 200 };
	AUTO_PROBE struct probe *p = NULL;
	struct err e;

	plan.method = "icmps";
	ok(probe_new(&p, &plan, &e) && e.code == EX_USAGE, "a method that there is not");
	plan.method = "tcp:9x";
	ok(!probe_new(&p, &plan, &e), "a port is looked at when it is used");
	probe_add(p, "here", "127.0.0.1");
	ok(probe_run(p, &e) && e.code == EX_USAGE, "... and then refused");
}

int main(void)
{
	test_stats();
	test_bins();
	test_table();
	test_plan();
	return done();
}
