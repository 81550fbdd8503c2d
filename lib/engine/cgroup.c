/* SPDX-License-Identifier: MIT */
#include "lib/engine/cgroup.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>

#include "lib/base/clock.h"
#include "lib/base/file.h"

#define HIERARCHIES_MAX 8
#define PERIOD_US 100000
#define REMOVE_MS 5000

enum { CPU = 1, CPUACCT = 2, MEMORY = 4, PIDS = 8, FREEZER = 16 };

static const struct {
	const char *name;
	int bit;
} controllers[] = {
	{ "cpu", CPU }, { "cpuacct", CPUACCT }, { "memory", MEMORY }, { "pids", PIDS }, { "freezer", FREEZER },
};

struct hierarchy {
	char at[PATH_MAX]; /* where it is mounted */
	int v1;            /* its controllers; 0 for v2 */
};

struct hierarchies {
	struct hierarchy h[HIERARCHIES_MAX];
	int n;
};

static int controllers_of(const char *options)
{
	char copy[512], *save = NULL;
	int bits = 0;

	snprintf(copy, sizeof(copy), "%s", options);
	for (char *w = strtok_r(copy, ",\n", &save); w; w = strtok_r(NULL, ",\n", &save))
		for (size_t i = 0; i < sizeof(controllers) / sizeof(*controllers); i++)
			if (!strcmp(w, controllers[i].name))
				bits |= controllers[i].bit;
	return bits;
}

/* A controller is mounted once or, in a container, again by bind mounts: the first place is as good as any,
 * except that a later mount on the very same folder is what one sees there. */
static void hierarchy_note(struct hierarchies *all, const char *at, int v1)
{
	int taken = 0, have_v2 = 0;

	for (int i = 0; i < all->n; i++) {
		if (!strcmp(all->h[i].at, at)) {
			all->h[i].v1 = v1;
			return;
		}
		taken |= all->h[i].v1;
		have_v2 |= all->h[i].v1 == 0;
	}
	if (all->n == HIERARCHIES_MAX || (v1 ? !(v1 & ~taken) : have_v2))
		return;
	snprintf(all->h[all->n].at, sizeof(all->h->at), "%s", at);
	all->h[all->n++].v1 = v1;
}

static int hierarchies_find(struct hierarchies *all, struct err *e)
{
	AUTO_FILE FILE *f = fopen("/proc/self/mountinfo", "re");
	AUTO_FREE char *line = NULL;
	size_t room = 0;

	all->n = 0;
	if (!f)
		return err_sys(e, "/proc/self/mountinfo");
	while (getline(&line, &room, f) > 0) {
		char at[PATH_MAX], type[64], options[512];
		char *tail = strstr(line, " - ");
		int v1;

		if (!tail || sscanf(line, "%*s %*s %*s %*s %4095s", at) != 1 ||
		    sscanf(tail, " - %63s %*s %511[^\n]", type, options) != 2)
			continue;
		if (!strcmp(type, "cgroup2"))
			hierarchy_note(all, at, 0);
		else if (!strcmp(type, "cgroup") && (v1 = controllers_of(options)))
			hierarchy_note(all, at, v1);
	}
	return all->n ? 0 : err_set(e, EX_UNAVAILABLE, "cgroups: none mounted");
}

static const struct hierarchy *hierarchy_v2(const struct hierarchies *all)
{
	for (int i = 0; i < all->n; i++)
		if (!all->h[i].v1)
			return &all->h[i];
	return NULL;
}

/* Not err-filling: many of these writes may be refused without harm. */
static int poke(const char *dir, const char *file, const char *text)
{
	char path[PATH_MAX + 64];

	snprintf(path, sizeof(path), "%s/%s", dir, file);
	AUTO_FD int fd = open(path, O_WRONLY | O_CLOEXEC);
	return fd >= 0 && write(fd, text, strlen(text)) == (ssize_t)strlen(text) ? 0 : -1;
}

