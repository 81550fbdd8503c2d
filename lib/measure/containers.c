/* SPDX-License-Identifier: MIT */
#include "lib/measure/containers.h"

#include <dirent.h>
#include <limits.h>
#include <string.h>
#include <unistd.h>
#include <xxhash.h>

#include "lib/base/proc.h"
#include "lib/discover/node.h"
#include "lib/engine/docker.h"
#include "lib/engine/engine.h"

#define PODMAN_MS 10000
#define RUNC_ROOT "/run/runc"

/* An instance's id is 16 digits of hexadecimal: the first of a container's own, or made of its name. */
static void short_id(const char *id, char out[17])
{
	if (strspn(id, "0123456789abcdef") >= 16)
		snprintf(out, 17, "%.16s", id);
	else
		snprintf(out, 17, "%016llx", (unsigned long long)XXH64(id, strlen(id), 0));
}

static bool known(const struct json *all, pid_t pid)
{
	for (size_t i = 0; i < json_len(all, NULL); i++) {
		AUTO_JSON struct json *rec = json_at(all, i);

		if (json_int(rec, "pid", 0) == pid)
			return true;
	}
	return false;
}

/* instance: its id as the engine's own record of it has it, or NULL */
static void add(struct json *all, const char *engine, const char *id, const char *instance, const char *name, const char *image,
		pid_t pid)
{
	struct json *rec;
	char own[17], word[SERVICE_NAME_MAX + 1];

	if (!id || !*id || pid <= 0 || known(all, pid))
		return;
	short_id(instance ? instance : id, own);
	snprintf(word, sizeof(word), "%s", name && *name ? name : id);
	if (!service_name_valid(word)) /* runc takes some that we do not */
		snprintf(word, sizeof(word), "%s-%.12s", engine, own);
	rec = json_object();
	json_set_str(rec, "kind", "service");
	json_set_str(rec, "id", own);
	json_set_str(rec, "name", word);
	json_set_str(rec, "node", node_self());
	json_set_str(rec, "engine", engine);
	json_set_str(rec, "container", id);
	json_set_str(rec, "image", image && *image ? image : NULL);
	json_set_str(rec, "state", "running");
	json_set_num(rec, "pid", pid);
	json_add(all, rec);
}

/* ---- ours ---- */

static pid_t pid_of(const struct service *s)
{
	const struct engine_span *span = engine_span(s->engine);

	return span ? span->pid(s) : service_running(s) ? s->pid : 0;
}

static void add_own(struct json *all, const struct absence *a)
{
	struct err e;
	AUTO_JSON struct json *own = service_list(&e);

	if (!own)
		absent(a, "services", "%s", e.text);
	for (size_t i = 0; own && i < json_len(own, NULL); i++) {
		struct json *rec = json_at(own, i);
		const char *name = json_str(rec, "name");
		pid_t pid;
		AUTO_SERVICE struct service *s = NULL;

		if (name && !service_load(&s, name, NULL) && (pid = pid_of(s)))
			json_set_num(rec, "pid", pid);
		json_add(all, rec);
	}
}

/* ---- Docker ---- */

static void add_docker_one(struct json *all, const char *id)
{
	AUTO_JSON struct json *c = NULL;
	char path[128];

	snprintf(path, sizeof(path), "/containers/%.64s/json", id);
	if (docker_get(path, &c, NULL)) /* it has ended meanwhile */
		return;
	const char *name = json_str(c, "Name"), *task = json_str(c, "Config.Labels.edge-id");
	pid_t pid = (pid_t)json_int(c, "State.Pid", 0);

	if (task) /* of a swarm, whose manager knows the rest */
		add(all, "swarm", id, task, json_str(c, "Config.Labels.edge-name"), json_str(c, "Config.Image"), pid);
	else
		add(all, "docker", id, NULL, name ? name + (*name == '/') : NULL, json_str(c, "Config.Image"), pid);
}

static void add_docker(struct json *all, const struct absence *a)
{
	AUTO_JSON struct json *list = NULL;
	struct err e;

	if (!docker_here())
		return;
	if (docker_get("/containers/json", &list, &e))
		absent(a, "services of docker", "%s", e.text);
	for (size_t i = 0; list && i < json_len(list, NULL); i++) {
		AUTO_JSON struct json *c = json_at(list, i);

		if (json_str(c, "Id"))
			add_docker_one(all, json_str(c, "Id"));
	}
}

/* ---- podman ---- */

static void add_podman(struct json *all, const struct absence *a)
{
	static const char *const argv[] = { "podman", "ps", "--format", "json", NULL };
	AUTO_FREE char *text = NULL;
	struct err e = { 0 };

	if (!proc_find("podman"))
		return;
	if (proc_run(argv, &text, PODMAN_MS, &e)) {
		absent(a, "services of podman", "%s", e.text);
		return;
	}
	AUTO_JSON struct json *list = json_parse(text, strlen(text), &e);
	if (!list)
		absent(a, "services of podman", "its list: %s", e.text);
	for (size_t i = 0; list && i < json_len(list, NULL); i++) {
		AUTO_JSON struct json *c = json_at(list, i), *names = json_get(c, "Names");
		AUTO_JSON struct json *name = names ? json_at(names, 0) : NULL;

		if (!json_bool(c, "IsInfra", false)) /* a pod's own holds its namespaces and does nothing */
			add(all, "podman", json_str(c, "Id"), NULL, json_value(name), json_str(c, "Image"),
			    (pid_t)json_int(c, "Pid", 0));
	}
}

/* ---- runc ---- */

/* Field 22 of its stat, so that a number that was given out again is not taken for the container. */
static void add_runc_one(struct json *all, const char *id)
{
	char path[PATH_MAX];

	snprintf(path, sizeof(path), RUNC_ROOT "/%.255s/state.json", id);
	AUTO_JSON struct json *state = json_read_file(path, NULL);
	pid_t pid = state ? (pid_t)json_int(state, "init_process_pid", 0) : 0;
	uint64_t start = pid > 0 ? service_start_time(pid) : 0;

	if (start && (double)start == json_num(state, "init_process_start", 0))
		add(all, "runc", id, NULL, id, NULL, pid);
}

static void add_runc(struct json *all, const struct absence *a)
{
	struct dirent **ids = NULL;
	int n;

	if (access(RUNC_ROOT, F_OK))
		return;
	n = scandir(RUNC_ROOT, &ids, NULL, alphasort);
	if (n < 0)
		absent(a, "services of runc", "cannot read " RUNC_ROOT);
	for (int i = 0; i < n; i++) {
		if (ids[i]->d_name[0] != '.')
			add_runc_one(all, ids[i]->d_name);
		free(ids[i]);
	}
	free(ids);
}

static void add_others(struct json *all, const struct absence *a)
{
	/* runc last: it also knows what others have started by it. */
	add_docker(all, a);
	add_podman(all, a);
	add_runc(all, a);
}

struct json *containers_list(const struct absence *a)
{
	struct json *all = json_array();

	add_own(all, a);
	add_others(all, a);
	return all;
}

pid_t containers_find(const char *name, char **id)
{
	AUTO_JSON struct json *all = json_array();

	add_others(all, NULL);
	for (size_t i = 0; i < json_len(all, NULL); i++) {
		AUTO_JSON struct json *rec = json_at(all, i);

		if (strcmp(json_str(rec, "name"), name))
			continue;
		*id = strdup(json_str(rec, "container"));
		if (!*id)
			abort();
		return (pid_t)json_int(rec, "pid", 0);
	}
	return 0;
}
