/* SPDX-License-Identifier: MIT */
/* System calls made in other processes, which must not notice. inject.c is taken in whole, so that a tracer can be killed
 * at each of its steps. */
#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <sched.h>
#include <signal.h>
#include <stdlib.h>
#include <sys/epoll.h>
#include <sys/eventfd.h>
#include <sys/ipc.h>
#include <sys/mman.h>
#include <sys/msg.h>
#include <sys/prctl.h>
#include <sys/ptrace.h>
#include <sys/sem.h>
#include <sys/select.h>
#include <sys/socket.h>
#include <sys/syscall.h>
#include <sys/un.h>
#include <sys/wait.h>
#include <linux/futex.h>
#include <time.h>
#include <unistd.h>

static int die_at = -1; /* the number of the ptrace request before which the tracer is killed */
static int requests;

static long test_ptrace(int request, pid_t pid, void *addr, void *data)
{
	if (requests++ == die_at)
		kill(getpid(), SIGKILL);
	return ptrace(request, pid, addr, data);
}

#define ptrace(request, pid, addr, data) \
	test_ptrace(request, pid, (void *)(uintptr_t)(addr), (void *)(uintptr_t)(data))
#include "lib/move/inject.c" // NOLINT(bugprone-suspicious-include)
#undef ptrace

#include "tests/unit/tap.h"

#define LONG_MS 60000
#define SHORT_MS 300

static struct err e;

/* Shared with the children. */
static struct shared {
	volatile int ready;       /* it is about to block */
	volatile int signals;     /* its handler has seen */
	volatile long calls;      /* of a thread that goes on */
	volatile int futex;
	int pipe[2], event, epoll, listener, idle_socket, msg, sem;
	struct sockaddr_un addr;
	volatile double slept;
} *sh;

static long pid_there;

static int ask_pid(struct inject *in, void *ctx, struct err *err)
{
	long result = -1;
	int times = *(int *)ctx;

	for (int i = 0; i < times; i++)
		if (inject_call(in, SYS_getpid, (const long[3]){ 0 }, &result, err))
			return -1;
	pid_there = result;
	return 0;
}

static int inject_pid(pid_t pid, int times)
{
	double ms;

	pid_there = -1;
	return inject_run(pid, ask_pid, &times, &ms, &e);
}

/* ---- one that is blocked in some call: the child ends with 0 when the call ended as it should ---- */

struct blocked {
	const char *name;
	int (*call)(void);      /* in the child; 0: as it should be */
	void (*release)(pid_t); /* NULL: it ends by itself */
};

static double since(double t)
{
	return clock_ms() - t;
}

static int slept_well(double t)
{
	sh->slept = since(t);
	return sh->slept >= SHORT_MS - 2 ? 0 : 3;
}

static int call_read(void)
{
	char c = 0;

	return read(sh->pipe[0], &c, 1) == 1 && c == 'x' ? 0 : 1;
}

static void release_pipe(pid_t pid)
{
	(void)pid;
	(void)!write(sh->pipe[1], "x", 1);
}

static int call_futex(void)
{
	return syscall(SYS_futex, &sh->futex, FUTEX_WAIT, 0, NULL, NULL, 0) ? 1 : 0;
}

static void release_futex(pid_t pid)
{
	(void)pid;
	sh->futex = 1;
	syscall(SYS_futex, &sh->futex, FUTEX_WAKE, 1, NULL, NULL, 0);
}

static int call_futex_limit(void)
{
	struct timespec limit = { 0, SHORT_MS * 1000000L };
	double t = clock_ms();

	return syscall(SYS_futex, &sh->futex, FUTEX_WAIT, 0, &limit, NULL, 0) == -1 && errno == ETIMEDOUT ? slept_well(t) : 1;
}

static int call_epoll(void)
{
	struct epoll_event ev;

	return epoll_wait(sh->epoll, &ev, 1, -1) == 1 ? 0 : 1;
}

static int call_epoll_limit(void)
{
	struct epoll_event ev;
	double t = clock_ms();

	return epoll_wait(sh->epoll, &ev, 1, SHORT_MS) == 0 ? slept_well(t) : 1;
}

