/* SPDX-License-Identifier: MIT */
#include <stdio.h>

#include "lib/engine/service.h"

static void add(struct json *args, const char *option, const char *value)
{
	if (!value || !*value)
		return;
	json_add(args, json_string(option));
	json_add(args, json_string(value));
}

struct json *service_definition(const struct service *s)
{
	static const char *const ours[] = { "mac", "moved", "pid", "start_time", "log_ino" }; /* nobody else's */
	AUTO_JSON struct json *rec = service_record(s, service_state(s));
	struct json *j = service_to_json(s);

	for (size_t i = 0; i < sizeof(ours) / sizeof(*ours); i++)
		json_remove(j, ours[i]);
	json_set(j, "node", json_get(rec, "node"));
	json_set(j, "state", json_get(rec, "state"));
	json_set(j, "log", json_get(rec, "log"));
	return j;
}

struct json *service_args(const struct service *s)
{
	struct json *args = json_array();
	char text[2 * PATH_MAX + 2];
	int n = 0;

	add(args, "--name", s->name);
	add(args, "--type", s->stateless ? "stateless" : "stateful");
	add(args, "--engine", s->engine);
	add(args, "--addr", s->addr);
	add(args, "--root", s->root);
	add(args, "--bundle", s->bundle);
	add(args, "--user", s->user);
	for (int i = 0; i < s->n_ports; i++) {
		snprintf(text, sizeof(text), "%d", s->ports[i]);
		add(args, "--port", text);
	}
	for (int i = 0; i < s->n_volumes; i++) {
		snprintf(text, sizeof(text), "%s:%s", s->volumes[i].host, s->volumes[i].path);
		add(args, "--volume", text);
	}
	text[0] = '\0';
	if (s->cpu > 0)
		n = snprintf(text, sizeof(text), "cpu=%.6g", s->cpu);
	if (s->mem_bytes)
		snprintf(text + n, sizeof(text) - (size_t)n, "%smem=%llu", n ? "," : "",
			 (unsigned long long)s->mem_bytes);
	add(args, "--profile", text);
	for (char **v = s->env; v && *v; v++)
		add(args, "--env", *v);
	if (!s->argv)
		return args;
	json_add(args, json_string("--"));
	for (char **a = s->argv; *a; a++)
		json_add(args, json_string(*a));
	return args;
}
