/* SPDX-License-Identifier: MIT */
#include "lib/discover/node.h"

#include <string.h>
#include <unistd.h>

#include "lib/base/file.h"

/* Read once: it is asked for in the middle of moves. */
const struct json *node_settings(void)
{
	static _Thread_local struct json *read;
	static _Thread_local char from[PATH_MAX];
	const char *path = file_path("/etc/edge/node.json");

	if (strcmp(from, path)) {
		snprintf(from, sizeof(from), "%s", path);
		json_free(read);
		read = access(path, R_OK) ? NULL : json_read_file(path, NULL);
	}
	return read;
}

const char *node_setting(const char *member)
{
	const struct json *j = node_settings();

	return j ? json_str(j, member) : NULL;
}

const char *node_self(void)
{
	static _Thread_local char host[256];
	const char *name = node_setting("name");

	if (name)
		return name;
	if (!host[0] && gethostname(host, sizeof(host) - 1))
		return "localhost";
	return host;
}

const char *node_fleet(void)
{
	return node_setting("member") ? node_setting("member") : node_self();
}

int node_target(struct registry *r, const char *node, struct ssh_target *t, struct err *e)
{
	AUTO_JSON struct json *rec = NULL;
	char key[300];

	if (!strncmp(node, "ssh://", 6))
		return ssh_target_parse(t, node, e);
	if (strlen(node) > 250)
		return err_set(e, EX_UNAVAILABLE, "node %.40s...: not in the registry", node);
	snprintf(key, sizeof(key), "node/%s", node);
	if (registry_get(r, key, &rec, NULL, e))
		return err_wrap(e, "node %s", node);
	if (!rec)
		return err_set(e, EX_UNAVAILABLE, "node %s: not in the registry", node);
	const char *addr = json_str(rec, "addr"), *user = json_str(rec, "user");
	int64_t port = json_int(rec, "port", 22);
	memset(t, 0, sizeof(*t));
	if (!addr || strlen(addr) >= sizeof(t->host) || (user && strlen(user) >= sizeof(t->user)) || port < 1 || port > 65535)
		return err_set(e, EX_DATAERR, "node %s: its record in the registry has no usable address", node);
	snprintf(t->user, sizeof(t->user), "%s", user ? user : "root");
	snprintf(t->host, sizeof(t->host), "%s", addr);
	snprintf(t->name, sizeof(t->name), "%s", node);
	t->port = (int)port;
	return 0;
}
