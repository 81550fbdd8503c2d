/* SPDX-License-Identifier: MIT */
#include "lib/engine/service.h"

#include <arpa/inet.h>
#include <ctype.h>
#include <dirent.h>
#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "lib/base/clock.h"
#include "lib/base/file.h"
#include "lib/discover/node.h"
#include "lib/engine/engine.h"
#include "lib/engine/health.h"

#define ABOUT_MAX   (256u << 10)
#define STRINGS_MAX 4096 /* arguments or variables taken from a definition that came over the wire */

static void strings_free(char **list)
{
	for (char **p = list; p && *p; p++)
		free(*p);
	free(list);
}

void service_free(struct service *s)
{
	if (!s)
		return;
	strings_free(s->argv);
	strings_free(s->env);
	json_free(s->about);
	free(s);
}

const char *const service_about[] = { "app", "image", "layer", "needs", "wants", "labels", "alive_s", "restarts",
				      "spec_id", "images", "entrypoint", "command", "healthcheck", "restart", "stop_s",
				      "hosts", "aliases", NULL };
const int service_about_private = 9;

void service_about_set(struct service *s, const char *member, struct json *v)
{
	if (!s->about)
		s->about = json_object();
	json_set(s->about, member, v);
}

/* They are not looked into before they are used; but nobody fills our disk with them. */
static int copy_about(struct service *s, const struct json *j, struct err *e)
{
	for (const char *const *m = service_about; *m; m++)
		if (json_has(j, *m))
			service_about_set(s, *m, json_get(j, *m));
	AUTO_FREE char *text = s->about ? json_text(s->about) : NULL;
	return text && strlen(text) > ABOUT_MAX ?
		       err_set(e, EX_DATAERR, "service %s: its definition is larger than %u bytes", s->name, ABOUT_MAX) : 0;
}

static void set_about(struct json *j, const struct service *s, int from, int to)
{
	for (int i = from; s->about && i < to && service_about[i]; i++)
		json_set(j, service_about[i], json_get(s->about, service_about[i]));
}

char **service_strings(const char *const *items, int n)
{
	char **list = calloc((size_t)n + 1, sizeof(*list));

	for (int i = 0; list && i < n; i++)
		if (!(list[i] = strdup(items[i]))) {
			strings_free(list);
			return NULL;
		}
	return list;
}

char **service_strings_of(const struct json *array)
{
	size_t n = json_len(array, NULL);
	char **list = calloc(n + 1, sizeof(*list));

	for (size_t i = 0; list && i < n; i++) {
		AUTO_JSON struct json *item = json_at(array, i);

		if (!(list[i] = strdup(item && json_value(item) ? json_value(item) : ""))) {
			strings_free(list);
			return NULL;
		}
	}
	return list;
}

bool service_name_valid(const char *name)
{
	size_t n = name ? strlen(name) : 0;

	if (!n || n > SERVICE_NAME_MAX || name[0] == '.' || name[0] == '-')
		return false;
	return strspn(name, "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789._-") == n;
}

/* Paths of a definition become part of mount options and of paths below the service's folder. */
bool service_path_valid(const char *path)
{
	if (path[0] != '/' || strpbrk(path, ",:\\\n"))
		return false;
	for (const char *p = path; p; p = strchr(p + 1, '/'))
		if (!strncmp(p, "/..", 3) && (p[3] == '/' || !p[3]))
			return false;
	return true;
}

/* A string member of at most size - 1 bytes, left as it is when absent. */
static int copy_str(char *to, size_t size, const struct json *j, const char *path, struct err *e)
{
	const char *v = json_str(j, path);

	if (!v)
		return 0;
	if (strlen(v) >= size)
		return err_set(e, EX_DATAERR, "service: %s: too long", path);
	memcpy(to, v, strlen(v) + 1);
	return 0;
}

static int copy_path(char to[PATH_MAX], const struct json *j, const char *path, struct err *e)
{
	if (copy_str(to, PATH_MAX, j, path, e))
		return -1;
	if (to[0] && !service_path_valid(to))
		return err_set(e, EX_DATAERR, "service: %s: %s: not a plain absolute path", path, to);
	return 0;
}

