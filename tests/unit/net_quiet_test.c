/* SPDX-License-Identifier: MIT */
#include <arpa/inet.h>
#include <errno.h>
#include <poll.h>
#include <pthread.h>
#include <sched.h>
#include <signal.h>
#include <stdlib.h>
#include <sys/mount.h>
#include <sys/syscall.h>
#include <sys/wait.h>

#include "lib/base/clock.h"
#include "lib/base/file.h"
#include "lib/engine/bridge.h"
#include "lib/engine/cgroup.h"
#include "lib/engine/net.h"
#include "lib/engine/rtnl.h"
#include "tests/unit/tap.h"

#define PORT 80
#define SOON_MS 700 /* what is not held back, or not any more; a second try comes after 1000 ms */
#define LARGE (1 << 20)

static char top[] = "/tmp/net_quiet_test.XXXXXX";
static struct service s = { .id = "00c0ffee01234567" };
static struct net_quiet q;
static int listener;

static socklen_t address_of(struct sockaddr_storage *to, const char *text)
{
	struct sockaddr_in6 *v6 = (void *)to;
	struct sockaddr_in *v4 = (void *)to;
	struct net_addr a;

	memset(to, 0, sizeof(*to));
	net_addr_parse(&a, text, NULL);
	to->ss_family = (sa_family_t)a.family;
	v4->sin_port = v6->sin6_port = htons(PORT);
	memcpy(a.family == AF_INET ? (void *)&v4->sin_addr : (void *)&v6->sin6_addr, a.ip, (size_t)a.len);
	return a.family == AF_INET ? sizeof(*v4) : sizeof(*v6);
}

/* A socket that is the service's own: made in its cgroup by a child, and left open in the files that it shares with us. */
static int listen_inside(void)
{
	int status = 0;
	pid_t pid = (pid_t)syscall(SYS_clone, CLONE_FILES | SIGCHLD, NULL, NULL, NULL, NULL);

	if (!pid) {
		struct sockaddr_storage at;
		socklen_t len = address_of(&at, s.addr);
		int ns = net_open(&s, NULL);
		int fd = cgroup_join(s.name, 0, NULL) ? -1 : rtnl_socket_in(ns, at.ss_family, SOCK_STREAM | SOCK_NONBLOCK, 0);

		close(ns);
		_exit(fd < 0 || bind(fd, (void *)&at, len) || listen(fd, 16) ? 0 : fd);
	}
	return waitpid(pid, &status, 0) == pid && WEXITSTATUS(status) ? WEXITSTATUS(status) : -1;
}

static bool waits(int fd, short events, int ms)
{
	struct pollfd p = { .fd = fd, .events = events };

	return poll(&p, 1, ms) == 0;
}

/* A client on the node, or (ns) within the service; on its way. */
static int call(int ns)
{
	struct sockaddr_storage to;
	socklen_t len = address_of(&to, s.addr);
	int fd = rtnl_socket_in(ns, to.ss_family, SOCK_STREAM | SOCK_NONBLOCK, 0), small = 4096;

	setsockopt(fd, SOL_SOCKET, SO_RCVBUF, &small, sizeof(small));
	return fd >= 0 && (!connect(fd, (void *)&to, len) || errno == EINPROGRESS) ? fd : -1;
}

static bool connected(int fd)
{
	int cause = -1;
	socklen_t len = sizeof(cause);

	return !waits(fd, POLLOUT, SOON_MS) && !getsockopt(fd, SOL_SOCKET, SO_ERROR, &cause, &len) && !cause;
}

static int answer(void)
{
	return waits(listener, POLLIN, SOON_MS) ? -1 : accept(listener, NULL, NULL);
}

static double start_ms(int limit_ms)
{
	double start = clock_ms();

	net_quiet_start(&q, &s, limit_ms);
	return clock_ms() - start;
}

static void *answer_later(void *arg)
{
	usleep(20000);
	*(int *)arg = answer();
	return NULL;
}

static void test_unaccepted(void)
{
	AUTO_FD int first = call(-1);
	char byte;

	ok(connected(first), "a client is connected, and nobody accepts it");
	ok(start_ms(60) >= 60, "that is waited for, up to the limit");
	AUTO_FD int second = call(-1);
	ok(waits(second, POLLOUT, 100), "a new connection is held back");
	AUTO_FD int served = answer();
	ok(write(first, "x", 1) == 1 && !waits(served, POLLIN, SOON_MS) && read(served, &byte, 1) == 1 &&
		   write(served, "y", 1) == 1 && !waits(first, POLLIN, SOON_MS),
	   "... while the one that there is goes on, both ways");
	AUTO_FD int ns = net_open(&s, NULL);
	AUTO_FD int within = call(ns);
	ok(connected(within), "... and so does the service's own with itself");
	AUTO_FD int served_within = answer();
	net_quiet_stop(&q);
	ok(connected(second), "what was held back arrives at the end, not a second later");
	AUTO_FD int served_second = -1;
	pthread_t thread;
	pthread_create(&thread, NULL, answer_later, &served_second);
	double took = start_ms(5000);
	pthread_join(thread, NULL);
	ok(took < 4000 && served_second >= 0, "the wait is over when it is accepted");
	net_quiet_stop(&q);
}

