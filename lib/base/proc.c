/* SPDX-License-Identifier: MIT */
#include "lib/base/proc.h"

#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <pthread.h>
#include <signal.h>
#include <spawn.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/pidfd.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#include "lib/base/auto.h"
#include "lib/base/clock.h"

#define OUT_MAX      (64u << 20)
#define ERR_KEEP     4096 /* of stderr only the end is kept */
#define WARM_THREADS 3
#define WARM_STACK   (512 << 10)
#define WARM_MOST    (1 << 20) /* of one mapping: not of those that are only there in case, as are other threads' stacks */
#define WARM_ALL     (16 << 20)
#define HURRY_NICE   (-10)
#define YIELD_NICE   10

struct output {
	int fd;
	char *data; /* NULL: nothing yet */
	size_t len, room;
	bool tail; /* only the end matters */
};

static void output_release(struct output *o)
{
	if (o->fd >= 0)
		close(o->fd);
	free(o->data);
}

static int output_reserve(struct output *o, size_t n)
{
	size_t room = o->room ? o->room : 4096;
	char *p;

	while (room < o->len + n + 1)
		room *= 2;
	if (room == o->room)
		return 0;
	p = realloc(o->data, room);
	if (!p)
		return -1;
	o->data = p;
	o->room = room;
	return 0;
}

/* Reads what is there; 1: more may come, 0: the end, -1: too much or out of memory. */
static int output_read(struct output *o)
{
	char buf[16384];
	ssize_t r;

	while ((r = read(o->fd, buf, sizeof(buf))) > 0) {
		if (o->tail && o->len > ERR_KEEP) {
			memmove(o->data, o->data + o->len - ERR_KEEP / 2, ERR_KEEP / 2);
			o->len = ERR_KEEP / 2;
		}
		if (o->len + (size_t)r > OUT_MAX || output_reserve(o, (size_t)r))
			return -1;
		memcpy(o->data + o->len, buf, (size_t)r);
		o->len += (size_t)r;
		o->data[o->len] = '\0';
	}
	return r < 0 && (errno == EAGAIN || errno == EINTR);
}

/* The last line that is not empty, cut out of `text`; NULL when there is none. */
static const char *last_line(char *text)
{
	char *end, *line;

	if (!text)
		return NULL;
	for (end = text + strlen(text); end > text && strchr(" \t\r\n", end[-1]); end--)
		;
	*end = '\0';
	line = strrchr(text, '\n');
	line = line ? line + 1 : text;
	return *line ? line : NULL;
}

static int spawn(const char *const argv[], int out, int err, pid_t *pid)
{
	posix_spawn_file_actions_t fa;
	posix_spawnattr_t at;
	sigset_t none, dfl;
	int rc;

	sigemptyset(&none);
	sigemptyset(&dfl);
	sigaddset(&dfl, SIGPIPE); /* our programs ignore it; others live by it */
	posix_spawn_file_actions_init(&fa);
	posix_spawnattr_init(&at);
	posix_spawn_file_actions_addopen(&fa, 0, "/dev/null", O_RDONLY, 0);
	if (out >= 0)
		posix_spawn_file_actions_adddup2(&fa, out, 1);
	else
		posix_spawn_file_actions_addopen(&fa, 1, "/dev/null", O_WRONLY, 0);
	posix_spawn_file_actions_adddup2(&fa, err, 2);
	posix_spawnattr_setsigmask(&at, &none);
	posix_spawnattr_setsigdefault(&at, &dfl);
	posix_spawnattr_setflags(&at, POSIX_SPAWN_SETSIGMASK | POSIX_SPAWN_SETSIGDEF);
	rc = posix_spawnp(pid, argv[0], &fa, &at, (char *const *)argv, environ);
	posix_spawnattr_destroy(&at);
	posix_spawn_file_actions_destroy(&fa);
	return rc;
}

static bool has_ended(pid_t pid)
{
	siginfo_t si = { .si_pid = 0 };

	return waitid(P_PID, (id_t)pid, &si, WEXITED | WNOHANG | WNOWAIT) == 0 && si.si_pid == pid;
}

/* How long to poll: without a pidfd (valgrind has none) the program's end is looked for now and then. */
static int patience(double end, int timeout_ms, bool pidfd)
{
	double left = end - clock_ms();
	int wait = timeout_ms <= 0 ? -1 : left <= 0 ? 0 : (int)left + 1;

	return pidfd || (wait >= 0 && wait < 20) ? wait : 20;
}

