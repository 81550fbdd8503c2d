/* SPDX-License-Identifier: MIT */
#include "lib/app/compose.h"

#include <ctype.h>
#include <errno.h>
#include <stdarg.h>
#include <stdlib.h>
#include <string.h>

#include "lib/app/compose_int.h"
#include "lib/app/env_file.h"
#include "lib/base/file.h"

void compose_free(struct compose *c)
{
	if (!c)
		return;
	for (size_t i = 0; i < c->n; i++) {
		json_free(c->services[i].spec);
		json_free(c->services[i].build);
		json_free(c->services[i].depends);
		json_free(c->services[i].aliases);
		json_free(c->services[i].named);
	}
	free(c->services);
	json_free(c->notes);
	free(c);
}

struct compose_service *compose_find(const struct compose *c, const char *key)
{
	for (size_t i = 0; i < c->n; i++)
		if (!strcmp(c->services[i].key, key))
			return &c->services[i];
	return NULL;
}

/* ---- what all readers use ---- */

int compose_fail(struct compose_reader *r, const struct ynode *n, const char *fmt, ...)
{
	char text[512];
	va_list ap;

	va_start(ap, fmt);
	vsnprintf(text, sizeof(text), fmt, ap);
	va_end(ap);
	return ytree_fail(r->tree, n, r->e, "%s%s%s", r->at, *r->at ? ": " : "", text);
}

void compose_note(struct compose_reader *r, const struct ynode *n, const char *fmt, ...)
{
	char text[1024], place[64];
	va_list ap;
	int at;

	/* What an anchor brings into several services stands in the file once. */
	snprintf(place, sizeof(place), "%u:%u: ", n->line, n->column);
	for (size_t i = 0; i < json_len(r->c->notes, NULL); i++) {
		AUTO_JSON struct json *had = json_at(r->c->notes, i);
		const char *file = json_value(had) + strlen(r->file) + 1;

		if (!strncmp(file, place, strlen(place)))
			return;
	}
	at = snprintf(text, sizeof(text), "%.255s:%s%s: ", r->file, place, r->at);
	va_start(ap, fmt);
	vsnprintf(text + at, sizeof(text) - (size_t)at, fmt, ap);
	va_end(ap);
	json_add(r->c->notes, json_string(text));
}

int take_nothing(struct compose_reader *r, const struct ynode *n)
{
	(void)r, (void)n;
	return 0;
}

int compose_keys(struct compose_reader *r, const struct ynode *map, const struct compose_key *keys)
{
	size_t had = strlen(r->at);

	if (map->kind != YTREE_MAP)
		return compose_fail(r, map, "not a map");
	for (size_t i = 0; i < map->n; i++) {
		const struct ynode *key = map->keys[i];
		const struct compose_key *k = keys;

		while (k->name && strcmp(k->name, key->text) != 0)
			k++;
		if (!k->name && !strncmp(key->text, "x-", 2))
			continue;
		if (!k->name)
			return compose_fail(r, key, "%.64s: no such key", key->text);
		snprintf(r->at + had, sizeof(r->at) - had, "%s%s", had ? "." : "", key->text);
		int rc = k->take ? k->take(r, map->items[i]) : 0;
		if (!k->take)
			compose_note(r, key, "is not used");
		if (rc)
			return -1;
		r->at[had] = '\0';
	}
	return 0;
}

/* ---- the top of the file ---- */

static int take_app_name(struct compose_reader *r, const struct ynode *n)
{
	const char *text = "";

	if (value_text(r, n, &text))
		return -1;
	if (!service_name_valid(text) || strlen(text) > 40)
		return compose_fail(r, n, "%s: not at most 40 letters, digits, '.', '_' or '-'", text);
	if (!*r->c->name)
		snprintf(r->c->name, sizeof(r->c->name), "%s", text);
	return 0;
}

static int take_include(struct compose_reader *r, const struct ynode *n)
{
	return compose_fail(r, n, "not supported: without it the application would be another one");
}

