/* SPDX-License-Identifier: MIT */
#include "lib/measure/machine.h"

#include <dirent.h>
#include <math.h>
#include <stdarg.h>
#include <string.h>
#include <sys/statvfs.h>

#include "lib/base/clock.h"
#include "lib/base/file.h"
#include "lib/measure/cpuscore.h"
#include "lib/measure/facts.h"
#include "lib/measure/virt.h"

void absent(const struct absence *a, const char *what, const char *fmt, ...)
{
	char why[512];
	va_list args;

	if (!a || !a->tell)
		return;
	va_start(args, fmt);
	vsnprintf(why, sizeof(why), fmt, args);
	va_end(args);
	a->tell(a->ctx, what, why);
}

char *machine_line(const char *path)
{
	AUTO_FILE FILE *f = fopen(path, "re");
	char *line = NULL;
	size_t room = 0;

	if (f && getline(&line, &room, f) > 0)
		line[strcspn(line, "\n")] = '\0';
	if (line && *line)
		return line;
	free(line);
	return NULL;
}

double machine_number(const char *path)
{
	AUTO_FREE char *line = machine_line(path);
	char *end = line;
	double v = line ? strtod(line, &end) : NAN;

	return end == line ? NAN : v;
}

/* ---- counters ---- */

/* Busy and all time of all processors, in ticks. What a guest uses is in "user" already. */
static void sample_cpu(struct json *sample)
{
	AUTO_FREE char *line = machine_line("/proc/stat");
	double v[8] = { 0 }, all = 0;

	if (!line || sscanf(line, "cpu %lf %lf %lf %lf %lf %lf %lf %lf", &v[0], &v[1], &v[2], &v[3], &v[4], &v[5], &v[6],
			    &v[7]) < 4)
		return;
	for (int i = 0; i < 8; i++)
		all += v[i];
	json_set_num(sample, "busy", all - v[3] - v[4] - v[7]); /* idle, waiting, taken by other machines */
	json_set_num(sample, "ticks", all);
}

/* Microjoules of all packages, with how far the counters go before they begin again. */
static void sample_energy(struct json *sample)
{
	DIR *d = opendir("/sys/class/powercap");
	double used = 0, most = 0;
	bool any = false;

	for (const struct dirent *entry; d && (entry = readdir(d));) {
		char path[PATH_MAX];

		if (strncmp(entry->d_name, "intel-rapl:", 11) || strchr(entry->d_name + 11, ':'))
			continue;
		snprintf(path, sizeof(path), "/sys/class/powercap/%s/energy_uj", entry->d_name);
		double uj = machine_number(path);
		snprintf(path, sizeof(path), "/sys/class/powercap/%s/max_energy_range_uj", entry->d_name);
		if (isnan(uj))
			continue;
		any = true;
		used += uj;
		most += machine_number(path);
	}
	if (d)
		closedir(d);
	if (any) {
		json_set_num(sample, "energy_uj", used);
		json_set_num(sample, "energy_max_uj", most);
	}
}

static void sample_links(struct json *sample)
{
	AUTO_FILE FILE *f = fopen("/proc/net/dev", "re");
	struct json *links = json_array();
	char line[512], name[64];
	double rx, tx;

	while (f && fgets(line, sizeof(line), f)) {
		if (sscanf(line, " %63[^:]: %lf %*s %*s %*s %*s %*s %*s %*s %lf", name, &rx, &tx) != 3)
			continue;
		struct json *link = json_object();
		json_set_str(link, "name", name);
		json_set_num(link, "rx", rx);
		json_set_num(link, "tx", tx);
		json_add(links, link);
	}
	json_set(sample, "net", links);
}

void machine_sample(struct json *sample)
{
	sample_cpu(sample);
	sample_energy(sample);
	sample_links(sample);
}

/* ---- what has been used ---- */

static double difference(const struct json *then, const struct json *now, const char *member)
{
	return json_num(now, member, NAN) - json_num(then, member, NAN);
}

/* What `member` of the link of that name was. */
static double link_counter(const struct json *sample, const char *name, const char *member)
{
	AUTO_JSON struct json *links = json_get(sample, "net");

	for (size_t i = 0; links && i < json_len(links, NULL); i++) {
		AUTO_JSON struct json *link = json_at(links, i);
		const char *its = json_str(link, "name");

		if (its && !strcmp(its, name))
			return json_num(link, member, NAN);
	}
	return NAN;
}

