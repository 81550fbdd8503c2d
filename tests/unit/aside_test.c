/* SPDX-License-Identifier: MIT */
#include "lib/engine/aside.h"

#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>

#include "lib/base/auto.h"
#include "lib/engine/cgroup.h"
#include "tests/unit/tap.h"

static const char *own(void)
{
	static char top[PATH_MAX], path[PATH_MAX];
	bool v1;

	return cgroup_weighed(getpid(), top, path, &v1, NULL) ? "none" : path;
}

static long weight(const struct aside *a)
{
	char path[PATH_MAX + 16], text[32] = "";

	snprintf(path, sizeof(path), "%s/%s", a->dir, a->v1 ? "cpu.shares" : "cpu.weight");
	AUTO_FILE FILE *f = fopen(path, "re");
	if (!f || !fgets(text, sizeof(text), f))
		return -1;
	return strtol(text, NULL, 10);
}

static void test_taken(struct aside *a)
{
	char before[PATH_MAX], want[64];
	const int unit = a->v1 ? 1024 : 100;

	snprintf(before, sizeof(before), "%s", own());
	aside_take(a);
	snprintf(want, sizeof(want), "/edge-aside-%d", (int)getpid());
	is_str(own(), want, "it has a cgroup of its own, at the top");
	is_int(weight(a), unit, "as heavy as any other");
	aside_weigh(a, ASIDE_AFTER);
	is_int(weight(a), unit / 10, "after others");
	aside_weigh(a, ASIDE_BEFORE);
	is_int(weight(a), unit * 10, "before them");

	char dir[PATH_MAX];
	snprintf(dir, sizeof(dir), "%s", a->dir);
	aside_leave(a);
	is_str(own(), before, "it is where it was before");
	ok(access(dir, F_OK), "and nothing is left of it");
	aside_weigh(a, ASIDE_BEFORE);
	aside_leave(a); /* nothing happens */
}

/* Of one that was killed, or has left somebody behind, the next one removes it, once it can. */
static void test_left(struct aside *a)
{
	char dir[PATH_MAX];
	int status, go[2];

	if (pipe(go))
		exit(1);
	aside_take(a);
	snprintf(dir, sizeof(dir), "%s", a->dir);
	pid_t child = fork();
	if (!child) {
		close(go[1]);
		_exit((int)read(go[0], &status, 1));
	}
	aside_leave(a);
	ok(!access(dir, F_OK), "who was started from it stays in it");
	close(go[1]);
	waitpid(child, &status, 0);
	close(go[0]);
	pid_t other = fork();
	if (!other) {
		struct aside b;

		aside_take(&b);
		bool gone = access(dir, F_OK);
		aside_leave(&b);
		_exit(!gone);
	}
	waitpid(other, &status, 0);
	is_int(status, 0, "the next one removes what is left");
}

int main(void)
{
	struct aside a;

	aside_take(&a);
	if (!*a.dir) {
		skip("a program's own weight", geteuid() ? "not root" : "no cgroup with weights");
		return done();
	}
	aside_leave(&a);
	test_taken(&a);
	test_left(&a);
	return done();
}
