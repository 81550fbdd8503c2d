/* SPDX-License-Identifier: MIT */
/* objects PORT: holds kernel objects of many kinds. Over one TCP connection each line that comes is answered by
 * "ok NAME" or "not ok NAME: WHAT" for each of them and an empty line. A check leaves its object as it found it. */
#include <errno.h>
#include <fcntl.h>
#include <netinet/in.h>
#include <pthread.h>
#include <signal.h>
#include <stdatomic.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/eventfd.h>
#include <sys/file.h>
#include <sys/inotify.h>
#include <sys/ipc.h>
#include <sys/mman.h>
#include <sys/resource.h>
#include <sys/shm.h>
#include <sys/signalfd.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/timerfd.h>
#include <sys/un.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#define THREADS 4
#define UNREAD 40000
#define MARK 0x1234567890abcdefull

/* What a check found wrong; NULL: nothing. */
#define WANT(what)                 \
	do {                       \
		if (!(what))       \
			return #what; \
	} while (0)

static uint8_t pattern[UNREAD];

static void wait_ms(int ms) /* whatever signals come */
{
	struct timespec t = { 0, ms * 1000000l };

	while (nanosleep(&t, &t) && errno == EINTR)
		;
}

/* ---- processes: a child that answers over pipes, its own child in a session of its own, a zombie ---- */

static int to_child[2], from_child[2];
static pid_t child, zombie;
static struct shared {
	_Atomic uint64_t calls, deep;
	pid_t grandchild;
	uint8_t text[100000];
} *anon, *of_memfd, *of_deleted;
static int memfd, deleted, locked;

static void child_main(void)
{
	struct flock l = { .l_type = F_WRLCK };
	char c;

	close(to_child[1]);
	pid_t pid = fork();
	if (pid)
		anon->grandchild = pid;
	if (!pid) {
		setsid();
		for (;;) {
			anon->deep++;
			wait_ms(5);
		}
	}
	while (read(to_child[0], &c, 1) == 1) {
		anon->calls++;
		of_memfd->calls++;
		of_deleted->calls++;
		/* Whether the parent's locks are there is only seen from another process. */
		int fd = open("/tmp/locked", O_RDWR);
		int taken = fcntl(fd, F_SETLK, &l) && errno == EAGAIN && flock(fd, LOCK_EX | LOCK_NB) && errno == EWOULDBLOCK;
		c = (char)taken;
		close(fd);
		if (write(from_child[1], &c, 1) != 1)
			break;
	}
	_exit(0);
}

static void processes_start(void)
{
	struct flock l = { .l_type = F_WRLCK };

	memfd = memfd_create("edge", MFD_ALLOW_SEALING);
	deleted = open("/tmp/deleted", O_RDWR | O_CREAT, 0600);
	locked = open("/tmp/locked", O_RDWR | O_CREAT, 0600);
	if (ftruncate(memfd, sizeof(*anon)) || ftruncate(deleted, sizeof(*anon)) || flock(locked, LOCK_EX) ||
	    fcntl(locked, F_SETLK, &l) || fcntl(memfd, F_ADD_SEALS, F_SEAL_SHRINK) || pipe(to_child) || pipe(from_child))
		exit(71);
	anon = mmap(NULL, sizeof(*anon), PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);
	of_memfd = mmap(NULL, sizeof(*anon), PROT_READ | PROT_WRITE, MAP_SHARED, memfd, 0);
	of_deleted = mmap(NULL, sizeof(*anon), PROT_READ | PROT_WRITE, MAP_SHARED, deleted, 0);
	unlink("/tmp/deleted");
	memcpy(anon->text, pattern, UNREAD);
	memcpy(of_memfd->text, pattern, UNREAD);
	memcpy(of_deleted->text, pattern, UNREAD);
	child = fork();
	if (!child)
		child_main();
	close(from_child[1]);
	close(to_child[0]);
	zombie = fork();
	if (!zombie)
		_exit(42);
}

static const char *call_child(void)
{
	char c = 'x';

	WANT(write(to_child[1], &c, 1) == 1);
	WANT(read(from_child[0], &c, 1) == 1);
	WANT(c == 1 || !"the locks are held");
	return NULL;
}

static const char *check_pipes(void)
{
	WANT(!kill(child, 0));
	return call_child();
}

static const char *check_tree(void)
{
	uint64_t was = anon->deep;

	for (int i = 0; i < 500 && anon->deep == was; i++)
		wait_ms(10);
	WANT(anon->deep > was);
	WANT(getsid(anon->grandchild) == anon->grandchild);
	WANT(getsid(child) == getsid(0));
	WANT(getpgid(child) == getpgid(0));
	return NULL;
}

