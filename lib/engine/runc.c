/* SPDX-License-Identifier: MIT */
#include "lib/engine/runc.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>

#include "lib/base/file.h"
#include "lib/base/proc.h"
#include "lib/engine/cgroup.h"
#include "lib/engine/engine.h"

#define RUNC_MS 60000
#define ARGS_MAX 32

const char *runc_root(void)
{
	return file_path("/run/edge/runc");
}

static struct json *config_read(const char *path, struct err *e)
{
	struct json *j = json_read_file(path, e);

	if (j && (!json_is_object(j) || !json_str(j, "root.path"))) {
		json_free(j);
		err_set(e, EX_DATAERR, "%s: not an OCI configuration with a root", path);
		return NULL;
	}
	return j;
}

/* The array at `path` without the objects whose `key` is `value`. */
static struct json *without(const struct json *j, const char *path, const char *key, const char *value)
{
	AUTO_JSON struct json *old = json_get(j, path);
	struct json *list = json_array();
	size_t n = old ? json_len(old, NULL) : 0;

	for (size_t i = 0; i < n; i++) {
		AUTO_JSON struct json *item = json_at(old, i);
		const char *is = json_str(item, key);

		if (!is || strcmp(is, value))
			json_add(list, json_copy(item));
	}
	return list;
}

static void volume_add(struct json *j, const struct service_volume *v)
{
	struct json *mounts = without(j, "mounts", "destination", v->path);
	struct json *m = json_object(), *options = json_array();

	json_add(options, json_string("bind"));
	json_add(options, json_string("rw"));
	json_set_str(m, "destination", v->path);
	json_set_str(m, "type", "bind");
	json_set_str(m, "source", v->host);
	json_set(m, "options", options);
	json_add(mounts, m);
	json_set(j, "mounts", mounts);
}

static void environment_add(struct json *j, char **add)
{
	struct json *list = json_array();
	AUTO_JSON struct json *old = json_get(j, "process.env");
	size_t n = old ? json_len(old, NULL) : 0;

	for (size_t i = 0; i < n; i++) {
		AUTO_JSON struct json *item = json_at(old, i);
		const char *text = json_value(item);
		bool again = false;

		for (char **a = add; text && a && *a; a++)
			again |= !strncmp(text, *a, strcspn(*a, "=") + 1);
		if (!again)
			json_add(list, json_copy(item));
	}
	for (char **a = add; a && *a; a++)
		json_add(list, json_string(*a));
	json_set(j, "process.env", list);
}

/* Where a machine has version 1 of cgroups too, runc would have criu use the freezer of that one; but it is the version 2
 * freezer that holds our services, and criu leaves them frozen only if it knows of it. Their network is held by lib/engine/net: rules of
 * criu's own would take longer than all the rest. */
static int criu_conf(const struct service *s, struct json *j, bool tcp_close, struct err *e)
{
	AUTO_JSON struct json *old = json_get(j, "annotations"), *path = json_string(service_dir(s, "bundle/criu.conf"));
	AUTO_FREE char *had = old && json_is_object(old) ? json_text(old) : strdup("{}"), *to = json_text(path);
	AUTO_FREE char *text = NULL;
	char line[PATH_MAX + 64];

	/* spliced: the name of the member has dots in it, and of two equal ones the later holds */
	if (!had || !to || asprintf(&text, "%.*s%s\"org.criu.config\":%s}", (int)strlen(had) - 1, had,
				    strlen(had) > 2 ? "," : "", to) < 0)
		return err_sys(e, "service %s", s->name);
	json_set(j, "annotations", json_parse(text, strlen(text), e));
	snprintf(line, sizeof(line), "freeze-cgroup %s\nnetwork-lock skip\n%s", cgroup_v2_dir(s->name), tcp_close ? "tcp-close\n" : "");
	return file_write(json_value(path), line, strlen(line), 0600, e);
}

int runc_adapt(const struct service *s, const char *config, bool tcp_close, struct err *e)
{
	AUTO_JSON struct json *j = config_read(config, e);
	char text[SERVICE_NAME_MAX + 16];

	if (!j)
		return -1;
	struct json *namespaces = without(j, "linux.namespaces", "type", "network"), *net = json_object();
	json_set_str(net, "type", "network");
	json_set_str(net, "path", file_path("/run/edge/netns/%s", s->name));
	json_add(namespaces, net);
	json_set(j, "linux.namespaces", namespaces);
	snprintf(text, sizeof(text), "/edge/%s", s->name);
	json_set_str(j, "linux.cgroupsPath", text);
	json_set_str(j, "root.path", service_dir(s, "root"));
	json_set_bool(j, "process.terminal", false);
	if (!json_has(j, "hostname"))
		json_set_str(j, "hostname", s->name);
	if (s->cpu > 0) {
		json_set_num(j, "linux.resources.cpu.period", 100000);
		json_set_num(j, "linux.resources.cpu.quota", (double)(long)(s->cpu * 100000));
	}
	if (s->mem_bytes)
		json_set_num(j, "linux.resources.memory.limit", (double)s->mem_bytes);
	for (int i = 0; i < s->n_volumes; i++)
		volume_add(j, &s->volumes[i]);
	environment_add(j, s->env);
	if (file_mkdirs(service_dir(s, "bundle"), 0700, e) || criu_conf(s, j, tcp_close, e))
		return -1;
	return json_write_file(j, service_dir(s, "bundle/config.json"), e);
}

