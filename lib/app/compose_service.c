/* SPDX-License-Identifier: MIT */
/* What stands below a service's name. */
#include <arpa/inet.h>
#include <stdlib.h>
#include <string.h>

#include "lib/app/compose_int.h"
#include "lib/app/env_file.h"

static int refuse(struct compose_reader *r, const struct ynode *n)
{
	return compose_fail(r, n, "not supported: without it the service would be another one");
}

static int take_image(struct compose_reader *r, const struct ynode *n)
{
	char path[PATH_MAX + 256];

	if (value_member(r, n, "image", 255))
		return -1;
	snprintf(path, sizeof(path), "%s/%s", r->c->dir, n->text + (n->text[0] == '.' && n->text[1] == '/' ? 2 : 0));
	if (*n->text == '.')
		json_set_str(r->s->spec, "image", path);
	return 0;
}

static int take_name(struct compose_reader *r, const struct ynode *n)
{
	const char *text = "";

	if (value_text(r, n, &text))
		return -1;
	if (!service_name_valid(text))
		return compose_fail(r, n, "%s: not letters, digits, '.', '_' or '-'", text);
	json_set_str(r->s->spec, "name", text);
	return 0;
}

static int take_user(struct compose_reader *r, const struct ynode *n)
{
	return value_member(r, n, "user", 63);
}

static int take_working_dir(struct compose_reader *r, const struct ynode *n)
{
	if (value_member(r, n, "dir", PATH_MAX - 1))
		return -1;
	return service_path_valid(n->text) ? 0 : compose_fail(r, n, "%s: not a plain absolute path", n->text);
}

/* An empty one takes away what the image says: no member, and then null. */
static int take_list(struct compose_reader *r, const struct ynode *n, const char *member,
		     struct json *(*value)(struct compose_reader *, const struct ynode *))
{
	struct json *list = value(r, n);

	if (!list)
		return -1;
	json_set(r->s->spec, member, list);
	return 0;
}

static int take_command(struct compose_reader *r, const struct ynode *n)
{
	return ynode_null(n) ? 0 : take_list(r, n, "command", value_words);
}

static int take_entrypoint(struct compose_reader *r, const struct ynode *n)
{
	return ynode_null(n) ? 0 : take_list(r, n, "entrypoint", value_words);
}

static struct json *labels(struct compose_reader *r, const struct ynode *n)
{
	return value_pairs(r, n, false);
}

static int take_labels(struct compose_reader *r, const struct ynode *n)
{
	return take_list(r, n, "labels", labels);
}

static int take_restart(struct compose_reader *r, const struct ynode *n)
{
	static const char *const words[] = { "no", "always", "unless-stopped", "on-failure" };
	const char *text = "";

	if (value_text(r, n, &text))
		return -1;
	for (size_t i = 0; i < 4; i++)
		if (!strcmp(text, words[i]))
			return value_member(r, n, "restart", 15);
	if (!strncmp(text, "on-failure:", 11) && strspn(text + 11, "0123456789") == strlen(text + 11) && strlen(text) < 16 &&
	    text[11])
		return value_member(r, n, "restart", 15);
	return compose_fail(r, n, "%s: not no, always, unless-stopped or on-failure[:N]", text);
}

static int take_stop_grace(struct compose_reader *r, const struct ynode *n)
{
	double v;

	if (value_seconds(r, n, &v))
		return -1;
	json_set_num(r->s->spec, "stop_s", v);
	return 0;
}

static int take_cpus(struct compose_reader *r, const struct ynode *n)
{
	double v;

	if (value_number(r, n, 0.01, 1e6, &v))
		return -1;
	json_set_num(r->s->spec, "profile.cpu", v);
	return 0;
}

static int take_mem_limit(struct compose_reader *r, const struct ynode *n)
{
	double v;

	if (value_bytes(r, n, &v))
		return -1;
	json_set_num(r->s->spec, "profile.mem_bytes", v);
	return 0;
}

static int take_mem_reservation(struct compose_reader *r, const struct ynode *n)
{
	double v;

	if (value_bytes(r, n, &v))
		return -1;
	json_set_num(r->s->spec, "needs.mem_bytes", v);
	return 0;
}

/* ---- ports ---- */

