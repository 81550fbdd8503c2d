/* SPDX-License-Identifier: MIT */
/* A client of memsrv on one TCP connection: sends a request every few milliseconds, whether or not the earlier ones
 * were answered, and reports the longest time without an answer. Or, with a command, asks one thing and prints it. */
#include <arpa/inet.h>
#include <errno.h>
#include <fcntl.h>
#include <getopt.h>
#include <inttypes.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <poll.h>
#include <signal.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <time.h>
#include <unistd.h>

#include "tests/bench/wire.h"

#define MAX_REQUESTS (1u << 22)
#define RETRY_S 0.001
#define DRAIN_S 2.0

static const char usage[] =
	"usage: gapclient [--interval MS] [--duration S] [--reconnect] [--dead MS] [--over MS] ADDR PORT\n"
	"       gapclient [--dead MS] ADDR PORT rate MB_PER_SECOND | digest | check | ping\n";

static struct {
	double interval_s, duration_s, dead_s, over_s;
	bool reconnect;
	struct sockaddr_in addr;
} opt = { .interval_s = 0.005, .dead_s = 3, .over_s = 1e9 };

static struct {
	int fd;           /* -1: no connection */
	bool connecting;
	double try_at;    /* when to try the next connection */
	double began;     /* when this connection, or this attempt, began */
	size_t n_in;
	char in[65536];
	uint64_t next;    /* number of the next request */
	uint64_t oldest;  /* first number of this connection that is not answered yet */
} conn = { .fd = -1 };

static struct {
	float *answer_ms;
	double *sent_at;
	uint64_t sent, answered, duplicated, reconnects, boots, stepped_back;
	uint64_t boot, counter;
	uint64_t written;        /* by the server, as of its last answer */
	uint64_t written_at_gap; /* as of the last answer before the longest gap */
	double start, last, longest, longest_at;
} stat;

static volatile sig_atomic_t stopped;

static void stop(int sig)
{
	(void)sig;
	stopped = 1;
}

static double now_s(void)
{
	struct timespec t;

	clock_gettime(CLOCK_MONOTONIC, &t);
	return (double)t.tv_sec + (double)t.tv_nsec / 1e9;
}

static void conn_drop(double now)
{
	close(conn.fd);
	conn.fd = -1;
	conn.connecting = false;
	conn.try_at = now + RETRY_S;
	if (!opt.reconnect)
		stopped = 1;
}

/* Starts to connect; conn_ready tells later whether it worked. */
static void conn_open(double now)
{
	int one = 1;

	conn.fd = socket(AF_INET, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);
	setsockopt(conn.fd, IPPROTO_TCP, TCP_NODELAY, &one, sizeof(one));
	conn.connecting = true;
	conn.began = now;
	conn.n_in = 0;
	conn.oldest = conn.next;
	if (connect(conn.fd, (struct sockaddr *)&opt.addr, sizeof(opt.addr)) && errno != EINPROGRESS)
		conn_drop(now);
}

static void conn_ready(double now)
{
	int err = 0;
	socklen_t len = sizeof(err);

	getsockopt(conn.fd, SOL_SOCKET, SO_ERROR, &err, &len);
	if (err) {
		conn_drop(now);
		return;
	}
	conn.connecting = false;
	conn.began = now;
	if (stat.start == 0)
		stat.start = stat.last = now;
	else
		stat.reconnects++;
}

static void gap_note(double now)
{
	double gap = now - stat.last;

	if (gap > opt.over_s)
		fprintf(stderr, "gapclient: %.1f ms without an answer at %.3f s\n", gap * 1e3, stat.last - stat.start);
	if (gap > stat.longest) {
		stat.longest = gap;
		stat.longest_at = stat.last - stat.start;
		stat.written_at_gap = stat.written;
	}
	stat.last = now;
}

/* Answers come in the order of the requests, so any other number is one answered twice (or one never asked). */
static void reply_take(const struct wire_reply *r, double now)
{
	if (r->boot != stat.boot) {
		stat.boot = r->boot;
		stat.boots++;
		stat.counter = 0;
	}
	if (r->counter <= stat.counter)
		stat.stepped_back++;
	stat.counter = r->counter;
	gap_note(now);
	stat.written = r->value;
	if (r->request != conn.oldest) {
		stat.duplicated++;
		return;
	}
	stat.answer_ms[stat.answered++] = (float)((now - stat.sent_at[conn.oldest++]) * 1e3);
}

