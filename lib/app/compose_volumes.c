/* SPDX-License-Identifier: MIT */
/* What a service sees of the node's files. */
#include <stdlib.h>
#include <string.h>

#include "lib/app/compose_int.h"
#include "lib/base/file.h"

static int volume_add(struct compose_reader *r, const struct ynode *n, const char *host, const char *path)
{
	AUTO_JSON struct json *all = json_get(r->s->spec, "volumes");
	struct json *v;

	if (!all)
		all = json_array();
	if (json_len(all, NULL) == SERVICE_VOLUMES_MAX)
		return compose_fail(r, n, "more than %d volumes", SERVICE_VOLUMES_MAX);
	if (strlen(host) >= PATH_MAX || strlen(path) >= PATH_MAX || !service_path_valid(host) || !service_path_valid(path))
		return compose_fail(r, n, "%s:%s: not plain absolute paths", host, path);
	v = json_object();
	json_set_str(v, "host", host);
	json_set_str(v, "path", path);
	json_add(all, v);
	json_set(r->s->spec, "volumes", TAKE_PTR(all));
	return 0;
}

/* The node's folder for a named volume of the application. */
static int volume_named(struct compose_reader *r, const struct ynode *n, const char *name, const char *path)
{
	const struct ynode *top = ynode_get(ynode_get(r->top, "volumes"), name);
	const struct ynode *own = top ? ynode_get(top, "name") : NULL;
	const char *host;

	if (!ynode_get(r->top, "volumes") || !ynode_get(ynode_get(r->top, "volumes"), name))
		return compose_fail(r, n, "%s: no such volume at the top of the file", name);
	if (!service_name_valid(name) || (own && (own->kind != YTREE_TEXT || !service_name_valid(own->text))))
		return compose_fail(r, n, "%s: not letters, digits, '.', '_' or '-'", name);
	host = own ? file_path("/var/lib/edge/volumes/%s", own->text) :
		     file_path("/var/lib/edge/volumes/%s_%s", r->c->name, name);
	json_add(r->s->named, json_string(host));
	return volume_add(r, n, host, path);
}

/* "./data", "~/data", "/data": where a bind begins that stands relative to the file. */
static int bind_add(struct compose_reader *r, const struct ynode *n, const char *source, const char *path)
{
	const char *home = getenv("HOME"), *base = source[0] == '/' ? "" : source[0] == '~' && home ? home : r->c->dir;
	char text[2 * PATH_MAX], *at;

	snprintf(text, sizeof(text), "%s%s%s", base, source[0] == '/' ? "" : "/", source + (source[0] == '~'));
	while ((at = strstr(text, "/./")))
		memmove(at, at + 2, strlen(at + 2) + 1);
	while ((at = strstr(text, "//")))
		memmove(at, at + 1, strlen(at + 1) + 1);
	while ((at = strstr(text, "/../"))) { /* as the shell's cd does */
		char *before = at > text ? memrchr(text, '/', (size_t)(at - text)) : text;

		memmove(before ? before : text, at + 3, strlen(at + 3) + 1);
	}
	for (size_t len = strlen(text); len > 1 && (text[len - 1] == '/' || !strcmp(text + len - 2, "/."));)
		text[len -= text[len - 1] == '/' ? 1 : 2] = '\0';
	return volume_add(r, n, *text ? text : "/", path);
}

static int source_add(struct compose_reader *r, const struct ynode *n, const char *source, const char *path)
{
	return strchr("./~", source[0]) ? bind_add(r, n, source, path) : volume_named(r, n, source, path);
}

/* "SOURCE:PATH[:MODE]", or "PATH" for one without a name: that is in the service's own files anyway. */
static int volume_short(struct compose_reader *r, const struct ynode *n)
{
	const char *colon = strchr(n->text, ':'), *mode = colon ? strchr(colon + 1, ':') : NULL;
	AUTO_FREE char *source = colon ? strndup(n->text, (size_t)(colon - n->text)) : NULL;
	AUTO_FREE char *path = colon ? strndup(colon + 1, mode ? (size_t)(mode - colon - 1) : strlen(colon + 1)) : NULL;

	if (!colon)
		return service_path_valid(n->text) ? 0 : compose_fail(r, n, "%s: not an absolute path", n->text);
	if (!source || !*source || !path || *path != '/')
		return compose_fail(r, n, "%s: not of the form SOURCE:/PATH", n->text);
	if (mode && (strstr(mode, "ro")))
		compose_note(r, n, "%s: is not kept from writing there", mode + 1);
	return source_add(r, n, source, path);
}