static int copy_strings(char ***to, const struct json *j, const char *path, struct err *e)
{
	AUTO_JSON struct json *list = json_get(j, path);
	size_t n = list ? json_len(list, NULL) : 0;
	char **out;

	if (!n)
		return 0;
	if (n > STRINGS_MAX)
		return err_set(e, EX_DATAERR, "service: %s: too many", path);
	if (!(out = calloc(n + 1, sizeof(*out))))
		return err_sys(e, "service");
	for (size_t i = 0; i < n; i++) {
		AUTO_JSON struct json *item = json_at(list, i);
		const char *text = item ? json_value(item) : NULL;

		if (!text || !(out[i] = strdup(text))) {
			strings_free(out);
			return err_set(e, EX_DATAERR, "service: %s: not a list of strings", path);
		}
	}
	*to = out;
	return 0;
}

static int copy_lists(struct service *s, const struct json *j, struct err *e)
{
	size_t ports = json_len(j, "ports"), volumes = json_len(j, "volumes");

	if (ports > SERVICE_PORTS_MAX || volumes > SERVICE_VOLUMES_MAX)
		return err_set(e, EX_DATAERR, "service: %s: too many", ports > SERVICE_PORTS_MAX ? "ports" : "volumes");
	AUTO_JSON struct json *list = json_get(j, "ports");
	for (size_t i = 0; i < ports; i++) {
		AUTO_JSON struct json *wrap = json_object();

		json_set(wrap, "port", json_at(list, i));
		s->ports[i] = (int)json_int(wrap, "port", 0);
		if (s->ports[i] < 1 || s->ports[i] > 65535)
			return err_set(e, EX_DATAERR, "service: ports: not a port");
		s->n_ports++;
	}
	AUTO_JSON struct json *all = json_get(j, "volumes");
	for (size_t i = 0; i < volumes; i++) {
		AUTO_JSON struct json *v = json_at(all, i);
		struct service_volume *to = &s->volumes[s->n_volumes++];

		if (copy_path(to->host, v, "host", e) || copy_path(to->path, v, "path", e))
			return -1;
		if (!to->host[0] || !to->path[0])
			return err_set(e, EX_DATAERR, "service: volumes: host or path is missing");
	}
	return 0;
}

/* "10.77.0.201/24", "fd00::1"; it becomes part of addresses, rules and messages. */
static bool addr_valid(const char *addr)
{
	const char *slash = strchr(addr, '/');
	struct in6_addr parsed;
	char ip[64];

	snprintf(ip, sizeof(ip), "%.*s", (int)strcspn(addr, "/"), addr);
	int bits = inet_pton(AF_INET, ip, &parsed) == 1 ? 32 : inet_pton(AF_INET6, ip, &parsed) == 1 ? 128 : -1;
	if (bits < 0 || !slash)
		return bits > 0;
	size_t n = strlen(slash + 1);
	return n && n <= 3 && strspn(slash + 1, "0123456789") == n && atoi(slash + 1) <= bits;
}