static int port_add(struct compose_reader *r, const struct ynode *n, long port)
{
	AUTO_JSON struct json *ports = json_get(r->s->spec, "ports"), *value = json_number((double)port);
	size_t count = ports ? json_len(ports, NULL) : 0;

	if (!ports)
		ports = json_array();
	for (size_t i = 0; i < count; i++) {
		AUTO_JSON struct json *wrap = json_object();

		json_set(wrap, "port", json_at(ports, i));
		if (json_int(wrap, "port", 0) == port)
			return 0;
	}
	if (count == SERVICE_PORTS_MAX)
		return compose_fail(r, n, "more than %d ports", SERVICE_PORTS_MAX);
	json_add(ports, TAKE_PTR(value));
	json_set(r->s->spec, "ports", TAKE_PTR(ports));
	return 0;
}

/* "80", "80-83": the first and the last. */
static int port_range(const char *text, size_t len, long *first, long *last)
{
	char buf[16], *end;

	if (!len || len >= sizeof(buf) || strspn(text, "0123456789-") < len)
		return -1;
	snprintf(buf, sizeof(buf), "%.*s", (int)len, text);
	*first = *last = strtol(buf, &end, 10);
	if (*end == '-' && end[1])
		*last = strtol(end + 1, &end, 10);
	return *end || *first < 1 || *last < *first || *last > 65535 ? -1 : 0;
}

/* "[[IP:]PUBLISHED:]PORT[/PROTOCOL]" */
static int port_short(struct compose_reader *r, const struct ynode *n)
{
	size_t len = strcspn(n->text, "/");
	const char *colon = memrchr(n->text, ':', len), *target = colon ? colon + 1 : n->text;
	const char *published = colon ? memrchr(n->text, ':', (size_t)(colon - n->text)) : NULL;
	long first, last;

	published = published ? published + 1 : n->text;
	if (port_range(target, len - (size_t)(target - n->text), &first, &last))
		return compose_fail(r, n, "%s: not a port", n->text);
	for (long p = first; p <= last; p++)
		if (port_add(r, n, p))
			return -1;
	if (colon && colon != published &&
	    ((size_t)(colon - published) != len - (size_t)(target - n->text) ||
	     strncmp(published, target, (size_t)(colon - published)) != 0))
		compose_note(r, n, "%s: not forwarded: clients reach port %.*s at the service's own address", n->text,
			     (int)(len - (size_t)(target - n->text)), target);
	return 0;
}

static int take_target(struct compose_reader *r, const struct ynode *n)
{
	double v;

	return value_number(r, n, 1, 65535, &v) || port_add(r, n, (long)v) ? -1 : 0;
}

static int port_long(struct compose_reader *r, const struct ynode *n)
{
	static const struct compose_key keys[] = { { "target", take_target },  { "published", NULL },  { "host_ip", NULL },
						   { "protocol", take_nothing }, { "mode", take_nothing },
						   { "name", take_nothing },   { "app_protocol", take_nothing }, { 0 } };

	if (!ynode_get(n, "target"))
		return compose_fail(r, n, "no target");
	return compose_keys(r, n, keys);
}

static int take_ports(struct compose_reader *r, const struct ynode *n)
{
	if (n->kind != YTREE_LIST)
		return compose_fail(r, n, "not a list");
	for (size_t i = 0; i < n->n; i++) {
		const struct ynode *item = n->items[i];
		int rc = item->kind == YTREE_TEXT ? port_short(r, item) :
			 item->kind == YTREE_MAP  ? port_long(r, item) :
						    compose_fail(r, item, "not a port");

		if (rc)
			return -1;
	}
	return 0;
}

/* ---- other services, names and addresses ---- */

static int depend(struct compose_reader *r, const struct ynode *n, const char *key, const char *condition)
{
	struct json *d = json_object();

	(void)n;
	json_set_str(d, "service", key);
	json_set_str(d, "condition", condition);
	json_add(r->s->depends, d);
	return 0;
}

