/* SPDX-License-Identifier: MIT */
/* The destination's refusals, with a fake criu. */
#include "lib/move/check.h"

#include <fcntl.h>
#include <limits.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/utsname.h>
#include <unistd.h>

#include "lib/base/file.h"
#include "tests/unit/tap.h"

static char top[] = "/tmp/check_test.XXXXXX";
static struct err e;
static struct utsname host;

static const char *in(const char *name)
{
	static char ring[4][PATH_MAX];
	static int next;
	char *p = ring[next++ % 4];

	snprintf(p, PATH_MAX, "%s/%s", top, name);
	return p;
}

static void put(const char *name, const char *text, mode_t mode)
{
	file_write(in(name), text, strlen(text), mode, &e);
}

/* A service that this node would take, with a change. */
static struct service *service(const char *key, const char *value)
{
	AUTO_JSON struct json *j = json_object();
	struct service *s = NULL;

	json_set_str(j, "id", "00112233445566aa");
	json_set_str(j, "name", "web");
	json_set_str(j, "root", in("root"));
	if (key)
		json_set_str(j, key, value);
	if (service_from_json(&s, j, &e)) {
		printf("# %s\n", e.text);
		abort();
	}
	return s;
}

static struct json *good_call(void)
{
	struct json *call = json_object();

	json_set_str(call, "arch", host.machine);
	json_set_str(call, "criu", "9.8.7");
	json_set_str(call, "cpu", "00ff");
	json_set_num(call, "bytes", 1000);
	json_set_num(call, "mem_bytes", 1000);
	return call;
}

/* All refusals as "CHECK: WHY|...". Takes both. */
static const char *refusals(struct service *s, struct json *call, struct json *wanted)
{
	static char out[2048];
	AUTO_SERVICE struct service *svc = s;
	AUTO_JSON struct json *c = call, *mine = json_array();
	AUTO_JSON struct json *list = check_here(svc, c, wanted ? wanted : mine);

	*out = 0;
	for (size_t i = 0, n = json_len(list, NULL); i < n; i++) {
		AUTO_JSON struct json *r = json_at(list, i);
		size_t len = strlen(out);

		snprintf(out + len, sizeof(out) - len, "%s: %s|", json_str(r, "check"), json_str(r, "why"));
	}
	return out;
}

static const char *with(const char *key, const char *value)
{
	struct json *call = good_call();

	if (value)
		json_set_str(call, key, value);
	else
		json_remove(call, key);
	return refusals(service(NULL, NULL), call, NULL);
}

static const char *with_number(const char *key, double value)
{
	struct json *call = good_call();

	json_set_num(call, key, value);
	return refusals(service(NULL, NULL), call, NULL);
}

static void test_machine(void)
{
	char want[256];

	is_str(refusals(service(NULL, NULL), good_call(), NULL), "", "a service that can come is not refused");
	snprintf(want, sizeof(want), "arch: %s here, vax at the source|", host.machine);
	is_str(with("arch", "vax"), want, "another architecture is");
	snprintf(want, sizeof(want), "arch: %s here, unknown at the source|", host.machine);
	is_str(with("arch", NULL), want, "... or an unknown one");
	is_str(with("criu", "9.8.6"), "criu: criu 9.8.7 here, 9.8.6 at the source|", "another criu");
	is_str(with("criu", NULL), "criu: criu 9.8.7 here, none at the source|", "... or none");
	put("no-cpu", "", 0600);
	ok(!strncmp(with("criu", "9.8.7"), "cpu: the processor lacks features of the source's: ", 51),
	   "a processor that lacks something");
	ok(strstr(with("criu", "9.8.7"), "needs avx512") != NULL, "... in criu's words");
	is_str(with("cpu", NULL), "", "... which is not asked when the source did not say");
	unlink(in("no-cpu"));
	is_str(refusals(service("engine", "vm"), good_call(), NULL), "engine: engine vm is unknown here|",
	       "an unknown engine");
}

static void test_room(void)
{
	ok(!strncmp(with_number("bytes", 1e15), "space: ", 7) && strstr(with_number("bytes", 1e15), "1000000067 MB needed"),
	   "no room on the disk");
	ok(strstr(with_number("mem_bytes", 1e15), "|memory: ") && strstr(with_number("mem_bytes", 1e15), " needed|"),
	   "no room in memory");
	struct json *podman = good_call(), *docker = good_call();
	json_set_num(podman, "mem_bytes", 1e15);
	json_set_num(docker, "mem_bytes", 1e15);
	ok(strstr(refusals(service("engine", "podman"), podman, NULL), "3000000067 MB needed"),
	   "a container's memory is on the disk three times while it is restored");
	ok(strstr(refusals(service("engine", "docker"), docker, NULL), "4000000067 MB needed"), "... with Docker four times");
}

static void test_names(void)
{
	AUTO_SERVICE struct service *other = service("id", "ffffffffffffffff");

	file_mkdirs(service_dir(other, ""), 0755, &e);
	service_save(other, &e);
	is_str(refusals(service(NULL, NULL), good_call(), NULL),
	       "instance: another instance has the name web (ffffffffffffffff)|", "another instance of that name");
	other->moved = true;
	service_save(other, &e);
	is_str(refusals(service(NULL, NULL), good_call(), NULL), "", "... unless it has moved away");
	AUTO_SERVICE struct service *same = service(NULL, NULL);
	same->pid = getpid();
	same->start_time = service_start_time(getpid());
	service_save(same, &e);
	is_str(refusals(service(NULL, NULL), good_call(), NULL), "instance: instance 00112233445566aa runs here already|",
	       "the instance itself, running");
	same->start_time++;
	service_save(same, &e);
	is_str(refusals(service(NULL, NULL), good_call(), NULL), "", "... unless it has ended");
}

