/* SPDX-License-Identifier: MIT */
#include "lib/measure/facts.h"

#include <string.h>
#include <sys/utsname.h>

#include "lib/base/file.h"
#include "lib/measure/machine.h"

/* The kernel, and the machine with its processors: an installed disk may be moved to another one. */
static void whereabouts(char *out, size_t size)
{
	AUTO_FREE char *machine = machine_line("/etc/machine-id"), *cpu = file_slurp("/proc/cpuinfo", NULL, NULL);
	const char *model = cpu ? strstr(cpu, "model name") : NULL;
	struct utsname u = { 0 };

	uname(&u);
	snprintf(out, size, "%.64s %.64s %.120s", machine ? machine : "", u.release, model ? model : "");
	out[strcspn(out, "\n")] = '\0';
}

struct json *fact(const char *name, const char *about, struct json *(*find)(void *ctx), void *ctx)
{
	AUTO_JSON struct json *all = json_read_file(file_path("/var/lib/edge/facts.json"), NULL);
	char here[512], key[64];

	whereabouts(here, sizeof(here));
	const char *where = all ? json_str(all, "where") : NULL;
	if (!where || strcmp(where, here)) {
		json_free(TAKE_PTR(all));
		all = json_object();
		json_set_str(all, "where", here);
	}
	snprintf(key, sizeof(key), "%s.about", name);
	const char *known = json_str(all, key);
	bool holds = known && !strcmp(known, about);
	snprintf(key, sizeof(key), "%s.value", name);
	if (holds && json_has(all, key))
		return json_get(all, key);
	struct json *value = find(ctx);
	if (!value)
		return NULL;
	json_set(all, key, json_copy(value));
	snprintf(key, sizeof(key), "%s.about", name);
	json_set_str(all, key, about);
	if (!file_mkdirs(file_path("/var/lib/edge"), 0755, NULL)) /* else it is found out again the next time */
		json_write_file(all, file_path("/var/lib/edge/facts.json"), NULL);
	return value;
}