static void test_undelivered(void)
{
	AUTO_FREE char *data = calloc(1, LARGE);
	AUTO_FD int client = call(-1);
	int served = connected(client) ? answer() : -1;
	ssize_t sent = send(served, data, LARGE, MSG_DONTWAIT), got = 0, n = 1;

	close(served);
	ok(sent > 0 && start_ms(60) >= 60, "what a closed connection still has to deliver is waited for");
	while (n > 0 && !waits(client, POLLIN, SOON_MS) && (n = read(client, data, LARGE)) > 0)
		got += n;
	net_quiet_stop(&q);
	is_int(got, sent, "... and it arrives");
	ok(start_ms(5000) < 4000, "after that there is nothing to wait for");
	net_quiet_stop(&q);
}

static void test_freeze(void)
{
	AUTO_FD int client = call(-1);
	AUTO_FD int served = -1;
	pthread_t thread;

	ok(connected(client) && !net_quiet_freeze(&q, &s, 1000, NULL) && cgroup_frozen(s.name),
	   "what nobody accepts is frozen all the same");
	cgroup_thaw(s.name, NULL);
	served = answer();
	pthread_create(&thread, NULL, answer_later, &served);
	AUTO_FD int other = call(-1);
	ok(connected(other) && !net_quiet_freeze(&q, &s, 1000, NULL) && cgroup_frozen(s.name), "a service is frozen");
	pthread_join(thread, NULL);
	cgroup_thaw(s.name, NULL);
}

static void test_held(void)
{
	start_ms(5000);
	net_hold(&s, NULL);
	AUTO_FD int client = call(-1);
	ok(waits(client, POLLOUT, 100), "nobody comes to a service whose network is held");
	net_attach(&s, NULL);
	net_quiet_end(&q);
	ok(connected(client), "... and it hears of who has tried");
	AUTO_FD int served = answer();
	net_quiet_stop(&q);
	ok(served >= 0, "a second end is none");
}

/* What is in its network and not frozen with it: a test of its health. */
static void test_beside(void)
{
	AUTO_FD int ns = net_open(&s, NULL);

	start_ms(5000);
	AUTO_FD int early = call(ns);
	ok(connected(early), "over lo nothing is held back");
	AUTO_FD int served = answer();
	ok(!net_quiet_freeze(&q, &s, 1000, NULL) && cgroup_frozen(s.name), "... until it is frozen");
	AUTO_FD int late = call(ns);
	ok(late >= 0 && waits(late, POLLOUT, 100), "... and then nobody comes over lo, either");
	cgroup_thaw(s.name, NULL);
	net_quiet_stop(&q);
	ok(!waits(late, POLLOUT, 10000) && connected(late), "... but later, when it tries again");
	AUTO_FD int second = answer();
	ok(second >= 0, "... and is served");
}

static void test_killed(void)
{
	int there[2];
	char byte;

	if (pipe2(there, O_CLOEXEC))
		abort();
	pid_t pid = fork();
	if (!pid) {
		start_ms(0);
		(void)!write(there[1], "x", 1);
		for (;;)
			pause();
	}
	close(there[1]);
	(void)!read(there[0], &byte, 1);
	close(there[0]);
	AUTO_FD int client = call(-1);
	ok(waits(client, POLLOUT, 100), "another process holds connections back");
	kill(pid, SIGKILL);
	waitpid(pid, NULL, 0);
	AUTO_FD int next = call(-1);
	ok(connected(next), "... until it is killed, at the latest");
	AUTO_FD int served = answer();
}

static void test_family(const char *addr)
{
	struct err e = { 0 };

	printf("# %s\n", addr);
	snprintf(s.addr, sizeof(s.addr), "%s", addr);
	s.mac[0] = '\0';
	if (net_complete(&s, &e) || net_create(&s, &e) || net_attach(&s, &e) || (listener = listen_inside()) < 0) {
		ok(false, e.text);
		return;
	}
	start_ms(0);
	bool can = q.link >= 0;
	net_quiet_stop(&q);
	if (can) {
		test_unaccepted();
		test_undelivered();
		test_freeze();
		test_held();
		test_beside();
		test_killed();
	} else {
		skip(addr, "kernel: takes no cgroup programs");
	}
	close(listener);
	net_remove(&s, NULL);
}

int main(void)
{
	if (geteuid()) {
		skip("new connections", "needs root");
		return done();
	}
	memset(&q, -1, sizeof(q)); /* descriptors */
	snprintf(s.name, sizeof(s.name), "quiet-test-%d", (int)getpid());
	if (!mkdtemp(top) || setenv("EDGE_ROOT", top, 1) || unshare(CLONE_NEWNET | CLONE_NEWNS) ||
	    mount(NULL, "/", NULL, MS_REC | MS_PRIVATE, NULL) || cgroup_create(&s, NULL) ||
	    system("ip link add br0 type bridge && ip addr add 10.99.0.1/24 dev br0 && "
		   "ip addr add fd99::1/64 dev br0 nodad && ip link set br0 up && "
		   "ip link add p0 address fe:fe:ff:ff:ff:ff type veth peer p1 && ip link set p0 master br0 up && ip link set p1 up"))
		return 1;
	test_family("10.99.0.7");
	test_family("fd99::7");
	s.addr[0] = '\0';
	start_ms(0);
	ok(q.link < 0, "without a network nothing is held back");
	cgroup_remove(s.name, NULL);
	file_remove_tree(top, NULL);
	return done();
}
