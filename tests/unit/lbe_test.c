/* SPDX-License-Identifier: MIT */
#include "lib/move/lbe.h"

#include <arpa/inet.h>
#include <linux/tcp.h>
#include <math.h>
#include <netinet/in.h>
#include <pthread.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/socket.h>
#include <unistd.h>

#include "lib/base/clock.h"
#include "tests/unit/tap.h"

#define STEP_MS 50
#define QUEUE_MS 10

#define STREAMS 2

/* A link, as the law sees it: what fits goes through, the rest stands in its queue, and what does not fit there is dropped. */
struct link {
	struct lbe_law law[STREAMS];
	int n;                      /* streams; 0: one */
	double carries, queue;      /* bytes per ms; bytes */
	double trip;                /* round trip without a queue */
	double burst;               /* so much longer with all that it carries: what is sent in one go follows itself */
	double jitter;              /* up to so much longer, by chance */
	double uneven;              /* share by which more or less gets through in an interval, by chance */
	double most[STREAMS];       /* that there is to send; 0: without end */
	double narrow[STREAMS];     /* that gets through elsewhere on its way, where nobody waits; 0: all */
	double others;              /* bytes per ms that have the link as well */
	double deep;                /* ms that its queue can take; 0: QUEUE_MS */
	double got[STREAMS], waited; /* bytes; sum of ms that the queue took */
};

static void says(bool good, const char *format, ...)
{
	char text[160];
	va_list va;

	va_start(va, format);
	vsnprintf(text, sizeof(text), format, va);
	va_end(va);
	ok(good, text);
}

/* The least of the two, of which 0 is no limit. */
static double least(double a, double b)
{
	return a && b ? fmin(a, b) : a + b;
}

static void step(struct link *l)
{
	double offered[STREAMS], all = 0, through, before = l->queue;
	int n = l->n ? l->n : 1;

	for (int i = 0; i < n; i++) {
		offered[i] = l->law[i].limit ? l->law[i].limit : 2 * l->carries;
		all += offered[i] = least(offered[i], least(l->most[i], l->narrow[i]));
	}
	l->queue = fmin(fmax(l->queue + (all + l->others - l->carries) * STEP_MS, 0), (l->deep ? l->deep : QUEUE_MS) * l->carries);
	through = fmin(all, l->carries - l->others + (before - l->queue > 0 ? (before - l->queue) / STEP_MS : 0));
	l->waited += l->queue / l->carries;
	for (int i = 0; i < n; i++) {
		double rate = through * offered[i] / all * (1 + l->uneven * (2 * drand48() - 1));

		l->got[i] += rate * STEP_MS;
		if (!l->most[i] || rate < l->most[i])
			lbe_decide(&l->law[i], rate, l->trip + l->burst * through / l->carries + fmin(before, l->queue) / l->carries +
							     l->jitter * drand48(), true);
	}
}

/* What got through of what the link carries, and how long the queue took, in so many seconds. */
static double share(struct link *l, double seconds, double *queue)
{
	int n = (int)(seconds * 1000 / STEP_MS);
	double got = l->waited = 0;

	for (int i = 0; i < STREAMS; i++)
		l->got[i] = 0;
	for (int i = 0; i < n; i++)
		step(l);
	if (queue)
		*queue = l->waited / n;
	for (int i = 0; i < STREAMS; i++)
		got += l->got[i];
	return got / (l->carries * seconds * 1000);
}

static void test_alone(void)
{
	struct link l = { .carries = 117e3, .trip = 1, .burst = 1 };
	double queue, part = share(&l, 1, NULL);

	says(part > 0.85, "the first second: %.2f of the link", part);
	part = share(&l, 20, &queue);
	says(part > 0.96, "then nearly all of it is used (%.3f)", part);
	says(queue < 1, "... and its queue is short (%.2f ms on average)", queue);
}

static void test_changes(void)
{
	struct link l = { .carries = 117e3, .trip = 1, .burst = 1 };
	double queue, part;

	share(&l, 5, NULL);
	l.carries /= 2;
	share(&l, 1, NULL);
	part = share(&l, 10, &queue);
	says(part > 0.85 && queue < 2, "a link that becomes slower is used anew (%.2f, queue %.2f ms)", part, queue);
	l.carries *= 4;
	share(&l, 8, NULL);
	part = share(&l, 10, &queue);
	says(part > 0.9 && queue < 2, "... and one that becomes faster (%.2f, queue %.2f ms)", part, queue);
	l.others = l.carries / 4;
	share(&l, 8, NULL);
	part = share(&l, 10, &queue);
	says(part > 0.65 && queue < 2, "others that come have their part (%.2f is left to us, queue %.2f ms)", part, queue);
}

