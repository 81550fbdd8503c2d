/* SPDX-License-Identifier: MIT */
/* The life of a service on this node. The caller holds its lock (service_lock). */
#include <errno.h>
#include <poll.h>
#include <signal.h>
#include <string.h>
#include <sys/random.h>
#include <sys/stat.h>
#include <sys/syscall.h>

#include "lib/base/clock.h"
#include "lib/base/file.h"
#include "lib/engine/cgroup.h"
#include "lib/engine/engine.h"
#include "lib/engine/net.h"

#define PROBE_MS 300
#define KILL_MS 10000

static const struct engine *const engines[] = { &engine_process, &engine_runc, &engine_docker, &engine_podman, &engine_swarm };

const struct engine *engine_find(const char *name)
{
	for (size_t i = 0; i < sizeof(engines) / sizeof(*engines); i++)
		if (!strcmp(engines[i]->look->name, name))
			return engines[i];
	return NULL;
}

static int folder_check(const char *what, const char *path, struct err *e)
{
	struct stat st;

	if (stat(path, &st))
		return err_set(e, EX_UNAVAILABLE, "%s %s: %s", what, path, strerror(errno));
	return S_ISDIR(st.st_mode) ? 0 : err_set(e, EX_UNAVAILABLE, "%s %s: not a folder", what, path);
}

static bool is_file(const char *path)
{
	struct stat st;

	return !stat(path, &st) && S_ISREG(st.st_mode);
}

/* Everything that can be refused before anything is made. */
static int start_check(struct service *s, struct err *e)
{
	const struct engine *engine = engine_find(s->engine);
	AUTO_SERVICE struct service *old = NULL;
	const char *why;
	int taken;

	if (!engine)
		return err_set(e, EX_USAGE, "service %s: engine %s: unknown", s->name, s->engine);
	if ((why = engine->look->missing()))
		return err_set(e, EX_UNAVAILABLE, "service %s: engine %s: %s", s->name, s->engine, why);
	if (!service_load(&old, s->name, NULL) && !old->moved) {
		if (service_running(old))
			return err_set(e, EX_UNAVAILABLE, "service %s: already running", s->name);
		return err_set(e, EX_UNAVAILABLE, "service %s: exists and is %s (edge-stop --rm %s removes it)", s->name,
			       service_state(old), s->name);
	}
	if (engine->whole && !(s->about && json_str(s->about, "image")))
		return err_set(e, EX_USAGE, "service %s: engine %s: no image", s->name, s->engine);
	if (engine->check && engine->check(s, e))
		return -1;
	if (folder_check("root", s->root, e))
		return err_wrap(e, "service %s", s->name);
	for (int i = 0; i < s->n_volumes; i++)
		if (!is_file(s->volumes[i].host) && folder_check("volume", s->volumes[i].host, e))
			return err_wrap(e, "service %s", s->name);
	if (net_complete(s, e) || (taken = net_address_taken(s, PROBE_MS, e)) < 0)
		return err_wrap(e, "service %s", s->name);
	if (taken)
		return err_set(e, EX_UNAVAILABLE, "service %s: address %s: already in use", s->name, service_ip(s));
	return 0;
}

static int id_make(struct service *s, struct err *e)
{
	uint64_t r;

	if (s->id[0])
		return 0;
	if (getrandom(&r, sizeof(r), 0) != sizeof(r))
		return err_sys(e, "service %s: no random numbers", s->name);
	snprintf(s->id, sizeof(s->id), "%016llx", (unsigned long long)r);
	return 0;
}

static int start_inside(struct service *s, struct keeper *k, struct err *e)
{
	const struct engine *engine = engine_find(s->engine);

	if (keeper_spawn(k, s, NULL, e) || keeper_mount(k, e))
		return -1;
	s->log_ino = k->log_ino;
	if (engine->start(s, k, e))
		return -1;
	/* 0 if it has ended already, which is its own affair: the keeper notices */
	s->start_time = service_start_time(s->pid);
	if (service_save(s, e))
		return -1;
	return keeper_release(k, s->pid, e);
}

/* Its container is the engine's; ours are its network, where it has an address, and what we know of it. */
static int start_whole(struct service *s, const struct engine_whole *whole, struct err *e)
{
	if (!whole->run(s, e)) {
		s->start_time = service_start_time(s->pid);
		if (!service_save(s, e))
			return 0;
	}
	service_clear(s, NULL);
	file_remove_tree(service_dir(s, NULL), NULL);
	s->pid = 0;
	return -1;
}

