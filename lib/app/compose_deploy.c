/* SPDX-License-Identifier: MIT */
/* Where a service may run, what it gets there, how its health is told; and x-edge. */
#include <string.h>

#include "lib/app/compose_int.h"

const char *arch_of(const char *word)
{
	static const char *const names[][2] = { { "amd64", "x86_64" }, { "arm64", "aarch64" }, { "arm64/v8", "aarch64" },
						{ "386", "i686" },     { "arm", "armv7l" },    { "arm/v7", "armv7l" } };

	for (size_t i = 0; i < sizeof(names) / sizeof(*names); i++)
		if (!strcmp(word, names[i][0]))
			return names[i][1];
	return word;
}

static int member_bytes(struct compose_reader *r, const struct ynode *n, const char *member)
{
	double v;

	if (value_bytes(r, n, &v))
		return -1;
	json_set_num(r->s->spec, member, v);
	return 0;
}

static int member_number(struct compose_reader *r, const struct ynode *n, const char *member, double least, double most)
{
	double v;

	if (value_number(r, n, least, most, &v))
		return -1;
	json_set_num(r->s->spec, member, v);
	return 0;
}

static int member_words(struct compose_reader *r, const struct ynode *n, const char *member)
{
	AUTO_JSON struct json *list = value_strings(r, n);
	struct json *words = json_array();

	for (size_t i = 0; list && i < json_len(list, NULL); i++) {
		AUTO_JSON struct json *item = json_at(list, i);

		json_add(words, json_string(strcmp(member, "needs.arch") ? json_value(item) : arch_of(json_value(item))));
	}
	json_set(r->s->spec, member, words);
	return list ? 0 : -1;
}

/* ---- deploy ---- */

static int limit_cpus(struct compose_reader *r, const struct ynode *n)
{
	return member_number(r, n, "profile.cpu", 0.01, 1e6);
}

static int limit_memory(struct compose_reader *r, const struct ynode *n)
{
	return member_bytes(r, n, "profile.mem_bytes");
}

static int needs_cpus(struct compose_reader *r, const struct ynode *n)
{
	return member_number(r, n, "needs.cpu", 0, 1e6);
}

static int needs_memory(struct compose_reader *r, const struct ynode *n)
{
	return member_bytes(r, n, "needs.mem_bytes");
}

static int needs_devices(struct compose_reader *r, const struct ynode *n)
{
	if (n->kind != YTREE_LIST)
		return compose_fail(r, n, "not a list");
	for (size_t i = 0; i < n->n; i++) {
		const struct ynode *what = ynode_get(n->items[i], "capabilities"), *count = ynode_get(n->items[i], "count");
		bool gpu = false;

		for (size_t k = 0; what && what->kind == YTREE_LIST && k < what->n; k++)
			gpu |= what->items[k]->kind == YTREE_TEXT && !strcmp(what->items[k]->text, "gpu");
		if (!gpu)
			compose_note(r, n->items[i], "is not used: not a graphics processor");
		else if (!count || !strcmp(count->kind == YTREE_TEXT ? count->text : "", "all"))
			json_set_num(r->s->spec, "needs.gpu", 1);
		else if (member_number(r, count, "needs.gpu", 1, 1000))
			return -1;
	}
	return 0;
}

static int take_limits(struct compose_reader *r, const struct ynode *n)
{
	static const struct compose_key keys[] = { { "cpus", limit_cpus }, { "memory", limit_memory }, { "pids", NULL }, { 0 } };

	return compose_keys(r, n, keys);
}

static int take_reservations(struct compose_reader *r, const struct ynode *n)
{
	static const struct compose_key keys[] = { { "cpus", needs_cpus }, { "memory", needs_memory },
						   { "devices", needs_devices }, { "generic_resources", NULL }, { 0 } };

	return compose_keys(r, n, keys);
}

static int take_resources(struct compose_reader *r, const struct ynode *n)
{
	static const struct compose_key keys[] = { { "limits", take_limits }, { "reservations", take_reservations }, { 0 } };

	return compose_keys(r, n, keys);
}