static void conn_read(void)
{
	ssize_t n = recv(conn.fd, conn.in + conn.n_in, sizeof(conn.in) - conn.n_in, 0);
	double now = now_s();
	size_t at = 0;

	if (n < 0 && (errno == EAGAIN || errno == EINTR))
		return;
	if (n <= 0) {
		conn_drop(now);
		return;
	}
	conn.n_in += (size_t)n;
	for (; conn.n_in - at >= sizeof(struct wire_reply); at += sizeof(struct wire_reply)) {
		struct wire_reply r;

		memcpy(&r, conn.in + at, sizeof(r));
		reply_take(&r, now);
	}
	memmove(conn.in, conn.in + at, conn.n_in - at);
	conn.n_in -= at;
}

static void conn_send(double now)
{
	uint64_t word = conn.next;
	ssize_t n = send(conn.fd, &word, sizeof(word), MSG_NOSIGNAL);

	if (n < 0 && errno == EAGAIN)
		return; /* nobody takes anything any more: this request is skipped, not lost */
	if (n != (ssize_t)sizeof(word)) {
		conn_drop(now);
		return;
	}
	stat.sent_at[conn.next++] = now;
	stat.sent++;
}

/* Without an answer for so long, while one is due, the connection counts as dead. */
static void conn_watch(double now)
{
	double since = stat.last > conn.began ? stat.last : conn.began;

	if (conn.connecting ? now - conn.began > opt.dead_s : now - since > opt.dead_s && conn.oldest < conn.next)
		conn_drop(now);
}

static void step(double now, double *send_at, bool sending)
{
	struct pollfd p = { conn.fd, (short)(conn.connecting ? POLLOUT : POLLIN), 0 };
	double until = conn.fd < 0 ? conn.try_at : *send_at;
	double wait = until > now ? until - now : 0;
	struct timespec ts = { (time_t)wait, (long)((wait - (double)(time_t)wait) * 1e9) };

	if (ppoll(&p, conn.fd >= 0, &ts, NULL) > 0) {
		if (conn.connecting)
			conn_ready(now_s());
		else
			conn_read();
	}
	now = now_s();
	if (conn.fd < 0) {
		if (now >= conn.try_at && !stopped)
			conn_open(now);
		return;
	}
	conn_watch(now);
	if (now < *send_at || conn.fd < 0)
		return;
	if (!conn.connecting && sending && conn.next < MAX_REQUESTS)
		conn_send(now);
	*send_at += opt.interval_s;
	if (*send_at < now)
		*send_at = now;
}

static int by_value(const void *a, const void *b)
{
	float x = *(const float *)a, y = *(const float *)b;

	return (x > y) - (x < y);
}

static void report(double now)
{
	uint64_t n = stat.answered;

	/* Where an answer is still due or nobody listens, the gap lasts until now. */
	if (conn.oldest < conn.next || conn.fd < 0 || conn.connecting)
		gap_note(now);
	qsort(stat.answer_ms, n, sizeof(*stat.answer_ms), by_value);
	printf("{\"kind\":\"gap\",\"sent\":%" PRIu64 ",\"answered\":%" PRIu64 ",\"lost\":%" PRIu64
	       ",\"duplicated\":%" PRIu64 ",\"stepped_back\":%" PRIu64, stat.sent, n, stat.sent - n,
	       stat.duplicated, stat.stepped_back);
	printf(",\"longest_gap_ms\":%.1f,\"longest_gap_at_s\":%.3f", stat.longest * 1e3, stat.longest_at);
	if (n)
		printf(",\"p50_ms\":%.3f,\"p99_ms\":%.3f,\"max_ms\":%.3f", (double)stat.answer_ms[n / 2],
		       (double)stat.answer_ms[n * 99 / 100], (double)stat.answer_ms[n - 1]);
	printf(",\"reconnects\":%" PRIu64 ",\"boot_ids\":%" PRIu64 ",\"written_bytes\":%" PRIu64
	       ",\"written_at_gap_bytes\":%" PRIu64 ",\"duration_s\":%.3f}\n", stat.reconnects, stat.boots,
	       stat.written, stat.written_at_gap, now - stat.start);
}