static const char *check_zombie(void)
{
	siginfo_t info = { 0 };

	WANT(!waitid(P_PID, (id_t)zombie, &info, WEXITED | WNOWAIT | WNOHANG));
	WANT(info.si_pid == zombie && info.si_code == CLD_EXITED && info.si_status == 42);
	return NULL;
}

static const char *check_memory_of(struct shared *s)
{
	uint64_t was = s->calls;
	const char *why = call_child();

	if (why)
		return why;
	WANT(s->calls == was + 1);
	WANT(!memcmp(s->text, pattern, UNREAD));
	return NULL;
}

static const char *check_anon(void)
{
	return check_memory_of(anon);
}

static const char *check_memfd(void)
{
	WANT(fcntl(memfd, F_GET_SEALS) == F_SEAL_SHRINK);
	return check_memory_of(of_memfd);
}

static const char *check_deleted(void)
{
	static uint8_t got[UNREAD];
	struct stat st;

	WANT(!fstat(deleted, &st) && st.st_nlink == 0 && st.st_size == sizeof(*of_deleted));
	WANT(pread(deleted, got, UNREAD, offsetof(struct shared, text)) == UNREAD && !memcmp(got, pattern, UNREAD));
	WANT(access("/tmp/deleted", F_OK));
	return check_memory_of(of_deleted);
}

/* ---- threads ---- */

static _Atomic uint64_t turns[THREADS];
static __thread uint64_t own;
static pthread_mutex_t lock = PTHREAD_MUTEX_INITIALIZER;
static pthread_cond_t cond = PTHREAD_COND_INITIALIZER;
static unsigned turn;

static void *thread(void *arg)
{
	unsigned me = (unsigned)(uintptr_t)arg;

	for (own = 0;;) {
		pthread_mutex_lock(&lock);
		while (turn % THREADS != me)
			pthread_cond_wait(&cond, &lock);
		turns[me] = ++own;
		turn++;
		pthread_cond_broadcast(&cond);
		pthread_mutex_unlock(&lock);
		wait_ms(1);
	}
	return NULL;
}

static void threads_start(void)
{
	for (uintptr_t i = 0; i < THREADS; i++) {
		pthread_t t;

		pthread_create(&t, NULL, thread, (void *)i);
	}
}

static const char *check_threads(void)
{
	uint64_t was[THREADS];

	for (int i = 0; i < THREADS; i++)
		was[i] = turns[i];
	for (int i = 0; i < THREADS; i++)
		for (int n = 0; n < 500 && turns[i] == was[i]; n++)
			wait_ms(10);
	for (int i = 0; i < THREADS; i++)
		WANT(turns[i] > was[i]);
	pthread_mutex_lock(&lock);
	uint64_t most = turns[0], least = turns[THREADS - 1];
	pthread_mutex_unlock(&lock);
	WANT(most - least <= 1);
	return NULL;
}

/* ---- sockets and pipes with unread data ---- */

static int pair[2], listener, dgram[2], fifo, unread[2];

static void put_unread(int fd)
{
	if (write(fd, pattern, UNREAD) != UNREAD)
		exit(71);
}

static const char *take_unread(int fd)
{
	static uint8_t got[UNREAD];

	for (size_t n = 0; n < UNREAD;) {
		ssize_t k = read(fd, got + n, UNREAD - n);

		WANT(k > 0);
		n += (size_t)k;
	}
	WANT(!memcmp(got, pattern, UNREAD));
	WANT(recv(fd, got, 1, MSG_DONTWAIT) < 0);
	return NULL;
}

static void sockets_start(void)
{
	struct sockaddr_un un = { .sun_family = AF_UNIX, .sun_path = "/tmp/listening" };

	listener = socket(AF_UNIX, SOCK_STREAM, 0);
	if (socketpair(AF_UNIX, SOCK_STREAM, 0, pair) || socketpair(AF_UNIX, SOCK_DGRAM, 0, dgram) ||
	    bind(listener, (struct sockaddr *)&un, sizeof(un)) || listen(listener, 5) || mkfifo("/tmp/fifo", 0600) ||
	    pipe(unread))
		exit(71);
	fifo = open("/tmp/fifo", O_RDWR);
	put_unread(pair[0]);
	put_unread(fifo);
	put_unread(unread[1]);
	if (send(dgram[0], "one", 3, 0) != 3 || send(dgram[0], "second", 6, 0) != 6)
		exit(71);
}

