/* SPDX-License-Identifier: MIT */
#include "lib/discover/registry.h"

#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>

#include "lib/base/clock.h"
#include "lib/base/file.h"
#include "lib/discover/node.h"
#include "tests/unit/tap.h"

#define WRITERS 4
#define ROUNDS 25

static char top[] = "/tmp/registry_test.XXXXXX";

static struct json *record(const char *name, double n)
{
	struct json *j = json_object();

	json_set_str(j, "kind", "node");
	json_set_str(j, "name", name);
	json_set_num(j, "n", n);
	return j;
}

static void test_verbs(struct registry *r)
{
	AUTO_JSON struct json *one = record("edge1", 1), *two = record("edge2", 2), *got = NULL, *list = NULL;
	struct registry_version none = { "" }, v = { "" }, old;
	struct err e = { 0 };

	ok(!registry_get(r, "node/edge1", &got, &v, &e) && !got && !v.text[0], "what is not there has no version");
	ok(!registry_list(r, "node", &list, &e) && json_len(list, NULL) == 0, "an empty registry lists nothing");
	json_free(TAKE_PTR(list));
	is_int(registry_put(r, "node/edge1", one, &none, &e), 0, "a new record is put");
	is_int(registry_put(r, "node/edge1", one, &none, &e), 1, "... once");
	ok(!registry_get(r, "node/edge1", &got, &v, &e) && got && v.text[0], "it comes back");
	is_str(json_str(got, "name"), "edge1", "... as it was");
	old = v;
	json_set_num(one, "n", 3);
	is_int(registry_put(r, "node/edge1", one, &v, &e), 0, "it is swapped by its version");
	is_int(registry_put(r, "node/edge1", one, &old, &e), 1, "... not by an old one");
	is_int(registry_put(r, "node/edge10", two, NULL, &e), 0, "a record is put unconditionally");
	is_int(registry_put(r, "node/edge1-b", two, NULL, &e), 0, "... and another");
	ok(!registry_list(r, "node", &list, &e) && json_len(list, NULL) == 3, "all are listed");
	AUTO_JSON struct json *first = json_at(list, 0);
	is_int(json_int(first, "n", 0), 3, "... in the order of their keys");
	is_int(registry_remove(r, "node/edge1", &old, &e), 1, "removing by an old version does nothing");
	is_int(registry_remove(r, "node/edge1", NULL, &e), 0, "a record is removed");
	is_int(registry_remove(r, "node/edge1", NULL, &e), 0, "... twice");
	ok(registry_put(r, "node/../x", one, NULL, &e) == -1 && e.code == EX_DATAERR, "a key cannot leave the registry");
	ok(registry_put(r, "node/.x", one, NULL, &e) == -1 && registry_put(r, "node", one, NULL, &e) == -1 &&
		   registry_put(r, "a/b/c", one, NULL, &e) == -1 && registry_put(r, "node/", one, NULL, &e) == -1,
	   "... nor be of another form");
}

static void test_race(struct registry *r)
{
	AUTO_JSON struct json *zero = record("n", 0), *got = NULL;
	struct err e = { 0 };
	int bad = 0, status;

	registry_put(r, "service/race", zero, NULL, &e);
	for (int i = 0; i < WRITERS; i++) {
		if (fork())
			continue;
		for (int n = 0; n < ROUNDS;) {
			struct registry_version v;
			struct json *rec = NULL;

			if (registry_get(r, "service/race", &rec, &v, &e))
				_exit(1);
			json_set_num(rec, "n", json_num(rec, "n", 0) + 1);
			int rc = registry_put(r, "service/race", rec, &v, &e);
			json_free(rec);
			if (rc < 0)
				_exit(1);
			n += rc == 0;
		}
		_exit(0);
	}
	while (wait(&status) > 0)
		bad += status != 0;
	is_int(bad, 0, "writers at the same time all succeed");
	registry_get(r, "service/race", &got, NULL, &e);
	is_int(json_int(got, "n", 0), WRITERS * ROUNDS, "... and none undoes another's work");
}

static struct json *service_at(const char *node, double epoch, const char *state)
{
	struct json *j = json_object();

