/* SPDX-License-Identifier: MIT */
/* Prometheus' node exporter: its text format, "NAME{LABEL="VALUE",...} NUMBER" a line. */
#include <math.h>
#include <string.h>
#include <unistd.h>

#include "lib/base/clock.h"
#include "lib/base/http.h"
#include "lib/measure/exporter.h"
#include "lib/measure/samples.h"

#define ASK_MS 10000
#define FIRST_US 1000000

struct metric {
	char name[128];
	const char *labels; /* behind the brace, or "" */
	double value;
};

/* The value of a label, without its escapes; "" when there is none. */
static void label(const struct metric *m, const char *key, char *out, size_t size)
{
	size_t n = strlen(key), k = 0;

	for (const char *p = m->labels; *p && *p != '}';) {
		bool wanted = !strncmp(p, key, n) && p[n] == '=';

		p += strcspn(p, "\"");
		p += *p == '"';
		for (; *p && *p != '"'; p++) {
			p += *p == '\\' && p[1];
			if (wanted && k + 1 < size)
				out[k++] = *p;
		}
		p += *p == '"';
		p += *p == ',';
		if (wanted)
			break;
	}
	out[k] = '\0';
}

/* 1: a metric; 0: a comment or an empty line; -1: neither. */
static int parse(const char *line, struct metric *m)
{
	size_t n = strcspn(line, "{ \t");
	const char *at = line + n;
	char *end;

	if (!*line || *line == '#')
		return 0;
	if (!n || n >= sizeof(m->name))
		return -1;
	snprintf(m->name, sizeof(m->name), "%.*s", (int)n, line);
	m->labels = "";
	if (*at == '{') {
		bool quoted = false;

		m->labels = ++at;
		for (; *at && (quoted || *at != '}'); at++) {
			if (*at == '\\' && at[1])
				at++;
			else if (*at == '"')
				quoted = !quoted;
		}
		if (*at++ != '}')
			return -1;
	}
	m->value = strtod(at, &end);
	return end == at ? -1 : 1;
}

static bool is(const struct metric *m, const char *name)
{
	return !strcmp(m->name, name);
}

static void add(struct json *sample, const char *member, double v)
{
	json_set_num(sample, member, json_num(sample, member, 0) + v);
}

/* What counts, for use between two samples. */
static void take_counter(const struct metric *m, struct json *node, struct json *sample)
{
	char mode[32];

	if (is(m, "node_cpu_seconds_total")) {
		label(m, "mode", mode, sizeof(mode));
		if (!strcmp(mode, "idle"))
			json_set_num(node, "cpu.cores", json_num(node, "cpu.cores", 0) + 1);
		add(sample, "ticks", m->value);
		if (strcmp(mode, "idle") && strcmp(mode, "iowait") && strcmp(mode, "steal"))
			add(sample, "busy", m->value);
	} else if (is(m, "node_rapl_package_joules_total")) {
		add(sample, "joules", m->value);
	} else if (is(m, "node_pressure_cpu_waiting_seconds_total")) {
		json_set_num(sample, "waiting.cpu", m->value);
	} else if (is(m, "node_pressure_memory_waiting_seconds_total")) {
		json_set_num(sample, "waiting.memory", m->value);
	} else if (is(m, "node_pressure_io_waiting_seconds_total")) {
		json_set_num(sample, "waiting.io", m->value);
	}
}

/* Of the filesystems the one that /var/lib/edge is on: the longest mount point of its path. */
static void take_filesystem(const struct metric *m, struct json *node, size_t *size_at, size_t *avail_at)
{
	static const char home[] = "/var/lib/edge/";
	bool size = is(m, "node_filesystem_size_bytes");
	size_t *best = size ? size_at : avail_at, n;
	char mount[256];

	if (!size && !is(m, "node_filesystem_avail_bytes"))
		return;
	label(m, "mountpoint", mount, sizeof(mount));
	n = strlen(mount);
	if (!n || strncmp(home, mount, n) || (n > 1 && home[n] != '/') || n < *best)
		return;
	*best = n;
	json_set_num(node, size ? "disk.total_bytes" : "disk.free_bytes", m->value);
}