static struct json *call_with_base(const char *path, const char *sha256)
{
	struct json *call = good_call(), *base = json_array(), *b = json_object();

	json_set_str(b, "path", path);
	json_set_str(b, "sha256", sha256);
	json_add(base, b);
	json_add(base, json_string("no object"));
	json_set(call, "base", base);
	return call;
}

static void test_base(void)
{
	static const char one[] = "7692c3ad3540bb803c020b3aee66cd8887123234ea0c6e7143c0add73ff431ed";
	AUTO_JSON struct json *wanted = json_array();
	struct json *call;
	char hex[65];

	put("root/lib", "one", 0644);
	check_file_digest(in("root/lib"), hex);
	is_str(hex, one, "the digest of a file");
	check_file_digest(in("root/none"), hex);
	is_str(hex, "", "... of one that is not there");
	check_file_digest(in("root"), hex);
	is_str(hex, "", "... of a folder");
	is_str(refusals(service(NULL, NULL), call_with_base("/lib", one), NULL), "", "a file of the base that is the same");
	is_str(refusals(service(NULL, NULL), call_with_base("/none", one), NULL), "base: /none: missing here|",
	       "... that is missing");
	put("root/lib", "two", 0644);
	is_str(refusals(service(NULL, NULL), call_with_base("/lib", one), NULL), "base: /lib: differs from the source's|",
	       "... that differs");
	call = call_with_base("/lib", one);
	json_set_bool(call, "ship_base", true);
	is_str(refusals(service(NULL, NULL), call, wanted), "", "... which is no reason when it may be shipped");
	AUTO_JSON struct json *path = json_at(wanted, 0);
	is_str(path ? json_value(path) : NULL, "/lib", "... and asked for");
}

static void test_many(void)
{
	struct json *call = good_call(), *base = json_array();
	char path[32];

	for (int i = 0; i < 150; i++) {
		struct json *b = json_object();

		snprintf(path, sizeof(path), "/none/%d", i);
		json_set_str(b, "path", path);
		json_set_str(b, "sha256", "00");
		json_add(base, b);
	}
	json_set(call, "base", base);
	AUTO_SERVICE struct service *s = service(NULL, NULL);
	AUTO_JSON struct json *c = call, *wanted = json_array(), *list = check_here(s, c, wanted);
	AUTO_JSON struct json *last = json_at(list, json_len(list, NULL) - 1);
	is_int((int64_t)json_len(list, NULL), 101, "of many files that are missing not all are told");
	is_str(json_str(last, "why"), "50 more files differ or are missing", "... but how many");
}

/* Our own files of "/": each once, by name. */
static void test_facts(void)
{
	AUTO_SERVICE struct service *s = service("root", "/");
	AUTO_JSON struct json *call = json_object();
	const pid_t pids[] = { getpid(), getpid() };
	char last[PATH_MAX] = "";
	bool sorted = true;
	AUTO_FD int fd = open("/etc/passwd", O_RDONLY | O_CLOEXEC), again = open("/etc/passwd", O_RDONLY | O_CLOEXEC);

	is_int(check_facts(s, pids, 2, call, &e), 0, "the facts of a service of two processes");
	AUTO_JSON struct json *base = json_get(call, "base");
	size_t n = json_len(base, NULL);
	for (size_t i = 0; i < n; i++) {
		AUTO_JSON struct json *b = json_at(base, i);

		sorted &= strcmp(last, json_str(b, "path")) < 0;
		snprintf(last, sizeof(last), "%s", json_str(b, "path"));
		if (!check_base_offered(call, last))
			n = 0;
	}
	ok(n > 3 && sorted, "each file that they use is named once, in order");
	ok(fd >= 0 && again >= 0 && check_base_offered(call, "/etc/passwd"), "one that is open is offered");
	ok(!check_base_offered(call, "/etc/shadow") && !check_base_offered(call, ""), "others are not");
}

static void test_criu_broken(void)
{
	unlink(file_path("/run/edge/criu-9.8.7-works"));
	put("no-check", "", 0600);
	ok(strstr(with("criu", "9.8.7"), "criu: criu check: ") && strstr(with("criu", "9.8.7"), "kernel is too old"),
	   "a criu that does not work here, in its own words");
	unlink(in("no-check"));
	is_str(with("criu", "9.8.7"), "", "one that works");
	put("no-check", "", 0600);
	is_str(with("criu", "9.8.7"), "", "... is not asked again");
	unlink(in("no-check"));
}

int main(void)
{
	char script[PATH_MAX];

	if (geteuid()) {
		skip("what a destination refuses", "needs root");
		return done();
	}
	if (!mkdtemp(top) || uname(&host))
		return 70;
	setenv("EDGE_ROOT", top, 1);
	snprintf(script, sizeof(script), "#!/bin/sh\ncase \"$1\" in\n--version) echo 'Version: 9.8.7' ;;\n"
		 "check) test ! -e %s/no-check || { echo 'kernel is too old' >&2; exit 1; } ;;\n"
		 "cpuinfo) test ! -e %s/no-cpu || { echo 'needs avx512' >&2; exit 1; } ;;\nesac\n", top, top);
	put("criu", script, 0755);
	mkdir(in("root"), 0755);
	setenv("EDGE_CRIU", in("criu"), 1);
	test_machine();
	test_room();
	test_names();
	test_base();
	test_many();
	test_facts();
	test_criu_broken();
	file_remove_tree(top, NULL);
	return done();
}