/* "node.hostname == edge2": as needs of edge-records(5), where there is one for it. */
static int constraint(struct compose_reader *r, const struct ynode *n)
{
	static const char *const names[][2] = { { "node.hostname", "node" }, { "node.platform.arch", "arch" },
						{ "node.labels.role", "role" }, { "node.labels.network", "network" },
						{ "node.labels.country", "country" } };
	char left[64], right[64], member[64];
	const char *text = "";

	if (value_text(r, n, &text))
		return -1;
	if (sscanf(text, " %63[^ =!] == %63s", left, right) != 2 && sscanf(text, " %63[^ =!] != %63s", left, right) != 2)
		return compose_fail(r, n, "%s: not of the form NAME == VALUE", text);
	for (size_t i = 0; i < sizeof(names) / sizeof(*names) && strstr(text, "=="); i++) {
		if (strcmp(left, names[i][0]))
			continue;
		struct json *list = json_array();

		snprintf(member, sizeof(member), "needs.%s", names[i][1]);
		json_add(list, json_string(i == 1 ? arch_of(right) : right));
		json_set(r->s->spec, member, i ? list : json_string(right));
		if (!i)
			json_free(list);
		return 0;
	}
	compose_note(r, n, "%s: is not used", text);
	return 0;
}

static int take_constraints(struct compose_reader *r, const struct ynode *n)
{
	if (n->kind != YTREE_LIST)
		return compose_fail(r, n, "not a list");
	for (size_t i = 0; i < n->n; i++)
		if (constraint(r, n->items[i]))
			return -1;
	return 0;
}

static int take_placement(struct compose_reader *r, const struct ynode *n)
{
	static const struct compose_key keys[] = { { "constraints", take_constraints }, { "preferences", NULL },
						   { "max_replicas_per_node", take_nothing }, { 0 } };

	return compose_keys(r, n, keys);
}

int take_replicas(struct compose_reader *r, const struct ynode *n)
{
	double v;

	if (value_number(r, n, 0, 1e6, &v))
		return -1;
	if (v > 1)
		compose_note(r, n, "%g: one instance is started", v);
	return 0;
}

int take_deploy(struct compose_reader *r, const struct ynode *n)
{
	static const struct compose_key keys[] = { { "resources", take_resources }, { "placement", take_placement },
						   { "replicas", take_replicas }, { "mode", NULL }, { "endpoint_mode", NULL },
						   { "labels", NULL }, { "restart_policy", NULL }, { "rollback_config", NULL },
						   { "update_config", NULL }, { 0 } };

	return compose_keys(r, n, keys);
}

/* ---- healthcheck ---- */

static int seconds(struct compose_reader *r, const struct ynode *n, const char *member)
{
	double v;

	if (value_seconds(r, n, &v))
		return -1;
	json_set_num(r->s->spec, member, v);
	return 0;
}

static int health_interval(struct compose_reader *r, const struct ynode *n)
{
	return seconds(r, n, "healthcheck.interval_s");
}

static int health_timeout(struct compose_reader *r, const struct ynode *n)
{
	return seconds(r, n, "healthcheck.timeout_s");
}

static int health_start(struct compose_reader *r, const struct ynode *n)
{
	return seconds(r, n, "healthcheck.start_s");
}

static int health_retries(struct compose_reader *r, const struct ynode *n)
{
	return member_number(r, n, "healthcheck.retries", 1, 1000);
}