	json_set_str(j, "kind", "service");
	json_set_str(j, "id", "c0ffee0123456789");
	json_set_str(j, "node", node);
	json_set_str(j, "state", state);
	json_set_num(j, "epoch", epoch);
	return j;
}

static int put_service(struct registry *r, const char *node, double epoch, const char *state)
{
	AUTO_JSON struct json *rec = service_at(node, epoch, state);

	return registry_put_service(r, rec, NULL);
}

static void test_epochs(struct registry *r)
{
	AUTO_JSON struct json *nameless = json_object(), *old = service_at("edge1", 3, "stopped"),
			      *now = service_at("edge2", 4, "stopped"), *rec = NULL;
	struct err e = { 0 };
	char node[256] = "";
	int64_t epoch = 0;

	is_int(registry_epoch(r, "c0ffee0123456789", &epoch, node, &e), 1, "an instance that was never put is unknown");
	is_int(put_service(r, "edge1", 2, "running"), 0, "its first record is put");
	is_int(put_service(r, "edge1", 2, "stopped"), 0, "its node puts another one with that epoch");
	is_int(put_service(r, "edge2", 2, "running"), 1, "... and another node does not");
	is_int(put_service(r, "edge2", 4, "running"), 0, "a newer epoch replaces it");
	is_int(put_service(r, "edge1", 3, "running"), 1, "an older one is fenced");
	ok(!registry_epoch(r, "c0ffee0123456789", &epoch, node, &e) && epoch == 4 && !strcmp(node, "edge2"),
	   "... and writes nothing");
	is_int(registry_stop_service(r, "c0ffee0123456789", "edge1", &e), 0, "what does not run at a node");
	ok(!registry_get(r, "service/c0ffee0123456789", &rec, NULL, &e) && !strcmp(json_str(rec, "state"), "running"),
	   "... runs where it is, if that is another one");
	json_free(TAKE_PTR(rec));
	is_int(registry_stop_service(r, "c0ffee0123456789", "edge2", &e), 0, "what does not run where the registry says so");
	ok(!registry_get(r, "service/c0ffee0123456789", &rec, NULL, &e) && !strcmp(json_str(rec, "state"), "stopped") &&
	   json_int(rec, "epoch", 0) == 4, "... is stopped there, in the same epoch");
	json_free(TAKE_PTR(rec));
	is_int(registry_remove_service(r, old, &e), 1, "nor does it remove what is newer");
	is_int(registry_remove_service(r, now, &e), 0, "who has it removes it");
	is_int(registry_remove_service(r, now, &e), 0, "... twice");
	ok(!registry_get(r, "service/c0ffee0123456789", &rec, NULL, &e) && !rec, "it is gone");
	ok(registry_put_service(r, nameless, &e) == -1 && e.code == EX_DATAERR, "a record without an id is refused");
}

/* Writers of different epochs at the same time: the newest wins, whoever comes last. */
static void test_epoch_race(struct registry *r)
{
	int bad = 0, status;
	char node[256] = "";
	int64_t epoch = 0;

	for (int i = 1; i <= WRITERS; i++) {
		if (fork())
			continue;
		snprintf(node, sizeof(node), "edge%d", i);
		for (int n = 0; n < ROUNDS; n++)
			if (put_service(r, node, n * WRITERS + i, "running") < 0)
				_exit(1);
		_exit(0);
	}
	while (wait(&status) > 0)
		bad += status != 0;
	is_int(bad, 0, "writers of different epochs at the same time meet no error");
	ok(!registry_epoch(r, "c0ffee0123456789", &epoch, node, NULL) && epoch == ROUNDS * WRITERS &&
		   !strcmp(node, "edge4"),
	   "... and the newest epoch is the one that stays");
}

