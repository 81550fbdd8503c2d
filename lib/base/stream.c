/* SPDX-License-Identifier: MIT */
#include "lib/base/stream.h"

#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <pthread.h>
#include <stdatomic.h>
#include <stdbool.h>
#include <stdlib.h>
#include <string.h>
#include <sys/eventfd.h>
#include <sys/ioctl.h>
#include <sys/socket.h>
#include <sys/stat.h>

#define PLENTY (64 << 10)    /* more than pings are */
#define PIPE_BYTES (1 << 20) /* sshd's to us: with the usual 64 KB each two of its packets wake us, and us it */

struct stream {
	const struct stream_ops *ops;
	void *self;
	char *peer;
	atomic_uint_fast64_t sent, received;
	atomic_bool failed;
	pthread_mutex_t writing;
};

struct stream *stream_new(const struct stream_ops *ops, void *self, const char *peer)
{
	struct stream *s = calloc(1, sizeof(*s));
	char *copy = strdup(peer);

	if (!s || !copy) {
		free(s);
		free(copy);
		ops->free(self);
		errno = ENOMEM;
		return NULL;
	}
	s->ops = ops;
	s->self = self;
	s->peer = copy;
	pthread_mutex_init(&s->writing, NULL);
	return s;
}

void stream_free(struct stream *s)
{
	if (!s)
		return;
	s->ops->free(s->self);
	pthread_mutex_destroy(&s->writing);
	free(s->peer);
	free(s);
}

const char *stream_peer(const struct stream *s)
{
	return s->peer;
}

int stream_read(struct stream *s, void *buf, size_t n, struct err *e)
{
	char *p = buf;

	while (n > 0) {
		ssize_t r = s->ops->read(s->self, p, n, e);

		if (r <= 0)
			atomic_store(&s->failed, true);
		if (r < 0)
			return err_wrap(e, "%s", s->peer);
		if (r == 0)
			return err_set(e, EX_UNAVAILABLE, "%s: connection closed", s->peer);
		p += r;
		n -= (size_t)r;
		atomic_fetch_add_explicit(&s->received, (uint64_t)r, memory_order_relaxed);
	}
	return 0;
}

int stream_write(struct stream *s, const void *buf, size_t n, struct err *e)
{
	const char *p = buf;

	while (n > 0) {
		ssize_t r = s->ops->write(s->self, p, n, e);

		if (r < 0) {
			atomic_store(&s->failed, true);
			return err_wrap(e, "%s", s->peer);
		}
		p += r;
		n -= (size_t)r;
		atomic_fetch_add_explicit(&s->sent, (uint64_t)r, memory_order_relaxed);
	}
	return 0;
}

void stream_stop(struct stream *s)
{
	s->ops->stop(s->self);
}

int stream_socket(const struct stream *s)
{
	return s->ops->socket ? s->ops->socket(s->self) : -1;
}

bool stream_failed(const struct stream *s)
{
	return atomic_load(&s->failed);
}

bool stream_heard(struct stream *s)
{
	return s->ops->heard(s->self);
}

int stream_lock(struct stream *s, bool wait)
{
	return (wait ? pthread_mutex_lock(&s->writing) : pthread_mutex_trylock(&s->writing)) ? 1 : 0;
}

void stream_unlock(struct stream *s)
{
	pthread_mutex_unlock(&s->writing);
}

uint64_t stream_sent(const struct stream *s)
{
	return atomic_load_explicit(&s->sent, memory_order_relaxed);
}

uint64_t stream_received(const struct stream *s)
{
	return atomic_load_explicit(&s->received, memory_order_relaxed);
}

void stream_go_on(struct stream *s, uint64_t sent, uint64_t received)
{
	atomic_store(&s->sent, sent);
	atomic_store(&s->received, received);
}

bool stream_fd_came(int fd, int *waiting)
{
	int now = 0, before = *waiting;

	if (ioctl(fd, FIONREAD, &now))
		now = 0;
	*waiting = now;
	return now > before || now >= PLENTY;
}

/* A pair of descriptors. Both are non-blocking while the stream has them, so that neither a read nor a write
 * can hang in the kernel where a stop does not reach it. */
struct fds {
	int in, out, wake;
	int in_flags, out_flags; /* as they were before */
	bool in_socket, out_socket;
	atomic_bool stopped, came;
	int waiting; /* bytes that had not been read when somebody asked */
};

