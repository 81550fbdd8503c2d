/* SPDX-License-Identifier: MIT */
#include "lib/engine/criu.h"

#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <sched.h>
#include <signal.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

#include "lib/base/auto.h"
#include "lib/base/clock.h"
#include "lib/base/file.h"
#include "lib/base/proc.h"
#include "lib/engine/cgroup.h"
#include "lib/engine/criu_calls.h"
#include "lib/engine/criu_limits.h"
#include "lib/engine/message.h"
#include "lib/engine/service.h"
#include "lib/engine/spaces.h"

#define SWRK_FD 3        /* where criu swrk finds its socket */
#define PAGES_FD 5       /* where it finds the stand-in for a reader of lazy pages */
#define LOG_LINES 3      /* how many of criu's error lines an error quotes */
#define SILENT_MS 300000 /* between two of its points: the longest is putting the memory back */

/* Field numbers of criu's images/rpc.proto. */
enum { REQ_TYPE = 1, REQ_OPTS = 2, REQ_NOTIFY_SUCCESS = 3 };
enum { RESP_TYPE = 1, RESP_SUCCESS = 2, RESP_RESTORE = 4, RESP_NOTIFY = 5, RESP_ERRMSG = 9 };
enum { TYPE_NOTIFY = 6 };
enum {
	OPT_IMAGES_DIR_FD = 1, OPT_PID = 2, OPT_LEAVE_RUNNING = 3, OPT_TCP_ESTABLISHED = 5, OPT_SHELL_JOB = 7,
	OPT_FILE_LOCKS = 8, OPT_LOG_LEVEL = 9, OPT_LOG_FILE = 10, OPT_NOTIFY_SCRIPTS = 12, OPT_ROOT = 13,
	OPT_LINK_REMAP = 18, OPT_CPU_CAP = 20, OPT_RST_SIBLING = 26, OPT_INHERIT_FD = 27, OPT_MANAGE_CGROUPS_MODE = 34,
	OPT_GHOST_LIMIT = 35, OPT_IRMAP_SCAN_PATHS = 36, OPT_EXTERNAL = 37, OPT_FREEZE_CGROUP = 44, OPT_TIMEOUT = 45,
	OPT_LAZY_PAGES = 48, OPT_CONFIG_FILE = 51, OPT_TCP_CLOSE = 52, OPT_NETWORK_LOCK = 64, OPT_IMAGES_DIR = 68,
};
enum { CGROUPS_IGNORE = 0, NETWORK_LOCK_SKIP = 3 };

static void put_pair(struct message *m, const struct criu_pair *pair)
{
	struct message sub;

	message_empty(&sub);
	message_str(&sub, 1, pair->key);
	message_int(&sub, 2, pair->fd);
	message_bytes(m, OPT_INHERIT_FD, sub.buf, sub.len);
	m->full |= sub.full;
}

/* Where pages cannot be hidden from it, a metadata-only dump is criu's lazy dump whose reader of pages is gone before it starts: the
 * pages come from lib/move/memory instead. Over RPC the reader's socket can only be named in a configuration file. */
static int write_config(const struct criu_job *job, char path[PATH_MAX], struct err *e)
{
	const char text[] = "ps-socket 5\n";

	/* Inside the freeze: not a moment for fsync, and nobody reads it after a crash. */
	snprintf(path, PATH_MAX, "%s/criu.conf", job->images);
	AUTO_FD int fd = open(path, O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, 0600);
	if (fd < 0 || fd_write_all(fd, text, sizeof(text) - 1))
		return err_sys(e, "%s", path);
	return 0;
}