/* The exit status says whether the server went on as one: every answer once, in order, from one boot. */
static int measure(void)
{
	double send_at = now_s(), began = send_at, end = opt.duration_s ? send_at + opt.duration_s : 1e18;

	stat.answer_ms = calloc(MAX_REQUESTS, sizeof(*stat.answer_ms));
	stat.sent_at = calloc(MAX_REQUESTS, sizeof(*stat.sent_at));
	if (!stat.answer_ms || !stat.sent_at)
		return 71;
	conn_open(send_at);
	for (double now = send_at; !stopped && now < end; now = now_s())
		step(now, &send_at, true);
	/* What was asked may still be answered. */
	end = now_s() + DRAIN_S;
	for (double now = now_s(); conn.fd >= 0 && conn.oldest < conn.next && now < end; now = now_s())
		step(now, &send_at, false);
	if (!stat.start) {
		fprintf(stderr, "gapclient: no connection within %.1f s\n", now_s() - began);
		return 69;
	}
	report(now_s());
	return stat.duplicated || stat.stepped_back || stat.boots > 1;
}

static int ask_once(uint64_t word, struct wire_reply *r)
{
	struct timeval limit = { 60, 0 };
	int fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
	bool done;

	setsockopt(fd, SOL_SOCKET, SO_RCVTIMEO, &limit, sizeof(limit));
	done = !connect(fd, (struct sockaddr *)&opt.addr, sizeof(opt.addr)) &&
	       send(fd, &word, sizeof(word), MSG_NOSIGNAL) == (ssize_t)sizeof(word) &&
	       recv(fd, r, sizeof(*r), MSG_WAITALL) == (ssize_t)sizeof(*r);
	close(fd);
	return done ? 0 : -1;
}

static int command(char **argv, int argc)
{
	static const char *const names[] = { "ping", "rate", "digest", "check" };
	double until = now_s() + opt.dead_s;
	struct wire_reply r;
	uint64_t op = 0;

	while (op < 4 && strcmp(argv[0], names[op]))
		op++;
	if (op == 4 || argc != (op == WIRE_RATE ? 2 : 1)) {
		fputs(usage, stderr);
		return 64;
	}
	uint64_t word = op << WIRE_OP_SHIFT | (op == WIRE_RATE ? (uint64_t)(strtod(argv[1], NULL) * 1024) : 0);

	while (ask_once(word, &r)) {
		if (now_s() > until) {
			fprintf(stderr, "gapclient: no answer\n");
			return 69;
		}
		usleep(20000);
	}
	printf("{\"kind\":\"answer\",\"to\":\"%s\",\"value\":\"%" PRIu64 "\",\"counter\":%" PRIu64
	       ",\"boot\":\"%016" PRIx64 "\"}\n", argv[0], r.value, r.counter, r.boot);
	return 0;
}

int main(int argc, char **argv)
{
	static const struct option opts[] = {
		{ "interval", 1, 0, 'i' }, { "duration", 1, 0, 'd' }, { "reconnect", 0, 0, 'r' }, { "dead", 1, 0, 'D' },
		{ "over", 1, 0, 'o' }, { 0 }
	};
	int c;

	while ((c = getopt_long(argc, argv, "", opts, NULL)) != -1) {
		if (c == 'i')
			opt.interval_s = strtod(optarg, NULL) / 1e3;
		else if (c == 'd')
			opt.duration_s = strtod(optarg, NULL);
		else if (c == 'r')
			opt.reconnect = true;
		else if (c == 'D')
			opt.dead_s = strtod(optarg, NULL) / 1e3;
		else if (c == 'o')
			opt.over_s = strtod(optarg, NULL) / 1e3;
		else
			argc = 0;
	}
	if (argc - optind < 2 || inet_pton(AF_INET, argv[optind], &opt.addr.sin_addr) != 1 || opt.interval_s <= 0) {
		fputs(usage, stderr);
		return 64;
	}
	opt.addr.sin_family = AF_INET;
	opt.addr.sin_port = htons((uint16_t)atoi(argv[optind + 1]));
	if (argc - optind > 2)
		return command(argv + optind + 2, argc - optind - 2);
	signal(SIGINT, stop);
	signal(SIGTERM, stop);
	return measure();
}