static int call_epoll_pwait(void)
{
	struct epoll_event ev;
	sigset_t set;

	sigfillset(&set);
	return epoll_pwait(sh->epoll, &ev, 1, LONG_MS, &set) == 1 ? 0 : 1;
}

static void release_event(pid_t pid)
{
	(void)pid;
	eventfd_write(sh->event, 1);
}

static int call_nanosleep(void)
{
	struct timespec t = { 0, SHORT_MS * 1000000L };
	double start = clock_ms();

	return nanosleep(&t, NULL) ? 1 : slept_well(start);
}

static int call_clock_nanosleep(void)
{
	struct timespec t;
	double start = clock_ms();

	clock_gettime(CLOCK_MONOTONIC, &t);
	t.tv_nsec += SHORT_MS * 1000000L;
	t.tv_sec += t.tv_nsec / 1000000000;
	t.tv_nsec %= 1000000000;
	return clock_nanosleep(CLOCK_MONOTONIC, TIMER_ABSTIME, &t, NULL) ? 1 : slept_well(start);
}

static int call_clock_nanosleep_relative(void)
{
	struct timespec t = { 0, SHORT_MS * 1000000L };
	double start = clock_ms();

	return clock_nanosleep(CLOCK_MONOTONIC, 0, &t, NULL) ? 1 : slept_well(start);
}

static int call_poll(void)
{
	struct pollfd p = { sh->event, POLLIN, 0 };

	return poll(&p, 1, LONG_MS) == 1 ? 0 : 1;
}

static int call_poll_limit(void)
{
	struct pollfd p = { sh->event, POLLIN, 0 };
	double t = clock_ms();

	return poll(&p, 1, SHORT_MS) == 0 ? slept_well(t) : 1;
}

static int call_ppoll(void)
{
	struct pollfd p = { sh->event, POLLIN, 0 };
	struct timespec limit = { LONG_MS / 1000, 0 };
	sigset_t set;

	sigfillset(&set);
	return ppoll(&p, 1, &limit, &set) == 1 ? 0 : 1;
}

static int call_select(void)
{
	struct timeval limit = { LONG_MS / 1000, 0 };
	fd_set set;

	FD_ZERO(&set);
	FD_SET(sh->event, &set);
	return select(sh->event + 1, &set, NULL, NULL, &limit) == 1 ? 0 : 1;
}

static int call_pselect(void)
{
	struct timespec limit = { 0, SHORT_MS * 1000000L };
	double t = clock_ms();
	fd_set set;

	FD_ZERO(&set);
	FD_SET(sh->event, &set);
	return pselect(sh->event + 1, &set, NULL, NULL, &limit, NULL) == 0 ? slept_well(t) : 1;
}

static int call_wait4(void)
{
	int status;
	pid_t pid = fork();

	if (!pid) {
		prctl(PR_SET_PDEATHSIG, SIGKILL);
		_exit(call_read());
	}
	return waitpid(pid, &status, 0) == pid && !status ? 0 : 1;
}

static int call_waitid(void)
{
	siginfo_t info;
	pid_t pid = fork();

	if (!pid)
		_exit(call_read());
	return waitid(P_PID, (id_t)pid, &info, WEXITED) || info.si_status ? 1 : 0;
}

static int call_sigtimedwait(void)
{
	struct timespec limit = { LONG_MS / 1000, 0 };
	sigset_t set;

	sigemptyset(&set);
	sigaddset(&set, SIGUSR1);
	sigprocmask(SIG_BLOCK, &set, NULL);
	return sigtimedwait(&set, NULL, &limit) == SIGUSR1 ? 0 : 1;
}

static int call_sigwaitinfo(void)
{
	sigset_t set;

	sigfillset(&set); /* SIGTRAP too */
	sigprocmask(SIG_BLOCK, &set, NULL);
	return sigwaitinfo(&set, NULL) == SIGUSR1 ? 0 : 1;
}

static void release_signal(pid_t pid)
{
	kill(pid, SIGUSR1);
}

static void count_signal(int number)
{
	(void)number;
	sh->signals++;
}

static int call_pause(void)
{
	signal(SIGUSR1, count_signal);
	return pause() == -1 && errno == EINTR && sh->signals == 1 ? 0 : 1;
}