/* runc's log is one JSON object a line; its last "msg" is the cause. */
int runc_failed(const struct service *s, const char *verb, struct err *e)
{
	AUTO_FREE char *text = file_slurp(service_dir(s, "runc.log"), NULL, NULL);
	char cause[512] = "failed without a word", criu[768] = "", *save = NULL;

	for (char *l = text ? strtok_r(text, "\n", &save) : NULL; l; l = strtok_r(NULL, "\n", &save)) {
		AUTO_JSON struct json *j = json_parse(l, strlen(l), NULL);
		const char *level = j ? json_str(j, "level") : NULL;

		if (level && (!strcmp(level, "error") || !strcmp(level, "fatal")) && json_str(j, "msg"))
			snprintf(cause, sizeof(cause), "%s", json_str(j, "msg"));
	}
	cause[strcspn(cause, "\n")] = '\0';
	if (!strcmp(verb, "checkpoint") || !strcmp(verb, "restore"))
		criu_quote_log(service_dir(s, "runc.work"), verb[0] == 'c' ? "dump.log" : "restore.log", criu, sizeof(criu));
	/* of a failure of criu's runc knows no more than that it failed */
	return err_set(e, EX_UNAVAILABLE, "service %s: runc %s: %s", s->name, verb, criu[0] ? criu : cause);
}

int runc_do(const struct service *s, struct keeper *k, const char *const args[], struct err *e)
{
	char root[PATH_MAX], log[PATH_MAX];
	const char *argv[ARGS_MAX] = { proc_find("runc"), "--root", root, "--log", log, "--log-format", "json" };
	int n = 7, status = 0;
	pid_t pid;

	if (!argv[0])
		return err_set(e, EX_UNAVAILABLE, "service %s: there is no runc", s->name);
	for (int i = 0; args[i] && n < ARGS_MAX - 1; i++)
		argv[n++] = args[i];
	snprintf(root, sizeof(root), "%s", runc_root());
	snprintf(log, sizeof(log), "%s", service_dir(s, "runc.log"));
	unlink(log);
	if (keeper_exec(k, argv, -1, -1, "-", &pid, e) || keeper_wait(k, pid, RUNC_MS, &status, e))
		return -1;
	return WIFEXITED(status) && !WEXITSTATUS(status) ? 0 : runc_failed(s, args[0], e);
}

int runc_pid(const struct service *s, pid_t *pid, struct err *e)
{
	AUTO_FREE char *text = file_slurp(service_dir(s, "runc.pid"), NULL, e);
	long n = text ? strtol(text, NULL, 10) : 0;

	if (!text)
		return -1;
	if (n <= 1)
		return err_set(e, EX_SOFTWARE, "service %s: runc left no pid", s->name);
	*pid = (pid_t)n;
	return 0;
}

static const char *runc_missing(void)
{
	return geteuid() ? "it needs root" : proc_find("runc") ? NULL : "there is no runc";
}

/* The lower layer is what the bundle calls its root. */
static int runc_check(struct service *s, struct err *e)
{
	char path[2 * PATH_MAX], real[PATH_MAX];

	if (!s->bundle[0])
		return err_set(e, EX_USAGE, "service %s: engine runc: no bundle", s->name);
	if (s->user[0])
		return err_set(e, EX_USAGE, "service %s: user %s: a bundle names its own", s->name, s->user);
	snprintf(path, sizeof(path), "%s/config.json", s->bundle);
	if (access(path, F_OK))
		return err_set(e, EX_UNAVAILABLE, "service %s: bundle %s: no config.json", s->name, s->bundle);
	AUTO_JSON struct json *j = config_read(path, e);
	if (!j)
		return err_wrap(e, "service %s", s->name);
	const char *root = json_str(j, "root.path");
	snprintf(path, sizeof(path), "%s%s%s", root[0] == '/' ? "" : s->bundle, root[0] == '/' ? "" : "/", root);
	if (!realpath(path, real))
		return err_set(e, EX_UNAVAILABLE, "service %s: root %s: %s", s->name, path, strerror(errno));
	memcpy(s->root, real, strlen(real) + 1);
	return 0;
}

static int runc_start(struct service *s, struct keeper *k, struct err *e)
{
	char config[PATH_MAX + 16], bundle[PATH_MAX], pid_file[PATH_MAX];
	const char *const args[] = { "run", "--detach", "--bundle", bundle, "--pid-file", pid_file, s->name, NULL };

	snprintf(config, sizeof(config), "%s/config.json", s->bundle);
	snprintf(bundle, sizeof(bundle), "%s", service_dir(s, "bundle"));
	snprintf(pid_file, sizeof(pid_file), "%s", service_dir(s, "runc.pid"));
	if (runc_adapt(s, config, false, e) || file_mkdirs(runc_root(), 0700, e))
		return -1;
	return runc_do(s, k, args, e) ? -1 : runc_pid(s, &s->pid, e);
}

static int runc_forget(struct service *s, struct err *e)
{
	const char *const argv[] = { proc_find("runc"), "--root", runc_root(), "delete", "--force", s->name, NULL };

	if (access(file_path("/run/edge/runc/%s", s->name), F_OK) || !argv[0])
		return 0;
	return proc_run(argv, NULL, RUNC_MS, e);
}

const struct engine_look runc_look = { .name = "runc", .missing = runc_missing };
const struct engine engine_runc = {
	.look = &runc_look,
	.check = runc_check,
	.start = runc_start,
	.dump = runc_dump,
	.restore_arm = runc_restore_arm,
	.lazy_dir = runc_lazy_dir,
	.restore = runc_restore,
	.forget = runc_forget,
};
