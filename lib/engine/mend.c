/* SPDX-License-Identifier: MIT */
/* A service that was left in the middle of its dump, or of its restore, by programs that are gone. */
#include <dirent.h>
#include <errno.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <poll.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/syscall.h>
#include <unistd.h>

#include "lib/base/auto.h"
#include "lib/engine/cgroup.h"
#include "lib/engine/criu.h"
#include "lib/engine/engine.h"
#include "lib/engine/net.h"

#define TRACER_MS 5000
#define GRACE_MS 2000
#define GRACE_STEP_MS 5

/* A field of /proc/PID/status that is a number; 0 when there is none. */
static long status_number(pid_t pid, const char *field)
{
	char path[64], line[256];
	size_t n = strlen(field);

	snprintf(path, sizeof(path), "/proc/%d/status", (int)pid);
	AUTO_FILE FILE *f = fopen(path, "re");
	while (f && fgets(line, sizeof(line), f))
		if (!strncmp(line, field, n) && line[n] == ':')
			return strtol(line + n + 1, NULL, 10);
	return 0;
}

/* A criu that nobody will answer any more: until it is gone or, with a task, has let go of that. What it has put into its tasks and
 * started ends by itself when it is gone. */
static void end_criu(pid_t criu, pid_t task)
{
	AUTO_FD int fd = criu_is(criu) ? (int)syscall(SYS_pidfd_open, criu, 0) : -1;
	struct pollfd p = { .fd = fd, .events = POLLIN };

	/* Killed while it puts code of its own into a task it takes that with it, or leaves it with wrong registers. At its next point
	 * it finds that nobody wants it any more, and takes the code out again; one that stands still must go on for that. */
	if (fd < 0)
		return;
	syscall(SYS_pidfd_send_signal, fd, SIGCONT, NULL, 0);
	for (int ms = 0; ms < GRACE_MS; ms += GRACE_STEP_MS)
		if (poll(&p, 1, GRACE_STEP_MS) > 0 || (task && status_number(task, "TracerPid") != criu))
			return;
	if (!syscall(SYS_pidfd_send_signal, fd, SIGKILL, NULL, 0))
		poll(&p, 1, TRACER_MS);
}

static void end_tracer(pid_t pid)
{
	pid_t tracer = (pid_t)status_number(pid, "TracerPid");

	if (tracer)
		end_criu(tracer, pid);
}

void service_end_dump(pid_t criu)
{
	end_criu(criu, 0);
}

/* A connection that criu was just reading stays silent until it is told to go on. */
static void speak_again(int pidfd, int number)
{
	AUTO_FD int fd = (int)syscall(SYS_pidfd_getfd, pidfd, number, 0);
	int on = 0, off = TCP_REPAIR_OFF, domain = 0, protocol = 0;
	socklen_t len = sizeof(on);

	if (fd < 0 || getsockopt(fd, SOL_SOCKET, SO_DOMAIN, &domain, &len) || (domain != AF_INET && domain != AF_INET6))
		return;
	if (getsockopt(fd, SOL_SOCKET, SO_PROTOCOL, &protocol, &len) || protocol != IPPROTO_TCP)
		return;
	if (!getsockopt(fd, IPPROTO_TCP, TCP_REPAIR, &on, &len) && on)
		setsockopt(fd, IPPROTO_TCP, TCP_REPAIR, &off, sizeof(off));
}

static void mend_sockets(pid_t pid)
{
	char path[64];
	struct dirent *de;
	AUTO_FD int fd = (int)syscall(SYS_pidfd_open, pid, 0);

	snprintf(path, sizeof(path), "/proc/%d/fd", (int)pid);
	DIR *d = fd < 0 ? NULL : opendir(path);
	while (d && (de = readdir(d)))
		if (de->d_name[0] != '.')
			speak_again(fd, atoi(de->d_name));
	if (d)
		closedir(d);
}

static void mend_processes(const pid_t *pids, int n)
{
	for (int i = 0; i < n; i++)
		end_tracer(pids[i]);
	for (int i = 0; i < n; i++)
		mend_sockets(pids[i]);
}

/* A container is stopped by its engine; a stateless one never was. */
static int mend_container(const struct service *s, const struct engine_memory *engine, struct err *e)
{
	AUTO_FREE pid_t *pids = NULL;
	int n = 0;

	if (!engine || s->stateless)
		return net_attach(s, e);
	if (cgroup_pids_with(s->pid, &pids, &n, e))
		return -1;
	mend_processes(pids, n);
	return net_attach(s, e) || engine->thaw(s, e) ? -1 : 0;
}

int service_mend(const struct service *s, struct err *e)
{
	const struct engine *engine = engine_find(s->engine);
	AUTO_FREE pid_t *pids = NULL;
	int n = 0;

	if (engine && engine->whole)
		return mend_container(s, engine->whole->memory, e);
	if (cgroup_pids(s->name, &pids, &n, e))
		return -1;
	mend_processes(pids, n);
	if (net_attach(s, e))
		return -1;
	cgroup_limit_cpu(s, s->cpu, NULL); /* a move may have cut it */
	return cgroup_thaw(s->name, e);
}