static int call_sigsuspend(void)
{
	sigset_t block, none;

	sigemptyset(&none);
	sigemptyset(&block);
	sigaddset(&block, SIGUSR1);
	sigprocmask(SIG_BLOCK, &block, NULL);
	signal(SIGUSR1, count_signal);
	return sigsuspend(&none) == -1 && errno == EINTR && sh->signals == 1 ? 0 : 1;
}

/* A handler that was not made to begin calls again ends them, also after an injection. */
static int call_read_handler(void)
{
	struct sigaction act = { .sa_handler = count_signal };
	char c;

	sigaction(SIGUSR1, &act, NULL);
	return read(sh->pipe[0], &c, 1) == -1 && errno == EINTR && sh->signals == 1 ? 0 : 1;
}

static int call_epoll_handler(void)
{
	struct sigaction act = { .sa_handler = count_signal, .sa_flags = SA_RESTART };
	struct epoll_event ev;

	sigaction(SIGUSR1, &act, NULL);
	return epoll_wait(sh->epoll, &ev, 1, -1) == -1 && errno == EINTR && sh->signals == 1 ? 0 : 1;
}

static int call_msgrcv(void)
{
	struct {
		long type;
		char text[8];
	} m;

	return msgrcv(sh->msg, &m, sizeof(m.text), 1, 0) == 1 ? 0 : 1;
}

static void release_msg(pid_t pid)
{
	const struct {
		long type;
		char text[8];
	} m = { 1, "x" };

	(void)pid;
	msgsnd(sh->msg, &m, 1, 0);
}

static int call_semop(void)
{
	struct sembuf op = { 0, -1, 0 };

	return semop(sh->sem, &op, 1) ? 1 : 0;
}

static int call_semtimedop(void)
{
	struct timespec limit = { LONG_MS / 1000, 0 };
	struct sembuf op = { 0, -1, 0 };

	return semtimedop(sh->sem, &op, 1, &limit) ? 1 : 0;
}

static void release_sem(pid_t pid)
{
	struct sembuf op = { 0, 1, 0 };

	(void)pid;
	semop(sh->sem, &op, 1);
}

static int call_accept(void)
{
	return accept(sh->listener, NULL, NULL) < 0;
}

static void release_accept(pid_t pid)
{
	int fd = socket(AF_UNIX, SOCK_STREAM, 0);

	(void)pid;
	(void)!connect(fd, (struct sockaddr *)&sh->addr, sizeof(sh->addr));
	close(fd);
}

/* A queue of one that is full. */
static int call_connect(void)
{
	int first = socket(AF_UNIX, SOCK_STREAM, 0), second = socket(AF_UNIX, SOCK_STREAM, 0);

	if (connect(first, (struct sockaddr *)&sh->addr, sizeof(sh->addr)))
		return 2;
	return connect(second, (struct sockaddr *)&sh->addr, sizeof(sh->addr)) ? 1 : 0;
}

static void release_connect(pid_t pid)
{
	(void)pid;
	close(accept(sh->listener, NULL, NULL));
}

static int call_recv_limit(void)
{
	struct timeval limit = { LONG_MS / 1000, 0 };
	int pair[2];
	char c;

	if (socketpair(AF_UNIX, SOCK_STREAM, 0, pair) || setsockopt(pair[0], SOL_SOCKET, SO_RCVTIMEO, &limit, sizeof(limit)))
		return 2;
	if (!fork()) {
		if (call_read())
			_exit(1);
		(void)!write(pair[1], "y", 1);
		_exit(0);
	}
	return recv(pair[0], &c, 1, 0) == 1 && c == 'y' ? 0 : 1;
}

static int call_flock(void) /* fcntl(F_SETLKW) */
{
	struct flock l = { .l_type = F_WRLCK };
	int fd = memfd_create("lock", 0);

	pid_t pid = fork();
	if (!pid) {
		prctl(PR_SET_PDEATHSIG, SIGKILL);
		if (fcntl(fd, F_SETLK, &l))
			_exit(1);
		sh->calls = 1;
		_exit(call_read());
	}
	while (!sh->calls)
		usleep(1000);
	return fcntl(fd, F_SETLKW, &l) ? 1 : 0;
}

