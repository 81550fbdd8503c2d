/* SPDX-License-Identifier: MIT */
#include "lib/base/dial.h"

#include <errno.h>
#include <netdb.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <poll.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>

#include "lib/base/auto.h"
#include "lib/base/clock.h"

AUTO_DEFINE(struct addrinfo, freeaddrinfo)

static const struct addrinfo tcp = { .ai_socktype = SOCK_STREAM, .ai_flags = AI_NUMERICSERV };

/* What getaddrinfo_a works on: kept apart, because a name server that does not answer can keep it beyond our
 * time. */
struct query {
	struct gaicb cb;
	char host[256], port[8];
};

static int resolve_name(const char *host, const char *port, double deadline, struct addrinfo **list)
{
	struct query *q = calloc(1, sizeof(*q));
	const struct gaicb *wait[1];
	struct gaicb *start[1];
	double left = deadline - clock_ms();
	struct timespec ts;
	int rc;

	if (!q)
		return EAI_MEMORY;
	snprintf(q->host, sizeof(q->host), "%s", host);
	snprintf(q->port, sizeof(q->port), "%s", port);
	q->cb = (struct gaicb){ .ar_name = q->host, .ar_service = q->port, .ar_request = &tcp };
	start[0] = &q->cb;
	wait[0] = &q->cb;
	left = left > 0 ? left : 0;
	ts = (struct timespec){ .tv_sec = (time_t)(left / 1e3), .tv_nsec = (long)(left * 1e6) % 1000000000 };
	rc = getaddrinfo_a(GAI_NOWAIT, start, 1, NULL);
	if (rc == 0) {
		while (gai_suspend(wait, 1, &ts) == EAI_INTR)
			;
		rc = gai_error(&q->cb);
	}
	if (rc == EAI_INPROGRESS && gai_cancel(&q->cb) != EAI_CANCELED)
		return EAI_AGAIN; /* still in use: q is left to it */
	if (rc == 0)
		*list = q->cb.ar_result;
	free(q);
	return rc;
}

/* Numbers need neither a thread nor time. */
static int resolve(const char *host, int port, double deadline, struct addrinfo **list)
{
	struct addrinfo hints = tcp;
	char service[8];
	int rc;

	hints.ai_flags |= AI_NUMERICHOST;
	snprintf(service, sizeof(service), "%d", port);
	rc = getaddrinfo(host, service, &hints, list);
	return rc == EAI_NONAME ? resolve_name(host, service, deadline, list) : rc;
}

static void tune(int fd)
{
	static const struct {
		int level, name, value;
	} opts[] = {
		{ IPPROTO_TCP, TCP_NODELAY, 1 },  { SOL_SOCKET, SO_KEEPALIVE, 1 },
		{ IPPROTO_TCP, TCP_KEEPIDLE, 8 }, { IPPROTO_TCP, TCP_KEEPINTVL, 3 },
		{ IPPROTO_TCP, TCP_KEEPCNT, 4 },  { IPPROTO_TCP, TCP_USER_TIMEOUT, 20000 },
	};

	for (size_t i = 0; i < sizeof(opts) / sizeof(*opts); i++) /* each is an improvement only */
		setsockopt(fd, opts[i].level, opts[i].name, &opts[i].value, sizeof(opts[i].value));
}

/* -1 with errno. */
static int connect_one(const struct addrinfo *a, double deadline)
{
	AUTO_FD int fd = socket(a->ai_family, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, a->ai_protocol);
	struct pollfd p = { .fd = fd, .events = POLLOUT };
	socklen_t n = sizeof(int);
	int error = 0, rc;

	if (fd < 0)
		return -1;
	tune(fd);
	if (connect(fd, a->ai_addr, a->ai_addrlen) == 0)
		return TAKE_FD(fd);
	if (errno != EINPROGRESS)
		return -1;
	do {
		double left = deadline - clock_ms();

		rc = poll(&p, 1, left > 0 ? (int)left + 1 : 0);
	} while (rc < 0 && errno == EINTR);
	if (rc == 0)
		errno = ETIMEDOUT;
	if (rc <= 0 || getsockopt(fd, SOL_SOCKET, SO_ERROR, &error, &n))
		return -1;
	errno = error;
	return error ? -1 : TAKE_FD(fd);
}

int dial(const char *host, int port, double deadline, struct err *e)
{
	AUTO(freeaddrinfo_auto) struct addrinfo *list = NULL;
	int rc = resolve(host, port, deadline, &list), n = 0;

	if (rc == EAI_SYSTEM)
		err_sys(e, "cannot connect: %s", host);
	else if (rc)
		err_set(e, 0, "cannot connect: %s: %s", host,
		        rc == EAI_INPROGRESS ? "no answer about its name" : gai_strerror(rc));
	for (const struct addrinfo *a = list; a; a = a->ai_next)
		n++;
	for (const struct addrinfo *a = list; a; a = a->ai_next, n--) {
		double now = clock_ms();
		int fd = connect_one(a, now + (deadline - now) / n); /* leaves time for those that follow */

		if (fd >= 0)
			return fd;
		err_sys(e, "cannot connect");
	}
	if (e)
		e->code = EX_UNAVAILABLE;
	return -1;
}