static void take_word(const struct metric *m, struct json *node)
{
	static const struct {
		const char *metric, *label, *member;
	} words[] = {
		{ "node_uname_info", "nodename", "name" },
		{ "node_uname_info", "machine", "arch" },
		{ "node_uname_info", "release", "kernel" },
		{ "node_cpu_info", "model_name", "cpu.model" },
	};
	static const struct {
		const char *metric, *member;
	} numbers[] = {
		{ "node_memory_MemTotal_bytes", "mem.total_bytes" },
		{ "node_memory_MemAvailable_bytes", "mem.available_bytes" },
	};
	char word[256];

	for (size_t i = 0; i < sizeof(words) / sizeof(*words); i++)
		if (is(m, words[i].metric)) {
			label(m, words[i].label, word, sizeof(word));
			json_set_str(node, words[i].member, *word ? word : NULL);
		}
	for (size_t i = 0; i < sizeof(numbers) / sizeof(*numbers); i++)
		if (is(m, numbers[i].metric))
			json_set_num(node, numbers[i].member, m->value);
}

/* Reads it once. */
static int scrape(const struct exporter *x, struct http *h, struct json **node, struct json **sample, struct err *e)
{
	AUTO_JSON struct json *j = json_object(), *s = json_object();
	AUTO_FREE char *text = NULL;
	size_t size_at = 0, avail_at = 0;
	char url[1100], seen[32], *save = NULL;
	long status = 0;

	snprintf(url, sizeof(url), strrchr(x->url, '/') > x->url + 8 ? "%s" : "%s/metrics", x->url);
	if (http_do(h, url, NULL, ASK_MS, &text, &status, e))
		return -1;
	if (status >= 400)
		return err_set(e, EX_UNAVAILABLE, "%s: answers %ld", x->name, status);
	json_set_str(j, "kind", "node");
	json_set_num(s, "at", samples_clock());
	int n = 1;
	for (char *line = strtok_r(text, "\n", &save); line; line = strtok_r(NULL, "\n", &save), n++) {
		struct metric m;
		int rc = parse(line, &m);

		if (rc < 0)
			return err_set(e, EX_DATAERR, "%s: no metric: %.60s", x->name, line);
		if (!rc)
			continue;
		take_word(&m, j);
		take_filesystem(&m, j, &size_at, &avail_at);
		take_counter(&m, j, s);
	}
	if (!json_str(j, "name"))
		return err_set(e, EX_DATAERR, "%s: does not tell the node's name (node_uname_info)", x->name);
	json_set_str(j, "addr", x->host);
	json_set_str(j, "seen", clock_rfc3339(seen));
	*node = TAKE_PTR(j);
	*sample = TAKE_PTR(s);
	return 0;
}

static void set_use(struct json *node, const struct json *then, const struct json *now)
{
	static const char *const waiting[] = { "cpu", "memory", "io" };
	double s = json_num(now, "at", 0) - json_num(then, "at", 0);
	double ticks = json_num(now, "ticks", NAN) - json_num(then, "ticks", NAN);
	double busy = json_num(now, "busy", NAN) - json_num(then, "busy", NAN);
	double joules = json_num(now, "joules", NAN) - json_num(then, "joules", NAN);
	char from[64], to[64];

	if (!(s > 0))
		return;
	json_set_num(node, "window_s", round(s * 1e3) / 1e3);
	if (ticks > 0 && busy >= 0)
		json_set_num(node, "cpu.use", round(fmin(busy / ticks, 1) * 1e4) / 1e4);
	if (joules >= 0)
		json_set_num(node, "energy.watts", round(joules / s * 1e3) / 1e3);
	for (size_t i = 0; i < sizeof(waiting) / sizeof(*waiting); i++) {
		snprintf(from, sizeof(from), "waiting.%s", waiting[i]);
		snprintf(to, sizeof(to), "pressure.%s", waiting[i]);
		double w = json_num(now, from, NAN) - json_num(then, from, NAN);
		if (w >= 0)
			json_set_num(node, to, round(fmin(w / s, 1) * 1e4) / 1e4);
	}
}

int exporter_node(const struct exporter *x, struct json *records, struct err *e)
{
	const struct http_peer peer = { .name = x->name };
	AUTO_JSON struct json *node = NULL, *now = NULL;
	AUTO_HTTP struct http *h = NULL;
	char kept[300], *p = kept;

	if (http_open(&h, &peer, e) || scrape(x, h, &node, &now, e))
		return -1;
	snprintf(kept, sizeof(kept), "from-%.250s", x->url);
	while ((p = strpbrk(p, "/:[]@")))
		*p = '_';
	AUTO_JSON struct json *then = samples_since(kept, now, x->window_s);
	if (!then) {
		samples_keep(kept, now, x->window_s, NULL);
		then = TAKE_PTR(now);
		json_free(TAKE_PTR(node));
		usleep(FIRST_US);
		if (scrape(x, h, &node, &now, e))
			return -1;
	}
	samples_keep(kept, now, x->window_s, NULL);
	set_use(node, then, now);
	json_add(records, TAKE_PTR(node));
	return 0;
}
