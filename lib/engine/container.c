/* SPDX-License-Identifier: MIT */
/* Services as containers of Docker and podman, by their own programs, which take the same words. Theirs are root, cgroups and
 * log; ours is the network of one that has an address, so that it keeps that at every node: podman is given it by name, and
 * Docker's, which starts without any, gets its interface when it runs. */
#include "lib/engine/container.h"

#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>

#include "lib/base/file.h"
#include "lib/base/proc.h"
#include "lib/engine/cgroup.h"
#include "lib/engine/docker.h"
#include "lib/engine/net.h"
#include "lib/engine/process.h"

#define COPY_MS 3600000
#define WORDS_MAX 1024

/* A command line under construction; its words are its own. */
struct words {
	char *w[WORDS_MAX + 1];
	int n;
};

static void words_clear(struct words *w)
{
	for (int i = 0; i < w->n; i++)
		free(w->w[i]);
	w->n = 0;
}

static void add(struct words *w, const char *fmt, ...) __attribute__((format(printf, 2, 3)));
static void add(struct words *w, const char *fmt, ...)
{
	va_list ap;

	va_start(ap, fmt);
	if (w->n < WORDS_MAX && vasprintf(&w->w[w->n], fmt, ap) >= 0)
		w->w[++w->n] = NULL;
	va_end(ap);
}

/* "--option" "value", and what is not said is not added */
static void option(struct words *w, const char *name, const char *value)
{
	if (!value || !*value)
		return;
	add(w, "%s", name);
	add(w, "%s", value);
}

static void add_list(struct words *w, const struct service *s, const char *member, const char *name, size_t from)
{
	AUTO_JSON struct json *list = s->about ? json_get(s->about, member) : NULL;

	for (size_t i = from; list && i < json_len(list, NULL); i++) {
		AUTO_JSON struct json *item = json_at(list, i);
		AUTO_FREE char *text = item && json_value(item) ? strdup(json_value(item)) : NULL;
		char *eq = text && !strcmp(member, "hosts") ? strchr(text, '=') : NULL;

		if (eq)
			*eq = ':';
		if (text && name)
			option(w, name, text);
		else if (text)
			add(w, "%s", text);
	}
}

static void add_network(struct words *w, const struct service *s, bool podman)
{
	if (s->addr[0] && podman) {
		add(w, "--network=ns:%s", file_path("/run/edge/netns/%s", s->name));
	} else if (s->addr[0]) {
		add(w, "--network=none");
	} else {
		for (int i = 0; i < s->n_ports; i++) {
			add(w, "--publish");
			add(w, "%d:%d", s->ports[i], s->ports[i]);
		}
	}
}

static void add_limits(struct words *w, const struct service *s)
{
	if (s->cpu > 0)
		add(w, "--cpus=%g", s->cpu);
	if (s->mem_bytes)
		add(w, "--memory=%llu", (unsigned long long)s->mem_bytes);
	option(w, "--user", s->user);
	option(w, "--workdir", s->dir);
	for (char **v = s->env; v && *v; v++)
		option(w, "--env", *v);
	for (int i = 0; i < s->n_volumes; i++) {
		add(w, "--volume");
		add(w, "%s:%s", s->volumes[i].host, s->volumes[i].path);
	}
	add_list(w, s, "labels", "--label", 0);
	add_list(w, s, "hosts", "--add-host", 0);
}

static void create_words(struct words *w, const struct service *s, const char *program)
{
	AUTO_JSON struct json *entry = json_get(s->about, "entrypoint"), *first = entry ? json_at(entry, 0) : NULL;

	add(w, "%s", program);
	add(w, "create");
	option(w, "--name", s->name);
	add(w, "--label=edge.id=%s", s->id);
	option(w, "--hostname", s->addr[0] && !strcmp(program, "podman") ? NULL : s->name);
	add_network(w, s, !strcmp(program, "podman"));
	add_limits(w, s);
	if (entry)
		add(w, "--entrypoint=%s", first && json_value(first) ? json_value(first) : "");
	add(w, "%s", json_str(s->about, "image"));
	add_list(w, s, "entrypoint", NULL, 1);
	add_list(w, s, "command", NULL, 0);
	for (char **a = s->argv; a && *a; a++)
		add(w, "%s", *a);
}