/* The file's text up to its end or the buffer's; -1 when it cannot be read. */
static int peek(const char *dir, const char *file, char *buf, size_t size)
{
	char path[PATH_MAX + 64];
	ssize_t n;

	snprintf(path, sizeof(path), "%s/%s", dir, file);
	AUTO_FD int fd = open(path, O_RDONLY | O_CLOEXEC);
	if (fd < 0 || (n = read(fd, buf, size - 1)) < 0)
		return -1;
	buf[n] = '\0';
	return 0;
}

/* The number behind "key " at the start of a line. */
static bool line_value(const char *text, const char *key, uint64_t *v)
{
	size_t n = strlen(key);

	for (const char *p = text; p; p = strchr(p, '\n'), p = p ? p + 1 : NULL)
		if (!strncmp(p, key, n) && p[n] == ' ') {
			*v = strtoull(p + n + 1, NULL, 10);
			return true;
		}
	return false;
}

static void dir_of(const struct hierarchy *h, const char *name, char dir[PATH_MAX])
{
	if (snprintf(dir, PATH_MAX, "%s/edge/%s", h->at, name) >= PATH_MAX)
		dir[0] = '\0';
}

/* In v2 a controller reaches a folder only when each folder above hands it down; a kernel or a container that
 * refuses leaves the service without this limit, which limits_set notices. */
static void hand_down(const char *at)
{
	static const char *const want[] = { "+cpu", "+memory", "+pids" };
	char edge[PATH_MAX];

	snprintf(edge, sizeof(edge), "%.4000s/edge", at);
	for (size_t i = 0; i < sizeof(want) / sizeof(*want); i++) {
		poke(at, "cgroup.subtree_control", want[i]);
		poke(edge, "cgroup.subtree_control", want[i]);
	}
}

/* Whether this hierarchy takes it. */
static bool quota_set(const struct hierarchy *h, const char *dir, double cpu)
{
	char quota[64], period[32];

	if (h->v1 & CPU) {
		snprintf(period, sizeof(period), "%d", PERIOD_US);
		snprintf(quota, sizeof(quota), "%.0f", cpu > 0 ? cpu * PERIOD_US : -1);
		return !poke(dir, "cpu.cfs_period_us", period) && !poke(dir, "cpu.cfs_quota_us", quota);
	}
	if (h->v1)
		return false;
	if (cpu > 0)
		snprintf(quota, sizeof(quota), "%.0f %d", cpu * PERIOD_US, PERIOD_US);
	else
		snprintf(quota, sizeof(quota), "max %d", PERIOD_US);
	return !poke(dir, "cpu.max", quota);
}

static int limits_set(const struct service *s, const struct hierarchies *all, struct err *e)
{
	bool cpu = s->cpu <= 0, mem = !s->mem_bytes;
	char dir[PATH_MAX], bytes[32];

	snprintf(bytes, sizeof(bytes), "%llu", (unsigned long long)s->mem_bytes);
	for (int i = 0; i < all->n; i++) {
		const struct hierarchy *h = &all->h[i];

		dir_of(h, s->name, dir);
		if (!cpu)
			cpu = quota_set(h, dir, s->cpu);
		if (!mem && (h->v1 & MEMORY || !h->v1))
			mem = !poke(dir, h->v1 ? "memory.limit_in_bytes" : "memory.max", bytes);
	}
	if (!cpu)
		return err_set(e, EX_UNAVAILABLE, "service %s: cpu limit %g: no cgroup controller takes it",
			       s->name, s->cpu);
	if (!mem)
		return err_set(e, EX_UNAVAILABLE, "service %s: memory limit %s: no cgroup controller takes it",
			       s->name, bytes);
	return 0;
}