static void put_opts(struct message *m, const struct criu_job *job, const char *config)
{
	message_int(m, OPT_IMAGES_DIR_FD, -1);
	message_str(m, OPT_IMAGES_DIR, job->images);
	message_int(m, OPT_LOG_LEVEL, 2);
	message_str(m, OPT_LOG_FILE, "criu.log");
	if (job->verb != CRIU_DUMP && job->verb != CRIU_RESTORE)
		return;
	if (job->pid)
		message_int(m, OPT_PID, job->pid);
	message_flag(m, OPT_LEAVE_RUNNING, job->leave_running);
	message_flag(m, OPT_TCP_ESTABLISHED, !job->tcp_close);
	message_flag(m, OPT_TCP_CLOSE, job->tcp_close);
	message_flag(m, OPT_SHELL_JOB, job->shell_job);
	message_flag(m, OPT_FILE_LOCKS, true);
	message_flag(m, OPT_LINK_REMAP, job->verb == CRIU_DUMP);
	message_flag(m, OPT_NOTIFY_SCRIPTS, job->notify != NULL);
	message_str(m, OPT_ROOT, job->root);
	message_flag(m, OPT_RST_SIBLING, job->sibling);
	message_int(m, OPT_MANAGE_CGROUPS_MODE, CGROUPS_IGNORE);
	message_int(m, OPT_GHOST_LIMIT, 64 << 20);
	message_int(m, OPT_TIMEOUT, 30);
	message_str(m, OPT_FREEZE_CGROUP, job->freeze_cgroup);
	/* The service's whole network is held by lib/engine/net while it is frozen, on both nodes. */
	message_int(m, OPT_NETWORK_LOCK, NETWORK_LOCK_SKIP);
	message_flag(m, OPT_LAZY_PAGES, config || job->lazy);
	message_str(m, OPT_CONFIG_FILE, config);
	for (char *const *p = job->watched; p && *p; p++)
		message_str(m, OPT_IRMAP_SCAN_PATHS, *p);
	for (int i = 0; job->external && job->external[i]; i++)
		message_str(m, OPT_EXTERNAL, job->external[i]);
	for (int i = 0; job->inherit && job->inherit[i].key; i++)
		put_pair(m, &job->inherit[i]);
}

static int send_message(struct criu *c, const struct message *m, struct err *e)
{
	if (m->full)
		return err_set(e, EX_SOFTWARE, "criu: request too long");
	if (send(c->sock, m->buf, m->len, MSG_NOSIGNAL) != (ssize_t)m->len)
		return err_sys(e, "criu: cannot send the request");
	return 0;
}

static int send_request(struct criu *c, const struct criu_job *job, const char *config, struct err *e)
{
	struct message m, opts;

	message_empty(&opts);
	message_empty(&m);
	put_opts(&opts, job, config);
	message_int(&m, REQ_TYPE, job->verb);
	message_bytes(&m, REQ_OPTS, opts.buf, opts.len);
	m.full |= opts.full;
	return send_message(c, &m, e);
}

/* What one answer of criu says. */
struct answer {
	int type;
	bool success;
	pid_t restored;
	char point[64];
	pid_t point_pid;
	char why[256];
};

static void parse_notify(const struct field *f, struct answer *a)
{
	const uint8_t *p = f->data, *end = p + f->n;
	struct field g;

	while (field_next(&p, end, &g))
		if (g.number == 1 && g.data)
			snprintf(a->point, sizeof(a->point), "%.*s", (int)g.n, (const char *)g.data);
		else if (g.number == 2)
			a->point_pid = (pid_t)g.value;
}

static void parse_answer(const uint8_t *p, size_t n, struct answer *a)
{
	const uint8_t *end = p + n;
	struct field f;

	memset(a, 0, sizeof(*a));
	while (field_next(&p, end, &f))
		if (f.number == RESP_TYPE) {
			a->type = (int)f.value;
		} else if (f.number == RESP_SUCCESS) {
			a->success = f.value != 0;
		} else if (f.number == RESP_RESTORE && f.data) {
			const uint8_t *q = f.data, *qend = q + f.n;
			struct field g;

			while (field_next(&q, qend, &g))
				if (g.number == 1)
					a->restored = (pid_t)g.value;
		} else if (f.number == RESP_NOTIFY && f.data) {
			parse_notify(&f, a);
		} else if (f.number == RESP_ERRMSG && f.data) {
			snprintf(a->why, sizeof(a->why), "%.*s", (int)f.n, (const char *)f.data);
		}
}

/* "(00.052) Error (criu/files.c:12): Can't lookup mount" -> "Can't lookup mount". */
static const char *bare_line(char *line)
{
	char *colon = strstr(line, "): ");

	return colon ? colon + 3 : line;
}

void criu_quote_log(const char *folder, const char *name, char *out, size_t size)
{
	char path[PATH_MAX], line[512];
	int n = 0;

	*out = 0;
	snprintf(path, sizeof(path), "%s/%s", folder, name);
	AUTO_FILE FILE *f = fopen(path, "re");
	while (f && n < LOG_LINES && fgets(line, sizeof(line), f)) {
		/* Without CAP_SYS_RESOURCE criu cannot raise its own limit, says so and goes on. */
		if (!strstr(line, "Error (") || strstr(line, "RLIMIT_NOFILE for self"))
			continue;
		line[strcspn(line, "\n")] = 0;
		size_t len = strlen(out);
		snprintf(out + len, size - len, "%s%s", n++ ? "; " : "", bare_line(strstr(line, "Error (")));
	}
}

