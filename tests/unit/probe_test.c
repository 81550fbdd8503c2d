/* SPDX-License-Identifier: MIT */
/* What edge-probe is made of and needs no machine: scores by name, what is new, samples, base64. */
#include <math.h>
#include <string.h>

#include "lib/base/base64.h"
#include "lib/base/file.h"
#include "lib/measure/changes.h"
#include "lib/measure/cpuscore.h"
#include "lib/measure/prom.h"
#include "lib/measure/samples.h"
#include "tests/unit/tap.h"

static char top[] = "/tmp/probe_test.XXXXXX";

static struct json *parse(const char *text)
{
	return json_parse(text, strlen(text), NULL);
}

static void test_scores(void)
{
	static const char table[] = "CPU Name,Mark\n\"Intel Core i7-7700K @ 4.20GHz\",2583\nAMD EPYC 7713P,\"2,710\"\r\n\n# none\n"
				    "ARM Cortex-A72 4 Core 1500 MHz,708,more,columns\n";
	AUTO_CPUSCORE_TABLE struct cpuscore_table *t = NULL;
	AUTO_JSON struct json *scores = cpuscore_measure();
	char path[64];
	struct err e = { 0 };

	snprintf(path, sizeof(path), "%s/marks.csv", top);
	file_write(path, table, strlen(table), 0644, &e);
	if (!ok(!cpuscore_table_open(&t, path, &e), "a table of scores is read"))
		return;
	ok(cpuscore_table_find(t, "Intel(R) Core(TM) i7-7700K CPU @ 4.20GHz") == 2583, "a name is found as the kernel has it");
	ok(cpuscore_table_find(t, "AMD EPYC 7713P 64-Core Processor") == 2710, "... without what its maker adds");
	ok(cpuscore_table_find(t, "ARM Cortex-A72 4 Core 1500 MHz") == 708, "... in a line of more columns");
	ok(isnan(cpuscore_table_find(t, "AMD EPYC 7713")), "... and not by a part of it");
	ok(json_num(scores, "score", 0) > 10 && json_num(scores, "memory", 0) > 1 && json_num(scores, "branch", 0) > 1,
	   "a score is measured");
}

static bool fresh(struct changes *c, const char *text)
{
	AUTO_JSON struct json *rec = parse(text);

	return changes_take(c, rec);
}

static void test_changes(void)
{
	struct changes *c = changes_new();

	ok(fresh(c, "{\"kind\":\"node\",\"name\":\"a.b\",\"cpu\":{\"use\":0.5,\"cores\":4},\"seen\":\"1\"}"), "a first record is new");
	ok(!fresh(c, "{\"kind\":\"node\",\"name\":\"a.b\",\"cpu\":{\"use\":0.54,\"cores\":4},\"seen\":\"2\"}"),
	   "... the next one is not, if it says about the same");
	ok(!fresh(c, "{\"kind\":\"node\",\"name\":\"a.b\",\"cpu\":{\"use\":0.46,\"cores\":4},\"seen\":\"3\"}"),
	   "... as the one that was new");
	ok(fresh(c, "{\"kind\":\"node\",\"name\":\"a.b\",\"cpu\":{\"use\":0.6,\"cores\":4},\"seen\":\"4\"}"), "a number that differs is new");
	ok(fresh(c, "{\"kind\":\"node\",\"name\":\"a.b\",\"cpu\":{\"use\":0.6,\"cores\":8}}"), "... and a member less");
	ok(fresh(c, "{\"kind\":\"service\",\"id\":\"1\",\"name\":\"x\",\"node\":\"a.b\",\"usage\":{\"net_bps\":100}}"), "a service is new");
	ok(!fresh(c, "{\"kind\":\"service\",\"id\":\"1\",\"name\":\"x\",\"node\":\"a.b\",\"usage\":{\"net_bps\":9000}}"),
	   "... its small talk is not");
	AUTO_JSON struct json *none = changes_round(c);
	is_int((long long)json_len(none, NULL), 0, "what was there has not gone");
	fresh(c, "{\"kind\":\"node\",\"name\":\"a.b\",\"cpu\":{\"use\":0.6,\"cores\":8}}");
	AUTO_JSON struct json *gone = changes_round(c), *first = json_at(gone, 0);
	is_str(json_str(first, "state"), "exited", "a service that is not told any more has gone");
	AUTO_JSON struct json *silent = changes_round(c);
	is_int((long long)json_len(silent, NULL), 0, "... and is told so once");
	ok(fresh(c, "{\"kind\":\"service\",\"id\":\"1\",\"name\":\"x\",\"node\":\"a.b\",\"usage\":{\"net_bps\":100}}"), "it may come again");
	changes_round(c);
	AUTO_JSON struct json *unknown = changes_round(c);
	is_int((long long)json_len(unknown, NULL), 0, "of a node that does not answer nothing is known");
	changes_free(c);
}

static double oldest(double at, double window)
{
	AUTO_JSON struct json *now = json_object(), *then = NULL;

	json_set_num(now, "at", at);
	then = samples_since("test", now, window);
	return then ? json_num(then, "at", NAN) : NAN;
}

static void keep(double at, double window)
{
	AUTO_JSON struct json *now = json_object();

	json_set_num(now, "at", at);
	samples_keep("test", now, window, NULL);
}

static void test_samples(void)
{
	ok(isnan(oldest(100, 60)), "without samples there is none");
	keep(100, 60);
	ok(isnan(oldest(100, 60)), "a sample is not older than itself");
	keep(101, 60);
	ok(oldest(102, 60) == 100, "the oldest one in the window is given");
	for (int i = 110; i < 400; i += 2)
		keep(i, 60);
	ok(oldest(400, 60) >= 325 && oldest(400, 60) <= 332, "... as old ones go");
	ok(oldest(400, 10) >= 387.5 && oldest(400, 10) < 400, "... and in a shorter one");
	ok(isnan(oldest(1000, 60)), "... and not one from long ago");
	ok(isnan(oldest(50, 60)), "... nor from the future");
}

static void test_texts(void)
{
	AUTO_JSON struct json *recs = parse("[{\"kind\":\"node\",\"name\":\"a\\\"b\",\"cpu\":{\"use\":0.25}},{\"kind\":\"other\"}]");
	AUTO_FREE char *prom = prom_text(recs), *coded = base64_encode("ab\0c", 4), *empty = base64_encode("", 0);
	size_t n = 0;
	AUTO_FREE char *plain = base64_decode(coded, &n), *bad = base64_decode("a!b=", NULL), *one = base64_decode("YQ==", NULL);

	is_str(prom, "# HELP edge_node_cpu_use How busy the processors are, from 0 to 1.\n# TYPE edge_node_cpu_use gauge\n"
		     "edge_node_cpu_use{node=\"a\\\"b\"} 0.25\n", "metrics are in Prometheus' format");
	is_str(coded, "YWIAYw==", "base64 is made");
	is_str(empty, "", "... of nothing");
	ok(plain && n == 4 && !memcmp(plain, "ab\0c", 5), "... and read");
	is_str(one, "a", "... without its padding");
	is_str(bad, NULL, "... and refused when it is none");
}

int main(void)
{
	if (!mkdtemp(top) || setenv("EDGE_ROOT", top, 1))
		return 1;
	test_scores();
	test_changes();
	test_samples();
	test_texts();
	file_remove_tree(top, NULL);
	return done();
}