int service_start_held(struct service *s, struct err *e)
{
	const struct engine *engine = engine_find(s->engine);
	struct keeper k = { .pid = 0, .ctl = -1 };

	if (start_check(s, e) || id_make(s, e))
		return -1;
	service_set_fleet(s);
	/* what an instance left that ended together with this machine */
	if (net_remove(s, e) || cgroup_remove(s->name, e) || file_remove_tree(service_dir(s, NULL), e))
		return -1;
	if (file_mkdir_private(file_path("/var/lib/edge/services"), e) || file_mkdir_private(service_dir(s, NULL), e))
		return -1;
	if (engine->whole)
		return start_whole(s, engine->whole, e);
	if (!root_prepare(s, e) && !volumes_copy_files(s, e) && !volumes_resolve(s, e) && !net_create(s, e) && !cgroup_create(s, e) && !start_inside(s, &k, e))
		return 0;
	keeper_cancel(&k);
	service_clear(s, NULL);
	file_remove_tree(service_dir(s, NULL), NULL);
	s->pid = 0;
	return -1;
}

int service_start(struct service *s, struct err *e)
{
	if (service_start_held(s, e))
		return -1;
	if (!net_attach(s, e))
		return 0;
	service_kill(s, NULL);
	service_clear(s, NULL);
	file_remove_tree(service_dir(s, NULL), NULL);
	s->pid = 0;
	return -1;
}

int service_start_again(struct service *s, struct err *e)
{
	struct keeper k = { .pid = 0, .ctl = -1 };

	if (!net_create(s, e) && !cgroup_create(s, e) && !start_inside(s, &k, e) && !net_attach(s, e))
		return 0;
	keeper_cancel(&k);
	service_kill(s, NULL);
	service_clear(s, NULL);
	return -1;
}

/* Does the process do anything at SIGTERM? The first process of a PID namespace is spared the default. */
static bool heeds_sigterm(pid_t pid)
{
	char path[64], line[256];
	unsigned long long caught = 0;

	snprintf(path, sizeof(path), "/proc/%d/status", (int)pid);
	AUTO_FILE FILE *f = fopen(path, "re");
	while (f && fgets(line, sizeof(line), f))
		if (sscanf(line, "SigCgt: %llx", &caught) == 1)
			break;
	return caught >> (SIGTERM - 1) & 1;
}

int service_stop(struct service *s, int grace_ms, struct err *e)
{
	const struct engine *engine = engine_find(s->engine);

	if (engine && engine->whole && engine->whole->end(s, service_running(s) && heeds_sigterm(s->pid) ? grace_ms : 0, e))
		return -1;
	if (service_running(s) && heeds_sigterm(s->pid)) {
		AUTO_FD int fd = (int)syscall(SYS_pidfd_open, s->pid, 0);
		struct pollfd p = { .fd = fd, .events = POLLIN };

		cgroup_thaw(s->name, NULL); /* a frozen one would never see the signal */
		if (fd >= 0 && service_running(s) && !syscall(SYS_pidfd_send_signal, fd, SIGTERM, NULL, 0))
			poll(&p, 1, grace_ms);
	}
	if (service_kill(s, e) || service_clear(s, e))
		return -1;
	s->pid = 0;
	s->start_time = s->log_ino = 0;
	return service_save(s, e);
}

int service_kill(struct service *s, struct err *e)
{
	const struct engine *engine = engine_find(s->engine);
	double end = clock_ms() + KILL_MS;

	if (cgroup_kill(s->name, KILL_MS, e))
		return -1;
	if (engine && engine->whole && engine->whole->memory && service_running(s))
		cgroup_kill_with(s->pid);
	while (service_running(s)) { /* its cgroup may be gone, as after a crash in the middle of a removal */
		if (clock_ms() > end)
			return err_set(e, EX_TEMPFAIL, "service %s: process %d does not end", s->name, (int)s->pid);
		kill(s->pid, SIGKILL);
		usleep(1000);
	}
	return 0;
}

int service_clear(struct service *s, struct err *e)
{
	const struct engine *engine = engine_find(s->engine);

	if (engine && (engine->whole ? engine->whole->end(s, 0, e) : engine->forget(s, e)))
		return -1;
	return net_remove(s, e) || cgroup_remove(s->name, e) ? -1 : 0;
}

int service_retire(struct service *s, struct err *e)
{
	if (service_kill(s, e) || service_clear(s, e))
		return -1;
	s->pid = 0;
	s->start_time = s->log_ino = 0;
	s->moved = true;
	return service_save(s, e);
}

int service_remove(struct service *s, struct err *e)
{
	if (service_running(s))
		return err_set(e, EX_UNAVAILABLE, "service %s: is running", s->name);
	return file_remove_tree(service_dir(s, NULL), e);
}