static int fail(const struct criu_job *job, const struct answer *a, struct err *e)
{
	const char *what = job->verb == CRIU_DUMP ? "dump" : job->verb == CRIU_RESTORE ? "restore" : "check";
	char lines[768];

	criu_quote_log(job->images, "criu.log", lines, sizeof(lines));
	return err_set(e, EX_UNAVAILABLE, "criu: %s: %s", what,
		       *lines ? lines : *a->why ? a->why : "it failed and did not say why");
}

static int answer_notify(struct criu *c, const struct criu_job *job, const struct answer *a, struct err *e)
{
	struct message m;
	bool ok = !job->notify || !job->notify(job->ctx, a->point, a->point_pid);

	message_empty(&m);
	message_int(&m, REQ_TYPE, TYPE_NOTIFY);
	message_int(&m, REQ_NOTIFY_SUCCESS, ok);
	return send_message(c, &m, e);
}

/* The next message of criu's; meanwhile its calls are answered. 0 when none will come: it has ended, of which the
 * socket says nothing for as long as one of its children has that, too; or it stands still. */
static ssize_t next_message(struct criu *c, int pidfd, bool hide, uint8_t *buf, size_t size)
{
	double end = clock_ms() + SILENT_MS;

	for (;;) {
		struct pollfd p[] = { { .fd = c->sock, .events = POLLIN },
				      { .fd = c->heard ? c->calls : -1, .events = POLLIN },
				      { .fd = pidfd, .events = POLLIN } };
		double left = end - clock_ms();

		if (poll(p, 3, left > 0 ? (int)left + 1 : 0) < 0)
			return -1;
		if (p[1].revents & POLLIN)
			criu_calls_answer(c->calls, hide ? &c->hidden : NULL, &c->maps);
		if (p[0].revents || p[2].revents) {
			ssize_t n = recv(c->sock, buf, size, MSG_DONTWAIT);

			return n < 0 && errno == EAGAIN ? 0 : n;
		}
		if (left <= 0) {
			if (pidfd >= 0)
				syscall(SYS_pidfd_send_signal, pidfd, SIGKILL, NULL, 0);
			return 0;
		}
	}
}

int criu_run(struct criu *c, const struct criu_job *job, pid_t *restored, struct err *e)
{
	uint8_t buf[MESSAGE_MAX];
	char config[PATH_MAX];
	struct answer a = { 0 };
	AUTO_FD int pidfd = (int)syscall(SYS_pidfd_open, c->pid, 0);
	bool hide = job->metadata_only && c->heard && criu_pages_used(criu_version()), list = job->metadata_only && !hide;

	if (pidfd < 0 && errno == ESRCH)
		return err_set(e, EX_IOERR, "criu: has ended before it began");
	if ((list && write_config(job, config, e)) || send_request(c, job, list ? config : NULL, e))
		return -1;
	for (;;) {
		ssize_t n = next_message(c, pidfd, hide, buf, sizeof(buf));

		if (n < 0 && errno == EINTR)
			continue;
		if (n <= 0)
			return fail(job, &a, e);
		parse_answer(buf, (size_t)n, &a);
		if (a.type == TYPE_NOTIFY) {
			if (answer_notify(c, job, &a, e))
				return fail(job, &a, e);
			continue;
		}
		if (!a.success)
			return fail(job, &a, e);
		if (restored)
			*restored = a.restored;
		return 0;
	}
}

int criu_socketpair(int *ours, int *theirs, struct err *e)
{
	int fds[2];

	if (socketpair(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0, fds))
		return err_sys(e, "criu: socketpair");
	*ours = fds[0];
	*theirs = fds[1];
	return 0;
}

const char *const *criu_argv(struct err *e)
{
	static const char *argv[] = { NULL, "swrk", "3", NULL };

	argv[0] = proc_find("criu");
	if (argv[0])
		return argv;
	err_set(e, EX_UNAVAILABLE, "criu: not installed");
	return NULL;
}

