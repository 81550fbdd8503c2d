/* SPDX-License-Identifier: MIT */
#include "lib/measure/exporter.h"

#include <string.h>

/* The host of "http://[user@]host[:port]/...", without brackets. */
static int host_of(const char *url, char *host, size_t size)
{
	const char *from = strstr(url, "://");
	size_t n;

	if (strncmp(url, "http://", 7) && strncmp(url, "https://", 8))
		return -1;
	from += 3;
	n = *from == '[' ? strcspn(++from, "]") : strcspn(from, ":/");
	snprintf(host, size, "%.*s", (int)n, from);
	return *host ? 0 : -1;
}

int exporter_read(const char *from, double window_s, struct json *records, struct err *e)
{
	static const struct {
		const char *kind;
		int (*read)(const struct exporter *x, struct json *records, struct err *e);
	} kinds[] = { { "node-exporter:", exporter_node }, { "cadvisor:", exporter_cadvisor } };
	char host[256], url[1024], name[1100];

	for (size_t i = 0; i < sizeof(kinds) / sizeof(*kinds); i++) {
		size_t n = strlen(kinds[i].kind);

		if (strncmp(from, kinds[i].kind, n) || host_of(from + n, host, sizeof(host)) || strlen(from) >= sizeof(url))
			continue;
		snprintf(url, sizeof(url), "%s", from + n);
		while (url[strlen(url) - 1] == '/')
			url[strlen(url) - 1] = '\0';
		snprintf(name, sizeof(name), "%.*s %s", (int)n - 1, from, url);
		const struct exporter x = { .name = name, .url = url, .host = host, .window_s = window_s };
		return kinds[i].read(&x, records, e);
	}
	return err_set(e, EX_USAGE, "%s: not of the form node-exporter:http://host:9100 or cadvisor:http://host:8080", from);
}