static bool is_socket(int fd)
{
	struct stat st;

	return fstat(fd, &st) == 0 && S_ISSOCK(st.st_mode);
}

static int fds_stopped(struct err *e)
{
	return err_set(e, EX_UNAVAILABLE, "connection stopped");
}

static int fds_wait(struct fds *f, int fd, short events, struct err *e)
{
	struct pollfd p[2] = { { .fd = fd, .events = events }, { .fd = f->wake, .events = POLLIN } };

	if (poll(p, 2, -1) < 0 && errno != EINTR)
		return err_sys(e, "poll");
	return atomic_load(&f->stopped) ? fds_stopped(e) : 0;
}

/* 1: try again after waiting; 0: try again; -1: lost. */
static int fds_again(struct err *e)
{
	if (errno == EINTR)
		return 0;
	if (errno == EAGAIN)
		return 1;
	err_sys(e, "connection lost");
	if (e)
		e->code = EX_UNAVAILABLE;
	return -1;
}

static ssize_t fds_read(void *self, void *buf, size_t n, struct err *e)
{
	struct fds *f = self;

	while (!atomic_load(&f->stopped)) {
		ssize_t r = read(f->in, buf, n);
		int again;

		if (r > 0)
			atomic_store(&f->came, true);
		if (r >= 0)
			return r == 0 && atomic_load(&f->stopped) ? fds_stopped(e) : r;
		again = fds_again(e);
		if (again < 0 || (again > 0 && fds_wait(f, f->in, POLLIN, e)))
			return -1;
	}
	return fds_stopped(e);
}

static ssize_t fds_write(void *self, const void *buf, size_t n, struct err *e)
{
	struct fds *f = self;

	while (!atomic_load(&f->stopped)) {
		ssize_t r = f->out_socket ? send(f->out, buf, n, MSG_NOSIGNAL) : write(f->out, buf, n);
		int again;

		if (r > 0)
			return r;
		if (r == 0)
			continue;
		again = fds_again(e);
		if (again < 0 || (again > 0 && fds_wait(f, f->out, POLLOUT, e)))
			return -1;
	}
	return fds_stopped(e);
}

static void fds_stop(void *self)
{
	struct fds *f = self;
	uint64_t one = 1;

	atomic_store(&f->stopped, true);
	/* never read again, so it stays readable and every later wait ends at once; it cannot fail before
	 * 2^64 stops */
	(void)!write(f->wake, &one, sizeof(one));
	if (f->in_socket)
		shutdown(f->in, SHUT_RDWR);
	if (f->out_socket && f->out != f->in)
		shutdown(f->out, SHUT_RDWR);
}

static bool fds_heard(void *self)
{
	struct fds *f = self;
	bool came = stream_fd_came(f->in, &f->waiting);

	return atomic_exchange(&f->came, false) || came;
}

static int fds_socket(void *self)
{
	const struct fds *f = self;

	return f->out_socket ? f->out : -1;
}

static void fds_free(void *self)
{
	struct fds *f = self;

	fcntl(f->in, F_SETFL, f->in_flags); /* others may share the open file: a terminal with the shell */
	fcntl(f->out, F_SETFL, f->out_flags);
	close(f->in);
	if (f->out != f->in)
		close(f->out);
	close(f->wake);
	free(f);
}

static const struct stream_ops fds_ops = {
	.read = fds_read, .write = fds_write, .stop = fds_stop, .free = fds_free, .heard = fds_heard, .socket = fds_socket
};

struct stream *stream_fds(int in, int out, const char *peer)
{
	struct fds *f = calloc(1, sizeof(*f));

	if (f)
		f->wake = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK);
	if (!f || f->wake < 0) {
		free(f);
		close(in);
		if (out != in)
			close(out);
		return NULL;
	}
	f->in = in;
	f->out = out;
	f->in_flags = fcntl(in, F_GETFL);
	f->out_flags = fcntl(out, F_GETFL);
	fcntl(in, F_SETFL, f->in_flags | O_NONBLOCK);
	fcntl(out, F_SETFL, f->out_flags | O_NONBLOCK);
	fcntl(in, F_SETPIPE_SZ, PIPE_BYTES);
	f->in_socket = is_socket(in);
	f->out_socket = is_socket(out);
	return stream_new(&fds_ops, f, peer);
}