static int read_only_note(struct compose_reader *r, const struct ynode *n)
{
	bool v;

	if (value_bool(r, n, &v))
		return -1;
	if (v)
		compose_note(r, n, "is not kept from writing there");
	return 0;
}

static int volume_long(struct compose_reader *r, const struct ynode *n)
{
	static const struct compose_key keys[] = { { "type", take_nothing }, { "source", take_nothing }, { "target", take_nothing },
						   { "read_only", read_only_note }, { "bind", take_nothing }, { "volume", take_nothing },
						   { "tmpfs", take_nothing }, { "image", take_nothing }, { "consistency", take_nothing }, { 0 } };
	const struct ynode *type = ynode_get(n, "type"), *source = ynode_get(n, "source"), *target = ynode_get(n, "target");
	const char *kind = "volume", *from = NULL, *to = "";

	if (compose_keys(r, n, keys))
		return -1;
	if (!target)
		return compose_fail(r, n, "no target");
	if ((type && value_text(r, type, &kind)) || (source && value_text(r, source, &from)) || value_text(r, target, &to))
		return -1;
	if (!strcmp(kind, "tmpfs") || (!from && !strcmp(kind, "volume")))
		return 0;
	if (!strcmp(kind, "bind") && from)
		return bind_add(r, n, from, to);
	if (!strcmp(kind, "volume"))
		return volume_named(r, n, from, to);
	return compose_fail(r, type ? type : n, "%s: not a bind with its source, a volume or a tmpfs", kind);
}

int take_volumes(struct compose_reader *r, const struct ynode *n)
{
	if (n->kind != YTREE_LIST)
		return compose_fail(r, n, "not a list");
	for (size_t i = 0; i < n->n; i++) {
		const struct ynode *item = n->items[i];

		if (item->kind == YTREE_LIST)
			return compose_fail(r, item, "not a volume");
		if (item->kind == YTREE_TEXT ? volume_short(r, item) : volume_long(r, item))
			return -1;
	}
	return 0;
}

int take_tmpfs(struct compose_reader *r, const struct ynode *n)
{
	AUTO_JSON struct json *paths = value_strings(r, n);

	if (paths)
		compose_note(r, n, "is in the service's own files, not in memory");
	return paths ? 0 : -1;
}

/* A file of the top of the compose file, shown in the service: secrets and configs. */
static int file_add(struct compose_reader *r, const struct ynode *n, const char *kind, const char *folder)
{
	static const struct compose_key keys[] = { { "source", take_nothing }, { "target", take_nothing }, { "uid", NULL }, { "gid", NULL },
						   { "mode", NULL }, { 0 } };
	const struct ynode *source = n->kind == YTREE_MAP ? ynode_get(n, "source") : n;
	const struct ynode *target = n->kind == YTREE_MAP ? ynode_get(n, "target") : NULL;
	const char *name = "", *file = "", *to = "";
	char path[PATH_MAX];

	if (!source || (n->kind == YTREE_MAP && compose_keys(r, n, keys)))
		return source ? -1 : compose_fail(r, n, "no source");
	if (value_text(r, source, &name) || (to = name, target && value_text(r, target, &to)))
		return -1;
	const struct ynode *top = ynode_get(ynode_get(r->top, kind), name), *at = top ? ynode_get(top, "file") : NULL;
	if (!at)
		return compose_fail(r, source, "%s: has no file at the top of the file", name);
	if (value_text(r, at, &file))
		return -1;
	snprintf(path, sizeof(path), "%s%s", *to == '/' ? "" : folder, to);
	if (*file == '/' || *file == '~' || *file == '.')
		return bind_add(r, n, file, path);
	char here[PATH_MAX];
	snprintf(here, sizeof(here), "./%s", file);
	return bind_add(r, n, here, path);
}

static int files_add(struct compose_reader *r, const struct ynode *n, const char *kind, const char *folder)
{
	if (n->kind != YTREE_LIST)
		return compose_fail(r, n, "not a list");
	for (size_t i = 0; i < n->n; i++)
		if (file_add(r, n->items[i], kind, folder))
			return -1;
	return 0;
}

int take_secrets(struct compose_reader *r, const struct ynode *n)
{
	return files_add(r, n, "secrets", "/run/secrets/");
}

int take_configs(struct compose_reader *r, const struct ynode *n)
{
	return files_add(r, n, "configs", "/");
}
