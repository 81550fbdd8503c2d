/* SPDX-License-Identifier: MIT */
#include <errno.h>
#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "lib/base/file.h"
#include "lib/engine/service.h"

/* "64M", "1.5G", "4096": powers of 1024. */
static int parse_bytes(const char *text, uint64_t *bytes)
{
	static const char units[] = "KMGT";
	char *end;
	double v = strtod(text, &end);

	if (end == text || !isfinite(v) || v < 0)
		return -1;
	const char *unit = *end ? strchr(units, *end & ~0x20) : NULL;
	if (unit)
		v = ldexp(v, 10 * (int)(unit - units + 1)), end++;
	if (*end || v > 1e18)
		return -1;
	*bytes = (uint64_t)v;
	return 0;
}

static int set(struct service *s, const char *key, const char *value)
{
	char *end;

	if (!strcmp(key, "mem"))
		return parse_bytes(value, &s->mem_bytes);
	if (strcmp(key, "cpu"))
		return -1;
	s->cpu = strtod(value, &end);
	return *end || end == value || !(s->cpu >= 0.01 && s->cpu <= 1e6) ? -1 : 0;
}

static int by_name(struct service *s, const char *name, struct err *e)
{
	const char *path = file_path("/etc/edge/profiles.json");
	char number[32];

	if (access(path, F_OK) && errno == ENOENT)
		return err_set(e, EX_USAGE, "profile %s: unknown, there is no %s", name, path);
	AUTO_JSON struct json *all = json_read_file(path, e);
	if (!all)
		return -1;
	AUTO_JSON struct json *p = strchr(name, '.') ? NULL : json_get(all, name);
	if (!p || !json_is_object(p))
		return err_set(e, EX_USAGE, "profile %s: not in %s", name, path);
	snprintf(number, sizeof(number), "%.17g", json_num(p, "cpu", 0));
	const char *mem = json_str(p, "mem");
	if ((json_has(p, "cpu") && set(s, "cpu", number)) || (mem && set(s, "mem", mem)))
		return err_set(e, EX_DATAERR, "profile %s: %s: not {\"cpu\":CORES,\"mem\":\"BYTES\"}", name, path);
	return 0;
}

int service_profile(struct service *s, const char *profile, struct err *e)
{
	char copy[256], *save = NULL;

	if (!strchr(profile, '='))
		return by_name(s, profile, e);
	if (strlen(profile) >= sizeof(copy))
		return err_set(e, EX_USAGE, "profile: too long");
	memcpy(copy, profile, strlen(profile) + 1);
	for (char *w = strtok_r(copy, ",", &save); w; w = strtok_r(NULL, ",", &save)) {
		char *eq = strchr(w, '=');

		if (eq)
			*eq = '\0';
		if (!eq || set(s, w, eq + 1))
			return err_set(e, EX_USAGE, "profile %s: not cpu=CORES,mem=BYTES", profile);
	}
	return 0;
}