/* Never blocked: it computes. */
static int call_compute(void)
{
	unsigned long a = 1, b = 1;
	double t = clock_ms();

	while (since(t) < SHORT_MS)
		for (int i = 0; i < 100000; i++) {
			a = a * 6364136223846793005UL + 1442695040888963407UL;
			b = b * 6364136223846793005UL + 1442695040888963407UL;
			if (a != b)
				return 1;
		}
	return 0;
}

static const struct blocked blocked[] = {
	{ "read", call_read, release_pipe },
	{ "futex", call_futex, release_futex },
	{ "futex with a time limit", call_futex_limit, NULL },
	{ "epoll_wait", call_epoll, release_event },
	{ "epoll_wait with a time limit", call_epoll_limit, NULL },
	{ "epoll_pwait with all signals blocked", call_epoll_pwait, release_event },
	{ "nanosleep", call_nanosleep, NULL },
	{ "clock_nanosleep until a time", call_clock_nanosleep, NULL },
	{ "clock_nanosleep for a time", call_clock_nanosleep_relative, NULL },
	{ "poll", call_poll, release_event },
	{ "poll until its limit", call_poll_limit, NULL },
	{ "ppoll", call_ppoll, release_event },
	{ "select", call_select, release_event },
	{ "pselect until its limit", call_pselect, NULL },
	{ "wait4", call_wait4, release_pipe },
	{ "waitid", call_waitid, release_pipe },
	{ "sigtimedwait", call_sigtimedwait, release_signal },
	{ "sigwaitinfo with all signals blocked", call_sigwaitinfo, release_signal },
	{ "pause", call_pause, release_signal },
	{ "sigsuspend", call_sigsuspend, release_signal },
	{ "read that a handler ends", call_read_handler, release_signal },
	{ "epoll_wait that a handler ends", call_epoll_handler, release_signal },
	{ "msgrcv", call_msgrcv, release_msg },
	{ "semop", call_semop, release_sem },
	{ "semtimedop", call_semtimedop, release_sem },
	{ "accept", call_accept, release_accept },
	{ "connect", call_connect, release_connect },
	{ "recv with a time limit", call_recv_limit, release_pipe },
	{ "fcntl(F_SETLKW)", call_flock, release_pipe },
	{ "nothing", call_compute, NULL },
};

static void make_objects(void)
{
	struct epoll_event ev = { EPOLLIN, { 0 } };
	static int times; /* who had the name before may still be on its way out */

	sh = mmap(NULL, sizeof(*sh), PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);
	if (sh == MAP_FAILED || pipe2(sh->pipe, O_CLOEXEC))
		abort();
	sh->event = eventfd(0, EFD_CLOEXEC);
	sh->epoll = epoll_create1(EPOLL_CLOEXEC);
	epoll_ctl(sh->epoll, EPOLL_CTL_ADD, sh->event, &ev);
	sh->listener = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);
	sh->addr.sun_family = AF_UNIX;
	snprintf(sh->addr.sun_path + 1, sizeof(sh->addr.sun_path) - 1, "inject-test-%d-%d", getpid(), times++);
	if (bind(sh->listener, (struct sockaddr *)&sh->addr, sizeof(sh->addr)) || listen(sh->listener, 0))
		abort();
	sh->msg = msgget(IPC_PRIVATE, 0600);
	sh->sem = semget(IPC_PRIVATE, 1, 0600);
}

static void remove_objects(void)
{
	msgctl(sh->msg, IPC_RMID, NULL);
	semctl(sh->sem, 0, IPC_RMID);
}

static void renew_objects(void)
{
	int mem[2] = { sh->pipe[0], sh->pipe[1] };

	close(mem[0]);
	close(mem[1]);
	close(sh->event);
	close(sh->epoll);
	close(sh->listener);
	remove_objects();
	munmap(sh, sizeof(*sh));
	make_objects();
}

static pid_t start(int (*fn)(void))
{
	pid_t pid;

	fflush(stdout);
	pid = fork();
	if (!pid) {
		prctl(PR_SET_PDEATHSIG, SIGKILL);
		signal(SIGSEGV, SIG_DFL); /* a sanitizer would make a status of it */
		sh->ready = 1;
		_exit(fn());
	}
	while (!sh->ready)
		usleep(500);
	return pid;
}

/* Waits until it sleeps in its call. */
static void until_blocked(pid_t pid)
{
	for (int i = 0; i < 2000 && state_of(pid, pid) != 'S'; i++)
		usleep(500);
	usleep(5000);
}