static int copy_words(struct service *s, const struct json *j, struct err *e)
{
	const char *type = json_str(j, "type");
	char ip[64] = "";

	snprintf(s->engine, sizeof(s->engine), "process");
	snprintf(s->root, sizeof(s->root), "/");
	if (copy_str(s->id, sizeof(s->id), j, "id", e) || copy_str(s->name, sizeof(s->name), j, "name", e) ||
	    copy_str(s->engine, sizeof(s->engine), j, "engine", e) || copy_str(ip, sizeof(ip) - 4, j, "addr", e) ||
	    copy_str(s->mac, sizeof(s->mac), j, "mac", e) || copy_str(s->user, sizeof(s->user), j, "user", e) ||
	    copy_str(s->fleet, sizeof(s->fleet), j, "fleet", e) ||
	    copy_str(s->moved_at, sizeof(s->moved_at), j, "moved_at", e) ||
	    copy_str(s->at, sizeof(s->at), j, "at", e) || copy_str(s->at_addr, sizeof(s->at_addr), j, "at_addr", e) ||
	    copy_str(s->moved_from, sizeof(s->moved_from), j, "moved_from", e) || copy_path(s->root, j, "root", e) ||
	    copy_path(s->bundle, j, "bundle", e) || copy_path(s->dir, j, "dir", e))
		return -1;
	if (!service_name_valid(s->name))
		return err_set(e, EX_DATAERR, "service: name '%s': not letters, digits, '.', '_' or '-'", s->name);
	if (s->id[0] && (strlen(s->id) != 16 || strspn(s->id, "0123456789abcdef") != 16))
		return err_set(e, EX_DATAERR, "service %s: id '%s': not 16 hex digits", s->name, s->id);
	if (type && strcmp(type, "stateful") && strcmp(type, "stateless"))
		return err_set(e, EX_DATAERR, "service %s: type '%s': not stateful or stateless", s->name, type);
	s->moved = json_bool(j, "moved", false);
	s->stateless = type && !strcmp(type, "stateless");
	if (ip[0]) {
		int64_t prefix = json_int(j, "prefix", -1);

		if (prefix >= 0 && prefix <= 128 && !strchr(ip, '/'))
			snprintf(s->addr, sizeof(s->addr), "%s/%d", ip, (int)prefix);
		else
			snprintf(s->addr, sizeof(s->addr), "%s", ip);
		if (!addr_valid(s->addr))
			return err_set(e, EX_DATAERR, "service %s: address %s: not an IP address", s->name, s->addr);
	}
	return 0;
}

void service_set_fleet(struct service *s)
{
	const char *fleet = getenv("EDGE_FLEET");

	snprintf(s->fleet, sizeof(s->fleet), "%s", fleet ? fleet : "");
}

int service_from_json(struct service **out, const struct json *j, struct err *e)
{
	AUTO_SERVICE struct service *s = calloc(1, sizeof(*s));

	if (!s)
		return err_sys(e, "service");
	if (!json_is_object(j))
		return err_set(e, EX_DATAERR, "service: not an object");
	if (copy_words(s, j, e) || copy_lists(s, j, e) || copy_strings(&s->argv, j, "argv", e) ||
	    copy_strings(&s->env, j, "env", e) || copy_about(s, j, e))
		return -1;
	s->cpu = json_num(j, "profile.cpu", 0);
	double mem = json_num(j, "profile.mem_bytes", 0);
	if (s->cpu < 0 || s->cpu > 1e6 || mem < 0 || mem > 1e18)
		return err_set(e, EX_DATAERR, "service %s: profile: out of bounds", s->name);
	s->mem_bytes = (uint64_t)mem;
	int64_t epoch = json_int(j, "epoch", 0);
	if (epoch < 0 || epoch > SERVICE_EPOCH_MAX)
		return err_set(e, EX_DATAERR, "service %s: epoch: out of bounds", s->name);
	s->epoch = (long)epoch;
	s->pid = (pid_t)json_int(j, "pid", 0);
	s->start_time = (uint64_t)json_int(j, "start_time", 0);
	s->log_ino = (uint64_t)json_int(j, "log_ino", 0);
	*out = TAKE_PTR(s);
	return 0;
}

const char *service_ip(const struct service *s)
{
	static _Thread_local char ring[4][64];
	static _Thread_local unsigned turn;
	char *ip = ring[turn++ % 4];

	snprintf(ip, sizeof(ring[0]), "%.*s", (int)strcspn(s->addr, "/"), s->addr);
	return ip[0] ? ip : NULL;
}

/* What the record and service.json share. */
static struct json *service_common(const struct service *s)
{
	struct json *j = json_object();