/* ["CMD", PROGRAM, ARG...], ["CMD-SHELL", LINE], ["NONE"], or a line for the shell. */
static int health_test(struct compose_reader *r, const struct ynode *n)
{
	AUTO_JSON struct json *list = value_strings(r, n), *first = list ? json_at(list, 0) : NULL;
	struct json *test = json_array();
	const char *word = first ? json_value(first) : "";
	bool shell = n->kind == YTREE_TEXT || !strcmp(word, "CMD-SHELL");
	size_t count = list ? json_len(list, NULL) : 0, from = n->kind == YTREE_TEXT ? 0 : 1;

	if (shell) {
		json_add(test, json_string("/bin/sh"));
		json_add(test, json_string("-c"));
	}
	for (size_t i = from; i < count; i++)
		json_add(test, json_at(list, i));
	json_set(r->s->spec, "healthcheck.test", test);
	if (list && n->kind == YTREE_LIST && !strcmp(word, "NONE"))
		json_set_bool(r->s->spec, "healthcheck.disable", true);
	else if (list && (count <= from || (!shell && strcmp(word, "CMD") != 0) || (shell && count > from + 1)))
		return compose_fail(r, n, "not [CMD, PROGRAM, ...], [CMD-SHELL, LINE], [NONE] or a line");
	return list ? 0 : -1;
}

static int health_disable(struct compose_reader *r, const struct ynode *n)
{
	bool v;

	if (value_bool(r, n, &v))
		return -1;
	json_set_bool(r->s->spec, "healthcheck.disable", v);
	return 0;
}

int take_healthcheck(struct compose_reader *r, const struct ynode *n)
{
	static const struct compose_key keys[] = { { "test", health_test }, { "interval", health_interval },
						   { "timeout", health_timeout }, { "retries", health_retries },
						   { "start_period", health_start }, { "start_interval", NULL },
						   { "disable", health_disable }, { 0 } };

	return compose_keys(r, n, keys);
}

/* ---- x-edge ---- */

static int edge_type(struct compose_reader *r, const struct ynode *n)
{
	const char *text = "";

	if (value_text(r, n, &text))
		return -1;
	if (strcmp(text, "stateful") && strcmp(text, "stateless"))
		return compose_fail(r, n, "%s: not stateful or stateless", text);
	return value_member(r, n, "type", 15);
}

static int edge_profile(struct compose_reader *r, const struct ynode *n)
{
	struct service s = { .cpu = 0 };
	const char *text = "";
	struct err e;

	if (value_text(r, n, &text))
		return -1;
	if (service_profile(&s, text, &e))
		return compose_fail(r, n, "%s", e.text);
	if (s.cpu > 0)
		json_set_num(r->s->spec, "profile.cpu", s.cpu);
	if (s.mem_bytes)
		json_set_num(r->s->spec, "profile.mem_bytes", (double)s.mem_bytes);
	return 0;
}

/* "20ms", or a number of milliseconds */
static int edge_latency(struct compose_reader *r, const struct ynode *n)
{
	double v;

	if (n->kind == YTREE_TEXT && strspn(n->text, "0123456789.") == strlen(n->text))
		return member_number(r, n, "needs.rtt_ms", 0, 1e6);
	if (value_seconds(r, n, &v))
		return -1;
	json_set_num(r->s->spec, "needs.rtt_ms", v * 1000);
	return 0;
}

static int edge_alive(struct compose_reader *r, const struct ynode *n)
{
	return seconds(r, n, "alive_s");
}

static int edge_engine(struct compose_reader *r, const struct ynode *n)
{
	return value_member(r, n, "engine", 15);
}

static int edge_root(struct compose_reader *r, const struct ynode *n)
{
	if (value_member(r, n, "root", PATH_MAX - 1))
		return -1;
	return service_path_valid(n->text) ? 0 : compose_fail(r, n, "%s: not a plain absolute path", n->text);
}

static int edge_images(struct compose_reader *r, const struct ynode *n)
{
	struct json *all = json_array();
	const char *text = "";

	json_set(r->s->spec, "images", all);
	if (n->kind != YTREE_MAP)
		return compose_fail(r, n, "not a map");
	for (size_t i = 0; i < n->n; i++) {
		AUTO_JSON struct json *list = json_get(r->s->spec, "images"), *one = json_object();

		if (value_text(r, n->items[i], &text))
			return -1;
		json_set_str(one, "arch", arch_of(n->keys[i]->text));
		json_set_str(one, "image", text);
		json_add(list, TAKE_PTR(one));
		json_set(r->s->spec, "images", TAKE_PTR(list));
	}
	return 0;
}