static void test_jitter(void)
{
	struct link l = { .carries = 10e3, .trip = 20, .jitter = 30 };

	share(&l, 1, NULL);
	double part = share(&l, 60, NULL);
	says(part > 0.72, "where the round trip says nothing, no more than a quarter is lost (%.2f used)", part);
	l.uneven = 0.15;
	part = share(&l, 60, NULL);
	says(part > 0.7, "... nor where the rate is uneven as well (%.2f)", part);
	l.uneven = 0.3;
	part = share(&l, 300, NULL);
	says(part > 0.65, "... hardly more where it is very uneven (%.2f)", part);
	l = (struct link){ .carries = 10e3, .trip = 20, .uneven = 0.15 };
	share(&l, 5, NULL);
	l.trip = 30;
	part = share(&l, 60, NULL);
	says(part > 0.72, "... nor where it becomes a longer one (%.2f)", part);
}

static void test_little(void)
{
	struct link l = { .carries = 117e3, .trip = 1, .burst = 1 };

	share(&l, 5, NULL);
	double limit = l.law[0].limit;
	l.most[0] = 20e3;
	share(&l, 60, NULL);
	l.most[0] = 0;
	ok(l.law[0].limit > 0.9 * limit, "who has little to send keeps the limit");
	double part = share(&l, 1, NULL);
	says(part > 0.9, "... and has the link again when there is more (%.2f)", part);
}

/* BBR does that each ten seconds, to learn the round trip. */
static void test_stops(void)
{
	struct link l = { .carries = 117e3, .trip = 1, .burst = 1 };

	share(&l, 5, NULL);
	l.narrow[0] = 10e3;
	share(&l, 0.2, NULL);
	l.narrow[0] = 0;
	double part = share(&l, 5, NULL);
	says(part > 0.95, "a stream that stops for a moment is no link without a queue (%.2f)", part);
}

static void test_wrong(void)
{
	struct link l = { .carries = 117e3, .trip = 1, .burst = 1, .narrow = { 20e3 } };
	double queue, part;

	share(&l, 0.2, NULL);
	l.narrow[0] = 0;
	share(&l, 8, NULL);
	part = share(&l, 5, NULL);
	says(part > 0.9, "a link that was taken for a slower one is found out (%.2f)", part);
	l = (struct link){ .carries = 1170e3, .trip = 1, .burst = 1 };
	share(&l, 0.2, NULL);
	l.carries /= 10;
	share(&l, 8, NULL);
	part = share(&l, 5, &queue);
	says(part > 0.85 && queue < 2, "... and one that was taken for a faster one (%.2f, queue %.2f ms)", part, queue);
	l = (struct link){ .carries = 117e3, .trip = 1, .burst = 1 };
	l.law[0] = (struct lbe_law)LBE_LAW_NEW;
	lbe_decide(&l.law[0], l.carries, l.trip, true);
	lbe_decide(&l.law[0], l.carries / 10, l.trip, true);
	says(!l.law[0].limit, "a moment without anything to send is not taken for the link's");
}

/* A turn of so many bytes, and the round trip until it is known to be there: all that the law sees. */
static double turn_rate(double bytes, double carries, double trip)
{
	return bytes / (bytes / carries + trip);
}

static void test_short_turns(void)
{
	const double carries = 117e3, trip = 10;

	for (double trips = 0.5; trips < 10; trips *= 2) {
		struct lbe_law w = LBE_LAW_NEW;
		double bytes = carries * trip / trips, all = turn_rate(bytes, carries, trip), got = 0;

		for (int i = 0; i < 200; i++) {
			double rate = turn_rate(bytes, w.limit ? fmin(w.limit, carries) : carries, trip);

			got += rate;
			lbe_decide(&w, rate, trip, false);
		}
		says(got / 200 > LBE_FLOOR * all, "turns of which %.1f make a round trip lose little (%.2f)", trips, got / 200 / all);
		got = 0;
		for (int i = 0; i < 100; i++) {
			double rate = fmin(w.limit ? w.limit : carries, carries);

			got += i < 50 ? 0 : rate;
			lbe_decide(&w, rate, trip, true);
		}
		says(got / 50 > 0.9 * carries, "... and who has more to send then soon has the link (%.2f)", got / 50 / carries);
	}
}

static void test_deep(void)
{
	struct link l = { .carries = 5e3, .trip = 10, .deep = 400 };
	double queue, part;

	share(&l, 3, NULL);
	part = share(&l, 20, &queue);
	says(part > 0.9 && queue < 10, "a link that lets much wait is used without that (%.2f, queue %.1f ms)", part, queue);
}

static void test_several(void)
{
	struct link l = { .n = 2, .carries = 117e3, .trip = 1, .burst = 1 };
	double queue, part;

	share(&l, 1, NULL);
	part = share(&l, 30, &queue);
	says(part > 0.96 && queue < 1, "two streams use as much as one (%.3f, queue %.2f ms)", part, queue);
	says(fmin(l.got[0], l.got[1]) > 0.3 * (l.got[0] + l.got[1]), "... both of them (%.0f and %.0f MB)", l.got[0] / 1e6, l.got[1] / 1e6);
	l.narrow[1] = 11e3;
	share(&l, 8, NULL);
	part = share(&l, 10, &queue);
	says(part > 0.93 && queue < 2, "one that is held up elsewhere leaves its part to the other (%.2f, queue %.2f ms)", part, queue);
	l.narrow[1] = 0;
	l.most[1] = 1e3;
	part = share(&l, 10, &queue);
	says(part > 0.93 && queue < 2, "... and so does one with little to send (%.2f, queue %.2f ms)", part, queue);
}

