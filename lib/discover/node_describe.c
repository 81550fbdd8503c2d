/* SPDX-License-Identifier: MIT */
/* What this node is, for its record. Apart from node.c: it knows the engines, and with them half the library. */
#include <stdlib.h>
#include <string.h>
#include <sys/statvfs.h>
#include <sys/utsname.h>
#include <unistd.h>

#include "lib/base/clock.h"
#include "lib/base/file.h"
#include "lib/discover/grant.h"
#include "lib/discover/node.h"
#include "lib/engine/criu.h"
#include "lib/engine/engine.h"

/* The rest of the first line of a /proc file that begins with the key, behind colon and blanks. */
static int proc_value(const char *path, const char *key, char *value, size_t size)
{
	AUTO_FILE FILE *f = fopen(path, "re");
	AUTO_FREE char *line = NULL;
	size_t room = 0, n = strlen(key);

	while (f && getline(&line, &room, f) > 0) {
		char *at = line + n;

		if (strncmp(line, key, n) || !strchr(": \t", *at))
			continue;
		at += strspn(at, ": \t");
		snprintf(value, size, "%.*s", (int)strcspn(at, "\n"), at);
		return 0;
	}
	return -1;
}

static void describe_hardware(struct json *j)
{
	struct utsname u;
	struct statvfs fs;
	char value[256];

	if (!uname(&u)) {
		json_set_str(j, "arch", u.machine);
		json_set_str(j, "kernel", u.release);
	}
	if (!proc_value("/proc/cpuinfo", "model name", value, sizeof(value)))
		json_set_str(j, "cpu.model", value);
	json_set_num(j, "cpu.cores", (double)sysconf(_SC_NPROCESSORS_ONLN));
	if (!proc_value("/proc/meminfo", "MemTotal", value, sizeof(value)))
		json_set_num(j, "mem.total_bytes", strtod(value, NULL) * 1024);
	if (!proc_value("/proc/meminfo", "MemAvailable", value, sizeof(value)))
		json_set_num(j, "mem.available_bytes", strtod(value, NULL) * 1024);
	if (!statvfs(file_path("/var/lib/edge"), &fs) || !statvfs(file_path("/"), &fs))
		json_set_num(j, "disk.free_bytes", (double)fs.f_bavail * (double)fs.f_frsize);
}

/* The fleet that it belongs to: for whom who asks is served, else its owner's word, else the first that has invited it, else its
 * own if it has invited others. */
static void describe_member(struct json *j)
{
	bool host = false;
	AUTO_JSON struct json *grants = getenv("EDGE_FLEET") || node_setting("member") ? NULL : grant_list(NULL);

	json_set_str(j, "member", getenv("EDGE_FLEET") ? getenv("EDGE_FLEET") : node_setting("member"));
	for (size_t i = 0; grants && !json_has(j, "member") && i < json_len(grants, NULL); i++) {
		AUTO_JSON struct json *grant = json_at(grants, i);

		if (grant_joined(grant, time(NULL)))
			json_set_str(j, "member", json_str(grant, "fleet"));
		host |= json_has(grant, "member");
	}
	if (host && !json_has(j, "member"))
		json_set_str(j, "member", node_self());
}

struct json *node_describe(void)
{
	static const char *const told[] = { "port", "role", "network", "geo", "gpu", "user" };
	struct json *j = json_object(), *can = json_array();
	const struct json *own = node_settings();
	char seen[32];

	json_set_str(j, "kind", "node");
	json_set_str(j, "name", node_self());
	json_set_str(j, "addr", node_setting("addr"));
	for (size_t i = 0; own && i < sizeof(told) / sizeof(*told); i++)
		json_set(j, told[i], json_get(own, told[i]));
	describe_member(j);
	describe_hardware(j);
	for (size_t i = 0; engine_look(i); i++)
		if (engine_here(engine_look(i)))
			json_add(can, json_string(engine_look(i)->name));
	json_set(j, "engines", can);
	const char *criu = criu_version();
	json_set_str(j, "criu", criu[0] ? criu : NULL);
	json_set_str(j, "seen", clock_rfc3339(seen));
	return j;
}
