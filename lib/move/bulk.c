/* SPDX-License-Identifier: MIT */
#include "lib/move/bulk.h"

#include <errno.h>
#include <pthread.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <unistd.h>

#include "lib/base/file.h"
#include "lib/base/stream.h"
#include "lib/move/wire.h"

#define STREAMS_MAX 8
#define HANDOVER_S 5 /* in which a process that connects must hand its descriptors over */

struct line {
	pthread_t thread;
	struct stream *stream; /* NULL: none */
	struct bulk *bulk;
	int link; /* to the process that handed it over; closed when we are done */
	bool over;
};

struct bulk {
	int listener;
	char path[sizeof(((struct sockaddr_un *)0)->sun_path)];
	pthread_t acceptor;
	bulk_line_fn *fn;
	void *ctx;
	pthread_mutex_t lock; /* of the lines */
	struct line line[STREAMS_MAX];
};

static int socket_address(struct sockaddr_un *a, const char *move, struct err *e)
{
	a->sun_family = AF_UNIX;
	if (strchr(move, '/') ||
	    snprintf(a->sun_path, sizeof(a->sun_path), "%s", file_path("/run/edge/move-%s", move)) >=
		    (int)sizeof(a->sun_path))
		return err_set(e, EX_DATAERR, "not the name of a move: %s", move);
	return 0;
}

static void *serve(void *arg)
{
	struct line *l = arg;
	struct bulk *b = l->bulk;
	AUTO_JSON struct json *ok = json_object();

	if (!wire_send_json(l->stream, FRAME_REPLY, ok, NULL))
		b->fn(b->ctx, l->stream);
	pthread_mutex_lock(&b->lock);
	l->over = true;
	pthread_mutex_unlock(&b->lock);
	shutdown(l->link, SHUT_RDWR); /* its process ends */
	return NULL;
}

static void line_clear(struct line *l)
{
	pthread_join(l->thread, NULL);
	stream_free(l->stream);
	close(l->link);
	*l = (struct line){ 0 };
}

/* What comes with the descriptors: how far their stream is. */
struct place {
	uint64_t sent, received;
};

/* The two descriptors that came over the socket; -1 when they did not. */
static int take_descriptors(int sock, int fds[2], struct place *at)
{
	const struct timeval wait = { .tv_sec = HANDOVER_S };
	struct iovec io = { at, sizeof(*at) };
	union {
		struct cmsghdr h;
		char room[CMSG_SPACE(2 * sizeof(int))];
	} control = { 0 };
	struct msghdr m = { .msg_iov = &io, .msg_iovlen = 1, .msg_control = &control, .msg_controllen = sizeof(control) };

	setsockopt(sock, SOL_SOCKET, SO_RCVTIMEO, &wait, sizeof(wait));
	ssize_t n = recvmsg(sock, &m, MSG_CMSG_CLOEXEC);
	if (n <= 0 || control.h.cmsg_type != SCM_RIGHTS)
		return -1;
	memcpy(fds, CMSG_DATA(&control.h), 2 * sizeof(int));
	bool both = control.h.cmsg_len == CMSG_LEN(2 * sizeof(int));
	if (both && n == sizeof(*at))
		return 0;
	if (both || control.h.cmsg_len == CMSG_LEN(sizeof(int)))
		close(fds[0]);
	if (both)
		close(fds[1]);
	return -1;
}

/* A line that is free, or has ended; NULL. The lock is held. */
static struct line *free_line(struct bulk *b)
{
	for (int i = 0; i < STREAMS_MAX; i++) {
		struct line *l = &b->line[i];

		if (l->over)
			line_clear(l);
		if (!l->stream)
			return l;
	}
	return NULL;
}

static void add_line(struct bulk *b, int sock, const int fds[2], const struct place *at)
{
	struct stream *s = stream_fds(fds[0], fds[1], "source");

	if (s)
		stream_go_on(s, at->sent, at->received);
	pthread_mutex_lock(&b->lock);
	struct line *l = s ? free_line(b) : NULL;
	if (l) {
		*l = (struct line){ .stream = s, .bulk = b, .link = sock };
		if (pthread_create(&l->thread, NULL, serve, l)) {
			*l = (struct line){ 0 };
			l = NULL;
		}
	}
	pthread_mutex_unlock(&b->lock);
	if (l)
		return;
	if (s)
		stream_free(s);
	close(sock);
}