static int take_pool(struct compose_reader *r, const struct ynode *n)
{
	const char *text = "";

	if (value_text(r, n, &text))
		return -1;
	if (!strchr(text, '/') || strlen(text) >= sizeof(r->c->addresses))
		return compose_fail(r, n, "%s: not of the form IP/LEN", text);
	snprintf(r->c->addresses, sizeof(r->c->addresses), "%s", text);
	return 0;
}

static int take_ipam(struct compose_reader *r, const struct ynode *n)
{
	static const struct compose_key keys[] = { { "driver", take_nothing }, { "config", take_nothing }, { "options", NULL },
						   { 0 } };
	static const struct compose_key pool[] = { { "subnet", NULL }, { "ip_range", take_pool }, { "gateway", NULL },
						   { "aux_addresses", NULL }, { 0 } };
	const struct ynode *config = ynode_get(n, "config");

	if (compose_keys(r, n, keys))
		return -1;
	for (size_t i = 0; config && config->kind == YTREE_LIST && i < config->n; i++)
		if (compose_keys(r, config->items[i], pool))
			return -1;
	return 0;
}

static int each(struct compose_reader *r, const struct ynode *map, const struct compose_key *keys)
{
	size_t had = strlen(r->at);

	if (map->kind != YTREE_MAP)
		return compose_fail(r, map, "not a map");
	for (size_t i = 0; i < map->n; i++) {
		snprintf(r->at + had, sizeof(r->at) - had, ".%s", map->keys[i]->text);
		if (!ynode_null(map->items[i]) && compose_keys(r, map->items[i], keys))
			return -1;
		r->at[had] = '\0';
	}
	return 0;
}

static int take_networks_all(struct compose_reader *r, const struct ynode *n)
{
	static const struct compose_key keys[] = { { "ipam", take_ipam }, { "driver", take_nothing }, { "name", take_nothing },
						   { "driver_opts", NULL }, { "attachable", take_nothing }, { "internal", NULL },
						   { "enable_ipv4", NULL }, { "enable_ipv6", NULL }, { "external", NULL },
						   { "labels", take_nothing }, { 0 } };

	return ynode_null(n) ? 0 : each(r, n, keys);
}

static int take_volumes_all(struct compose_reader *r, const struct ynode *n)
{
	static const struct compose_key keys[] = { { "driver", NULL }, { "driver_opts", NULL }, { "external", take_nothing },
						   { "labels", take_nothing }, { "name", take_nothing }, { 0 } };

	return ynode_null(n) ? 0 : each(r, n, keys);
}

static int take_files_all(struct compose_reader *r, const struct ynode *n)
{
	static const struct compose_key keys[] = { { "file", take_nothing }, { "environment", NULL }, { "content", NULL },
						   { "external", NULL }, { "name", take_nothing }, { "driver", NULL },
						   { "labels", take_nothing }, { "template_driver", NULL }, { 0 } };

	return ynode_null(n) ? 0 : each(r, n, keys);
}

/* ---- services ---- */

/* One that belongs to profiles is only wanted when COMPOSE_PROFILES names one of them. */
static int is_wanted(struct compose_reader *r, const struct ynode *n, bool *wanted)
{
	const struct ynode *profiles = ynode_get(n, "profiles");
	const char *chosen = getenv("COMPOSE_PROFILES");

	*wanted = true;
	if (!profiles)
		return 0;
	AUTO_JSON struct json *list = value_strings(r, profiles);
	if (!list)
		return -1;
	*wanted = !json_len(list, NULL);
	for (size_t i = 0; i < json_len(list, NULL); i++) {
		AUTO_JSON struct json *item = json_at(list, i);
		size_t len = strlen(json_value(item));

		for (const char *p = chosen; p && *p; p += strcspn(p, ","), p += *p == ',')
			*wanted |= strcspn(p, ",") == len && !strncmp(p, json_value(item), len);
	}
	if (!*wanted)
		compose_note(r, profiles, "the service is left out (COMPOSE_PROFILES chooses profiles)");
	return 0;
}

