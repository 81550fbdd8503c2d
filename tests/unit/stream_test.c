/* SPDX-License-Identifier: MIT */
#include "lib/base/stream.h"

#include <fcntl.h>
#include <pthread.h>
#include <signal.h>
#include <stdlib.h>
#include <sys/socket.h>

#include "lib/base/clock.h"
#include "tests/unit/tap.h"

struct job {
	struct stream *s;
	size_t n;
	int rc;
	struct err e;
};

static void *read_job(void *arg)
{
	struct job *j = arg;
	AUTO_FREE char *buf = malloc(j->n);

	j->rc = stream_read(j->s, buf, j->n, &j->e);
	return NULL;
}

static void *write_job(void *arg)
{
	struct job *j = arg;
	AUTO_FREE char *buf = calloc(1, j->n);

	j->rc = stream_write(j->s, buf, j->n, &j->e);
	return NULL;
}

static bool make(bool sockets, struct stream **a, struct stream **b)
{
	int p[2], q[2];

	if (sockets) {
		if (socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, p))
			return false;
		*a = stream_fds(p[0], p[0], "node a");
		*b = stream_fds(p[1], p[1], "node b");
	} else {
		if (pipe2(p, O_CLOEXEC) || pipe2(q, O_CLOEXEC))
			return false;
		*a = stream_fds(p[0], q[1], "node a");
		*b = stream_fds(q[0], p[1], "node b");
	}
	return true;
}

static void test_both_ways(bool sockets)
{
	AUTO_STREAM struct stream *a = NULL, *b = NULL;
	size_t n = 8 << 20;
	struct job j[4];
	pthread_t t[4];
	char buf[4];
	struct err e = { 0 };

	if (!ok(make(sockets, &a, &b), sockets ? "over a socket pair" : "over two pipes"))
		return;
	is_str(stream_peer(a), "node a", "the peer's name is kept");
	for (int i = 0; i < 4; i++) {
		j[i] = (struct job){ .s = i < 2 ? a : b, .n = n };
		pthread_create(&t[i], NULL, i % 2 ? write_job : read_job, &j[i]);
	}
	for (int i = 0; i < 4; i++)
		pthread_join(t[i], NULL);
	ok(!j[0].rc && !j[1].rc && !j[2].rc && !j[3].rc, "8 MB go both ways at once");
	ok(stream_sent(a) == n && stream_received(a) == n && stream_sent(b) == n, "bytes are counted");
	is_int(stream_write(a, "ab", 2, &e), 0, "two bytes are written");
	stream_free(TAKE_PTR(a));
	is_int(stream_read(b, buf, 4, &e), -1, "an early end fails");
	is_str(e.text, "node b: connection closed", "... with the peer's name");
	is_int(e.code, EX_UNAVAILABLE, "... as unavailable");
	is_int(stream_write(b, "ab", 2, &e), -1, "writing to a peer that is gone fails");
	is_str(e.text, "node b: connection lost: Broken pipe", "... without a signal");
}

static void test_stop(bool sockets)
{
	AUTO_STREAM struct stream *a = NULL, *b = NULL;
	struct job r, w;
	pthread_t tr, tw;
	struct err e = { 0 };
	double t;

	if (!make(sockets, &a, &b))
		return;
	r = (struct job){ .s = a, .n = 10 };
	w = (struct job){ .s = a, .n = 64 << 20 };
	pthread_create(&tr, NULL, read_job, &r);
	pthread_create(&tw, NULL, write_job, &w);
	usleep(50000);
	t = clock_ms();
	stream_stop(a);
	pthread_join(tr, NULL);
	pthread_join(tw, NULL);
	ok(r.rc < 0 && w.rc < 0 && clock_ms() - t < 1000, "stop wakes a blocked read and a blocked write");
	is_str(r.e.text, "node a: connection stopped", "... which say so");
	is_int(stream_read(a, &e, 1, &e), -1, "later reads fail");
	is_int(stream_write(a, &r, 1, &e), -1, "later writes fail");
}

static void test_flags(void)
{
	int p[2], kept;
	struct stream *s;

	if (pipe(p))
		return;
	kept = dup(p[0]);
	s = stream_fds(p[0], p[1], "x");
	ok(fcntl(kept, F_GETFL) & O_NONBLOCK, "descriptors are non-blocking inside");
	stream_free(s);
	ok(!(fcntl(kept, F_GETFL) & O_NONBLOCK), "... and given back as they were");
	close(kept);
}

static void test_heard(bool sockets)
{
	AUTO_STREAM struct stream *a = NULL, *b = NULL;
	struct err e = { 0 };
	char buf[4];

	if (!ok(make(sockets, &a, &b), sockets ? "two sockets" : "two pairs of pipes"))
		return;
	ok(!stream_heard(b), "nothing was heard");
	stream_write(a, "ab", 2, &e);
	ok(stream_heard(b), "what comes is heard, read or not");
	ok(!stream_heard(b), "... once");
	stream_write(a, "cd", 2, &e);
	ok(stream_heard(b), "... as is more, behind it");
	stream_read(b, buf, 4, &e);
	ok(stream_heard(b), "... and what is read");
	ok(!stream_heard(b), "... once, too");
	stream_write(a, "ef", 2, &e);
	stream_free(TAKE_PTR(a));
	ok(stream_heard(b), "the last that came before the end is heard");
	ok(!stream_heard(b), "... and the end is no sign of life");
}

int main(void)
{
	signal(SIGPIPE, SIG_IGN);
	for (int sockets = 0; sockets < 2; sockets++) {
		test_both_ways(sockets);
		test_stop(sockets);
		test_heard(sockets);
	}
	test_flags();
	return done();
}