static void test_watch(struct registry *r)
{
	AUTO_JSON struct json *rec = record("edge3", 1);
	struct err e = { 0 };
	double start = clock_ms();

	is_int(registry_watch(r, "node", 50, &e), 0, "nothing changes");
	ok(clock_ms() - start >= 49, "... for the time given");
	registry_put(r, "node/edge3", rec, NULL, &e);
	is_int(registry_watch(r, "node", 20000, &e), 1, "a change between two calls is told");
	registry_put(r, "service/x", rec, NULL, &e);
	is_int(registry_watch(r, "node", 50, &e), 0, "a change elsewhere is not");
	pid_t pid = fork();
	if (!pid) {
		usleep(50000);
		_exit(registry_remove(r, "node/edge3", NULL, &e) != 0);
	}
	is_int(registry_watch(r, "node", 20000, &e), 1, "a removal wakes up who waits");
	waitpid(pid, NULL, 0);
}

static void test_nodes(struct registry *r)
{
	static const char settings[] = "{\"name\":\"edge7\",\"addr\":\"10.77.0.7\",\"bridge\":\"br0\"}";
	AUTO_JSON struct json *rec = record("edge5", 1), *own = NULL;
	struct ssh_target t;
	struct err e = { 0 };

	json_set_str(rec, "addr", "10.77.0.5");
	json_set_num(rec, "port", 2222);
	registry_put(r, "node/edge5", rec, NULL, &e);
	ok(!node_target(r, "edge5", &t, &e) && !strcmp(t.host, "10.77.0.5") && t.port == 2222 && !strcmp(t.user, "root"),
	   "a node's address comes from the registry");
	is_str(t.name, "edge5", "... with its name");
	ok(node_target(r, "nosuch", &t, &e) == -1 && e.code == EX_UNAVAILABLE, "an unknown node is refused");
	is_str(e.text, "node nosuch: not in the registry", "... by name");
	ok(!node_target(r, "ssh://me@host:22", &t, &e) && !strcmp(t.user, "me"), "a URL needs no registry");
	file_mkdirs(file_path("/etc/edge"), 0755, &e);
	file_write(file_path("/etc/edge/node.json"), settings, strlen(settings), 0644, &e);
	is_str(node_self(), "edge7", "a node knows its name");
	is_str(node_setting("bridge"), "br0", "... and its settings");
	is_str(node_setting("gateway"), NULL, "... and which it has not");
	own = node_describe();
	ok(json_num(own, "cpu.cores", 0) >= 1 && json_num(own, "mem.total_bytes", 0) > 1e6 && json_str(own, "arch") &&
		   json_str(own, "seen") && !strcmp(json_str(own, "kind"), "node"),
	   "it describes itself");
}

/* For tests that take a registry's server away: what a watch hears, until it is ended. */
static int follow(const char *url)
{
	AUTO_REGISTRY struct registry *r = NULL;
	const char *was = "", *is;
	struct err e = { 0 };

	if (registry_open(&r, url, &e))
		return e.code;
	for (;; was = is) {
		int rc = registry_watch(r, "node", 200, &e);

		is = rc < 0 ? "away" : "watching";
		if (rc > 0)
			puts("change");
		else if (strcmp(is, was))
			printf("%s%s%s\n", is, rc < 0 ? ": " : "", rc < 0 ? e.text : "");
		fflush(stdout);
		if (rc < 0)
			usleep(50000);
	}
}

int main(void)
{
	AUTO_REGISTRY struct registry *r = NULL, *none = NULL;
	struct err e = { 0 };

	if (getenv("EDGE_TEST_WATCH"))
		return follow(getenv("EDGE_TEST_WATCH"));
	if (!mkdtemp(top) || setenv("EDGE_ROOT", top, 1) || unsetenv("EDGE_REGISTRY"))
		return 1;
	ok(registry_open(&none, "other://x", &e) == -1 && e.code == EX_USAGE, "an unknown kind of registry is refused");
	/* tests/cmd/registry.t names others, which must be empty. */
	if (!ok(!registry_open(&r, getenv("EDGE_TEST_REGISTRY"), &e), "the registry opens")) {
		printf("# %s\n", e.text);
		return done();
	}
	test_verbs(r);
	test_race(r);
	test_epochs(r);
	test_epoch_race(r);
	test_watch(r);
	test_nodes(r);
	registry_close(TAKE_PTR(r));
	file_remove_tree(top, NULL);
	return done();
}
