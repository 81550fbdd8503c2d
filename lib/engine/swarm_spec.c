/* SPDX-License-Identifier: MIT */
/* A service's definition in the words of Docker's API. */
#include <string.h>

#include "lib/engine/swarm.h"

#define LABEL "node.labels.edge=="
#define NS 1e9

static struct json *about(const struct service *s, const char *member)
{
	return s->about ? json_get(s->about, member) : NULL;
}

static void add_all(struct json *to, const struct json *list)
{
	for (size_t i = 0; list && i < json_len(list, NULL); i++)
		json_add(to, json_at(list, i));
}

static struct json *strings(char **list)
{
	struct json *all = json_array();

	for (char **p = list; p && *p; p++)
		json_add(all, json_string(*p));
	return all;
}

static void set_seconds(struct json *to, const char *member, const struct json *from, const char *path)
{
	double v = json_num(from, path, -1);

	if (v >= 0)
		json_set_num(to, member, (double)(int64_t)(v * NS));
}

static struct json *healthcheck(const struct service *s)
{
	AUTO_JSON struct json *own = about(s, "healthcheck"), *test = own ? json_get(own, "test") : NULL;
	bool off = own && json_bool(own, "disable", false);
	struct json *h, *words;

	if (!own || (!test && !off))
		return NULL;
	h = json_object();
	words = json_array();
	json_add(words, json_string(off ? "NONE" : "CMD"));
	if (!off)
		add_all(words, test);
	json_set(h, "Test", words);
	set_seconds(h, "Interval", own, "interval_s");
	set_seconds(h, "Timeout", own, "timeout_s");
	set_seconds(h, "StartPeriod", own, "start_s");
	if (json_has(own, "retries"))
		json_set(h, "Retries", json_get(own, "retries"));
	return h;
}

static struct json *mounts(const struct service *s)
{
	struct json *all = json_array();

	for (int i = 0; i < s->n_volumes; i++) {
		struct json *one = json_object();

		json_set_str(one, "Type", "bind");
		json_set_str(one, "Source", s->volumes[i].host);
		json_set_str(one, "Target", s->volumes[i].path);
		json_add(all, one);
	}
	return all;
}

/* "NAME=IP" -> "IP NAME" */
static struct json *hosts(const struct service *s)
{
	AUTO_JSON struct json *own = about(s, "hosts");
	struct json *all = json_array();

	for (size_t i = 0; own && i < json_len(own, NULL); i++) {
		AUTO_JSON struct json *item = json_at(own, i);
		const char *text = json_value(item), *eq = text ? strchr(text, '=') : NULL;
		char line[512];

		if (!eq)
			continue;
		snprintf(line, sizeof(line), "%s %.*s", eq + 1, (int)(eq - text), text);
		json_add(all, json_string(line));
	}
	return all;
}

static struct json *container(const struct service *s, const char *image)
{
	AUTO_JSON struct json *command = about(s, "command"), *own = strings(s->argv);
	struct json *c = json_object(), *args = json_array();

	json_set_str(c, "Image", image);
	json_set_str(c, "Hostname", s->name);
	json_set(c, "Command", about(s, "entrypoint"));
	add_all(args, command);
	add_all(args, own);
	json_set(c, "Args", args);
	json_set(c, "Env", strings(s->env));
	json_set_str(c, "Dir", s->dir[0] ? s->dir : NULL);
	json_set_str(c, "User", s->user[0] ? s->user : NULL);
	json_set(c, "Mounts", mounts(s));
	json_set(c, "Hosts", hosts(s));
	json_set(c, "Healthcheck", healthcheck(s));
	json_set_str(c, "Labels.edge-id", s->id); /* by which edge-probe knows it at other nodes */
	json_set_str(c, "Labels.edge-name", s->name);
	if (s->about)
		set_seconds(c, "StopGracePeriod", s->about, "stop_s");
	return c;
}

/* Without a word about it a task that ends is started again, as Docker does it. */
static struct json *restart(const struct service *s)
{
	const char *own = s->about ? json_str(s->about, "restart") : NULL;
	struct json *r = json_object();

	json_set_str(r, "Condition", !own ? "any" : !strcmp(own, "no") ? "none" : !strncmp(own, "on-failure", 10) ? "on-failure" : "any");
	json_set_num(r, "Delay", NS);
	if (own && !strncmp(own, "on-failure:", 11))
		json_set_num(r, "MaxAttempts", atoi(own + 11));
	return r;
}

/* Nobody balances between nodes: names lead to the task itself, and ports are those of its node. */
static struct json *endpoint(const struct service *s)
{
	struct json *e = json_object(), *ports = json_array();

	json_set_str(e, "Mode", "dnsrr");
	for (int i = 0; i < s->n_ports; i++) {
		struct json *p = json_object();

		json_set_str(p, "Protocol", "tcp");
		json_set_num(p, "TargetPort", s->ports[i]);
		json_set_num(p, "PublishedPort", s->ports[i]);
		json_set_str(p, "PublishMode", "host");
		json_add(ports, p);
	}
	json_set(e, "Ports", ports);
	return e;
}

void swarm_pin(struct json *spec, const char *node)
{
	AUTO_JSON struct json *old = json_get(spec, "TaskTemplate.Placement.Constraints");
	struct json *all = json_array();
	char text[128];

	for (size_t i = 0; old && i < json_len(old, NULL); i++) {
		struct json *one = json_at(old, i);

		if (json_value(one) && strncmp(json_value(one), LABEL, strlen(LABEL)))
			json_add(all, one);
		else
			json_free(one);
	}
	snprintf(text, sizeof(text), LABEL "%s", node);
	json_add(all, json_string(text));
	json_set(spec, "TaskTemplate.Placement.Constraints", all);
}

struct json *swarm_spec(const struct service *s, const char *image, const char *network)
{
	struct json *spec = json_object();

	json_set_str(spec, "Name", s->name);
	json_set_str(spec, "Labels.edge-id", s->id);
	json_set(spec, "TaskTemplate.ContainerSpec", container(s, image));
	json_set(spec, "TaskTemplate.RestartPolicy", restart(s));
	if (s->cpu > 0)
		json_set_num(spec, "TaskTemplate.Resources.Limits.NanoCPUs", (double)(int64_t)(s->cpu * NS));
	if (s->mem_bytes)
		json_set_num(spec, "TaskTemplate.Resources.Limits.MemoryBytes", (double)s->mem_bytes);
	swarm_pin(spec, s->at);
	if (network) {
		struct json *net = json_object(), *nets = json_array();

		json_set_str(net, "Target", network);
		json_set(net, "Aliases", about(s, "aliases"));
		json_add(nets, net);
		json_set(spec, "TaskTemplate.Networks", nets);
	}
	json_set_num(spec, "Mode.Replicated.Replicas", 1);
	json_set_num(spec, "UpdateConfig.Parallelism", 1);
	json_set_str(spec, "UpdateConfig.Order", "start-first");
	json_set_str(spec, "UpdateConfig.FailureAction", "pause");
	json_set(spec, "EndpointSpec", endpoint(s));
	return spec;
}