static int depend_map(struct compose_reader *r, const char *key, const struct ynode *n)
{
	static const char *const words[] = { "service_started", "service_healthy", "service_completed_successfully" };
	static const struct compose_key keys[] = { { "condition", take_nothing }, { "required", take_nothing },
						   { "restart", NULL }, { 0 } };
	const struct ynode *condition = ynode_get(n, "condition"), *required = ynode_get(n, "required");
	const char *text = words[0];
	bool must = true;

	if (n->kind != YTREE_MAP)
		return compose_fail(r, n, "%.64s: not a map", key);
	if (compose_keys(r, n, keys) || (condition && value_text(r, condition, &text)) ||
	    (required && value_bool(r, required, &must)))
		return -1;
	if (!must && !ynode_get(ynode_get(r->top, "services"), key))
		return 0;
	for (size_t i = 0; i < 3; i++)
		if (!strcmp(text, words[i]))
			return depend(r, n, key, text);
	return compose_fail(r, condition ? condition : n, "%s: not service_started, service_healthy or "
			    "service_completed_successfully", text);
}

static int take_depends_on(struct compose_reader *r, const struct ynode *n)
{
	if (n->kind == YTREE_TEXT)
		return compose_fail(r, n, "not a list or a map");
	for (size_t i = 0; i < n->n; i++) {
		const char *key = n->kind == YTREE_MAP ? n->keys[i]->text : NULL;

		if (key ? depend_map(r, key, n->items[i]) :
			  value_text(r, n->items[i], &key) || depend(r, n->items[i], key, "service_started"))
			return -1;
	}
	return 0;
}

static int take_aliases(struct compose_reader *r, const struct ynode *n)
{
	AUTO_JSON struct json *all = value_strings(r, n);

	for (size_t i = 0; all && i < json_len(all, NULL); i++) {
		AUTO_JSON struct json *name = json_at(all, i);

		if (!service_name_valid(json_value(name)))
			return compose_fail(r, n, "%s: not a name", json_value(name));
		json_add(r->s->aliases, TAKE_PTR(name));
	}
	return all ? 0 : -1;
}

int take_address(struct compose_reader *r, const struct ynode *n)
{
	unsigned char ip[16];

	if (value_member(r, n, "addr", 45))
		return -1;
	return inet_pton(AF_INET, n->text, ip) == 1 || inet_pton(AF_INET6, n->text, ip) == 1 ?
		       0 : compose_fail(r, n, "%s: not an IP address", n->text);
}

/* All services of a node are in one network; of several, only names and addresses count. */
static int take_networks(struct compose_reader *r, const struct ynode *n)
{
	static const struct compose_key keys[] = { { "aliases", take_aliases }, { "ipv4_address", take_address },
						   { "ipv6_address", NULL }, { "link_local_ips", NULL }, { "mac_address", NULL },
						   { "driver_opts", NULL }, { "gw_priority", NULL }, { "interface_name", NULL },
						   { "priority", take_nothing }, { 0 } };
	const char *text = "";

	if (n->kind == YTREE_TEXT)
		return compose_fail(r, n, "not a list or a map");
	for (size_t i = 0; i < n->n; i++) {
		if (n->kind == YTREE_LIST ? value_text(r, n->items[i], &text) :
					    !ynode_null(n->items[i]) && compose_keys(r, n->items[i], keys))
			return -1;
		text = n->kind == YTREE_LIST ? text : n->keys[i]->text;
		if (strcmp(text, "default") && !ynode_get(ynode_get(r->top, "networks"), text))
			return compose_fail(r, n->items[i], "%s: no such network at the top of the file", text);
	}
	return 0;
}

static int take_network_mode(struct compose_reader *r, const struct ynode *n)
{
	const char *text = "";

	if (value_text(r, n, &text))
		return -1;
	r->s->lone = !strcmp(text, "none");
	if (!r->s->lone)
		compose_note(r, n, "%s: is not used: it has an address of its own", text);
	return 0;
}