	json_set_str(j, "kind", "service");
	json_set_str(j, "id", s->id[0] ? s->id : NULL);
	json_set_str(j, "name", s->name);
	json_set_str(j, "engine", s->engine);
	json_set_str(j, "type", s->stateless ? "stateless" : "stateful");
	json_set_str(j, "addr", service_ip(s));
	if (s->n_ports) {
		struct json *ports = json_array();

		for (int i = 0; i < s->n_ports; i++) {
			AUTO_JSON struct json *wrap = json_object();

			json_set_num(wrap, "port", s->ports[i]);
			json_add(ports, json_get(wrap, "port"));
		}
		json_set(j, "ports", ports);
	}
	if (s->cpu > 0)
		json_set_num(j, "profile.cpu", s->cpu);
	if (s->mem_bytes)
		json_set_num(j, "profile.mem_bytes", (double)s->mem_bytes);
	json_set_num(j, "epoch", (double)s->epoch);
	json_set_str(j, "fleet", s->fleet[0] ? s->fleet : NULL);
	json_set_str(j, "moved_at", s->moved_at[0] ? s->moved_at : NULL);
	json_set_str(j, "moved_from", s->moved_from[0] ? s->moved_from : NULL);
	set_about(j, s, 0, service_about_private);
	return j;
}

static void set_strings(struct json *j, const char *path, char **list)
{
	struct json *array = list ? json_array() : NULL;

	for (char **p = list; p && *p; p++)
		json_add(array, json_string(*p));
	json_set(j, path, array);
}

struct json *service_to_json(const struct service *s)
{
	struct json *j = service_common(s);
	const char *slash = strchr(s->addr, '/');

	if (slash)
		json_set_num(j, "prefix", atoi(slash + 1));
	json_set_str(j, "mac", s->mac[0] ? s->mac : NULL);
	json_set_str(j, "root", s->root);
	json_set_str(j, "bundle", s->bundle[0] ? s->bundle : NULL);
	json_set_str(j, "user", s->user[0] ? s->user : NULL);
	json_set_str(j, "dir", s->dir[0] ? s->dir : NULL);
	json_set_str(j, "at", s->at[0] ? s->at : NULL);
	json_set_str(j, "at_addr", s->at_addr[0] ? s->at_addr : NULL);
	if (s->n_volumes) {
		struct json *all = json_array();

		for (int i = 0; i < s->n_volumes; i++) {
			struct json *v = json_object();

			json_set_str(v, "host", s->volumes[i].host);
			json_set_str(v, "path", s->volumes[i].path);
			json_add(all, v);
		}
		json_set(j, "volumes", all);
	}
	set_strings(j, "argv", s->argv);
	set_strings(j, "env", s->env);
	set_about(j, s, service_about_private, INT_MAX);
	if (s->moved)
		json_set_bool(j, "moved", true);
	if (s->pid) {
		json_set_num(j, "pid", s->pid);
		json_set_num(j, "start_time", (double)s->start_time);
	}
	if (s->log_ino)
		json_set_num(j, "log_ino", (double)s->log_ino);
	return j;
}

struct json *service_record(const struct service *s, const char *state)
{
	struct json *j = service_common(s);

	json_set_str(j, "node", s->at[0] ? s->at : node_self());
	json_set_str(j, "state", state);
	if (engine_span(s->engine)) {
		bool tested = s->about && json_has(s->about, "healthcheck.test") && !json_bool(s->about, "healthcheck.disable", false);

		json_set_str(j, "addr", s->at_addr[0] ? s->at_addr : NULL);
		/* a task counts as running when it is healthy */
		json_set_str(j, "health", tested && !strcmp(state, "running") ? "healthy" : NULL);
		json_set_str(j, "fleet", s->at[0] && strcmp(s->at, node_self()) ? node_fleet() : NULL);
		return j;
	}
	json_set_str(j, "health", strcmp(state, "running") ? NULL : health_of(s));
	json_set_str(j, "log", service_dir(s, "log"));
	return j;
}

const char *service_dir(const struct service *s, const char *below)
{
	if (!below || !*below)
		return file_path("/var/lib/edge/services/%s", s->name);
	return file_path("/var/lib/edge/services/%s/%s", s->name, below);
}

