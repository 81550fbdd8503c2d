/* SPDX-License-Identifier: MIT */
#include "lib/measure/usage.h"

#include <fcntl.h>
#include <limits.h>
#include <math.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "lib/base/file.h"
#include "lib/engine/service.h"

/* ---- cgroups ---- */

/* Is `word` one of the words between commas? */
static bool among(const char *words, const char *word)
{
	size_t n = strlen(word);

	for (const char *p = words; (p = strstr(p, word)); p += n)
		if ((p == words || p[-1] == ',') && (p[n] == ',' || p[n] == '\0' || p[n] == '\n'))
			return true;
	return false;
}

/* Where the hierarchy of a controller (of v2: NULL) is mounted, and which of its folders is seen there. In a cgroup namespace
 * mounts from outside may still be listed, under the new ones; "/.." tells them. */
static bool mounted(const char *controller, char at[PATH_MAX], char root[PATH_MAX])
{
	AUTO_FILE FILE *f = fopen("/proc/self/mountinfo", "re");
	AUTO_FREE char *line = NULL;
	size_t room = 0;

	while (f && getline(&line, &room, f) > 0) {
		char type[64], options[512];
		const char *tail = strstr(line, " - ");

		if (tail && sscanf(line, "%*s %*s %*s %4095s %4095s", root, at) == 2 && strncmp(root, "/..", 3) &&
		    sscanf(tail, " - %63s %*s %511[^\n]", type, options) == 2 &&
		    (controller ? !strcmp(type, "cgroup") && among(options, controller) : !strcmp(type, "cgroup2")))
			return true;
	}
	return false;
}

/* The service's folder in a hierarchy. A container may have moved its first process to a cgroup below its own, which is the
 * one with its id in its name. */
static bool folder_of(pid_t pid, const char *controller, const char *id, char dir[PATH_MAX])
{
	char path[64], at[PATH_MAX], root[PATH_MAX], *own = NULL, *is;
	AUTO_FREE char *line = NULL;
	size_t room = 0, skip;

	snprintf(path, sizeof(path), "/proc/%d/cgroup", (int)pid);
	AUTO_FILE FILE *f = fopen(path, "re");
	if (!f || !mounted(controller, at, root))
		return false;
	while (!own && getline(&line, &room, f) > 0) { /* "4:cpu,cpuacct:/docker/..." */
		char *names = strchr(line, ':'), *where = names ? strchr(names + 1, ':') : NULL;

		if (!where)
			continue;
		*where = '\0';
		if (controller ? among(names + 1, controller) : !strncmp(line, "0:", 2))
			own = where + 1;
	}
	if (!own)
		return false;
	own[strcspn(own, "\n")] = '\0';
	if (id && (is = strstr(own, id)))
		is[strcspn(is, "/")] = '\0';
	skip = strcmp(root, "/") ? strlen(root) : 0;
	if (strncmp(own, root, skip) || !strcmp(own, "/")) /* the machine's own is not a service's */
		return false;
	snprintf(dir, PATH_MAX, "%.2000s%.2000s", at, own + skip);
	return true;
}

/* The number behind "KEY " in a file of such lines; of one without lines (key NULL) its number. */
static double number(const char *dir, const char *file, const char *key)
{
	char path[PATH_MAX + 64];
	size_t n = key ? strlen(key) : 0;

	snprintf(path, sizeof(path), "%s/%s", dir, file);
	if (!key)
		return machine_number(path);
	AUTO_FREE char *text = file_slurp(path, NULL, NULL);
	for (const char *p = text; p; p = strchr(p, '\n'), p = p ? p + 1 : NULL)
		if (!strncmp(p, key, n) && p[n] == ' ')
			return strtod(p + n + 1, NULL);
	return NAN;
}

static double cpu_seconds(pid_t pid, const char *id)
{
	char dir[PATH_MAX];
	double v = NAN;

	if (folder_of(pid, "cpuacct", id, dir))
		v = number(dir, "cpuacct.usage", NULL) / 1e9;
	if (isnan(v) && folder_of(pid, NULL, id, dir))
		v = number(dir, "cpu.stat", "usage_usec") / 1e6;
	return v;
}

/* Without the cache of files that nobody has asked for lately: that can be taken back at any time. */
static double memory_bytes(pid_t pid, const char *id)
{
	char dir[PATH_MAX];
	double v = NAN, cache = 0;

	if (folder_of(pid, "memory", id, dir)) {
		v = number(dir, "memory.usage_in_bytes", NULL);
		cache = number(dir, "memory.stat", "total_inactive_file");
	}
	if (isnan(v) && folder_of(pid, NULL, id, dir)) {
		v = number(dir, "memory.current", NULL);
		cache = number(dir, "memory.stat", "inactive_file");
	}
	return cache > 0 && cache < v ? v - cache : v;
}

/* ---- network ---- */