/* Collects output until the program ends; 0, 1 on timeout, -1 when there is too much output. */
static int collect(struct output *out, struct output *err, pid_t pid, int timeout_ms)
{
	AUTO_FD int pidfd = pidfd_open(pid, 0);
	struct pollfd p[3] = { { .fd = out->fd, .events = POLLIN },
		               { .fd = err->fd, .events = POLLIN },
		               { .fd = pidfd, .events = POLLIN } };
	struct output *o[2] = { out, err };
	double end = clock_ms() + timeout_ms;

	for (;;) {
		int rd, rc = poll(p, 3, patience(end, timeout_ms, pidfd >= 0));
		bool ended;

		if (rc < 0 && errno != EINTR)
			return -1;
		ended = pidfd >= 0 ? rc > 0 && p[2].revents : has_ended(pid);
		for (int i = 0; i < 2; i++) {
			if (p[i].fd < 0 || (rc > 0 && !p[i].revents && !ended))
				continue;
			rd = output_read(o[i]);
			if (rd < 0)
				return -1;
			if (rd == 0)
				p[i].fd = -1;
		}
		/* its end counts, not that of the pipes, which a daemon that it left behind may hold */
		if (ended)
			return 0;
		if (timeout_ms > 0 && clock_ms() >= end)
			return 1;
	}
}

static const char *base(const char *path)
{
	const char *slash = strrchr(path, '/');

	return slash ? slash + 1 : path;
}

static int failure(const char *program, int status, char *text, struct err *e)
{
	const char *line = last_line(text);
	size_t n = strlen(program);

	if (WIFSIGNALED(status))
		return err_set(e, EX_OSERR, "%s: killed by signal %d", program, WTERMSIG(status));
	if (!line)
		return err_set(e, EX_OSERR, "%s: exit status %d", program, WEXITSTATUS(status));
	if (strncmp(line, program, n) == 0 && line[n] == ':') /* most programs say their name themselves */
		return err_set(e, EX_OSERR, "%.900s", line);
	return err_set(e, EX_OSERR, "%s: %.900s", program, line);
}

int proc_run(const char *const argv[], char **out, int timeout_ms, struct err *e)
{
	AUTO(output_release) struct output o = { .fd = -1 };
	AUTO(output_release) struct output s = { .fd = -1, .tail = true };
	AUTO_FD int out_w = -1;
	AUTO_FD int err_w = -1;
	const char *program = base(argv[0]);
	int p[2], rc, status = 0;
	pid_t pid;

	if (out) {
		if (pipe2(p, O_CLOEXEC))
			return err_sys(e, "%s: pipe", program);
		o.fd = p[0];
		out_w = p[1];
	}
	if (pipe2(p, O_CLOEXEC))
		return err_sys(e, "%s: pipe", program);
	s.fd = p[0];
	err_w = p[1];
	fcntl(s.fd, F_SETFL, O_NONBLOCK);
	if (o.fd >= 0)
		fcntl(o.fd, F_SETFL, O_NONBLOCK);
	errno = spawn(argv, out_w, err_w, &pid);
	if (errno) {
		rc = errno;
		err_sys(e, "%s: cannot run", program);
		if (e && rc == ENOENT)
			e->code = EX_UNAVAILABLE;
		return -1;
	}
	close(TAKE_FD(err_w));
	if (out_w >= 0)
		close(TAKE_FD(out_w));
	rc = collect(&o, &s, pid, timeout_ms);
	if (rc)
		kill(pid, SIGKILL);
	while (waitpid(pid, &status, 0) < 0 && errno == EINTR)
		;
	if (rc > 0)
		return err_set(e, EX_TEMPFAIL, "%s: no answer within %d ms", program, timeout_ms);
	if (rc < 0)
		return err_set(e, EX_OSERR, "%s: cannot read its output", program);
	if (!WIFEXITED(status) || WEXITSTATUS(status) != 0)
		return failure(program, status, s.data, e);
	if (out) {
		if (!o.data && !(o.data = strdup("")))
			return err_sys(e, "%s", program);
		*out = TAKE_PTR(o.data);
	}
	return 0;
}

static bool is_program(const char *path)
{
	struct stat st;

	return stat(path, &st) == 0 && S_ISREG(st.st_mode) && access(path, X_OK) == 0;
}