static void *accept_all(void *arg)
{
	struct bulk *b = arg;
	struct place at;
	int fds[2];

	for (;;) {
		int sock = accept4(b->listener, NULL, NULL, SOCK_CLOEXEC);

		if (sock < 0 && errno == EINTR)
			continue;
		if (sock < 0)
			return NULL;
		if (take_descriptors(sock, fds, &at))
			close(sock);
		else
			add_line(b, sock, fds, &at);
	}
}

int bulk_listen(struct bulk **out, const char *move, bulk_line_fn *fn, void *ctx, struct err *e)
{
	struct sockaddr_un a = { 0 };
	struct bulk *b;

	if (socket_address(&a, move, e) || file_mkdirs(file_path("/run/edge"), 0700, e))
		return -1;
	b = calloc(1, sizeof(*b));
	if (!b)
		return err_set(e, EX_OSERR, "out of memory");
	b->fn = fn;
	b->ctx = ctx;
	pthread_mutex_init(&b->lock, NULL);
	memcpy(b->path, a.sun_path, sizeof(b->path));
	b->listener = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);
	unlink(a.sun_path);
	if (b->listener < 0 || bind(b->listener, (struct sockaddr *)&a, sizeof(a)) || listen(b->listener, STREAMS_MAX) ||
	    pthread_create(&b->acceptor, NULL, accept_all, b)) {
		err_sys(e, "%s", a.sun_path);
		if (b->listener >= 0)
			close(b->listener);
		unlink(b->path);
		free(b);
		return -1;
	}
	*out = b;
	return 0;
}

void bulk_free(struct bulk *b)
{
	if (!b)
		return;
	shutdown(b->listener, SHUT_RDWR);
	pthread_join(b->acceptor, NULL);
	bulk_stop(b, NULL);
	for (int i = 0; i < STREAMS_MAX; i++)
		if (b->line[i].stream)
			line_clear(&b->line[i]);
	pthread_mutex_destroy(&b->lock);
	close(b->listener);
	unlink(b->path);
	free(b);
}

void bulk_stop(struct bulk *b, const struct stream *but)
{
	pthread_mutex_lock(&b->lock);
	for (int i = 0; i < STREAMS_MAX; i++)
		if (b->line[i].stream && b->line[i].stream != but)
			stream_stop(b->line[i].stream);
	pthread_mutex_unlock(&b->lock);
}

int bulk_lines(struct bulk *b)
{
	int n = 0;

	pthread_mutex_lock(&b->lock);
	for (int i = 0; i < STREAMS_MAX; i++)
		n += b->line[i].stream && !b->line[i].over;
	pthread_mutex_unlock(&b->lock);
	return n;
}

void bulk_forget(const char *move)
{
	struct sockaddr_un a = { 0 };
	char late[BULK_NAME_MAX];

	if (!socket_address(&a, move, NULL))
		unlink(a.sun_path);
	if (!socket_address(&a, bulk_late_name(move, late), NULL))
		unlink(a.sun_path);
}

const char *bulk_late_name(const char *move, char name[BULK_NAME_MAX])
{
	snprintf(name, BULK_NAME_MAX, "%.63s.late", move);
	return name;
}

int bulk_attach(const struct stream *s, const char *move, struct err *e)
{
	struct place at = { s ? stream_sent(s) : 0, s ? stream_received(s) : 0 };
	struct sockaddr_un a = { 0 };
	int fds[2] = { 0, 1 };
	char byte;
	struct iovec io = { &at, sizeof(at) };
	union {
		struct cmsghdr h;
		char room[CMSG_SPACE(2 * sizeof(int))];
	} control = { 0 };
	struct msghdr m = { .msg_iov = &io, .msg_iovlen = 1, .msg_control = &control, .msg_controllen = sizeof(control) };
	AUTO_FD int sock = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);

	if (socket_address(&a, move, e))
		return -1;
	control.h.cmsg_level = SOL_SOCKET;
	control.h.cmsg_type = SCM_RIGHTS;
	control.h.cmsg_len = CMSG_LEN(sizeof(fds));
	memcpy(CMSG_DATA(&control.h), fds, sizeof(fds));
	if (sock < 0 || connect(sock, (struct sockaddr *)&a, sizeof(a)))
		return err_set(e, EX_UNAVAILABLE, "move %s: not under way here", move);
	if (sendmsg(sock, &m, MSG_NOSIGNAL) != sizeof(at))
		return err_sys(e, "move %s", move);
	close(0);
	close(1);
	while (recv(sock, &byte, 1, 0) > 0)
		;
	return 0;
}