static bool own_network(pid_t pid)
{
	char path[64];
	struct stat its, ours;

	snprintf(path, sizeof(path), "/proc/%d/ns/net", (int)pid);
	return !stat(path, &its) && !stat("/proc/self/ns/net", &ours) && its.st_ino != ours.st_ino;
}

int usage_network(pid_t pid, struct err *e)
{
	char path[64];

	if (!own_network(pid))
		return err_set(e, EX_UNAVAILABLE, "shares its node's network, where its connections cannot be told from others'");
	snprintf(path, sizeof(path), "/proc/%d/ns/net", (int)pid);
	int fd = open(path, O_RDONLY | O_CLOEXEC);
	return fd >= 0 ? fd : err_sys(e, "network namespace");
}

bool usage_cgroup(pid_t pid, const char *id, char dir[PATH_MAX])
{
	return folder_of(pid, NULL, id, dir) && strstr(dir, id);
}

static bool network(pid_t pid, double *rx, double *tx)
{
	char path[64], line[512], name[64];
	double in, out;

	snprintf(path, sizeof(path), "/proc/%d/net/dev", (int)pid);
	AUTO_FILE FILE *f = own_network(pid) ? fopen(path, "re") : NULL;
	if (!f)
		return false;
	*rx = *tx = 0;
	while (fgets(line, sizeof(line), f))
		if (sscanf(line, " %63[^:]: %lf %*s %*s %*s %*s %*s %*s %*s %lf", name, &in, &out) == 3 && strcmp(name, "lo")) {
			*rx += in;
			*tx += out;
		}
	return true;
}

/* ---- samples ---- */

void usage_sample(struct json *sample, const struct json *services, const struct absence *a)
{
	struct json *all = json_object();

	for (size_t i = 0; i < json_len(services, NULL); i++) {
		AUTO_JSON struct json *s = json_at(services, i), *c = json_object();
		pid_t pid = (pid_t)json_int(s, "pid", 0);
		const char *id = json_str(s, "container"), *name = json_str(s, "name");
		double rx, tx, cpu, mem, start;

		if (pid <= 0 || !json_str(s, "id") || !(start = (double)service_start_time(pid)))
			continue;
		cpu = cpu_seconds(pid, id);
		mem = memory_bytes(pid, id);
		if (isnan(cpu) || isnan(mem))
			absent(a, name, "no cgroup of its own tells its %s", isnan(cpu) ? "processor time" : "memory");
		json_set_num(c, "cpu_s", cpu);
		json_set_num(c, "mem", mem);
		json_set_num(c, "born", start / (double)sysconf(_SC_CLK_TCK));
		if (network(pid, &rx, &tx)) {
			json_set_num(c, "rx", rx);
			json_set_num(c, "tx", tx);
		} else {
			absent(a, name, "it shares the network of its node");
		}
		json_set(all, json_str(s, "id"), json_copy(c));
	}
	json_set(sample, "services", all);
}

static struct json *counters(const struct json *sample, const char *id)
{
	AUTO_JSON struct json *all = json_get(sample, "services");

	return all && id ? json_get(all, id) : NULL;
}

/* Counters of a service that was not there then, or has begun anew since, were 0 when it began. */
static void set_usage(struct json *rec, const struct json *was, const struct json *is, double then, double now)
{
	double born = json_num(is, "born", now), cores = (double)sysconf(_SC_NPROCESSORS_ONLN);
	bool new = born > then;

	if (!new && !was) /* others' program took the sample, and did not look at services */
		return;
	double cpu = json_num(is, "cpu_s", NAN) - (new ? 0 : json_num(was, "cpu_s", NAN));
	double rx = json_num(is, "rx", NAN) - (new ? 0 : json_num(was, "rx", NAN));
	double tx = json_num(is, "tx", NAN) - (new ? 0 : json_num(was, "tx", NAN));
	double s = now - (new ? born : then);

	json_set_num(rec, "usage.mem_bytes", json_num(is, "mem", NAN));
	if (!(s > 0))
		return;
	if (cpu >= 0)
		json_set_num(rec, "usage.cpu", round(fmin(cpu / s / cores, 1) * 1e4) / 1e4);
	if (rx >= 0 && tx >= 0) {
		json_set_num(rec, "usage.net_bps", round((rx + tx) / s));
		json_set_num(rec, "usage.rx_bps", round(rx / s));
		json_set_num(rec, "usage.tx_bps", round(tx / s));
	}
	json_set_num(rec, "usage.window_s", round(s * 1e3) / 1e3);
}

struct json *usage_records(const struct json *services, const struct json *then, const struct json *now)
{
	struct json *records = json_array();

	for (size_t i = 0; i < json_len(services, NULL); i++) {
		struct json *rec = json_at(services, i);
		AUTO_JSON struct json *was = counters(then, json_str(rec, "id")), *is = counters(now, json_str(rec, "id"));

		json_remove(rec, "pid");
		if (is)
			set_usage(rec, was, is, json_num(then, "at", 0), json_num(now, "at", 0));
		json_add(records, rec);
	}
	return records;
}