/* Two ends of a connection over loopback, of which the second takes little at a time. */
static void connection(int fd[2])
{
	struct sockaddr_in a = { .sin_family = AF_INET, .sin_addr.s_addr = htonl(INADDR_LOOPBACK) };
	socklen_t n = sizeof(a);
	int l = socket(AF_INET, SOCK_STREAM, 0), window = 128 << 10;

	if (l < 0 || setsockopt(l, SOL_SOCKET, SO_RCVBUF, &window, sizeof(window)) || bind(l, (struct sockaddr *)&a, n) ||
	    listen(l, 1) || getsockname(l, (struct sockaddr *)&a, &n))
		exit(1);
	fd[0] = socket(AF_INET, SOCK_STREAM, 0);
	if (connect(fd[0], (struct sockaddr *)&a, n) || (fd[1] = accept(l, NULL, NULL)) < 0)
		exit(1);
	close(l);
}

static unsigned long limit_of(int fd)
{
	unsigned long rate = 0;
	socklen_t n = sizeof(rate);

	return getsockopt(fd, SOL_SOCKET, SO_MAX_PACING_RATE, &rate, &n) ? 0 : rate;
}

/* Some 100 MB/s, so that more waits to be sent. */
static void *read_slowly(void *arg)
{
	static char block[100 << 10];

	while (read(*(int *)arg, block, sizeof(block)) > 0)
		usleep(1000);
	return NULL;
}

static void test_streams(void)
{
	static char block[1 << 20];
	int fd[2], pipes[2];
	pthread_t reader;

	connection(fd);
	if (pipe(pipes))
		exit(1);
	struct stream *tcp = stream_fds(fd[0], fd[0], "loopback"), *none = stream_fds(pipes[0], pipes[1], "pipe");
	ok(stream_socket(tcp) == fd[0] && stream_socket(none) == -1, "a stream tells its socket");
	ok(!lbe_start(&none, 1), "what is no socket is not paced");
	struct stream *both[] = { none, tcp };
	struct lbe *l = lbe_start(both, 2);
	bool paced = false;

	ok(l != NULL, "... and what is, is");
	pthread_create(&reader, NULL, read_slowly, &fd[1]);
	for (double end = clock_ms() + 20000; clock_ms() < end && !paced;) {
		stream_write(tcp, block, sizeof(block), NULL);
		paced = limit_of(fd[0]) != ~0UL;
	}
	ok(paced, "a limit is found");
	lbe_end(l);
	ok(limit_of(fd[0]) == ~0UL, "... and taken back in the end");
	lbe_end(NULL);
	stream_free(tcp);
	stream_free(none);
	pthread_join(reader, NULL);
	close(fd[1]);
}

/* Bytes per ms of who sends a MB, then has nothing to send for 15 ms, and so on. */
static double by_turns(struct stream *s, double ms)
{
	static char block[1 << 20];
	double start = clock_ms(), now = start;
	struct tcp_info t;
	socklen_t n = sizeof(t);
	int turns = 0;

	for (; now < start + ms; now = clock_ms(), turns++) {
		stream_write(s, block, sizeof(block), NULL);
		do
			usleep(500);
		while (!getsockopt(stream_socket(s), IPPROTO_TCP, TCP_INFO, &t, &n) && t.tcpi_notsent_bytes + t.tcpi_unacked);
		usleep(15000);
	}
	return turns * (double)sizeof(block) / (now - start);
}

/* Of what gets through without a limit, before and after it; the machine may have other work. */
static double turns_kept(struct stream *s, bool *limited)
{
	double all = by_turns(s, 1000);
	struct lbe *l = lbe_start(&s, 1);

	by_turns(s, 1500);
	double with = by_turns(s, 1500);
	*limited |= limit_of(stream_socket(s)) != ~0UL;
	lbe_end(l);
	double after = by_turns(s, 1000);
	printf("# %.0f kB/ms without a limit, %.0f with one, %.0f without\n", all / 1e3, with / 1e3, after / 1e3);
	return with / fmin(all, after);
}

static void test_turns(void)
{
	bool limited = false;
	double kept = 0;
	pthread_t reader;
	int fd[2];

	connection(fd);
	struct stream *s = stream_fds(fd[0], fd[0], "loopback");
	pthread_create(&reader, NULL, read_slowly, &fd[1]);
	for (int i = 0; i < 15 && (kept < 0.75 || !limited); i++)
		kept = turns_kept(s, &limited);
	ok(limited, "one who has something to send only by turns has a limit, too");
	says(kept > 0.75, "... and is not held up by what it does not send (%.2f)", kept);
	stream_free(s);
	pthread_join(reader, NULL);
	close(fd[1]);
}

int main(void)
{
	srand48(1);
	test_alone();
	test_changes();
	test_jitter();
	test_little();
	test_stops();
	test_wrong();
	test_short_turns();
	test_deep();
	test_several();
	test_streams();
	test_turns();
	return done();
}
