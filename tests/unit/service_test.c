/* SPDX-License-Identifier: MIT */
#include "lib/engine/service.h"

#include <stdlib.h>

#include "lib/base/file.h"
#include "lib/engine/log.h"
#include "tests/unit/tap.h"

static char top[] = "/tmp/service_test.XXXXXX";

static const char whole[] =
	"{\"kind\":\"service\",\"id\":\"c0ffee0123456789\",\"name\":\"counter\",\"engine\":\"process\",\"type\":\"stateless\","
	"\"addr\":\"10.77.0.201\",\"ports\":[5000,80],\"profile\":{\"cpu\":0.5,\"mem_bytes\":134217728},\"epoch\":3,"
	"\"prefix\":24,\"mac\":\"02:00:00:00:00:01\",\"root\":\"/\",\"user\":\"nobody\","
	"\"volumes\":[{\"host\":\"/srv/a\",\"path\":\"/data\"}],\"argv\":[\"sh\",\"-c\",\"\"],\"env\":[\"A=b\"],"
	"\"pid\":7,\"start_time\":99,\"log_ino\":1234}";

static struct service *parse(const char *text, struct err *e)
{
	AUTO_JSON struct json *j = json_parse(text, strlen(text), e);
	struct service *s = NULL;

	return j && !service_from_json(&s, j, e) ? s : NULL;
}

static void test_json(void)
{
	struct err e = { 0 };
	AUTO_SERVICE struct service *s = parse(whole, &e);

	if (!ok(s != NULL, "a definition is read"))
		return;
	AUTO_JSON struct json *j = service_to_json(s), *rec = service_record(s, "running");
	AUTO_FREE char *text = json_text(j);
	is_str(text, whole, "... and written as it was");
	is_str(s->addr, "10.77.0.201/24", "the address has its prefix");
	is_str(service_ip(s), "10.77.0.201", "... and can do without");
	ok(!json_has(rec, "argv") && !json_has(rec, "pid") && !strcmp(json_str(rec, "state"), "running") &&
		   json_str(rec, "node") && json_str(rec, "log"),
	   "the record has what others need to know");
}

static void test_refusals(void)
{
	static const char *const bad[][2] = {
		{ "[]", "no object" },
		{ "{}", "no name" },
		{ "{\"name\":\"../x\"}", "a name with a slash" },
		{ "{\"name\":\".x\"}", "a name with a dot in front" },
		{ "{\"name\":\"a\",\"id\":\"xyz\"}", "an id that is none" },
		{ "{\"name\":\"a\",\"root\":\"/a/../b\"}", "a root with .." },
		{ "{\"name\":\"a\",\"root\":\"b\"}", "a relative root" },
		{ "{\"name\":\"a\",\"root\":\"/a,upperdir=/b\"}", "a root with a mount option in it" },
		{ "{\"name\":\"a\",\"volumes\":[{\"host\":\"/a\",\"path\":\"/..\"}]}", "a volume outside the root" },
		{ "{\"name\":\"a\",\"volumes\":[{\"host\":\"/a\"}]}", "half a volume" },
		{ "{\"name\":\"a\",\"ports\":[0]}", "a port that is none" },
		{ "{\"name\":\"a\",\"ports\":[\"x\"]}", "a port that is no number" },
		{ "{\"name\":\"a\",\"argv\":[1]}", "an argument that is no string" },
		{ "{\"name\":\"a\",\"type\":\"x\"}", "an unknown type" },
		{ "{\"name\":\"a\",\"profile\":{\"cpu\":-1}}", "a negative limit" },
	};

	for (size_t i = 0; i < sizeof(bad) / sizeof(*bad); i++) {
		struct err e = { 0 };
		char name[128];

		snprintf(name, sizeof(name), "refused: %s", bad[i][1]);
		ok(!parse(bad[i][0], &e) && e.code == EX_DATAERR, name);
	}
}

