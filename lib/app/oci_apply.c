/* SPDX-License-Identifier: MIT */
/* What an image says about running it, into a service's definition. */
#include <stdlib.h>
#include <string.h>

#include "lib/app/oci.h"
#include "lib/base/file.h"

static void add_all(struct json *to, const struct json *from, const char *path)
{
	AUTO_JSON struct json *list = from ? json_get(from, path) : NULL;

	for (size_t i = 0; list && i < json_len(list, NULL); i++)
		json_add(to, json_at(list, i));
}

static void replace(char ***to, const struct json *list)
{
	for (char **p = *to; p && *p; p++)
		free(*p);
	free(*to);
	*to = json_len(list, NULL) ? service_strings_of(list) : NULL;
}

/* The image's command is left out where the definition has an entrypoint of its own, as docker does. */
static int apply_command(const struct oci *o, struct service *s, struct err *e)
{
	AUTO_JSON struct json *argv = json_array();
	bool own = s->about && json_has(s->about, "entrypoint");

	if (s->argv) /* given by itself: that is the command, behind the image's entrypoint */
		service_about_set(s, "command", json_array());
	AUTO_JSON struct json *command = s->about ? json_get(s->about, "command") : NULL;
	for (char **a = s->argv; a && *a; a++)
		json_add(command, json_string(*a));
	add_all(argv, own ? s->about : o->config, own ? "entrypoint" : "Entrypoint");
	if (command)
		for (size_t i = 0; i < json_len(command, NULL); i++)
			json_add(argv, json_at(command, i));
	else if (!own)
		add_all(argv, o->config, "Cmd");
	if (!json_len(argv, NULL))
		return err_set(e, EX_USAGE, "service %s: image %s: names no command, and none is given", s->name, o->ref);
	replace(&s->argv, argv);
	return 0;
}

void oci_apply_nothing(struct service *s)
{
	AUTO_JSON struct json *argv = json_array();

	add_all(argv, s->about, "entrypoint");
	add_all(argv, s->about, "command");
	if (json_len(argv, NULL))
		replace(&s->argv, argv);
}

static void apply_env(const struct oci *o, struct service *s)
{
	AUTO_JSON struct json *env = json_array();

	add_all(env, o->config, "Env");
	for (char **v = s->env; v && *v; v++)
		json_add(env, json_string(*v));
	replace(&s->env, env);
}

/* {"6379/tcp": {}} */
static void apply_ports(const struct oci *o, struct service *s)
{
	AUTO_JSON struct json *ports = json_get(o->config, "ExposedPorts");
	AUTO_JSON struct json *names = ports && json_is_object(ports) ? json_keys(ports) : NULL;

	if (s->n_ports)
		return;
	for (size_t i = 0; names && i < json_len(names, NULL) && s->n_ports < SERVICE_PORTS_MAX; i++) {
		AUTO_JSON struct json *name = json_at(names, i);
		long port = strtol(json_value(name), NULL, 10);

		if (port > 0 && port < 65536)
			s->ports[s->n_ports++] = (int)port;
	}
}

/* The same, but with times in nanoseconds and how to run the test as its first word. */
static void apply_health(const struct oci *o, struct service *s)
{
	AUTO_JSON struct json *test = json_get(o->config, "Healthcheck.Test"), *h = json_object(), *words = json_array();
	AUTO_JSON struct json *first = test ? json_at(test, 0) : NULL;
	static const char *const names[][2] = { { "Healthcheck.Interval", "interval_s" }, { "Healthcheck.Timeout", "timeout_s" },
						{ "Healthcheck.StartPeriod", "start_s" } };

	if ((s->about && json_has(s->about, "healthcheck")) || !first || !json_value(first) || !strcmp(json_value(first), "NONE"))
		return;
	if (!strcmp(json_value(first), "CMD-SHELL")) {
		json_add(words, json_string("/bin/sh"));
		json_add(words, json_string("-c"));
	}
	for (size_t i = 1; i < json_len(test, NULL); i++)
		json_add(words, json_at(test, i));
	json_set(h, "test", TAKE_PTR(words));
	for (size_t i = 0; i < 3; i++)
		if (json_num(o->config, names[i][0], 0) > 0)
			json_set_num(h, names[i][1], json_num(o->config, names[i][0], 0) / 1e9);
	if (json_num(o->config, "Healthcheck.Retries", 0) > 0)
		json_set_num(h, "retries", json_num(o->config, "Healthcheck.Retries", 0));
	service_about_set(s, "healthcheck", TAKE_PTR(h));
}

int oci_apply(const struct oci *o, struct service *s, struct err *e)
{
	const char *user = json_str(o->config, "User"), *dir = json_str(o->config, "WorkingDir");

	if (apply_command(o, s, e))
		return -1;
	apply_env(o, s);
	apply_ports(o, s);
	apply_health(o, s);
	if (!s->user[0] && user && strlen(user) < sizeof(s->user))
		snprintf(s->user, sizeof(s->user), "%s", user);
	if (!s->dir[0] && dir && service_path_valid(dir) && strlen(dir) < sizeof(s->dir))
		snprintf(s->dir, sizeof(s->dir), "%s", dir);
	snprintf(s->root, sizeof(s->root), "%s", file_path("/var/lib/edge/store/layers/%s", o->layer));
	service_about_set(s, "image", json_string(o->ref));
	service_about_set(s, "layer", json_string(o->layer));
	return 0;
}