const char *proc_find(const char *program)
{
	static const char *const criu[] = {
		"/usr/local/lib/edge-criu/criu",
		"/usr/local/lib/edge-criu/usr/sbin/criu",
	};
	static _Thread_local char found[4096];
	const char *path = getenv("PATH"), *own = getenv("EDGE_CRIU");
	bool is_criu = strcmp(program, "criu") == 0;

	if (is_criu && own && *own)
		return is_program(own) ? own : NULL;
	for (path = path ? path : "/usr/sbin:/usr/bin:/sbin:/bin"; *path;) {
		size_t n = strcspn(path, ":");
		int len = snprintf(found, sizeof(found), "%.*s/%s", (int)n, path, program);

		/* an empty part means the current folder: never a place for programs that root runs */
		if (n > 0 && len > 0 && (size_t)len < sizeof(found) && is_program(found))
			return found;
		path += n + (path[n] == ':');
	}
	for (size_t i = 0; is_criu && i < sizeof(criu) / sizeof(*criu); i++)
		if (is_program(criu[i]))
			return criu[i];
	return NULL;
}

void proc_folder(char dir[PATH_MAX])
{
	ssize_t n = readlink("/proc/self/exe", dir, PATH_MAX - 1);

	dir[n > 0 ? n : 0] = '\0';
	if (strrchr(dir, '/'))
		*strrchr(dir, '/') = '\0';
}

void proc_prefer(const char *folder, size_t len)
{
	const char *path = getenv("PATH");
	AUTO_FREE char *text = NULL;

	/* never one that would be looked for in the current folder */
	if (!len || folder[0] != '/' || memchr(folder, ':', len))
		return;
	if (asprintf(&text, "%.*s:%s", (int)len, folder,
		     path && *path ? path : "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin") >= 0)
		setenv("PATH", text, 1);
	else
		text = NULL;
}

void proc_fellows(void)
{
	char dir[PATH_MAX];

	proc_folder(dir);
	proc_prefer(dir, strlen(dir));
}

bool proc_filtered(pid_t pid, pid_t tid)
{
	char path[64], line[256];
	int mode = 0;

	snprintf(path, sizeof(path), "/proc/%d/task/%d/status", (int)pid, (int)tid);
	AUTO_FILE FILE *f = fopen(path, "re");
	while (f && fgets(line, sizeof(line), f))
		if (sscanf(line, "Seccomp: %d", &mode) == 1)
			break;
	return mode != 0;
}

void proc_hurry(pid_t pid)
{
	setpriority(PRIO_PROCESS, (id_t)pid, HURRY_NICE);
}

void proc_yield(void)
{
	setpriority(PRIO_PROCESS, 0, YIELD_NICE);
}

void proc_unhurry(void)
{
	setpriority(PRIO_PROCESS, 0, 0);
}

static __attribute__((noinline)) void deepen_stack(void)
{
	uintptr_t page = (uintptr_t)sysconf(_SC_PAGESIZE), from;
	volatile char deep[WARM_STACK];

	deep[0] = 0; /* the main thread's grows so far */
	from = ((uintptr_t)deep + page - 1) / page * page;
	madvise((void *)from, (uintptr_t)deep + sizeof(deep) - from, MADV_POPULATE_WRITE);
}

void proc_warm_stack(void)
{
	struct rlimit most;

	if (!getrlimit(RLIMIT_STACK, &most) && most.rlim_cur >= 4 * WARM_STACK)
		deepen_stack();
}

static void *wait_for(void *lock)
{
	pthread_mutex_lock(lock);
	pthread_mutex_unlock(lock);
	return NULL;
}

/* A thread that ends leaves what was the thread's own, written to, to the next one that is started. */
static void warm_threads(void)
{
	pthread_mutex_t lock = PTHREAD_MUTEX_INITIALIZER;
	pthread_t thread[WARM_THREADS];
	int n = 0;

	pthread_mutex_lock(&lock);
	while (n < WARM_THREADS && !pthread_create(&thread[n], NULL, wait_for, &lock))
		n++;
	pthread_mutex_unlock(&lock);
	while (n > 0)
		pthread_join(thread[--n], NULL);
}

void proc_warm(void)
{
	AUTO_FILE FILE *f = fopen("/proc/self/maps", "re");
	unsigned long from, to, left = WARM_ALL;
	char line[512], may[5];

	warm_threads();
	proc_warm_stack();
	while (f && fgets(line, sizeof(line), f)) {
		if (sscanf(line, "%lx-%lx %4s", &from, &to, may) != 3 || strcmp(may, "rw-p") || to - from > left ||
		    (to - from > WARM_MOST && !strstr(line, "[heap]")))
			continue;
		madvise((void *)from, to - from, MADV_POPULATE_WRITE);
		left -= to - from;
	}
}