static const char *check_unix(void)
{
	const char *why = take_unread(pair[1]);

	put_unread(pair[0]);
	return why;
}

static const char *check_pipe_data(void)
{
	const char *why = take_unread(unread[0]);

	put_unread(unread[1]);
	return why;
}

static const char *check_fifo(void)
{
	const char *why = take_unread(fifo);

	put_unread(fifo);
	return why;
}

static const char *check_dgram(void)
{
	char got[16];

	WANT(recv(dgram[1], got, sizeof(got), 0) == 3 && recv(dgram[1], got, sizeof(got), 0) == 6);
	WANT(!memcmp(got, "second", 6));
	WANT(send(dgram[0], "one", 3, 0) == 3 && send(dgram[0], "second", 6, 0) == 6);
	return NULL;
}

static const char *check_listener(void)
{
	struct sockaddr_un un = { .sun_family = AF_UNIX, .sun_path = "/tmp/listening" };
	int c = socket(AF_UNIX, SOCK_STREAM, 0), a;
	char got = 0;

	WANT(!connect(c, (struct sockaddr *)&un, sizeof(un)));
	a = accept(listener, NULL, NULL);
	WANT(a >= 0 && write(c, "y", 1) == 1 && read(a, &got, 1) == 1 && got == 'y');
	close(a);
	close(c);
	return NULL;
}

/* ---- descriptors of events ---- */

static int events, ticks, signals, watch, poller, appended;

static void events_start(void)
{
	const struct itimerspec every = { { 0, 20000000 }, { 0, 20000000 } };
	struct epoll_event ev = { .events = EPOLLIN, .data.u64 = MARK };
	sigset_t set;

	sigemptyset(&set);
	sigaddset(&set, SIGUSR1);
	sigprocmask(SIG_BLOCK, &set, NULL);
	mkdir("/tmp/watched", 0755);
	events = eventfd(7, 0);
	ticks = timerfd_create(CLOCK_MONOTONIC, 0);
	signals = signalfd(-1, &set, 0);
	watch = inotify_init1(IN_NONBLOCK);
	poller = epoll_create1(0);
	appended = open("/tmp/appended", O_RDWR | O_CREAT | O_APPEND, 0600);
	if (timerfd_settime(ticks, 0, &every, NULL) || inotify_add_watch(watch, "/tmp/watched", IN_CREATE) < 0 ||
	    epoll_ctl(poller, EPOLL_CTL_ADD, events, &ev) || write(appended, "0123456789", 10) != 10 ||
	    lseek(appended, 4, SEEK_SET) != 4)
		exit(71);
	umask(0135);
	kill(getpid(), SIGUSR1);
}

static const char *check_eventfd(void)
{
	uint64_t v = 0;

	WANT(read(events, &v, sizeof(v)) == sizeof(v) && v == 7);
	WANT(write(events, &v, sizeof(v)) == sizeof(v));
	return NULL;
}

static const char *check_timerfd(void)
{
	uint64_t v = 0;

	WANT(read(ticks, &v, sizeof(v)) == sizeof(v) && v > 0);
	WANT(read(ticks, &v, sizeof(v)) == sizeof(v) && v > 0 && v < 50);
	return NULL;
}

static const char *check_signalfd(void)
{
	struct signalfd_siginfo info;

	WANT(read(signals, &info, sizeof(info)) == sizeof(info) && info.ssi_signo == SIGUSR1);
	WANT(!kill(getpid(), SIGUSR1));
	return NULL;
}

static const char *check_inotify(void)
{
	char got[4096];

	while (read(watch, got, sizeof(got)) > 0)
		;
	WANT(errno == EAGAIN);
	close(open("/tmp/watched/new", O_CREAT | O_WRONLY, 0600));
	unlink("/tmp/watched/new");
	WANT(read(watch, got, sizeof(got)) > 0);
	return NULL;
}

static const char *check_epoll(void)
{
	struct epoll_event ev;

	WANT(epoll_wait(poller, &ev, 1, 1000) == 1 && ev.data.u64 == MARK);
	return NULL;
}

static const char *check_offset(void)
{
	mode_t mask = umask(0);
	char cwd[64];

	umask(mask);
	WANT(mask == 0135);
	WANT(lseek(appended, 0, SEEK_CUR) == 4);
	WANT(fcntl(appended, F_GETFL) & O_APPEND);
	WANT(getcwd(cwd, sizeof(cwd)) && !strcmp(cwd, "/tmp/watched"));
	return NULL;
}