int container_do(const char *const argv[], char **out, int ms, const struct service *s, struct err *e)
{
	struct err why = { 0 };

	if (!proc_run(argv, out, ms, &why))
		return 0;
	return err_set(e, why.code == EX_TEMPFAIL ? EX_TEMPFAIL : EX_UNAVAILABLE, "service %s: %s", s->name, why.text);
}

static const char *lock_name(const struct service *s)
{
	static _Thread_local char name[SERVICE_NAME_MAX + 16];

	snprintf(name, sizeof(name), "engine-%s", s->name);
	return name;
}

static _Noreturn void run_apart(const char *const argv[], int report, int lock)
{
	int null = open("/dev/null", O_RDWR | O_CLOEXEC);
	struct err why = { 0 };

	if (null < 0 || child_fds((int[]){ null, null, null, report, lock }, 5))
		_exit(EX_OSERR);
	setsid();
	child_signals();
	child_path();
	fcntl(3, F_SETFD, FD_CLOEXEC);
	if (proc_run(argv, NULL, CONTAINER_RUN_MS, &why))
		(void)!fd_write_all(3, &why, sizeof(why));
	_exit(0);
}

int container_do_apart(const char *const argv[], const struct service *s, struct err *e)
{
	AUTO_FD int lock = file_lock_wait(lock_name(s), CONTAINER_RUN_MS, e);
	int pipe_fd[2], status;

	if (lock < 0)
		return -1;
	if (pipe2(pipe_fd, O_CLOEXEC))
		return err_sys(e, "service %s", s->name);
	pid_t pid = fork();
	if (!pid)
		run_apart(argv, pipe_fd[1], lock);
	close(pipe_fd[1]);
	AUTO_FD int report = pipe_fd[0];
	if (pid < 0)
		return err_sys(e, "service %s", s->name);
	int rc = child_report(report, s->name, e);
	while (waitpid(pid, &status, 0) < 0 && errno == EINTR)
		;
	if (rc && e)
		e->code = EX_UNAVAILABLE;
	return rc || status ? -1 : 0;
}

char *container_ask(const struct service *s, const char *program, const char *format, struct err *e)
{
	const char *const argv[] = { program, "container", "inspect", "-f", format, s->name, NULL };
	char *text = NULL;

	if (container_do(argv, &text, CONTAINER_ASK_MS, s, e))
		return NULL;
	text[strcspn(text, "\n")] = '\0';
	return text;
}

int container_pid(struct service *s, const char *program, struct err *e)
{
	AUTO_FREE char *text = container_ask(s, program, "{{.State.Pid}}", e);

	if (!text)
		return -1;
	s->pid = (pid_t)strtol(text, NULL, 10);
	return s->pid > 0 ? 0 : err_set(e, EX_UNAVAILABLE, "service %s: has ended at once", s->name);
}

static int container_end(const struct service *s, const char *program, int grace_ms, struct err *e)
{
	char grace[16];
	const char *const label[] = { program, "container", "inspect", "-f", "{{index .Config.Labels \"edge.id\"}}", s->name, NULL };
	const char *const stop[] = { program, "stop", "-t", grace, s->name, NULL };
	const char *const rm[] = { program, "rm", "-f", s->name, strcmp(program, "podman") ? NULL : "-t0", NULL };
	struct service now = *s;
	AUTO_FREE char *id = NULL;
	AUTO_FD int lock = -1;

	if (!s->stateless && (lock = file_lock_wait(lock_name(s), CONTAINER_RUN_MS, e)) < 0)
		return -1;
	/* none, or one of that name that is somebody else's */
	if (!proc_find(program) || proc_run(label, &id, CONTAINER_ASK_MS, NULL) || strncmp(id, s->id, strlen(s->id)) || !s->id[0])
		return 0;
	snprintf(grace, sizeof(grace), "%d", (grace_ms + 999) / 1000);
	if (grace_ms > 0)
		proc_run(stop, NULL, grace_ms + CONTAINER_RUN_MS, NULL);
	/* One that a move has left stopped hears of no signal. */
	if (!s->stateless && !container_pid(&now, program, NULL))
		cgroup_kill_with(now.pid);
	return container_do(rm, NULL, CONTAINER_RUN_MS, s, e);
}

