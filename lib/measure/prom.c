/* SPDX-License-Identifier: MIT */
#include "lib/measure/prom.h"

#include <math.h>
#include <string.h>

static const struct {
	const char *kind, *member, *help;
} metrics[] = {
	{ "node", "cpu.cores", "Cores of all processors." },
	{ "node", "cpu.score", "Work of one core in a second." },
	{ "node", "cpu.use", "How busy the processors are, from 0 to 1." },
	{ "node", "mem.total_bytes", "Memory." },
	{ "node", "mem.available_bytes", "Memory free or to be had." },
	{ "node", "disk.total_bytes", "Space for services." },
	{ "node", "disk.free_bytes", "Free space for services." },
	{ "node", "pressure.cpu", "Part of the last 10 s in which something waited for a processor." },
	{ "node", "pressure.memory", "Part of the last 10 s in which something waited for memory." },
	{ "node", "pressure.io", "Part of the last 10 s in which something waited for a disk." },
	{ "node", "energy.watts", "What the processors take." },
	{ "node", "energy.battery", "How full the battery is, from 0 to 1." },
	{ "service", "usage.cpu", "What a service uses of all cores, from 0 to 1." },
	{ "service", "usage.mem_bytes", "Memory that a service uses." },
	{ "service", "usage.rx_bps", "Bytes per second that a service receives." },
	{ "service", "usage.tx_bps", "Bytes per second that a service sends." },
};

static void put_label(FILE *f, const char *name, const char *value, const char *before)
{
	fprintf(f, "%s%s=\"", before, name);
	for (; value && *value; value++)
		if (*value == '"' || *value == '\\')
			fprintf(f, "\\%c", *value);
		else if (*value != '\n')
			putc(*value, f);
	putc('"', f);
}

static void put_metric(FILE *f, const struct json *records, size_t m)
{
	const char *kind = metrics[m].kind;
	char name[128];
	bool told = false;

	snprintf(name, sizeof(name), "edge_%s_%s", kind, metrics[m].member);
	for (char *p = name; *p; p++)
		if (*p == '.')
			*p = '_';
	for (size_t i = 0; i < json_len(records, NULL); i++) {
		AUTO_JSON struct json *rec = json_at(records, i);
		double v = json_num(rec, metrics[m].member, NAN);
		bool service = !strcmp(kind, "service");

		if (isnan(v) || !json_str(rec, "kind") || strcmp(json_str(rec, "kind"), kind))
			continue;
		if (!told)
			fprintf(f, "# HELP %s %s\n# TYPE %s gauge\n", name, metrics[m].help, name);
		told = true;
		fputs(name, f);
		put_label(f, "node", json_str(rec, service ? "node" : "name"), "{");
		if (service) {
			put_label(f, "service", json_str(rec, "name"), ",");
			put_label(f, "id", json_str(rec, "id"), ",");
			put_label(f, "engine", json_str(rec, "engine"), ",");
		}
		fprintf(f, "} %.15g\n", v);
	}
}

char *prom_text(const struct json *records)
{
	char *text = NULL;
	size_t n = 0;
	FILE *f = open_memstream(&text, &n);

	if (!f)
		abort();
	for (size_t m = 0; m < sizeof(metrics) / sizeof(*metrics); m++)
		put_metric(f, records, m);
	fclose(f);
	return text;
}
