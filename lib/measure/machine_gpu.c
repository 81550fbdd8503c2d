/* SPDX-License-Identifier: MIT */
/* Graphics processors: NVIDIA's by nvidia-smi, others by what their drivers show in /sys/class/drm. */
#include <ctype.h>
#include <dirent.h>
#include <limits.h>
#include <math.h>
#include <string.h>

#include "lib/base/proc.h"
#include "lib/measure/machine.h"

#define SMI_MS 5000
#define NVIDIA 0x10de

static void trim(char **field)
{
	char *end;

	*field += strspn(*field, " \t");
	end = *field + strlen(*field);
	while (end > *field && isspace((unsigned char)end[-1]))
		*--end = '\0';
}

/* "Tesla T4, 15360, 2, 35, 535.104": MiB, MiB, percent. What it does not know it calls "[N/A]". */
static struct json *smi_gpu(char *line)
{
	char *field[5] = { NULL }, *end;
	struct json *gpu = json_object();
	double v[3];

	for (int i = 0; i < 5; i++) {
		field[i] = line ? strsep(&line, ",") : "";
		if (*field[i])
			trim(&field[i]);
	}
	for (int i = 0; i < 3; i++) {
		v[i] = strtod(field[i + 1], &end);
		v[i] = end == field[i + 1] ? NAN : v[i];
	}
	json_set_str(gpu, "vendor", "nvidia");
	json_set_str(gpu, "model", *field[0] ? field[0] : NULL);
	json_set_num(gpu, "mem_bytes", v[0] * 1048576);
	json_set_num(gpu, "mem_used_bytes", v[1] * 1048576);
	json_set_num(gpu, "use", v[2] / 100);
	json_set_str(gpu, "driver", *field[4] ? field[4] : NULL);
	return gpu;
}

/* Whether NVIDIA's are told. */
static bool smi_gpus(struct json *gpus, const struct absence *a)
{
	static const char *const argv[] = { "nvidia-smi",
					    "--query-gpu=name,memory.total,memory.used,utilization.gpu,driver_version",
					    "--format=csv,noheader,nounits", NULL };
	AUTO_FREE char *text = NULL;
	char *save = NULL;
	struct err e;

	if (!proc_find(argv[0]))
		return false;
	if (proc_run(argv, &text, SMI_MS, &e)) {
		absent(a, "gpu", "%s", e.text);
		return false;
	}
	for (char *line = strtok_r(text, "\n", &save); line; line = strtok_r(NULL, "\n", &save))
		json_add(gpus, smi_gpu(line));
	return true;
}

static double drm_number(const char *card, const char *file, bool hex)
{
	char path[PATH_MAX], *end;

	snprintf(path, sizeof(path), "/sys/class/drm/%s/device/%s", card, file);
	AUTO_FREE char *line = machine_line(path);
	double v = line ? hex ? (double)strtoul(line, &end, 16) : strtod(line, &end) : NAN;

	return line && end == line ? NAN : v;
}

static struct json *drm_gpu(const char *card)
{
	static const struct {
		int id;
		const char *name;
	} vendors[] = { { 0x1002, "amd" }, { 0x8086, "intel" }, { NVIDIA, "nvidia" } };
	double vendor = drm_number(card, "vendor", true), device = drm_number(card, "device", true);
	struct json *gpu = json_object();
	char path[PATH_MAX], word[128];

	for (size_t i = 0; i < sizeof(vendors) / sizeof(*vendors); i++)
		if (vendor == vendors[i].id)
			json_set_str(gpu, "vendor", vendors[i].name);
	snprintf(path, sizeof(path), "/sys/class/drm/%s/device/product_name", card);
	AUTO_FREE char *model = machine_line(path);
	if (!isnan(vendor) && !isnan(device))
		snprintf(word, sizeof(word), "%04x:%04x", (unsigned)vendor, (unsigned)device);
	else
		snprintf(word, sizeof(word), "%s", card);
	json_set_str(gpu, "model", model ? model : word);
	snprintf(path, sizeof(path), "/sys/class/drm/%s/device/uevent", card);
	AUTO_FREE char *event = machine_line(path);
	json_set_str(gpu, "driver", event && !strncmp(event, "DRIVER=", 7) ? event + 7 : NULL);
	json_set_num(gpu, "mem_bytes", drm_number(card, "mem_info_vram_total", false));
	json_set_num(gpu, "mem_used_bytes", drm_number(card, "mem_info_vram_used", false));
	json_set_num(gpu, "use", drm_number(card, "gpu_busy_percent", false) / 100);
	return gpu;
}

/* "card0" and the like; the others are their outputs and second doors. */
static int is_card(const struct dirent *d)
{
	return !strncmp(d->d_name, "card", 4) && d->d_name[4 + strspn(d->d_name + 4, "0123456789")] == '\0' && d->d_name[4];
}

static void drm_gpus(struct json *gpus, bool nvidia_told)
{
	struct dirent **cards = NULL;
	int n = scandir("/sys/class/drm", &cards, is_card, alphasort);

	for (int i = 0; i < n; i++) {
		double vendor = drm_number(cards[i]->d_name, "vendor", true);
		double class = drm_number(cards[i]->d_name, "class", true); /* of PCI: 03 is a display */

		if (!(vendor == NVIDIA && nvidia_told) && (isnan(class) || (unsigned)class >> 16 == 3))
			json_add(gpus, drm_gpu(cards[i]->d_name));
		free(cards[i]);
	}
	free(cards);
}

void machine_gpus(struct json *node, const struct absence *a)
{
	AUTO_JSON struct json *gpus = json_array();
	bool told = smi_gpus(gpus, a);

	drm_gpus(gpus, told);
	if (json_len(gpus, NULL))
		json_set(node, "gpu", json_copy(gpus));
	else if (!json_has(node, "gpu"))
		absent(a, "gpu", "none in /sys/class/drm%s", proc_find("nvidia-smi") ? ", none that nvidia-smi tells" :
									      ", no nvidia-smi");
}