int container_create(const struct service *s, const char *program, struct err *e)
{
	struct words w = { .n = 0 };

	create_words(&w, s, program);
	int rc = w.n == WORDS_MAX ? err_set(e, EX_USAGE, "service %s: too many words", s->name) :
				    container_do((const char *const *)w.w, NULL, CONTAINER_RUN_MS, s, e);
	words_clear(&w);
	return rc;
}

static int container_run(struct service *s, const char *program, struct err *e)
{
	bool podman = !strcmp(program, "podman");
	const char *const start[] = { program, "start", s->name, NULL };

	if (podman && s->addr[0] && net_create(s, e))
		return -1;
	if (container_create(s, program, e) || container_do(start, NULL, CONTAINER_RUN_MS, s, e) || container_pid(s, program, e))
		return -1;
	return !podman && s->addr[0] ? net_adopt(s, e) : 0;
}

static int image_id(const char *program, const char *ref, char id[80], struct err *e)
{
	const char *const argv[] = { program, "image", "inspect", "-f", "{{.Id}}", ref, NULL };
	AUTO_FREE char *text = NULL;

	if (proc_run(argv, &text, CONTAINER_ASK_MS, e))
		return -1;
	text[strcspn(text, "\n")] = '\0';
	snprintf(id, 80, "%s", text);
	return 0;
}

static int image_save(const char *program, const char *ref, const char *file, struct err *e)
{
	return proc_run((const char *const[]){ program, "save", "-o", file, ref, NULL }, NULL, COPY_MS, e);
}

static int image_load(const char *program, const char *file, struct err *e)
{
	return proc_run((const char *const[]){ program, "load", "-q", "-i", file, NULL }, NULL, COPY_MS, e);
}

static const char *missing(const char *program, const char *why)
{
	return geteuid() ? "it needs root" : proc_find(program) ? NULL : why;
}

/* The verbs of both, which differ in the program. */
#define CONTAINER_ENGINE(kind, why, has_daemon)                                                                        \
	static int kind##_run(struct service *s, struct err *e)                                                        \
	{                                                                                                              \
		return container_run(s, #kind, e);                                                                     \
	}                                                                                                              \
	static int kind##_end(const struct service *s, int grace_ms, struct err *e)                                    \
	{                                                                                                              \
		return container_end(s, #kind, grace_ms, e);                                                           \
	}                                                                                                              \
	static int kind##_image_id(const char *ref, char id[80], struct err *e)                                        \
	{                                                                                                              \
		return image_id(#kind, ref, id, e);                                                                    \
	}                                                                                                              \
	static int kind##_image_save(const char *ref, const char *file, struct err *e)                                 \
	{                                                                                                              \
		return image_save(#kind, ref, file, e);                                                                \
	}                                                                                                              \
	static int kind##_image_load(const char *file, struct err *e)                                                  \
	{                                                                                                              \
		return image_load(#kind, file, e);                                                                     \
	}                                                                                                              \
	static const char *kind##_missing(void)                                                                        \
	{                                                                                                              \
		return missing(#kind, why);                                                                            \
	}                                                                                                              \
	static const struct engine_whole kind##_whole = {                                                              \
		.run = kind##_run,                                                                                     \
		.end = kind##_end,                                                                                     \
		.image_id = kind##_image_id,                                                                           \
		.image_save = kind##_image_save,                                                                       \
		.image_load = kind##_image_load,                                                                       \
		.memory = &kind##_memory,                                                                              \
	};                                                                                                             \
	const struct engine_look kind##_look = { #kind, kind##_missing, has_daemon, NULL };                            \
	const struct engine engine_##kind = { .look = &kind##_look, .whole = &kind##_whole }

CONTAINER_ENGINE(docker, "there is no docker", docker_here);
CONTAINER_ENGINE(podman, "there is no podman", NULL);
