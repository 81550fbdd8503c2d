/* SPDX-License-Identifier: MIT */
/* The freezer of cgroup v2; of others' cgroups also that of v1. */
#include <dirent.h>
#include <fcntl.h>
#include <poll.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>

#include "lib/base/clock.h"
#include "lib/base/file.h"
#include "lib/engine/cgroup.h"

#define VFORK_TRIES 50
#define THAW_MS 2000

static int v2_dir(const char *name, char dir[PATH_MAX], struct err *e)
{
	const char *found = cgroup_v2_dir(name);

	if (!found)
		return err_set(e, EX_UNAVAILABLE, "cgroups: version 2 is not mounted");
	snprintf(dir, PATH_MAX, "%s", found);
	return 0;
}

static int set(const char *dir, const char *value)
{
	char path[PATH_MAX + 64];

	snprintf(path, sizeof(path), "%s/cgroup.freeze", dir);
	return file_poke(path, value, NULL);
}

int cgroup_events_frozen(int fd)
{
	char text[256];
	ssize_t n = pread(fd, text, sizeof(text) - 1, 0);

	if (n <= 0)
		return -1;
	text[n] = 0;
	return strstr(text, "frozen 1") != NULL;
}

static int freeze_once(const char *dir, double end, struct err *e)
{
	char path[PATH_MAX + 64];

	snprintf(path, sizeof(path), "%s/cgroup.events", dir);
	AUTO_FD int fd = open(path, O_RDONLY | O_CLOEXEC);
	if (fd < 0 || set(dir, "1"))
		return err_sys(e, "cgroup %s: cannot freeze", dir);
	while (cgroup_events_frozen(fd) <= 0) {
		struct pollfd p = { .fd = fd, .events = POLLPRI };

		if (clock_ms() > end) {
			set(dir, "0");
			return err_set(e, EX_TEMPFAIL, "cgroup %s: not frozen in time", dir);
		}
		poll(&p, 1, 1);
	}
	return 0;
}

/* Is a thread of the process in the middle of vfork(2)? It counts as frozen, but no tracer can stop it. */
static bool in_vfork(pid_t pid)
{
	char path[64], text[512];
	bool is = false;
	struct dirent *de;

	snprintf(path, sizeof(path), "/proc/%d/task", (int)pid);
	DIR *d = opendir(path);
	while (d && !is && (de = readdir(d))) {
		snprintf(path, sizeof(path), "/proc/%d/task/%.20s/stat", (int)pid, de->d_name);
		AUTO_FILE FILE *f = de->d_name[0] == '.' ? NULL : fopen(path, "re");
		const char *end = f && fgets(text, sizeof(text), f) ? strrchr(text, ')') : NULL;

		is = end && end[1] && end[2] == 'D';
	}
	if (d)
		closedir(d);
	return is;
}

static bool any_in_vfork(const char *name)
{
	AUTO_FREE pid_t *pids = NULL;
	bool is = false;
	int n = 0;

	if (cgroup_pids(name, &pids, &n, NULL))
		return false;
	for (int i = 0; i < n && !is; i++)
		is = in_vfork(pids[i]);
	return is;
}

int cgroup_freeze(const char *name, int timeout_ms, struct err *e)
{
	double end = clock_ms() + timeout_ms;
	char dir[PATH_MAX];

	if (v2_dir(name, dir, e) || freeze_once(dir, end, e))
		return -1;
	for (int i = 0; i < VFORK_TRIES && any_in_vfork(name); i++) {
		set(dir, "0");
		poll(NULL, 0, 1); /* until its child has called exec */
		if (freeze_once(dir, end, e))
			return -1;
	}
	return 0;
}

int cgroup_thaw(const char *name, struct err *e)
{
	char dir[PATH_MAX];

	if (v2_dir(name, dir, e))
		return -1;
	return set(dir, "0") ? err_sys(e, "cgroup %s: cannot thaw", dir) : 0;
}

bool cgroup_frozen(const char *name)
{
	char path[PATH_MAX + 64], dir[PATH_MAX];

	if (v2_dir(name, dir, NULL))
		return false;
	snprintf(path, sizeof(path), "%s/cgroup.events", dir);
	AUTO_FD int fd = open(path, O_RDONLY | O_CLOEXEC);
	return fd >= 0 && cgroup_events_frozen(fd) > 0;
}

/* ---- others' cgroups ---- */

int cgroup_pids_with(pid_t pid, pid_t **pids, int *n, struct err *e)
{
	char dir[PATH_MAX];
	bool v1;

	*pids = NULL;
	*n = 0;
	return cgroup_freezer_of(pid, dir, &v1, e) ? -1 : cgroup_pids_in(dir, pids, n, e);
}

static int v1_set(const char *dir, const char *state, double end, struct err *e)
{
	char path[PATH_MAX + 64];

	snprintf(path, sizeof(path), "%s/freezer.state", dir);
	for (;; poll(NULL, 0, 1)) {
		AUTO_FREE char *now = file_slurp(path, NULL, e);

		if (!now)
			return -1;
		if (!strncmp(now, state, strlen(state)))
			return 0;
		/* Said again and again: tasks that were being made have escaped the first time. */
		if (file_poke(path, state, e))
			return -1;
		if (clock_ms() > end)
			break;
	}
	file_poke(path, "THAWED", NULL);
	return err_set(e, EX_TEMPFAIL, "cgroup %s: not %s in time", dir, state);
}

int cgroup_freeze_with(pid_t pid, int timeout_ms, struct err *e)
{
	double end = clock_ms() + timeout_ms;
	char dir[PATH_MAX];
	bool v1;

	if (cgroup_freezer_of(pid, dir, &v1, e))
		return -1;
	return v1 ? v1_set(dir, "FROZEN", end, e) : freeze_once(dir, end, e);
}

int cgroup_thaw_with(pid_t pid, struct err *e)
{
	char dir[PATH_MAX];
	bool v1;

	if (cgroup_freezer_of(pid, dir, &v1, e))
		return -1;
	if (v1)
		return v1_set(dir, "THAWED", clock_ms() + THAW_MS, e);
	return set(dir, "0") ? err_sys(e, "cgroup %s: cannot thaw", dir) : 0;
}

void cgroup_kill_with(pid_t pid)
{
	AUTO_FREE pid_t *pids = NULL;
	int n = 0;

	if (cgroup_pids_with(pid, &pids, &n, NULL))
		return;
	for (int i = 0; i < n; i++)
		if (pids[i] > 0)
			kill(pids[i], SIGKILL);
	/* Where they are stopped they end only when they go on: with the signal waiting they do nothing else. */
	cgroup_thaw_with(pid, NULL);
}