/* "NAME:IP" or "NAME=IP" in a list, or a map */
static int take_extra_hosts(struct compose_reader *r, const struct ynode *n)
{
	struct json *hosts = json_array();
	unsigned char ip[16];
	char text[512];
	int rc = 0;

	for (size_t i = 0; !rc && n->kind != YTREE_TEXT && i < n->n; i++) {
		const struct ynode *item = n->items[i];
		const char *both = item->text, *cut = both ? strpbrk(both, "=:") : NULL;

		if (n->kind == YTREE_MAP && both)
			snprintf(text, sizeof(text), "%s=%s", n->keys[i]->text, both);
		else
			snprintf(text, sizeof(text), "%.*s=%s", cut ? (int)(cut - both) : 0, cut ? both : "", cut ? cut + 1 : "");
		cut = strchr(text, '=');
		if (cut == text || (inet_pton(AF_INET, cut + 1, ip) != 1 && inet_pton(AF_INET6, cut + 1, ip) != 1))
			rc = compose_fail(r, item, "not of the form NAME=IP");
		else
			json_add(hosts, json_string(text));
	}
	json_set(r->s->spec, "hosts", hosts);
	return rc || n->kind != YTREE_TEXT ? rc : compose_fail(r, n, "not a list or a map");
}

static int take_platform(struct compose_reader *r, const struct ynode *n)
{
	struct json *list = json_array();
	const char *text = "", *slash;

	if (value_text(r, n, &text))
		return json_free(list), -1;
	slash = strchr(text, '/');
	json_add(list, json_string(arch_of(slash ? slash + 1 : text)));
	json_set(r->s->spec, "needs.arch", list);
	return 0;
}

/* ---- build and environment ---- */

static int take_build(struct compose_reader *r, const struct ynode *n)
{
	static const struct compose_key keys[] = {
		{ "context", take_nothing }, { "dockerfile", take_nothing }, { "target", take_nothing }, { "args", take_nothing },
		{ "dockerfile_inline", refuse }, { "additional_contexts", refuse }, { "cache_from", NULL }, { "cache_to", NULL },
		{ "entitlements", NULL }, { "extra_hosts", NULL }, { "isolation", NULL }, { "labels", NULL },
		{ "network", NULL }, { "no_cache", NULL }, { "platforms", NULL }, { "privileged", NULL }, { "provenance", NULL },
		{ "pull", NULL }, { "sbom", NULL }, { "secrets", NULL }, { "shm_size", NULL }, { "ssh", NULL },
		{ "tags", NULL }, { "ulimits", NULL }, { 0 } };
	static const char *const words[] = { "context", "dockerfile", "target" };
	const struct ynode *args = ynode_get(n, "args");
	const char *text = n->text;

	json_free(r->s->build);
	r->s->build = json_object();
	if (n->kind == YTREE_TEXT)
		return value_text(r, n, &text) ? -1 : (json_set_str(r->s->build, "context", text), 0);
	if (n->kind != YTREE_MAP)
		return compose_fail(r, n, "not a text or a map");
	if (compose_keys(r, n, keys))
		return -1;
	for (size_t i = 0; i < 3; i++) {
		const struct ynode *v = ynode_get(n, words[i]);

		if (v && value_text(r, v, &text))
			return -1;
		json_set_str(r->s->build, words[i], v ? text : i ? NULL : ".");
	}
	if (!args)
		return 0;
	struct json *pairs = value_pairs(r, args, true);
	json_set(r->s->build, "args", pairs);
	return pairs ? 0 : -1;
}

static int env_file_one(struct compose_reader *r, const struct ynode *n, struct json *env)
{
	const struct ynode *path = n->kind == YTREE_MAP ? ynode_get(n, "path") : n, *required = ynode_get(n, "required");
	bool must = true;
	char at[2 * PATH_MAX];
	const char *text = "";
	struct err e;

	if (!path)
		return compose_fail(r, n, "no path");
	if (value_text(r, path, &text) || (required && value_bool(r, required, &must)))
		return -1;
	snprintf(at, sizeof(at), "%s%s%s", text[0] == '/' ? "" : r->c->dir, text[0] == '/' ? "" : "/", text);
	if (!r->files || (!must && access(at, F_OK)))
		return 0;
	return env_file_read(at, env, &e) ? compose_fail(r, path, "%s", e.text) : 0;
}

