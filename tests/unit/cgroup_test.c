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

	for (int i = 0; i < 200 && n != want; i++) {
		AUTO_FREE pid_t *pids = NULL;

		if (cgroup_pids(name, &pids, &n, &e))
			return -1;
		usleep(5000);
	}
	return n;
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
	return done();
}