static int save(const struct service *s, int (*write)(const char *, const void *, size_t, mode_t, struct err *), struct err *e)
{
	AUTO_JSON struct json *j = service_to_json(s);
	AUTO_FREE char *text = json_text(j);

	if (!text)
		return err_sys(e, "service %s", s->name);
	return write(service_dir(s, "service.json"), text, strlen(text), 0600, e);
}

int service_save(const struct service *s, struct err *e)
{
	return save(s, file_write, e);
}

int service_save_cached(const struct service *s, struct err *e)
{
	return save(s, file_write_cached, e);
}

int service_load(struct service **s, const char *name, struct err *e)
{
	if (!service_name_valid(name) || access(file_path("/var/lib/edge/services/%s/service.json", name), F_OK))
		return err_set(e, EX_UNAVAILABLE, "service %s: no such service on this node", name);
	AUTO_JSON struct json *j = json_read_file(file_path("/var/lib/edge/services/%s/service.json", name), e);
	return j && !service_from_json(s, j, e) ? 0 : -1;
}

int service_lock(const char *name, int wait_ms, struct err *e)
{
	char lock[SERVICE_NAME_MAX + 16];
	struct err cause = { 0 };
	int fd;

	if (!service_name_valid(name))
		return err_set(e, EX_UNAVAILABLE, "service %s: no such service on this node", name);
	snprintf(lock, sizeof(lock), "service-%s", name);
	fd = file_lock_wait(lock, wait_ms, &cause);
	if (fd < 0 && cause.code == EX_TEMPFAIL)
		return err_set(e, EX_TEMPFAIL, "service %s: busy: another program works on it", name);
	if (fd < 0 && e)
		*e = cause;
	return fd;
}

static int by_name(const struct dirent **a, const struct dirent **b)
{
	return strcmp((*a)->d_name, (*b)->d_name);
}

struct json *service_list(struct err *e)
{
	struct dirent **names = NULL;
	struct json *all = json_array();
	int n = scandir(file_path("/var/lib/edge/services"), &names, NULL, by_name);

	if (n < 0 && errno != ENOENT) {
		err_sys(e, "%s", file_path("/var/lib/edge/services"));
		json_free(all);
		return NULL;
	}
	for (int i = 0; i < n; i++) {
		AUTO_SERVICE struct service *s = NULL;

		if (service_name_valid(names[i]->d_name) && !service_load(&s, names[i]->d_name, NULL))
			json_add(all, service_record(s, service_state(s)));
		free(names[i]);
	}
	free(names);
	return all;
}

void service_arrive(struct service *s, const char *from)
{
	s->epoch++;
	clock_rfc3339(s->moved_at);
	snprintf(s->moved_from, sizeof(s->moved_from), "%s", from ? from : "");
}

uint64_t service_start_time(pid_t pid)
{
	char path[64], text[1024];
	unsigned long long start = 0;
	char state = 'Z', *tail;

	snprintf(path, sizeof(path), "/proc/%d/stat", (int)pid);
	AUTO_FILE FILE *f = fopen(path, "re");
	if (!f || !fgets(text, sizeof(text), f))
		return 0;
	if (!(tail = strrchr(text, ')')) || /* the name before it may hold anything */
	    sscanf(tail, ") %c %*s %*s %*s %*s %*s %*s %*s %*s %*s %*s %*s %*s %*s %*s %*s %*s %*s %*s %llu", &state,
		   &start) != 2 ||
	    state == 'Z' || state == 'X')
		return 0;
	return start;
}

bool service_running(const struct service *s)
{
	const struct engine_span *span = engine_span(s->engine);

	if (span)
		return !strcmp(span->state(s), "running");
	return s->pid > 0 && s->start_time && service_start_time(s->pid) == s->start_time;
}

const char *service_state(const struct service *s)
{
	const struct engine_span *span = engine_span(s->engine);

	if (span && !s->moved)
		return span->state(s);
	return s->moved ? "moved" : !s->pid ? "stopped" : service_running(s) ? "running" : "exited";
}