/* ---- timers of the process, limits, System V shared memory ---- */

static timer_t timer;
static _Atomic int alarms;
static char *sysv;
static int sysv_id;

static void on_alarm(int sig)
{
	(void)sig;
	alarms++;
}

static void rest_start(void)
{
	struct sigevent ev = { .sigev_notify = SIGEV_SIGNAL, .sigev_signo = SIGUSR2 };
	const struct itimerspec every = { { 0, 30000000 }, { 0, 30000000 } };
	struct sigaction sa = { .sa_handler = on_alarm, .sa_flags = SA_RESTART };
	const struct rlimit limit = { 300, 400 };

	sysv_id = shmget(IPC_PRIVATE, 100000, IPC_CREAT | 0600);
	sysv = shmat(sysv_id, NULL, 0);
	if (sysv == (void *)-1 || sigaction(SIGUSR2, &sa, NULL) || timer_create(CLOCK_MONOTONIC, &ev, &timer) ||
	    timer_settime(timer, 0, &every, NULL) || setrlimit(RLIMIT_NOFILE, &limit) || chdir("/tmp/watched"))
		exit(71);
	memcpy(sysv, pattern, UNREAD);
}

static const char *check_timer(void)
{
	int was = alarms;

	for (int i = 0; i < 50 && alarms < was + 2; i++)
		wait_ms(10);
	WANT(alarms >= was + 2);
	return NULL;
}

static const char *check_limits(void)
{
	struct rlimit limit;

	WANT(!getrlimit(RLIMIT_NOFILE, &limit) && limit.rlim_cur == 300 && limit.rlim_max == 400);
	return NULL;
}

static const char *check_sysv(void)
{
	struct shmid_ds ds;

	WANT(!memcmp(sysv, pattern, UNREAD));
	WANT(!shmctl(sysv_id, IPC_STAT, &ds) && ds.shm_nattch == 1 && ds.shm_segsz == 100000);
	return NULL;
}

/* ---- */

static const struct {
	const char *name;
	const char *(*check)(void);
} checks[] = {
	{ "pipes to a child, and file locks that it sees", check_pipes },
	{ "a tree of processes and sessions", check_tree },
	{ "a zombie", check_zombie },
	{ "threads that wait for one another", check_threads },
	{ "anonymous memory shared with a child", check_anon },
	{ "a sealed memfd shared with a child", check_memfd },
	{ "a deleted file, open and mapped", check_deleted },
	{ "unread data in a UNIX socket", check_unix },
	{ "unread data in a pipe", check_pipe_data },
	{ "unread data in a fifo", check_fifo },
	{ "messages in a datagram socket", check_dgram },
	{ "a listening UNIX socket", check_listener },
	{ "an eventfd", check_eventfd },
	{ "a timerfd", check_timerfd },
	{ "a signalfd and a pending signal", check_signalfd },
	{ "an inotify watch", check_inotify },
	{ "an epoll set", check_epoll },
	{ "offset and flags of a file, folder and mask", check_offset },
	{ "a POSIX timer", check_timer },
	{ "resource limits", check_limits },
	{ "System V shared memory", check_sysv },
};

static void serve(int port)
{
	struct sockaddr_in in = { .sin_family = AF_INET, .sin_port = htons((uint16_t)port) };
	int s = socket(AF_INET, SOCK_STREAM, 0), yes = 1;
	char line[256];

	setsockopt(s, SOL_SOCKET, SO_REUSEADDR, &yes, sizeof(yes));
	if (bind(s, (struct sockaddr *)&in, sizeof(in)) || listen(s, 5))
		exit(71);
	for (;;) {
		int c = accept(s, NULL, NULL);
		FILE *f = c < 0 ? NULL : fdopen(c, "r");

		while (f && fgets(line, sizeof(line), f)) {
			for (size_t i = 0; i < sizeof(checks) / sizeof(*checks); i++) {
				const char *why = checks[i].check();

				dprintf(c, why ? "not ok %s: %s\n" : "ok %s\n", checks[i].name, why);
			}
			dprintf(c, "\n");
		}
		if (f)
			fclose(f);
	}
}

int main(int argc, char **argv)
{
	if (argc != 2)
		return 64;
	for (size_t i = 0; i < UNREAD; i++)
		pattern[i] = (uint8_t)(i * 131 + (i >> 8));
	events_start(); /* first: its signals are blocked in every thread */
	processes_start();
	threads_start();
	sockets_start();
	rest_start();
	serve(atoi(argv[1]));
	return 0;
}