int cgroup_limit_cpu(const struct service *s, double cpu, struct err *e)
{
	struct hierarchies all;
	char dir[PATH_MAX];

	if (hierarchies_find(&all, e))
		return -1;
	for (int i = 0; i < all.n; i++) {
		dir_of(&all.h[i], s->name, dir);
		if (quota_set(&all.h[i], dir, cpu))
			return 0;
	}
	return err_set(e, EX_UNAVAILABLE, "service %s: cpu limit %g: no cgroup controller takes it", s->name, cpu);
}

/* Both folders. The upper one goes with the last service, perhaps just between our two steps: hence the second try. */
static int folders_make(const struct hierarchy *h, const char *name, struct err *e)
{
	char dir[PATH_MAX];

	for (int try = 0; try < 2; try++) {
		snprintf(dir, sizeof(dir), "%.4000s/edge", h->at);
		if (mkdir(dir, 0755) && errno != EEXIST)
			return err_sys(e, "cgroup %s", dir);
		if (!h->v1)
			hand_down(h->at);
		dir_of(h, name, dir);
		if (!mkdir(dir, 0755) || errno == EEXIST)
			return 0;
	}
	return err_sys(e, "cgroup %s", dir);
}

int cgroup_create(const struct service *s, struct err *e)
{
	struct hierarchies all;

	if (hierarchies_find(&all, e))
		return -1;
	if (!hierarchy_v2(&all))
		return err_set(e, EX_UNAVAILABLE, "cgroups: version 2 is not mounted");
	for (int i = 0; i < all.n; i++)
		if (folders_make(&all.h[i], s->name, e))
			goto undo;
	if (!limits_set(s, &all, e))
		return 0;
undo:
	cgroup_remove(s->name, NULL);
	return -1;
}

/* The processes of one folder and those below it, appended. A kernel pid is listed once per hierarchy. */
static int pids_below(const char *dir, pid_t **pids, int *n, int depth)
{
	char path[PATH_MAX];
	unsigned long pid;

	snprintf(path, sizeof(path), "%.4000s/cgroup.procs", dir);
	AUTO_FILE FILE *f = fopen(path, "re");
	if (!f)
		return errno == ENOENT || errno == ENODEV ? 0 : -1;
	while (fscanf(f, "%lu", &pid) == 1) {
		if (!(*n & (*n - 1))) { /* full at each power of two */
			pid_t *more = realloc(*pids, (size_t)(*n ? 2 * *n : 1) * sizeof(pid_t));

			if (!more)
				return -1;
			*pids = more;
		}
		(*pids)[(*n)++] = (pid_t)pid;
	}
	DIR *d = depth > 8 ? NULL : opendir(dir);
	if (!d)
		return 0;
	for (struct dirent *entry; (entry = readdir(d));)
		if (entry->d_type == DT_DIR && entry->d_name[0] != '.' &&
		    snprintf(path, sizeof(path), "%s/%s", dir, entry->d_name) < (int)sizeof(path))
			pids_below(path, pids, n, depth + 1);
	closedir(d);
	return 0;
}

static void kill_inside(const char *dir)
{
	AUTO_FREE pid_t *pids = NULL;
	int n = 0;

	poke(dir, "freezer.state", "THAWED");
	if (!poke(dir, "cgroup.kill", "1"))
		return;
	pids_below(dir, &pids, &n, 0);
	for (int i = 0; i < n; i++)
		if (pids[i] > 0) /* 0: a process outside our PID namespace */
			kill(pids[i], SIGKILL);
	poke(dir, "cgroup.freeze", "0");
}

/* rmdir from the bottom up; the files in a cgroup folder cannot and need not be removed. */
static int remove_below(const char *dir, int depth)
{
	char path[PATH_MAX];
	DIR *d = depth > 8 ? NULL : opendir(dir);

	if (d) {
		for (struct dirent *entry; (entry = readdir(d));)
			if (entry->d_type == DT_DIR && entry->d_name[0] != '.' &&
			    snprintf(path, sizeof(path), "%s/%s", dir, entry->d_name) < (int)sizeof(path))
				remove_below(path, depth + 1);
		closedir(d);
	}
	return rmdir(dir) && errno != ENOENT ? -1 : 0;
}