static int end_of(pid_t pid)
{
	int status = -1;

	while (waitpid(pid, &status, 0) < 0 && errno == EINTR)
		;
	return status;
}

static bool has_ended(pid_t pid)
{
	siginfo_t info = { 0 };

	return !waitid(P_PID, (id_t)pid, &info, WEXITED | WNOHANG | WNOWAIT) && info.si_pid == pid;
}

static void test_blocked(const struct blocked *b)
{
	char name[128];
	pid_t pid = start(b->call);
	int rc = 0;

	if (b->call != call_compute)
		until_blocked(pid);
	for (int i = 0; i < 5 && !rc; i++) {
		rc = inject_pid(pid, 2);
		if (i && rc && !b->release && has_ended(pid)) { /* on a busy machine its time may be over by now */
			pid_there = pid;
			rc = 0;
			break;
		}
		if (rc || pid_there != pid)
			break;
		usleep(3000);
	}
	snprintf(name, sizeof(name), "a call in a process that is blocked in %s", b->name);
	if (!ok(!rc && pid_there == pid, name))
		printf("# %ld %s\n", pid_there, rc ? e.text : "");
	if (b->release) {
		until_blocked(pid);
		b->release(pid);
	}
	snprintf(name, sizeof(name), "... which does not notice");
	is_int(end_of(pid), 0, name);
	renew_objects();
}

/* ---- threads, signals ---- */

static int signal_storm(void)
{
	struct sigaction act = { .sa_handler = count_signal };
	struct timespec t = { 0, 200000 };
	double end = clock_ms() + SHORT_MS;

	sigaction(SIGUSR1, &act, NULL);
	sh->ready = 2;
	while (clock_ms() < end || sh->futex == 0) {
		if (nanosleep(&t, NULL) && errno != EINTR)
			return 1;
		sh->calls++;
	}
	return 0;
}

static void test_signals(void)
{
	pid_t pid = start(signal_storm), sender = fork();
	int rc = 0, n = 0;

	if (!sender) {
		prctl(PR_SET_PDEATHSIG, SIGKILL);
		while (sh->ready != 2) /* without its handler it would die of them */
			usleep(500);
		for (;;) {
			kill(pid, SIGUSR1);
			usleep(50);
		}
	}
	for (; n < 200 && !rc; n++)
		rc = inject_pid(pid, 2) || pid_there != pid;
	ok(!rc, "calls in a process that gets thousands of signals");
	kill(sender, SIGKILL);
	end_of(sender);
	sh->futex = 1;
	is_int(end_of(pid), 0, "... which goes on");
	ok(sh->signals > 20, "... and its handler has seen them");
	renew_objects();
}

static void *blocked_forever(void *arg)
{
	char c;

	(void)!read(*(int *)arg, &c, 1);
	return NULL;
}

static int many_threads(void)
{
	pthread_t t[4];

	for (int i = 0; i < 4; i++)
		pthread_create(&t[i], NULL, blocked_forever, &sh->pipe[0]);
	sh->ready = 2;
	pthread_exit(NULL); /* the first thread is a zombie then */
}

static void test_threads(void)
{
	pid_t pid = start(many_threads);

	while (state_of(pid, pid) != 'Z')
		usleep(500);
	is_int(inject_pid(pid, 1), 0, "a process whose first thread has ended");
	is_int(pid_there, pid, "... is called in by another one");
	(void)!write(sh->pipe[1], "xxxx", 4);
	is_int(end_of(pid), 0, "... and its threads go on");
	renew_objects();
}

static int in_vfork(void)
{
	static const struct timespec t = { 0, SHORT_MS * 1000000L };
	pid_t pid = vfork();

	if (!pid) {
		nanosleep(&t, NULL); // NOLINT(clang-analyzer-unix.Vfork): so that its parent waits
		_exit(0);
	}
	return end_of(pid);
}

static void test_vfork(void)
{
	pid_t pid = start(in_vfork);

	for (int i = 0; i < 200 && state_of(pid, pid) != 'D'; i++)
		usleep(500);
	is_int(inject_pid(pid, 1), -1, "a process that waits for its vfork(2)");
	is_int(e.code, EX_TEMPFAIL, "... cannot be called in now");
	is_int(end_of(pid), 0, "... and goes on");
	renew_objects();
}

