/* SPDX-License-Identifier: MIT */
/* A server to be moved: holds memory full of distinct random pages, rewrites them at a steady rate, and answers
 * requests over TCP (wire.h).
 *
 * Step n of its life writes one page; both the page's place and its contents follow from n and a seed. So the
 * server can tell at any time whether each page holds what it should, without a table that would be dirtied too. */
#include <errno.h>
#include <getopt.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <pthread.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/mman.h>
#include <sys/random.h>
#include <sys/socket.h>
#include <time.h>
#include <unistd.h>

#include "tests/bench/wire.h"

#define PAGE 4096
#define WORDS (PAGE / 8)
#define TICK_NS 2000000L
#define BATCH 512 /* requests taken from a connection at a time */

struct conn {
	int fd;
	size_t n_in, n_out, out_done;
	uint64_t in[BATCH];
	struct wire_reply out[BATCH];
};

static struct {
	pthread_mutex_t lock; /* guards the memory, step and rate_kb */
	uint64_t *mem;
	uint64_t pages;
	uint64_t step;    /* pages written so far, the filling included */
	uint64_t rate_kb; /* per second */
	uint64_t seed;
	uint64_t boot;
	uint64_t counter; /* event loop only */
} srv = { .lock = PTHREAD_MUTEX_INITIALIZER };

/* The finisher of splitmix64: a bijection in which every input bit changes half of the output. */
static uint64_t mix(uint64_t x)
{
	x = (x ^ (x >> 30)) * 0xbf58476d1ce4e5b9ULL;
	x = (x ^ (x >> 27)) * 0x94d049bb133111ebULL;
	return x ^ (x >> 31);
}

static uint64_t step_page(uint64_t step)
{
	return step < srv.pages ? step : mix(srv.seed + step) % srv.pages;
}

static uint64_t step_word(uint64_t start, int i)
{
	return mix(start + (uint64_t)i * 0x9e3779b97f4a7c15ULL);
}

static void step_write(uint64_t step)
{
	uint64_t *page = srv.mem + step_page(step) * WORDS;
	uint64_t start = mix(srv.seed ^ mix(step));

	for (int i = 0; i < WORDS; i++)
		page[i] = step_word(start, i);
}

static uint64_t pages_wrong(void)
{
	uint64_t *last = calloc(srv.pages, sizeof(*last)), wrong = 0;

	if (!last)
		return UINT64_MAX;
	for (uint64_t n = 0; n < srv.step; n++)
		last[step_page(n)] = n;
	for (uint64_t p = 0; p < srv.pages; p++) {
		uint64_t start = mix(srv.seed ^ mix(last[p]));
		int i = 0;

		while (i < WORDS && srv.mem[p * WORDS + i] == step_word(start, i))
			i++;
		wrong += i < WORDS;
	}
	free(last);
	return wrong;
}

static uint64_t memory_digest(void)
{
	uint64_t h = srv.pages;

	for (uint64_t i = 0; i < srv.pages * WORDS; i++)
		h = ((h ^ srv.mem[i]) * 0x9e3779b97f4a7c15ULL) ^ (h >> 29);
	return mix(h);
}

static double now_s(void)
{
	struct timespec t;

	clock_gettime(CLOCK_MONOTONIC, &t);
	return (double)t.tv_sec + (double)t.tv_nsec / 1e9;
}

static void *writer(void *unused)
{
	struct timespec tick = { 0, TICK_NS };
	double last = now_s(), due = 0;

	(void)unused;
	for (;;) {
		nanosleep(&tick, NULL);
		double now = now_s(), passed = now - last;

		last = now;
		/* What was missed while frozen stays missed, and another machine's clock may stand earlier. */
		if (passed < 0 || passed > 0.02)
			passed = 0.02;
		pthread_mutex_lock(&srv.lock);
		due += passed * (double)srv.rate_kb * 1024 / PAGE;
		for (; due >= 1; due--)
			step_write(srv.step++);
		pthread_mutex_unlock(&srv.lock);
	}
	return NULL;
}

static uint64_t request_value(uint64_t request)
{
	uint64_t value = 0;

	pthread_mutex_lock(&srv.lock);
	switch (request >> WIRE_OP_SHIFT) {
	case WIRE_RATE:
		value = srv.rate_kb;
		srv.rate_kb = request & WIRE_ARG_MASK;
		break;
	case WIRE_DIGEST:
		srv.rate_kb = 0;
		value = memory_digest();
		break;
	case WIRE_CHECK:
		value = pages_wrong();
		break;
	default:
		value = (srv.step - srv.pages) * PAGE;
	}
	pthread_mutex_unlock(&srv.lock);
	return value;
}

/* Sends what is left of the replies; 0 done, 1 the socket is full, -1 the connection is dead. */
static int conn_flush(struct conn *c)
{
	while (c->out_done < c->n_out) {
		ssize_t n = send(c->fd, (char *)c->out + c->out_done, c->n_out - c->out_done, MSG_NOSIGNAL);

		if (n < 0)
			return errno == EAGAIN ? 1 : -1;
		c->out_done += (size_t)n;
	}
	c->n_out = c->out_done = 0;
	return 0;
}