static void test_profile(void)
{
	static const char profiles[] = "{\"small\":{\"cpu\":0.25,\"mem\":\"64M\"},\"odd\":{\"cpu\":0}}";
	struct service s = { .name = "a" };
	struct err e = { 0 };

	ok(!service_profile(&s, "cpu=0.5,mem=64M", &e) && s.cpu == 0.5 && s.mem_bytes == 64 << 20, "limits are read");
	ok(!service_profile(&s, "mem=1.5k", &e) && s.mem_bytes == 1536, "... one at a time, too");
	ok(service_profile(&s, "cpu=x", &e) && service_profile(&s, "cpu=0", &e) && service_profile(&s, "mem=1Q", &e) &&
		   service_profile(&s, "disk=1", &e) && service_profile(&s, "cpu=1,mem", &e),
	   "what is no limit is refused");
	ok(service_profile(&s, "small", &e) && e.code == EX_USAGE, "without the file no name is known");
	file_mkdirs(file_path("/etc/edge"), 0755, &e);
	file_write(file_path("/etc/edge/profiles.json"), profiles, sizeof(profiles) - 1, 0644, &e);
	ok(!service_profile(&s, "small", &e) && s.cpu == 0.25 && s.mem_bytes == 64 << 20, "a named profile is found");
	ok(service_profile(&s, "large", &e) && e.code == EX_USAGE, "... if it is there");
	ok(service_profile(&s, "odd", &e) && e.code == EX_DATAERR, "... and makes sense");
}

static void test_files(void)
{
	AUTO_SERVICE struct service *none = NULL, *back = NULL;
	struct err e = { 0 };
	AUTO_SERVICE struct service *s = parse(whole, &e);

	ok(service_load(&none, "counter", &e) == -1 && e.code == EX_UNAVAILABLE, "an unknown service");
	is_str(e.text, "service counter: no such service on this node", "... is told so");
	file_mkdirs(service_dir(s, NULL), 0700, &e);
	if (!ok(s && !service_save(s, &e) && !service_load(&back, "counter", &e) && back && !strcmp(back->id, s->id),
		"saved and loaded"))
		return;
	is_str(service_state(back), "exited", "a pid that is another process now is not the service");
	back->pid = getpid();
	back->start_time = service_start_time(getpid());
	ok(back->start_time > 0, "a process has a start time");
	is_str(service_state(back), "running", "pid and start time name a process");
	back->pid = 0;
	is_str(service_state(back), "stopped", "without a pid it was stopped");
	service_save(back, &e);
	AUTO_JSON struct json *all = service_list(&e);
	AUTO_JSON struct json *first = json_at(all, 0);
	ok(json_len(all, NULL) == 1 && !strcmp(json_str(first, "state"), "stopped"), "all services are listed");
	AUTO_FD int lock = service_lock("counter", 0, &e);
	ok(lock >= 0 && service_lock("counter", 20, &e) == -1 && e.code == EX_TEMPFAIL, "a service is locked once");
}

static void test_log(void)
{
	const char *path = file_path("/log");
	struct log l = { .fd = -1 };
	char line[1001];
	size_t n = 0;

	memset(line, 'x', 1000);
	line[999] = '\n';
	log_open(&l, path);
	for (int i = 0; i < 2500; i++)
		log_write(&l, line, 1000);
	log_close(&l);
	AUTO_FREE char *now = file_slurp(path, &n, NULL);
	ok(now && n < 1 << 20 && n % 1000 == 0, "a log rotates between lines");
	size_t total = n;
	AUTO_FREE char *one = file_slurp(file_path("/log.1"), &n, NULL);
	total += n;
	AUTO_FREE char *two = file_slurp(file_path("/log.2"), &n, NULL);
	ok(one && two && total + n == 2500000, "... and nothing is lost on the way");
}

int main(void)
{
	if (!mkdtemp(top) || setenv("EDGE_ROOT", top, 1))
		return 1;
	test_json();
	test_refusals();
	test_profile();
	test_files();
	test_log();
	file_remove_tree(top, NULL);
	return done();
}