/* needs of edge-records(5), with mem, disk and gpu_mem as sizes. */
static const struct need {
	const char *key, *member;
	enum { NEED_NUMBER, NEED_BYTES, NEED_WORDS, NEED_WORD } kind;
} needs[] = {
	{ "arch", "needs.arch", NEED_WORDS },           { "role", "needs.role", NEED_WORDS },
	{ "network", "needs.network", NEED_WORDS },     { "country", "needs.country", NEED_WORDS },
	{ "cpu_flags", "needs.cpu_flags", NEED_WORDS }, { "tolerates", "needs.tolerates", NEED_WORDS },
	{ "member", "needs.member", NEED_WORDS },       { "node", "needs.node", NEED_WORD },
	{ "cpu", "needs.cpu", NEED_NUMBER },            { "gpu", "needs.gpu", NEED_NUMBER },
	{ "rtt_ms", "needs.rtt_ms", NEED_NUMBER },      { "mem", "needs.mem_bytes", NEED_BYTES },
	{ "disk", "needs.disk_bytes", NEED_BYTES },     { "gpu_mem", "needs.gpu_mem_bytes", NEED_BYTES },
};

static int edge_need(struct compose_reader *r, const struct ynode *key, const struct ynode *n)
{
	for (size_t i = 0; i < sizeof(needs) / sizeof(*needs); i++) {
		if (strcmp(needs[i].key, key->text))
			continue;
		switch (needs[i].kind) {
		case NEED_NUMBER:
			return member_number(r, n, needs[i].member, 0, 1e9);
		case NEED_BYTES:
			return member_bytes(r, n, needs[i].member);
		case NEED_WORDS:
			return member_words(r, n, needs[i].member);
		case NEED_WORD:
			return value_member(r, n, needs[i].member, 255);
		}
	}
	return compose_fail(r, key, "%.64s: no such key", key->text);
}

static int edge_needs(struct compose_reader *r, const struct ynode *n)
{
	if (n->kind != YTREE_MAP)
		return compose_fail(r, n, "not a map");
	for (size_t i = 0; i < n->n; i++)
		if (edge_need(r, n->keys[i], n->items[i]))
			return -1;
	return 0;
}

static int edge_wants(struct compose_reader *r, const struct ynode *n)
{
	static const struct compose_key keys[] = { { "rtt_ms", take_nothing }, { 0 } };

	return compose_keys(r, n, keys) || !ynode_get(n, "rtt_ms") ? -1 :
	       member_number(r, ynode_get(n, "rtt_ms"), "wants.rtt_ms", 0, 1e6);
}

int take_x_edge(struct compose_reader *r, const struct ynode *n)
{
	static const struct compose_key keys[] = { { "type", edge_type }, { "profile", edge_profile }, { "needs", edge_needs },
						   { "wants", edge_wants }, { "latency", edge_latency }, { "alive", edge_alive },
						   { "images", edge_images }, { "engine", edge_engine }, { "addr", take_address },
						   { "root", edge_root }, { 0 } };

	return compose_keys(r, n, keys);
}

static int all_addresses(struct compose_reader *r, const struct ynode *n)
{
	const char *text = "";

	if (value_text(r, n, &text))
		return -1;
	if (strlen(text) >= sizeof(r->c->addresses) || !strchr(text, '/'))
		return compose_fail(r, n, "%s: not of the form IP/LEN", text);
	snprintf(r->c->addresses, sizeof(r->c->addresses), "%s", text);
	return 0;
}

int take_x_edge_all(struct compose_reader *r, const struct ynode *n)
{
	static const struct compose_key keys[] = { { "addresses", all_addresses }, { 0 } };

	return compose_keys(r, n, keys);
}