/* Answers all that has come; requests are taken only when the replies before them are out. */
static int conn_serve(struct conn *c)
{
	for (;;) {
		int rc = conn_flush(c);

		if (rc)
			return rc;
		ssize_t n = recv(c->fd, (char *)c->in + c->n_in, sizeof(c->in) - c->n_in, 0);

		if (n < 0 && errno == EAGAIN)
			return 0;
		if (n <= 0)
			return -1;
		c->n_in += (size_t)n;
		size_t whole = c->n_in / 8, rest = c->n_in % 8;

		for (size_t i = 0; i < whole; i++)
			c->out[i] = (struct wire_reply){ c->in[i], ++srv.counter, srv.boot, request_value(c->in[i]) };
		c->n_out = whole * sizeof(*c->out);
		memmove(c->in, c->in + whole, rest);
		c->n_in = rest;
	}
}

static void conn_accept(int ep, int listener)
{
	int one = 1, fd = accept4(listener, NULL, NULL, SOCK_NONBLOCK | SOCK_CLOEXEC);
	struct conn *c = fd < 0 ? NULL : calloc(1, sizeof(*c));

	if (!c) {
		if (fd >= 0)
			close(fd);
		return;
	}
	c->fd = fd;
	setsockopt(fd, IPPROTO_TCP, TCP_NODELAY, &one, sizeof(one));
	struct epoll_event ev = { EPOLLIN, { .ptr = c } };

	epoll_ctl(ep, EPOLL_CTL_ADD, fd, &ev);
}

static void conn_event(int ep, struct conn *c)
{
	int rc = conn_serve(c);

	if (rc < 0) {
		close(c->fd);
		free(c);
		return;
	}
	struct epoll_event ev = { rc ? EPOLLOUT : EPOLLIN, { .ptr = c } };

	epoll_ctl(ep, EPOLL_CTL_MOD, c->fd, &ev);
}

static int listen_on(int port)
{
	struct sockaddr_in sin = { .sin_family = AF_INET, .sin_port = htons((uint16_t)port) };
	int one = 1, fd = socket(AF_INET, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);

	setsockopt(fd, SOL_SOCKET, SO_REUSEADDR, &one, sizeof(one));
	if (fd < 0 || bind(fd, (struct sockaddr *)&sin, sizeof(sin)) || listen(fd, 128)) {
		fprintf(stderr, "memsrv: port %d: cannot listen: %s\n", port, strerror(errno));
		exit(71);
	}
	return fd;
}

static void fill(uint64_t mb)
{
	srv.pages = mb * 1048576 / PAGE;
	srv.mem = mmap(NULL, srv.pages * PAGE, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
	if (srv.mem == MAP_FAILED || getrandom(&srv.seed, 8, 0) != 8 || getrandom(&srv.boot, 8, 0) != 8) {
		fprintf(stderr, "memsrv: cannot get memory: %s\n", strerror(errno));
		exit(71);
	}
	while (srv.step < srv.pages)
		step_write(srv.step++);
}

static void serve(int listener)
{
	int ep = epoll_create1(EPOLL_CLOEXEC);
	struct epoll_event ev = { EPOLLIN, { .ptr = NULL } }, evs[64];

	if (ep < 0 || epoll_ctl(ep, EPOLL_CTL_ADD, listener, &ev))
		exit(71);
	for (;;) {
		int n = epoll_wait(ep, evs, 64, -1);

		for (int i = 0; i < n; i++) {
			if (evs[i].data.ptr)
				conn_event(ep, evs[i].data.ptr);
			else
				conn_accept(ep, listener);
		}
	}
}

static void quit(int sig)
{
	(void)sig;
	_exit(0);
}

int main(int argc, char **argv)
{
	static const struct option opts[] = {
		{ "port", 1, 0, 'p' }, { "mem", 1, 0, 'm' }, { "write", 1, 0, 'w' }, { 0 }
	};
	int c, port = 7000;
	unsigned long mb = 8;
	pthread_t t;

	while ((c = getopt_long(argc, argv, "", opts, NULL)) != -1) {
		if (c == 'p')
			port = atoi(optarg);
		else if (c == 'm')
			mb = strtoul(optarg, NULL, 10);
		else if (c == 'w')
			srv.rate_kb = (uint64_t)(strtod(optarg, NULL) * 1024);
		else
			return 64;
	}
	if (optind < argc || !mb || port <= 0 || port > 65535) {
		fprintf(stderr, "usage: memsrv [--port P] [--mem MB] [--write MB_PER_SECOND]\n");
		return 64;
	}
	/* As the first process of a PID namespace it would otherwise ignore them. */
	signal(SIGTERM, quit);
	signal(SIGINT, quit);
	fill(mb);
	int listener = listen_on(port);

	if (pthread_create(&t, NULL, writer, NULL)) {
		fprintf(stderr, "memsrv: cannot start the writer\n");
		return 71;
	}
	serve(listener);
	return 0;
}