int cgroup_remove(const char *name, struct err *e)
{
	struct hierarchies all;
	char dir[PATH_MAX];
	double end = clock_ms() + REMOVE_MS;

	if (hierarchies_find(&all, e))
		return -1;
	for (int i = 0; i < all.n; i++) {
		dir_of(&all.h[i], name, dir);
		while (remove_below(dir, 0)) {
			if (errno != EBUSY || clock_ms() > end)
				return err_sys(e, "cgroup %s: cannot remove", dir);
			kill_inside(dir);
			usleep(1000);
		}
		snprintf(dir, sizeof(dir), "%.4000s/edge", all.h[i].at);
		rmdir(dir); /* stays while another service has its cgroup there */
	}
	return 0;
}

int cgroup_join(const char *name, pid_t pid, struct err *e)
{
	struct hierarchies all;
	char dir[PATH_MAX], text[24];

	if (hierarchies_find(&all, e))
		return -1;
	snprintf(text, sizeof(text), "%d", (int)pid);
	for (int i = 0; i < all.n; i++) {
		dir_of(&all.h[i], name, dir);
		if (poke(dir, "cgroup.procs", text))
			return err_sys(e, "cgroup %s: cannot join", dir);
	}
	return 0;
}

/* The v2 folder, into dir. */
static int v2_dir(const char *name, char dir[PATH_MAX], struct err *e)
{
	struct hierarchies all;
	const struct hierarchy *h;

	if (hierarchies_find(&all, e))
		return -1;
	if (!(h = hierarchy_v2(&all)))
		return err_set(e, EX_UNAVAILABLE, "cgroups: version 2 is not mounted");
	dir_of(h, name, dir);
	return 0;
}

const char *cgroup_v2_dir(const char *name)
{
	static char dir[PATH_MAX];

	return v2_dir(name, dir, NULL) ? NULL : dir;
}

int cgroup_pids_in(const char *dir, pid_t **pids, int *n, struct err *e)
{
	*pids = NULL;
	*n = 0;
	if (!pids_below(dir, pids, n, 0))
		return 0;
	free(TAKE_PTR(*pids));
	*n = 0;
	return err_sys(e, "cgroup %s", dir);
}

int cgroup_pids(const char *name, pid_t **pids, int *n, struct err *e)
{
	char dir[PATH_MAX];

	*pids = NULL;
	*n = 0;
	return v2_dir(name, dir, e) ? -1 : cgroup_pids_in(dir, pids, n, e);
}

/* The path in a line of /proc/PID/cgroup ("6:freezer:/a/b", "0::/a/b") if it is of the hierarchy. */
static const char *path_in(const struct hierarchy *h, char *line)
{
	char *names = strchr(line, ':'), *path = names ? strchr(names + 1, ':') : NULL;

	if (!path)
		return NULL;
	*path++ = '\0';
	path[strcspn(path, "\n")] = '\0';
	return h->v1 ? (controllers_of(names + 1) & h->v1 ? path : NULL) : names[1] ? NULL : path;
}

static int path_of(const struct hierarchy *h, pid_t pid, char path[PATH_MAX])
{
	const char *found = NULL;
	char name[64], line[PATH_MAX];

	snprintf(name, sizeof(name), "/proc/%d/cgroup", (int)pid);
	AUTO_FILE FILE *f = fopen(name, "re");
	while (f && !found && fgets(line, sizeof(line), f))
		found = path_in(h, line);
	if (found)
		snprintf(path, PATH_MAX, "%s", found);
	return found ? 0 : -1;
}

/* The hierarchy of version 1 that has the controller, else that of version 2; NULL. */
static const struct hierarchy *hierarchy_with(const struct hierarchies *all, int controller)
{
	for (int i = 0; i < all->n; i++)
		if (all->h[i].v1 & controller)
			return &all->h[i];
	return hierarchy_v2(all);
}

