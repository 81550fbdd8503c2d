/* SPDX-License-Identifier: MIT */
#include <arpa/inet.h>
#include <string.h>

#include "lib/base/file.h"
#include "lib/discover/discover.h"

static int take(const char *path, int n, struct json *rec, struct json *nodes, struct err *e)
{
	const char *kind = json_is_object(rec) ? json_str(rec, "kind") : NULL;

	if (kind && strcmp(kind, "node")) { /* another record */
		json_free(rec);
		return 0;
	}
	if (!json_is_object(rec) || !json_str(rec, "name")) {
		json_free(rec);
		return err_set(e, EX_DATAERR, "%s: %s %d: not a node with a name", path, n > 0 ? "line" : "element", n > 0 ? n : -n);
	}
	json_set_str(rec, "kind", "node");
	json_add(nodes, rec);
	return 0;
}

/* One array of all. */
static int take_array(const char *path, const char *text, struct json *nodes, struct err *e)
{
	AUTO_JSON struct json *all = json_parse(text, strlen(text), e);

	if (!all)
		return err_wrap(e, "%s", path);
	for (size_t i = 0; i < json_len(all, NULL); i++)
		if (take(path, -(int)i - 1, json_at(all, i), nodes, e))
			return -1;
	return 0;
}

static int take_lines(const char *path, struct json *nodes, struct err *e)
{
	AUTO_FILE FILE *f = fopen(path, "re");
	AUTO_RECORDS struct records *in = f ? records_open(f, path) : NULL;
	struct json *rec;
	int n = 0, rc;

	if (!in)
		return err_sys(e, "%s", path);
	while ((rc = records_next(in, &rec, e)) > 0)
		if (take(path, ++n, rec, nodes, e))
			return -1;
	return rc;
}

/* "10.0.0.1 edge1 alias # comment" */
static int take_host(const char *path, int n, char *line, struct json *nodes, struct err *e)
{
	char room[sizeof(struct in6_addr)], *save = NULL, *addr, *name;

	line[strcspn(line, "#")] = '\0';
	addr = strtok_r(line, " \t\r", &save);
	name = addr ? strtok_r(NULL, " \t\r", &save) : NULL;
	if (!addr)
		return 0;
	if (!name || (inet_pton(AF_INET, addr, room) != 1 && inet_pton(AF_INET6, addr, room) != 1))
		return err_set(e, EX_DATAERR, "%s: line %d: not an address and a name", path, n);
	struct json *rec = json_object();
	json_set_str(rec, "kind", "node");
	json_set_str(rec, "name", name);
	json_set_str(rec, "addr", addr);
	json_add(nodes, rec);
	return 0;
}

int discover_file(const char *path, struct json *nodes, struct err *e)
{
	AUTO_FREE char *text = file_slurp(path, NULL, e);
	char *line = text, *save = NULL;

	if (!text)
		return -1;
	line += strspn(line, " \t\r\n");
	if (*line == '[')
		return take_array(path, line, nodes, e);
	if (*line == '{')
		return take_lines(path, nodes, e);
	line = text;
	for (int n = 1; (save = line); n++) {
		char *end = strchr(line, '\n');

		line = end ? end + 1 : NULL;
		if (end)
			*end = '\0';
		if (take_host(path, n, save, nodes, e))
			return -1;
	}
	return 0;
}