static void test_stopped(void)
{
	pid_t pid = start(call_read);
	int status;

	until_blocked(pid);
	kill(pid, SIGSTOP);
	waitpid(pid, &status, WUNTRACED);
	is_int(inject_pid(pid, 2), 0, "a process that SIGSTOP has stopped");
	for (int i = 0; i < 2000 && state_of(pid, pid) != 'T'; i++)
		usleep(500);
	is_int(state_of(pid, pid), 'T', "... is so afterwards");
	kill(pid, SIGCONT);
	release_pipe(pid);
	is_int(end_of(pid), 0, "... and goes on after SIGCONT");
	renew_objects();
}

static void test_refused(void)
{
	pid_t pid = start(call_read), tracer;
	int go[2];
	char c;

	until_blocked(pid);
	if (pipe2(go, O_CLOEXEC))
		abort();
	tracer = fork();
	if (!tracer) {
		prctl(PR_SET_PDEATHSIG, SIGKILL);
		ptrace(PTRACE_SEIZE, pid, NULL, NULL);
		(void)!write(go[1], "x", 1);
		pause();
		_exit(0);
	}
	(void)!read(go[0], &c, 1);
	is_int(inject_pid(pid, 1), -1, "a process that another one traces");
	is_int(e.code, EX_UNAVAILABLE, "... is refused");
	ok(strstr(e.text, "is traced by another one") != NULL, "... with the reason");
	kill(tracer, SIGKILL);
	end_of(tracer);
	close(go[0]);
	close(go[1]);
	is_int(inject_pid(pid, 1), 0, "... and not when that one is gone");
	release_pipe(pid);
	is_int(end_of(pid), 0, "... and it goes on");
	is_int(inject_pid(pid, 1), -1, "one that has ended");
	is_int(e.code, EX_NOINPUT, "... is gone");
	renew_objects();
}

/* ---- who kills the tracer ---- */

/* The child sleeps for a while, and ends with 0 if nothing of it was changed. */
static int die_once(int at, bool *killed)
{
	pid_t pid = start(call_nanosleep), tracer;
	int status;

	fflush(stdout);
	tracer = fork();
	if (!tracer) {
		die_at = at;
		requests = 0;
		_exit(inject_pid(pid, 1) != 0);
	}
	status = end_of(tracer);
	*killed = WIFSIGNALED(status);
	status = end_of(pid);
	sh->ready = 0;
	return status;
}

static void test_killed(void)
{
	int unhurt = 0, dead = 0, other = 0, n = 0;
	bool killed = true;
	char steps[64] = "";

	for (; n < 40; n++) {
		int status = die_once(n, &killed);

		if (!killed)
			break;
		snprintf(steps + strlen(steps), sizeof(steps) - strlen(steps), "%s", !status ? "." : "x");
		unhurt += !status;
		dead += WIFSIGNALED(status) && WTERMSIG(status) == SIGSEGV;
		other += status && !(WIFSIGNALED(status) && WTERMSIG(status) == SIGSEGV);
	}
	printf("# killed before each of its %d requests: %s (x: the process died)\n", n, steps);
	ok(n > 5 && n < 40, "a tracer that is killed at each of its steps");
	is_int(other, 0, "... leaves a process that goes on as it was, or one that is dead");
	ok(dead > 0 && dead <= 6 && unhurt == n - dead, "... and dead only if it was killed in the middle of a call");
	renew_objects();
}

int main(void)
{
	double worst = 0, ms;
	int times = 2;

	make_objects();
	for (size_t i = 0; i < sizeof(blocked) / sizeof(*blocked); i++)
		test_blocked(&blocked[i]);
	test_signals();
	test_threads();
	test_vfork();
	test_stopped();
	test_refused();
	test_killed();
	pid_t pid = start(call_read);
	until_blocked(pid);
	for (int i = 0; i < 50; i++) {
		inject_run(pid, ask_pid, &times, &ms, &e);
		worst = ms > worst ? ms : worst;
	}
	printf("# two calls: it stood still for %.3f ms, %.3f at worst\n", ms, worst);
	release_pipe(pid);
	end_of(pid);
	remove_objects();
	return done();
}