void criu_tune(void)
{
	/* Else each process that it forks looks up the same symbols. */
	setenv("LD_BIND_NOW", "1", 1);
	/* Not a fault, but the way it goes where a processor has no breakpoints (FI_NO_BREAKPOINTS): Linux makes the first breakpoint of a
	 * thread wait for all processors (synchronize_rcu), and that is the longest wait of a dump. */
	setenv("CRIU_FAULT", "130", 0);
}

/* In the child: descriptors 0 to 2 are /dev/null, 3 the socket, 5 a socket whose other end is gone. */
static void become_criu(const char *const *argv, int netns, const struct service *s, bool alone, int sock)
{
	int null = open("/dev/null", O_RDWR), pages[2];

	setpgid(0, 0); /* a terminal's ^C is not for it: it would leave its work half done */
	if (netns >= 0 && setns(netns, CLONE_NEWNET))
		_exit(127);
	if (s)
		spaces_join(s->pid, s->name);
	if (socketpair(AF_UNIX, SOCK_STREAM, 0, pages) || (criu_calls_install(sock, alone) && criu_limits_needed()))
		_exit(127);
	sock = fcntl(sock, F_DUPFD, 16);
	pages[0] = fcntl(pages[0], F_DUPFD, 16);
	for (int fd = 0; fd <= 2; fd++)
		dup2(null, fd);
	dup2(sock, SWRK_FD);
	dup2(pages[0], PAGES_FD);
	close(4);
	close_range(PAGES_FD + 1, ~0U, 0);
	criu_tune();
	execv(argv[0], (char *const *)argv);
	_exit(127);
}

int criu_start(struct criu *c, int netns, const struct service *s, bool alone, struct err *e)
{
	const char *const *argv = criu_argv(e);
	int ours = -1, theirs = -1;

	*c = (struct criu){ .sock = -1 };
	if (!argv || criu_socketpair(&ours, &theirs, e))
		return -1;
	c->pid = fork();
	if (!c->pid)
		become_criu(argv, netns, s, alone, theirs);
	close(theirs);
	if (c->pid < 0) {
		c->pid = 0;
		close(ours);
		return err_sys(e, "criu: fork");
	}
	setpgid(c->pid, c->pid); /* whichever of us is the first */
	c->sock = ours;
	c->child = true;
	c->shares = s != NULL;
	c->calls = criu_calls_take(ours);
	c->heard = c->calls >= 0;
	return 0;
}

bool criu_hindered(const struct service *s)
{
	AUTO_FREE pid_t *pids = NULL;
	int n = 0;

	return !cgroup_pids(s->name, &pids, &n, NULL) && criu_calls_hinder(pids, (size_t)n);
}

int criu_hindered_late(const struct service *s, struct err *e)
{
	return err_set(e, EX_TEMPFAIL, "service %s: began to filter its system calls while it was about to stand still: try again", s->name);
}

bool criu_outgrown(const struct criu *c, const struct service *s)
{
	return c->shares && spaces_outgrown(s->pid, c->pid);
}

void criu_close(struct criu *c)
{
	if (c->sock > 0) /* a zeroed one has none */
		close(c->sock);
	if (c->heard)
		close(c->calls);
	criu_pages_clear(&c->hidden);
	criu_maps_clear(&c->maps);
	if (c->child) {
		kill(-c->pid, SIGKILL); /* its group: with what it has started */
		while (waitpid(c->pid, NULL, 0) < 0 && errno == EINTR)
			;
	}
	*c = (struct criu){ .sock = -1 };
}

static void read_version(char version[32])
{
	const char *path = proc_find("criu");
	AUTO_FREE char *out = NULL;

	if (!path || proc_run((const char *const[]){ path, "--version", NULL }, &out, 5000, NULL) ||
	    sscanf(out, "Version: %31s", version) != 1)
		*version = 0;
}

static char version[32];

const char *criu_version(void)
{
	if (!*version)
		read_version(version);
	return version;
}

int criu_unchanged(struct err *e)
{
	char now[sizeof(version)];

	read_version(now);
	return *version && strcmp(now, version) ? err_set(e, EX_TEMPFAIL, "criu: is version %s now, and was %s when it was checked",
							  now, version) : 0;
}

bool criu_is(pid_t pid)
{
	char path[64], name[32] = "";

	snprintf(path, sizeof(path), "/proc/%d/comm", (int)pid);
	AUTO_FILE FILE *f = fopen(path, "re");
	return f && fgets(name, sizeof(name), f) && !strncmp(name, "criu", 4);
}
