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
#include "lib/move/pages.h"
#include "lib/move/wire.h"

#define STREAMS_MAX 8
#define HANDOVER_S 5 /* in which a process that connects must hand its descriptors over */

struct line {
	pthread_t thread;
	struct stream *stream;
	struct image *im;
	int link; /* to the process that handed it over; closed when we are done */
};

struct bulk {
	int listener;
	char path[sizeof(((struct sockaddr_un *)0)->sun_path)];
	pthread_t acceptor;
	struct image *im;
	struct line line[STREAMS_MAX];
	int n;
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

static void *receive(void *arg)
{
	struct line *l = arg;
	AUTO_JSON struct json *ok = json_object();

	if (!wire_send_json(l->stream, FRAME_REPLY, ok, NULL))
		receiver_run(l->stream, l->im, NULL);
	return NULL;
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

static void *accept_all(void *arg)
{
	struct bulk *b = arg;
	struct place at;
	int fds[2];

	while (b->n < STREAMS_MAX) {
		int sock = accept4(b->listener, NULL, NULL, SOCK_CLOEXEC);
		struct line *l = &b->line[b->n];

		if (sock < 0 && errno == EINTR)
			continue;
		if (sock < 0)
			break;
		if (take_descriptors(sock, fds, &at)) {
			close(sock);
			continue;
		}
		l->link = sock;
		l->im = b->im;
		l->stream = stream_fds(fds[0], fds[1], "source");
		if (l->stream)
			stream_go_on(l->stream, at.sent, at.received);
		if (!l->stream || pthread_create(&l->thread, NULL, receive, l)) {
			if (l->stream)
				stream_free(l->stream);
			close(sock);
			continue;
		}
		b->n++;
	}
	return NULL;
}

int bulk_listen(struct bulk **out, const char *move, struct image *im, struct err *e)
{
	struct sockaddr_un a = { 0 };
	struct bulk *b;

	if (socket_address(&a, move, e) || file_mkdirs(file_path("/run/edge"), 0700, e))
		return -1;
	b = calloc(1, sizeof(*b));
	if (!b)
		return err_set(e, EX_OSERR, "out of memory");
	b->im = im;
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
	for (int i = 0; i < b->n; i++) {
		stream_stop(b->line[i].stream);
		pthread_join(b->line[i].thread, NULL);
		stream_free(b->line[i].stream);
		close(b->line[i].link);
	}
	close(b->listener);
	unlink(b->path);
	free(b);
}

void bulk_forget(const char *move)
{
	struct sockaddr_un a = { 0 };

	if (!socket_address(&a, move, NULL))
		unlink(a.sun_path);
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
