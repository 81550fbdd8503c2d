/* SPDX-License-Identifier: MIT */
#include "lib/measure/samples.h"

#include <math.h>
#include <string.h>
#include <time.h>

#include "lib/base/file.h"

#define BOOT_ID "/proc/sys/kernel/random/boot_id"
#define WINDOW_S 60.0 /* kept at least, whatever the window of this time */
#define SLACK 1.25
#define STEPS 12

double samples_clock(void)
{
	struct timespec t;

	clock_gettime(CLOCK_BOOTTIME, &t);
	return (double)t.tv_sec + (double)t.tv_nsec / 1e9;
}

/* Those of this boot; an empty array without any. */
static struct json *load(const char *name)
{
	AUTO_FREE char *boot = file_slurp(BOOT_ID, NULL, NULL);
	AUTO_JSON struct json *kept = json_read_file(file_path("/run/edge/samples-%s.json", name), NULL);
	const char *of = kept ? json_str(kept, "boot") : NULL;
	struct json *all = boot && of && !strncmp(boot, of, strlen(of)) ? json_get(kept, "samples") : NULL;

	return all ? all : json_array();
}

struct json *samples_since(const char *name, const struct json *now, double window_s)
{
	AUTO_JSON struct json *all = load(name);
	double at = json_num(now, "at", 0);

	for (size_t i = 0; i < json_len(all, NULL); i++) {
		AUTO_JSON struct json *s = json_at(all, i);
		double then = json_num(s, "at", INFINITY);

		if (then < at && at - then <= window_s * SLACK)
			return TAKE_PTR(s);
	}
	return NULL;
}

int samples_keep(const char *name, const struct json *now, double window_s, struct err *e)
{
	AUTO_JSON struct json *all = load(name), *kept = json_array(), *file = json_object();
	AUTO_FREE char *boot = file_slurp(BOOT_ID, NULL, e);
	double at = json_num(now, "at", 0), newest = 0;

	if (!boot)
		return -1;
	for (size_t i = 0; i < json_len(all, NULL); i++) {
		struct json *s = json_at(all, i);
		double then = json_num(s, "at", INFINITY);

		if (then < at && at - then <= fmax(window_s, WINDOW_S) * SLACK)
			json_add(kept, json_copy(s));
		newest = fmax(newest, then < at ? then : 0);
		json_free(s);
	}
	if (at - newest < window_s / STEPS)
		return 0;
	json_add(kept, json_copy(now));
	boot[strcspn(boot, "\n")] = '\0';
	json_set_str(file, "boot", boot);
	json_set(file, "samples", json_copy(kept));
	if (file_mkdirs(file_path("/run/edge"), 0755, e))
		return -1;
	AUTO_FREE char *text = json_text(file);
	return file_write(file_path("/run/edge/samples-%s.json", name), text, strlen(text), 0600, e);
}
