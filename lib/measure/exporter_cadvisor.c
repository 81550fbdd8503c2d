/* SPDX-License-Identifier: MIT */
/* cAdvisor, by version 1.3 of its API: all containers with their statistics of the last minute or so. */
#include <math.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include "lib/base/http.h"
#include "lib/engine/service.h"
#include "lib/measure/exporter.h"

#define ASK_MS 10000
#define NO_LIMIT 0x1p62 /* what it says of memory without one */

/* "2026-01-01T00:00:00.123456789+01:00", or Z; NAN for anything else. */
static double seconds(const char *text)
{
	int year, month, day, hour, minute, h = 0, m = 0;
	double s;
	char sign = 'Z';

	if (!text || sscanf(text, "%d-%d-%dT%d:%d:%lf%c%d:%d", &year, &month, &day, &hour, &minute, &s, &sign, &h, &m) < 7)
		return NAN;
	struct tm tm = { .tm_year = year - 1900, .tm_mon = month - 1, .tm_mday = day, .tm_hour = hour, .tm_min = minute };
	return (double)timegm(&tm) + s - (sign == 'Z' ? 0 : (sign == '-' ? -1 : 1) * (h * 3600.0 + m * 60.0));
}

/* Over all interfaces of a sample; NAN without any. */
static double network(const struct json *stat, const char *member)
{
	AUTO_JSON struct json *links = json_get(stat, "network.interfaces");
	char path[64];
	double sum = 0;

	for (size_t i = 0; links && i < json_len(links, NULL); i++) {
		AUTO_JSON struct json *link = json_at(links, i);

		sum += json_num(link, member, 0);
	}
	if (links)
		return sum;
	snprintf(path, sizeof(path), "network.%s", member);
	return json_num(stat, path, NAN);
}

/* The last sample, and the oldest one that is in the window before it. */
static bool find_window(const struct json *stats, double window_s, struct json **then, struct json **now)
{
	double at, end = NAN;

	for (size_t i = json_len(stats, NULL); i > 0; i--) {
		AUTO_JSON struct json *s = json_at(stats, i - 1);

		at = seconds(json_str(s, "timestamp"));
		if (isnan(at))
			continue;
		if (isnan(end)) {
			end = at;
			*now = TAKE_PTR(s);
		} else if (end - at <= window_s) {
			json_free(*then);
			*then = TAKE_PTR(s);
		}
	}
	return *now;
}

static void set_usage(struct json *rec, const struct json *then, const struct json *now, double cores)
{
	double s = seconds(json_str(now, "timestamp")) - seconds(then ? json_str(then, "timestamp") : NULL);
	double cpu = json_num(now, "cpu.usage.total", NAN) - json_num(then, "cpu.usage.total", NAN);
	double rx = network(now, "rx_bytes") - network(then, "rx_bytes"), tx = network(now, "tx_bytes") - network(then, "tx_bytes");

	json_set_num(rec, "usage.mem_bytes", json_num(now, "memory.working_set", NAN));
	if (!(s > 0))
		return;
	if (cpu >= 0 && cores > 0)
		json_set_num(rec, "usage.cpu", round(fmin(cpu / 1e9 / s / cores, 1) * 1e4) / 1e4);
	if (rx >= 0 && tx >= 0) {
		json_set_num(rec, "usage.net_bps", round((rx + tx) / s));
		json_set_num(rec, "usage.rx_bps", round(rx / s));
		json_set_num(rec, "usage.tx_bps", round(tx / s));
	}
	json_set_num(rec, "usage.window_s", round(s * 1e3) / 1e3);
}

static void set_profile(struct json *rec, const struct json *c)
{
	double quota = json_num(c, "spec.cpu.quota", 0), period = json_num(c, "spec.cpu.period", 0);
	double bytes = json_num(c, "spec.memory.limit", INFINITY);

	if (quota > 0 && period > 0)
		json_set_num(rec, "profile.cpu", quota / period);
	if (bytes > 0 && bytes < NO_LIMIT)
		json_set_num(rec, "profile.mem_bytes", bytes);
}

/* NULL for what is no container of an engine. */
static struct json *record(const struct exporter *x, const struct json *c, const char *node, double cores)
{
	AUTO_JSON struct json *aliases = json_get(c, "aliases"), *alias = aliases ? json_at(aliases, 0) : NULL;
	AUTO_JSON struct json *stats = json_get(c, "stats"), *then = NULL, *now = NULL;
	const char *engine = json_str(c, "namespace"), *id = json_str(c, "id"), *path = json_str(c, "name");
	const char *name = json_value(alias);
	struct json *rec;
	char own[17];

	if (!engine || !*engine || !path)
		return NULL;
	if (!id || !*id) { /* older ones: the end of "/docker/ID" or "/system.slice/docker-ID.scope" */
		id = strrchr(path, '/') ? strrchr(path, '/') + 1 : path;
		id = strrchr(id, '-') ? strrchr(id, '-') + 1 : id;
	}
	if (strspn(id, "0123456789abcdef") < 16)
		return NULL;
	snprintf(own, sizeof(own), "%.16s", id);
	rec = json_object();
	json_set_str(rec, "kind", "service");
	json_set_str(rec, "id", own);
	json_set_str(rec, "name", name && service_name_valid(name) ? name : own);
	json_set_str(rec, "node", node);
	json_set_str(rec, "engine", engine);
	char full[65];
	snprintf(full, sizeof(full), "%.*s", (int)strspn(id, "0123456789abcdef"), id);
	json_set_str(rec, "container", full);
	const char *image = json_str(c, "spec.image");
	json_set_str(rec, "image", image && *image ? image : NULL);
	set_profile(rec, c);
	if (stats && find_window(stats, x->window_s, &then, &now))
		set_usage(rec, then, now, cores);
	json_set_str(rec, "state", "running");
	return rec;
}

int exporter_cadvisor(const struct exporter *x, struct json *records, struct err *e)
{
	const struct http_peer peer = { .name = x->name };
	AUTO_JSON struct json *machine = NULL, *all = NULL;
	AUTO_HTTP struct http *h = NULL;
	char url[1100], node[256];

	snprintf(url, sizeof(url), "%s/api/v1.3/machine", x->url);
	if (http_open(&h, &peer, e) || http_json(h, url, NULL, ASK_MS, &machine, e))
		return -1;
	snprintf(url, sizeof(url), "%s/api/v1.3/subcontainers/", x->url);
	if (http_json(h, url, NULL, ASK_MS, &all, e))
		return -1;
	if (!json_is_object(machine) || (!json_len(all, NULL) && json_is_object(all)))
		return err_set(e, EX_DATAERR, "%s: does not answer as cAdvisor", x->name);
	snprintf(node, sizeof(node), "%s", x->host);
	for (size_t i = 0; i < json_len(records, NULL); i++) {
		AUTO_JSON struct json *rec = json_at(records, i);
		const char *addr = json_str(rec, "addr"), *name = json_str(rec, "name");

		if (name && addr && !strcmp(json_str(rec, "kind"), "node") && !strcmp(addr, x->host))
			snprintf(node, sizeof(node), "%s", name);
	}
	for (size_t i = 0; i < json_len(all, NULL); i++) {
		AUTO_JSON struct json *c = json_at(all, i);

		json_add(records, record(x, c, node, json_num(machine, "num_cores", 0)));
	}
	return 0;
}