static int service_add(struct compose_reader *r, const struct ynode *key, const struct ynode *n)
{
	struct compose_service *s = &r->c->services[r->c->n];
	char name[2 * SERVICE_NAME_MAX + 2];
	bool wanted;

	if (!service_name_valid(key->text))
		return compose_fail(r, key, "%.80s: not letters, digits, '.', '_' or '-'", key->text);
	snprintf(r->at, sizeof(r->at), "services.%s", key->text);
	if (n->kind != YTREE_MAP)
		return compose_fail(r, n, "not a map");
	if (is_wanted(r, n, &wanted))
		return -1;
	if (!wanted)
		return 0;
	*s = (struct compose_service){ .line = key->line, .column = key->column, .spec = json_object(), .depends = json_array(),
				       .aliases = json_array(), .named = json_array() };
	snprintf(s->key, sizeof(s->key), "%s", key->text);
	r->c->n++;
	r->s = s;
	snprintf(name, sizeof(name), "%s-%s", r->c->name, key->text);
	json_set_str(s->spec, "name", name);
	json_set_str(s->spec, "app", r->c->name);
	if (compose_service_read(r, n))
		return -1;
	if (!service_name_valid(json_str(s->spec, "name")))
		return compose_fail(r, key, "%s: the name is longer than %d letters", json_str(s->spec, "name"), SERVICE_NAME_MAX);
	return 0;
}

static int take_services(struct compose_reader *r, const struct ynode *n)
{
	if (n->kind != YTREE_MAP || !n->n)
		return compose_fail(r, n, "not a map with services");
	if (n->n > COMPOSE_SERVICES_MAX)
		return compose_fail(r, n, "more than %d", COMPOSE_SERVICES_MAX);
	if (!(r->c->services = calloc(n->n, sizeof(*r->c->services))))
		return err_set(r->e, EX_OSERR, "out of memory");
	for (size_t i = 0; i < n->n; i++)
		if (service_add(r, n->keys[i], n->items[i]))
			return -1;
	snprintf(r->at, sizeof(r->at), "services");
	return 0;
}

/* ---- order ---- */

static int fail_service(struct compose_reader *r, const struct compose_service *s, const char *what, const char *other)
{
	return err_set(r->e, EX_DATAERR, "%s:%u:%u: services.%s.depends_on: %s: %s", r->file, s->line, s->column, s->key, other,
		       what);
}

/* Are all that it depends on among the first n? -1: one is nowhere. */
static int is_ready(struct compose_reader *r, const struct compose_service *s, size_t n)
{
	for (size_t i = 0; i < json_len(s->depends, NULL); i++) {
		AUTO_JSON struct json *d = json_at(s->depends, i);
		const struct compose_service *other = compose_find(r->c, json_str(d, "service"));

		if (!other)
			return fail_service(r, s, "no such service", json_str(d, "service"));
		if (other >= r->c->services + n)
			return 0;
	}
	return 1;
}

/* Names are used once; and each goes behind what it depends on, else as they stand in the file. */
static int put_in_order(struct compose_reader *r)
{
	struct compose *c = r->c;

	for (size_t done = 0; done < c->n; done++) {
		size_t i = done;
		int rc = 0;

		for (; i < c->n && !(rc = is_ready(r, &c->services[i], done)); i++)
			;
		if (rc < 0)
			return -1;
		if (i == c->n)
			return fail_service(r, &c->services[done], "they wait for each other", c->services[done].key);
		struct compose_service found = c->services[i];
		memmove(&c->services[done + 1], &c->services[done], (i - done) * sizeof(found));
		c->services[done] = found;
		for (size_t k = 0; k < done; k++)
			if (!strcmp(json_str(c->services[k].spec, "name"), json_str(found.spec, "name")))
				return err_set(r->e, EX_DATAERR, "%s:%u:%u: services.%s: %s: a second one of that name", r->file,
					       found.line, found.column, found.key, json_str(found.spec, "name"));
	}
	return 0;
}

/* ---- the whole ---- */