static void use_links(struct json *node, const struct json *then, const struct json *now, double seconds)
{
	AUTO_JSON struct json *links = json_get(node, "interfaces");
	struct json *told = json_array();

	for (size_t i = 0; links && i < json_len(links, NULL); i++) {
		struct json *link = json_at(links, i);
		const char *name = json_str(link, "name");
		double rx = link_counter(now, name, "rx") - link_counter(then, name, "rx");
		double tx = link_counter(now, name, "tx") - link_counter(then, name, "tx");

		if (rx >= 0 && tx >= 0) {
			json_set_num(link, "rx_bps", round(rx / seconds));
			json_set_num(link, "tx_bps", round(tx / seconds));
		}
		json_add(told, link);
	}
	if (links)
		json_set(node, "interfaces", told);
	else
		json_free(told);
}

void machine_use(struct json *node, const struct json *then, const struct json *now, const struct absence *a)
{
	double seconds = difference(then, now, "at"), ticks = difference(then, now, "ticks");
	double busy = difference(then, now, "busy"), uj = difference(then, now, "energy_uj");

	if (!(seconds > 0))
		return;
	json_set_num(node, "window_s", round(seconds * 1e3) / 1e3);
	if (ticks > 0 && busy >= 0)
		json_set_num(node, "cpu.use", round(fmin(busy / ticks, 1) * 1e4) / 1e4);
	else
		absent(a, "cpu.use", "/proc/stat does not count here");
	if (uj < 0) /* it has begun again */
		uj += json_num(now, "energy_max_uj", NAN);
	if (uj >= 0)
		json_set_num(node, "energy.watts", round(uj / seconds / 1e3) / 1e3);
	else
		absent(a, "energy.watts", "no RAPL counter that can be read in /sys/class/powercap");
	use_links(node, then, now, seconds);
}

/* ---- what it is ---- */

/* The words of the first line of /proc/cpuinfo that has them. */
static void describe_flags(struct json *node, const struct absence *a)
{
	AUTO_FREE char *text = file_slurp("/proc/cpuinfo", NULL, NULL);
	char *line = text ? strstr(text, "\nflags") : NULL, *save = NULL;
	struct json *flags;

	if (text && !line)
		line = strstr(text, "\nFeatures"); /* of arm64 */
	line = line ? strchr(line, ':') : NULL;
	if (!line) {
		absent(a, "cpu.flags", "/proc/cpuinfo does not tell them");
		return;
	}
	flags = json_array();
	line[strcspn(line, "\n")] = '\0';
	for (char *word = strtok_r(line + 1, " ", &save); word; word = strtok_r(NULL, " ", &save))
		json_add(flags, json_string(word));
	json_set(node, "cpu.flags", flags);
}

static struct json *find_score(void *ctx)
{
	struct json *scores = cpuscore_measure();
	char now[32];

	(void)ctx;
	if (scores)
		json_set_str(scores, "scored", clock_rfc3339(now));
	return scores;
}

static void describe_score(struct json *node, const struct absence *a)
{
	static const char *const kinds[] = { "integer", "float", "memory", "branch" };
	AUTO_JSON struct json *scores = fact("cpu", "1", find_score, NULL);

	if (!scores) {
		absent(a, "cpu.score", "out of memory");
		return;
	}
	json_set_num(node, "cpu.score", json_num(scores, "score", NAN));
	for (size_t i = 0; i < sizeof(kinds) / sizeof(*kinds); i++) {
		char member[64];

		snprintf(member, sizeof(member), "cpu.scores.%s", kinds[i]);
		json_set_num(node, member, json_num(scores, kinds[i], NAN));
	}
	json_set_str(node, "cpu.scored", json_str(scores, "scored"));
}

