/* SPDX-License-Identifier: MIT */
#include "lib/engine/cgroup.h"

#include <signal.h>
#include <stdlib.h>
#include <sys/wait.h>

#include "lib/base/file.h"
#include "tests/unit/tap.h"

static pid_t sleeper(const char *name, struct err *e)
{
	pid_t pid = fork();

	if (pid)
		return pid;
	if (cgroup_join(name, 0, e))
		_exit(1);
	for (;;)
		pause();
}

/* Waits until the child has moved itself. */
static int wait_pids(const char *name, int want)
{
	struct err e;
	int n = -1;

	for (int i = 0; i < 2000 && n != want; i++) {
		AUTO_FREE pid_t *pids = NULL;

		if (cgroup_pids(name, &pids, &n, &e))
			return -1;
		usleep(5000);
	}
	return n;
}

/* Asks from within s for the freezer of the process; gives what it is refused with, or "". */
static const char *asked_within(const struct service *s, pid_t pid)
{
	static char text[sizeof(((struct err *)0)->text)];
	struct err e = { 0 };
	char dir[PATH_MAX];
	bool v1;
	int way[2];

	if (pipe(way))
		return "no pipe";
	pid_t asking = fork();
	if (!asking) {
		if (!cgroup_join(s->name, 0, &e))
			cgroup_freezer_of(pid, dir, &v1, &e);
		_exit(write(way[1], e.text, sizeof(e.text)) != sizeof(e.text));
	}
	close(way[1]);
	if (read(way[0], text, sizeof(text)) != sizeof(text))
		strcpy(text, "no answer");
	close(way[0]);
	waitpid(asking, NULL, 0);
	return text;
}

/* A process of a cgroup is not to be frozen by one that is in it, too, or below it. */
static void test_freezer_of(const struct service *s)
{
	struct service inner = { .name = "" }, other = { .name = "" };
	char want[256], dir[PATH_MAX];
	struct err e = { 0 };
	int found = -1;
	bool v1;

	snprintf(inner.name, sizeof(inner.name), "%.40s/inner", s->name);
	snprintf(other.name, sizeof(other.name), "%.40s-other", s->name);
	ok(!cgroup_create(s, &e) && !cgroup_create(&inner, &e) && !cgroup_create(&other, &e), "cgroups, one within another");
	pid_t pid = sleeper(s->name, &e);
	for (int i = 0; i < 2000 && (found = cgroup_freezer_of(pid, dir, &v1, &e)); i++) /* until it has moved itself */
		usleep(5000);
	ok(!found && strstr(dir, s->name), "the freezer of a process is found");
	is_str(asked_within(&other, pid), "", "... also from the cgroup beside it");
	snprintf(want, sizeof(want), "/edge/%s: has process %d, but this program, too", s->name, (int)pid);
	is_str(strstr(asked_within(s, pid), "/edge/"), want, "... but not from within it");
	is_str(strstr(asked_within(&inner, pid), "/edge/"), want, "... and not from below it");
	ok(!cgroup_remove(s->name, &e) && !cgroup_remove(other.name, &e), "all of them are removed");
	waitpid(pid, NULL, 0);
}

int main(void)
{
	struct service s = { .name = "", .cpu = 0.5, .mem_bytes = 64 << 20 };
	struct err e = { 0 };
	uint64_t mem = 0;
	double cpu = -1;

	if (geteuid()) {
		skip("cgroups", "needs root");
		return done();
	}
	snprintf(s.name, sizeof(s.name), "cgroup-test-%d", (int)getpid());
	if (!ok(!cgroup_create(&s, &e), "the cgroups of a service are made, with limits"))
		printf("# %s\n", e.text);
	is_int(cgroup_create(&s, &e), 0, "making them again is no error");
	ok(cgroup_v2_dir(s.name) && !access(cgroup_v2_dir(s.name), F_OK), "the v2 folder is there");
	pid_t one = sleeper(s.name, &e), two = sleeper(s.name, &e);
	is_int(wait_pids(s.name, 2), 2, "processes join and are listed");
	ok(!cgroup_usage(s.name, &cpu, &mem, &e) && cpu >= 0 && mem > 0, "usage is told");
	ok(!cgroup_frozen(s.name), "at first nothing is frozen");
	ok(!cgroup_freeze(s.name, 1000, &e) && cgroup_frozen(s.name), "it freezes");
	ok(!cgroup_thaw(s.name, &e) && !cgroup_freeze(s.name, 1000, &e), "it thaws and freezes again");
	ok(!cgroup_kill(s.name, 2000, &e), "frozen processes are killed");
	ok(waitpid(one, NULL, 0) == one && waitpid(two, NULL, 0) == two, "... and have ended");
	one = sleeper(s.name, &e);
	wait_pids(s.name, 1);
	ok(!cgroup_remove(s.name, &e) && access(cgroup_v2_dir(s.name), F_OK), "removing kills what is inside");
	ok(waitpid(one, NULL, 0) == one, "... and it has ended");
	is_int(cgroup_remove(s.name, &e), 0, "removing what is not there is no error");
	ok(cgroup_freeze(s.name, 10, &e), "freezing what is not there is one");
	ok(!cgroup_frozen(s.name), "... and it is not frozen");
	test_freezer_of(&s);
	return done();
}