/* As docker compose does: the folder's name, in small letters, of what is allowed there. */
static void name_of_dir(struct compose *c)
{
	const char *base = strrchr(c->dir, '/');
	size_t n = 0;

	if (*c->name)
		return;
	for (const char *p = base ? base + 1 : c->dir; *p && n < 40; p++)
		if (isalnum((unsigned char)*p) || (n && strchr("_-", *p)))
			c->name[n++] = (char)tolower((unsigned char)*p);
	c->name[n] = '\0';
	if (!n)
		snprintf(c->name, sizeof(c->name), "app");
}

struct filling {
	struct compose_reader *r;
	struct env_lookup look;
};

static char *fill(void *ctx, const char *text, struct err *e)
{
	struct filling *f = ctx;

	return env_fill(&f->look, text, e);
}

static void note_unset(void *ctx, const char *name)
{
	struct filling *f = ctx;
	AUTO_FREE char *text = NULL;

	if (asprintf(&text, "%.255s: variable %s: is not set, and so it is empty", f->r->file, name) < 0)
		return;
	for (size_t i = 0; i < json_len(f->r->c->notes, NULL); i++) {
		AUTO_JSON struct json *had = json_at(f->r->c->notes, i);

		if (!strcmp(json_value(had), text))
			return;
	}
	json_add(f->r->c->notes, json_string(text));
}

static int fill_variables(struct compose_reader *r, struct ytree *t)
{
	AUTO_JSON struct json *env = json_array();
	struct filling f = { .r = r, .look = { .env = env, .unset = note_unset, .ctx = &f } };
	char path[PATH_MAX + 8];

	snprintf(path, sizeof(path), "%s/.env", r->c->dir);
	if (r->files && !access(path, F_OK) && env_file_read(path, env, r->e))
		return -1;
	int rc = ytree_replace(t, fill, &f, r->e);
	env_lookup_clear(&f.look);
	return rc;
}

int compose_parse(struct compose **out, const char *text, size_t len, const char *file, const char *name, bool files,
		  struct err *e)
{
	static const struct compose_key keys[] = { { "name", take_nothing }, { "version", NULL }, { "include", take_include },
						   { "services", take_services }, { "networks", take_networks_all },
						   { "volumes", take_volumes_all }, { "secrets", take_files_all },
						   { "configs", take_files_all }, { "models", NULL }, { "x-edge", take_x_edge_all },
						   { 0 } };
	AUTO_COMPOSE struct compose *c = calloc(1, sizeof(*c));
	struct compose_reader r = { .c = c, .file = file, .files = files, .e = e };
	AUTO_YTREE struct ytree *t = NULL;
	char at[PATH_MAX], *slash;

	if (!c)
		return err_set(e, EX_OSERR, "out of memory");
	c->notes = json_array();
	if (!realpath(file, at))
		snprintf(at, sizeof(at), "%s%s", *file == '/' ? "" : "/", file);
	slash = strrchr(at, '/');
	snprintf(c->dir, sizeof(c->dir), "%.*s", slash == at ? 1 : (int)(slash - at), at);
	snprintf(c->name, sizeof(c->name), "%s", name ? name : "");
	if (ytree_parse(&t, text, len, file, e))
		return -1;
	r.tree = t;
	if (!(r.top = ytree_root(t)))
		return err_set(e, EX_DATAERR, "%s:1:1: empty", file);
	if (r.top->kind != YTREE_MAP || !ynode_get(r.top, "services"))
		return compose_fail(&r, r.top, r.top->kind == YTREE_MAP ? "no services" : "not a map");
	if (fill_variables(&r, t))
		return -1;
	const struct ynode *own = ynode_get(r.top, "name");
	if (own && !*c->name && take_app_name(&r, own))
		return -1;
	name_of_dir(c);
	if (compose_keys(&r, r.top, keys) || put_in_order(&r))
		return -1;
	*out = TAKE_PTR(c);
	return 0;
}

int compose_read(struct compose **c, const char *file, const char *name, struct err *e)
{
	AUTO_FREE char *text = NULL;
	size_t len;

	if (access(file, R_OK))
		return err_set(e, EX_UNAVAILABLE, "%s: %s", file, strerror(errno));
	if (!(text = file_slurp(file, &len, e)))
		return -1;
	return compose_parse(c, text, len, file, name, true, e);
}
