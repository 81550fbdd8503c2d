/* SPDX-License-Identifier: MIT */
/* TCP connections: the time from SYN to its answer, as the kernel has measured it, to the microsecond. */
#include <errno.h>
#include <netinet/tcp.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/resource.h>
#include <sys/socket.h>

#include "lib/base/clock.h"
#include "lib/measure/probe_int.h"

#define EVENTS 256
#define SPARE_FDS 64

struct flight {
	int fd;      /* -1: over */
	size_t number;
	double at;
};

/* Connections under way, in the order in which they began, and so in that in which their time is over. */
struct tcp {
	int epoll, port;
	struct flight *ring;
	size_t size, head, count; /* size: as many as there are descriptors for */
};

static int tcp_open(struct probe *p, struct err *e)
{
	struct tcp *c = calloc(1, sizeof(*c));
	size_t total = p->n * (size_t)p->plan.count;
	struct rlimit files;
	char *end;

	p->self = c;
	if (!c)
		return err_sys(e, "tcp");
	c->epoll = -1;
	c->port = (int)strtol(p->arg, &end, 10);
	if (*end || end == p->arg || end - p->arg > 5 || c->port < 1 || c->port > 65535)
		return err_set(e, EX_USAGE, "method %s: not tcp:PORT", p->plan.method);
	getrlimit(RLIMIT_NOFILE, &files);
	files.rlim_cur = files.rlim_max;
	setrlimit(RLIMIT_NOFILE, &files);
	getrlimit(RLIMIT_NOFILE, &files);
	c->size = files.rlim_cur > 2 * SPARE_FDS ? files.rlim_cur - SPARE_FDS : SPARE_FDS;
	c->size = c->size < total ? c->size : total;
	c->ring = malloc(c->size * sizeof(*c->ring));
	c->epoll = epoll_create1(EPOLL_CLOEXEC);
	return c->ring && c->epoll >= 0 ? 0 : err_sys(e, "tcp");
}

static void tcp_close(struct probe *p)
{
	struct tcp *c = p->self;

	if (!c)
		return;
	for (; c->count; c->count--, c->head = (c->head + 1) % c->size)
		if (c->ring[c->head].fd >= 0)
			close(c->ring[c->head].fd);
	if (c->epoll >= 0)
		close(c->epoll);
	free(c->ring);
	free(c);
	p->self = NULL;
}

/* One connection: 1 under way, 0 failed at once, -1 no room for it now. */
static int begin(struct tcp *c, struct probe *p, size_t number)
{
	union address to = probe_target(p, number)->addr;
	size_t slot = (c->head + c->count) % c->size;
	struct epoll_event ev = { .events = EPOLLOUT, .data.u64 = slot };

	if (to.sa.sa_family == AF_UNSPEC)
		return probe_lost(p, number, probe_target(p, number)->why), 0;
	if (c->count == c->size)
		return -1;
	int fd = socket(to.sa.sa_family, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
	if (fd < 0)
		return errno == EMFILE || errno == ENFILE || errno == ENOBUFS ? -1 :
		       (probe_lost(p, number, strerrordesc_np(errno)), 0);
	if (to.sa.sa_family == AF_INET)
		to.in.sin_port = htons((uint16_t)c->port);
	else
		to.in6.sin6_port = htons((uint16_t)c->port);
	if ((connect(fd, &to.sa, address_len(&to)) && errno != EINPROGRESS) || epoll_ctl(c->epoll, EPOLL_CTL_ADD, fd, &ev)) {
		probe_lost(p, number, strerrordesc_np(errno));
		close(fd);
		return 0;
	}
	c->ring[slot] = (struct flight){ fd, number, clock_ms() };
	c->count++;
	return 1;
}

static size_t tcp_launch(struct probe *p, size_t n)
{
	struct tcp *c = p->self;

	for (size_t k = 0; k < n; k++)
		if (begin(c, p, p->next + k) < 0)
			return k;
	return n;
}

static void settle(struct probe *p, struct flight *f)
{
	struct tcp_info info = { 0 };
	socklen_t n = sizeof(info), m = sizeof(int);
	int error = 0;

	getsockopt(f->fd, SOL_SOCKET, SO_ERROR, &error, &m);
	if (error)
		probe_lost(p, f->number, strerrordesc_np(error));
	else if (getsockopt(f->fd, IPPROTO_TCP, TCP_INFO, &info, &n) || info.tcpi_total_retrans)
		probe_lost(p, f->number, "the first SYN was lost"); /* whose answer it was, nobody knows */
	else
		probe_answer(p, f->number, info.tcpi_rtt / 1e3);
	close(f->fd);
	f->fd = -1;
}

static void tcp_collect(struct probe *p, double wait_ms, bool rest)
{
	struct tcp *c = p->self;
	struct epoll_event ev[EVENTS];
	int n;

	(void)rest;
	while ((n = epoll_wait(c->epoll, ev, EVENTS, wait_ms > 0 ? (int)(wait_ms + 0.5) : 0)) > 0) {
		for (int i = 0; i < n; i++)
			settle(p, &c->ring[ev[i].data.u64]);
		if (n < EVENTS)
			break;
		wait_ms = 0;
	}
	for (double now = clock_ms(); c->count; c->count--, c->head = (c->head + 1) % c->size) {
		struct flight *f = &c->ring[c->head];

		if (f->fd >= 0 && now - f->at < p->plan.timeout_ms)
			break;
		if (f->fd < 0)
			continue;
		probe_lost(p, f->number, NULL);
		close(f->fd);
		f->fd = -1;
	}
}

const struct probe_method probe_tcp = {
	.name = "tcp", .open = tcp_open, .launch = tcp_launch, .collect = tcp_collect, .close = tcp_close,
};