int cgroup_freezer_of(pid_t pid, char dir[PATH_MAX], bool *v1, struct err *e)
{
	char path[PATH_MAX], own[PATH_MAX];
	const struct hierarchy *h;
	struct hierarchies all;

	if (hierarchies_find(&all, e))
		return -1;
	if (!(h = hierarchy_with(&all, FREEZER)))
		return err_set(e, EX_UNAVAILABLE, "cgroups: there is no freezer");
	*v1 = h->v1 != 0;
	/* The root has none, what is not seen from here is not ours to stop, and neither are we ourselves: we would wait for ever. */
	if (path_of(h, pid, path) || path_of(h, getpid(), own) || !path[1] || strstr(path, "/.."))
		return err_set(e, EX_UNAVAILABLE, "cgroups: process %d: is in none of its own", (int)pid);
	if (file_is_below(own, path))
		return err_set(e, EX_UNAVAILABLE, "cgroup %s: has process %d, but this program, too", path, (int)pid);
	return snprintf(dir, PATH_MAX, "%s%s", h->at, path) < PATH_MAX ? 0 : err_set(e, EX_UNAVAILABLE, "cgroup %.100s...: too long", path);
}

int cgroup_weighed(pid_t pid, char at[PATH_MAX], char path[PATH_MAX], bool *v1, struct err *e)
{
	const struct hierarchy *h;
	struct hierarchies all;

	if (hierarchies_find(&all, e))
		return -1;
	if (!(h = hierarchy_with(&all, CPU)))
		return err_set(e, EX_UNAVAILABLE, "cgroups: none has a weight");
	*v1 = h->v1 != 0;
	if (path_of(h, pid, path) || strstr(path, "/.."))
		return err_set(e, EX_UNAVAILABLE, "cgroups: process %d: is in none that is seen here", (int)pid);
	snprintf(at, PATH_MAX, "%s", h->at);
	return 0;
}

static bool event(const char *dir, const char *key)
{
	char text[256];
	uint64_t v;

	return !peek(dir, "cgroup.events", text, sizeof(text)) && line_value(text, key, &v) && v;
}

int cgroup_kill(const char *name, int timeout_ms, struct err *e)
{
	char dir[PATH_MAX];
	double end = clock_ms() + timeout_ms;

	if (v2_dir(name, dir, e))
		return -1;
	while (event(dir, "populated")) {
		if (clock_ms() > end)
			return err_set(e, EX_TEMPFAIL, "cgroup %s: processes do not end", dir);
		kill_inside(dir);
		usleep(500);
	}
	return 0;
}

int cgroup_usage(const char *name, double *cpu_s, uint64_t *mem_bytes, struct err *e)
{
	struct hierarchies all;
	char dir[PATH_MAX], text[4096];
	bool cpu = false, mem = false;
	uint64_t v;

	if (hierarchies_find(&all, e))
		return -1;
	for (int i = 0; i < all.n; i++) {
		int v1 = all.h[i].v1;

		dir_of(&all.h[i], name, dir);
		if (!cpu && v1 & CPUACCT && !peek(dir, "cpuacct.usage", text, sizeof(text))) {
			*cpu_s = (double)strtoull(text, NULL, 10) / 1e9;
			cpu = true;
		} else if (!cpu && !v1 && !peek(dir, "cpu.stat", text, sizeof(text)) &&
			   line_value(text, "usage_usec", &v)) {
			*cpu_s = (double)v / 1e6;
			cpu = true;
		}
		if (!mem && (v1 & MEMORY || !v1) &&
		    !peek(dir, v1 ? "memory.usage_in_bytes" : "memory.current", text, sizeof(text))) {
			*mem_bytes = strtoull(text, NULL, 10);
			mem = true;
		}
	}
	if (!cpu || !mem)
		return err_set(e, EX_UNAVAILABLE, "service %s: no cgroup tells its %s", name,
			       cpu ? "memory" : "processor time");
	return 0;
}