/* What stands in the file itself goes before the files that it names. */
static int read_environment(struct compose_reader *r, const struct ynode *n)
{
	const struct ynode *file = ynode_get(n, "env_file"), *own = ynode_get(n, "environment");
	AUTO_JSON struct json *env = json_array(), *pairs = NULL;
	size_t had = strlen(r->at);

	snprintf(r->at + had, sizeof(r->at) - had, ".env_file");
	if (file && file->kind != YTREE_LIST && env_file_one(r, file, env))
		return -1;
	for (size_t i = 0; file && file->kind == YTREE_LIST && i < file->n; i++)
		if (env_file_one(r, file->items[i], env))
			return -1;
	snprintf(r->at + had, sizeof(r->at) - had, ".environment");
	if (own && !ynode_null(own) && !(pairs = value_pairs(r, own, true)))
		return -1;
	for (size_t i = 0; pairs && i < json_len(pairs, NULL); i++)
		json_add(env, json_at(pairs, i));
	r->at[had] = '\0';
	if (json_len(env, NULL))
		json_set(r->s->spec, "env", TAKE_PTR(env));
	return 0;
}

/* In the order of the specification's own list. */
static const struct compose_key keys[] = {
	{ "annotations", NULL }, { "attach", take_nothing }, { "blkio_config", NULL }, { "build", take_build },
	{ "cap_add", NULL }, { "cap_drop", NULL }, { "cgroup", NULL }, { "cgroup_parent", NULL },
	{ "command", take_command }, { "configs", take_configs }, { "container_name", take_name }, { "cpu_count", NULL },
	{ "cpu_percent", NULL }, { "cpu_period", NULL }, { "cpu_quota", NULL }, { "cpu_rt_period", NULL },
	{ "cpu_rt_runtime", NULL }, { "cpu_shares", NULL }, { "cpus", take_cpus }, { "cpuset", NULL },
	{ "credential_spec", NULL }, { "depends_on", take_depends_on }, { "deploy", take_deploy }, { "develop", take_nothing },
	{ "device_cgroup_rules", NULL }, { "devices", NULL }, { "dns", NULL }, { "dns_opt", NULL }, { "dns_search", NULL },
	{ "domainname", NULL }, { "driver_opts", NULL }, { "entrypoint", take_entrypoint }, { "env_file", take_nothing },
	{ "environment", take_nothing }, { "expose", take_ports }, { "extends", refuse }, { "external_links", NULL },
	{ "extra_hosts", take_extra_hosts }, { "gpus", NULL }, { "group_add", NULL }, { "healthcheck", take_healthcheck },
	{ "hostname", NULL }, { "image", take_image }, { "init", NULL }, { "ipc", NULL }, { "isolation", NULL },
	{ "label_file", NULL }, { "labels", take_labels }, { "links", take_depends_on }, { "logging", NULL },
	{ "mac_address", NULL }, { "mem_limit", take_mem_limit }, { "mem_reservation", take_mem_reservation },
	{ "mem_swappiness", NULL }, { "memswap_limit", NULL }, { "models", NULL }, { "network_mode", take_network_mode },
	{ "networks", take_networks }, { "oom_kill_disable", NULL }, { "oom_score_adj", NULL }, { "pid", NULL },
	{ "pids_limit", NULL }, { "platform", take_platform }, { "ports", take_ports }, { "post_start", NULL },
	{ "pre_stop", NULL }, { "privileged", NULL }, { "profiles", take_nothing }, { "provider", refuse },
	{ "pull_policy", NULL }, { "read_only", NULL }, { "restart", take_restart }, { "runtime", NULL },
	{ "scale", take_replicas }, { "secrets", take_secrets }, { "security_opt", NULL }, { "shm_size", NULL },
	{ "stdin_open", NULL }, { "stop_grace_period", take_stop_grace }, { "stop_signal", NULL }, { "storage_opt", NULL },
	{ "sysctls", NULL }, { "tmpfs", take_tmpfs }, { "tty", NULL }, { "ulimits", NULL }, { "use_api_socket", NULL },
	{ "user", take_user }, { "userns_mode", NULL }, { "uts", NULL }, { "volumes", take_volumes },
	{ "volumes_from", refuse }, { "working_dir", take_working_dir }, { "x-edge", take_x_edge }, { 0 },
};

int compose_service_read(struct compose_reader *r, const struct ynode *n)
{
	if (n->kind != YTREE_MAP)
		return compose_fail(r, n, "not a map");
	if (compose_keys(r, n, keys) || read_environment(r, n))
		return -1;
	if (json_has(r->s->spec, "image") || r->s->build || json_has(r->s->spec, "root") || json_has(r->s->spec, "images"))
		return 0;
	return compose_fail(r, n, "neither image nor build, nor a root in x-edge");
}