/* The part of the last 10 seconds in which something waited for it. */
static void describe_pressure(struct json *node, const struct absence *a)
{
	static const char *const kinds[] = { "cpu", "memory", "io" };

	for (size_t i = 0; i < sizeof(kinds) / sizeof(*kinds); i++) {
		char path[64], member[64];
		double percent;

		snprintf(path, sizeof(path), "/proc/pressure/%s", kinds[i]);
		snprintf(member, sizeof(member), "pressure.%s", kinds[i]);
		AUTO_FREE char *line = machine_line(path); /* opening may succeed where reading says that it is off */
		if (line && sscanf(line, "some avg10=%lf", &percent) == 1)
			json_set_num(node, member, round(percent * 100) / 1e4);
		else
			absent(a, member, "the kernel does not tell it in %s", path);
	}
}

static void describe_memory(struct json *node)
{
	AUTO_FREE char *text = file_slurp("/proc/meminfo", NULL, NULL);
	const char *total = text ? strstr(text, "\nSwapTotal:") : NULL, *left = text ? strstr(text, "\nSwapFree:") : NULL;
	struct statvfs fs;

	if (total && left && strtod(total + 11, NULL) > 0) {
		json_set_num(node, "mem.swap_bytes", strtod(total + 11, NULL) * 1024);
		json_set_num(node, "mem.swap_free_bytes", strtod(left + 10, NULL) * 1024);
	}
	if (!statvfs(file_path("/var/lib/edge"), &fs) || !statvfs(file_path("/"), &fs))
		json_set_num(node, "disk.total_bytes", (double)fs.f_blocks * (double)fs.f_frsize);
}

static void describe_battery(struct json *node, const struct absence *a)
{
	DIR *d = opendir("/sys/class/power_supply");
	double charge = NAN, mains = NAN;

	for (const struct dirent *entry; d && (entry = readdir(d));) {
		char path[PATH_MAX];

		snprintf(path, sizeof(path), "/sys/class/power_supply/%s/type", entry->d_name);
		AUTO_FREE char *type = machine_line(path);
		snprintf(path, sizeof(path), "/sys/class/power_supply/%s/scope", entry->d_name);
		AUTO_FREE char *scope = machine_line(path);
		if (!type || (scope && !strcmp(scope, "Device"))) /* a mouse's */
			continue;
		bool battery = !strcmp(type, "Battery");
		snprintf(path, sizeof(path), "/sys/class/power_supply/%s/%s", entry->d_name, battery ? "capacity" : "online");
		if (battery)
			charge = fmin(charge, machine_number(path)); /* of several the emptiest; fmin passes over NAN */
		else
			mains = fmax(mains, machine_number(path));
	}
	if (d)
		closedir(d);
	if (isnan(charge)) {
		absent(a, "energy.battery", "no battery in /sys/class/power_supply");
		return;
	}
	json_set_num(node, "energy.battery", charge / 100);
	if (!isnan(mains))
		json_set_bool(node, "energy.mains", mains > 0);
}

/* What its owner has written down beside: price, power and the like. */
static void describe_settings(struct json *node)
{
	static const char *const ours[] = { "name", "addr", "bridge", "gateway", "gateway6", "policy", "authorized_keys", "host_key" };
	AUTO_JSON struct json *own = json_read_file(file_path("/etc/edge/node.json"), NULL);
	AUTO_JSON struct json *keys = own ? json_keys(own) : NULL;

	for (size_t i = 0; keys && i < json_len(keys, NULL); i++) {
		AUTO_JSON struct json *key = json_at(keys, i);
		bool private = false;

		for (size_t k = 0; k < sizeof(ours) / sizeof(*ours); k++)
			private |= !strcmp(json_value(key), ours[k]);
		if (!private && !json_has(node, json_value(key)))
			json_set(node, json_value(key), json_get(own, json_value(key)));
	}
}

void machine_describe(struct json *node, const struct absence *a)
{
	describe_settings(node);
	describe_flags(node, a);
	describe_score(node, a);
	describe_pressure(node, a);
	describe_memory(node);
	describe_battery(node, a);
	machine_gpus(node, a);
	machine_links(node, a);
	machine_engines(node, a);
	json_set_str(node, "virt", virt_name());
	if (!json_has(node, "cpu.model"))
		absent(a, "cpu.model", "/proc/cpuinfo does not tell it");
	if (!json_has(node, "geo"))
		absent(a, "geo", "not in %s", file_path("/etc/edge/node.json"));
}
