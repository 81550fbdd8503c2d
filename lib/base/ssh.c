/* SPDX-License-Identifier: MIT */
#include "lib/base/ssh_session.h"

#include <ctype.h>
#include <errno.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <poll.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/eventfd.h>
#include <sys/socket.h>

#include "lib/base/clock.h"
#include "lib/base/dial.h"
#include "lib/base/library.h"

#define WINDOW      (8u << 20) /* what may be under way to us: 1 Gbit/s at 64 ms */
#define PACKET      32768
#define FAREWELL_MS 500 /* how long the other side may take to end */

enum { READER, WRITER };

static ssize_t flush_out(struct ssh *s)
{
	while (s->out_len > 0) {
		ssize_t r = send(s->fd, s->out + s->out_at, s->out_len, MSG_NOSIGNAL | MSG_DONTWAIT);

		if (r < 0 && errno == EINTR)
			continue;
		if (r < 0)
			return errno == EAGAIN ? 0 : -1;
		s->out_at += (size_t)r;
		s->out_len -= (size_t)r;
	}
	s->out_at = 0;
	return 0;
}

static LIBSSH2_SEND_FUNC(take_packet)
{
	struct ssh *s = *abstract;
	size_t sent = 0, need;

	if (socket != s->fd) { /* libssh2 speaks to an agent through these, too */
		ssize_t r = send(socket, buffer, length, flags | MSG_NOSIGNAL);

		return r < 0 ? -errno : r;
	}
	if (s->mute)
		return (ssize_t)length;
	if (s->out_len == 0) { /* mostly the socket takes it at once, and it need not be copied */
		ssize_t r = send(s->fd, buffer, length, MSG_NOSIGNAL | MSG_DONTWAIT);

		if (r < 0 && errno != EAGAIN && errno != EINTR)
			return -errno;
		sent = r > 0 ? (size_t)r : 0;
	}
	need = s->out_at + s->out_len + length - sent;
	if (need > s->out_room) {
		char *p = realloc(s->out, need * 2);

		if (!p)
			return -ENOMEM;
		s->out = p;
		s->out_room = need * 2;
	}
	if (sent < length)
		memcpy(s->out + s->out_at + s->out_len, (const char *)buffer + sent, length - sent);
	s->out_len += length - sent;
	return (ssize_t)length;
}

static LIBSSH2_RECV_FUNC(take_bytes)
{
	struct ssh *s = *abstract;
	ssize_t r;

	if (socket != s->fd) {
		r = recv(socket, buffer, length, flags);
		return r < 0 ? -errno : r;
	}
	if (s->mute)
		return 0;
	do
		r = recv(s->fd, buffer, length, MSG_DONTWAIT);
	while (r < 0 && errno == EINTR);
	if (r > 0)
		s->taken += (uint64_t)r;
	return r < 0 ? -errno : r;
}

static int stopped(struct err *e)
{
	return err_set(e, EX_UNAVAILABLE, "connection stopped");
}

int ssh_lost(struct ssh *s, const char *what, struct err *e)
{
	char *msg = NULL;
	int code = ssh2.session_last_error(s->session, &msg, NULL, 0);

	if (atomic_load(&s->stopped))
		return stopped(e);
	if (code == LIBSSH2_ERROR_SOCKET_DISCONNECT || code == LIBSSH2_ERROR_SOCKET_RECV || !msg || !*msg)
		return err_set(e, EX_UNAVAILABLE, "%s: closed by the other side", what);
	return err_set(e, EX_UNAVAILABLE, "%s: %c%s", what, tolower((unsigned char)*msg), msg + 1);
}

bool ssh_go_on(struct ssh *s)
{
	struct pollfd p = { .fd = s->fd, .events = POLLIN };
	double left = s->deadline - clock_ms();
	int on = 1;

	/* Until a command runs, sshd holds a small packet back as long as we have not acknowledged the one before, which
	 * we do 40 ms later by default. The kernel forgets this wish with each answer. */
	setsockopt(s->fd, IPPROTO_TCP, TCP_QUICKACK, &on, sizeof(on));
	flush_out(s);
	if (s->out_len > 0)
		p.events |= POLLOUT;
	if (left <= 0)
		return false;
	poll(&p, 1, (int)left + 1);
	return true;
}

/* Keeps the end of edge-serve's stderr. */
static void hear_stderr(struct ssh *s)
{
	char buf[1024];
	ssize_t r;

	while ((r = ssh2.channel_read_ex(s->channel, SSH_EXTENDED_DATA_STDERR, buf, sizeof(buf))) > 0) {
		size_t n = (size_t)r, keep = sizeof(s->said) - 1 - n;

		if (n >= sizeof(s->said))
			n = sizeof(s->said) - 1, keep = 0;
		if (s->said_len > keep) {
			memmove(s->said, s->said + s->said_len - keep, keep);
			s->said_len = keep;
		}
		memcpy(s->said + s->said_len, buf + (size_t)r - n, n);
		s->said_len += n;
	}
	s->said[s->said_len] = '\0';
}

/* The channel has ended: with a reason if edge-serve, or the shell in its place, gave one. */
static ssize_t ended(struct ssh *s, struct err *e)
{
	const char *line, *ours;
	int status;

	while (s->said_len > 0 && strchr(" \t\r\n", s->said[s->said_len - 1]))
		s->said[--s->said_len] = '\0';
	line = strrchr(s->said, '\n');
	line = line ? line + 1 : s->said;
	ours = strstr(line, "edge-serve: "); /* a shell puts its own name before */
	line = ours ? ours : line;
	status = ssh2.channel_get_exit_status(s->channel);
	if (*line && s->heard)
		return err_set(e, EX_UNAVAILABLE, "connection closed: %.800s", line);
	if (*line)
		return err_set(e, EX_UNAVAILABLE, "%.800s", line);
	if (status)
		return err_set(e, EX_UNAVAILABLE, "connection closed: edge-serve: exit status %d", status);
	return 0;
}

static void wake(struct ssh *s, int who)
{
	uint64_t one = 1;

	(void)!write(s->wake[who], &one, sizeof(one)); /* fails only when it is awake already */
}

/* Waits, without the lock, for the socket or the other thread. */
static void wait_io(struct ssh *s, int who, int events)
{
	struct pollfd p[2] = { { .fd = s->fd, .events = (short)events },
		               { .fd = s->wake[who], .events = POLLIN } };
	uint64_t count;

	poll(p, 2, -1);
	if (p[1].revents && !atomic_load(&s->stopped))
		(void)!read(s->wake[who], &count, sizeof(count));
}

/* One try at reading, under the lock: bytes, 0 at the end, -1 with e, or LIBSSH2_ERROR_EAGAIN. */
static ssize_t try_read(struct ssh *s, void *buf, size_t n, struct err *e)
{
	ssize_t r;
	uint64_t before;

	do {
		r = ssh2.channel_read_ex(s->channel, 0, buf, n);
		if (r > 0) {
			s->heard = true;
			return r;
		}
		before = s->taken;
		hear_stderr(s);
		/* that may have taken in what belongs to stdout, and the socket would not tell any more */
	} while (r == LIBSSH2_ERROR_EAGAIN && s->taken != before);
	if (ssh2.channel_eof(s->channel))
		return ended(s, e);
	if (r == 0 || r == LIBSSH2_ERROR_EAGAIN)
		return LIBSSH2_ERROR_EAGAIN;
	return ssh_lost(s, "connection lost", e);
}

static ssize_t ssh_read(void *self, void *buf, size_t n, struct err *e)
{
	struct ssh *s = self;
	bool sending;

	for (;;) {
		uint64_t before;
		ssize_t r;

		pthread_mutex_lock(&s->lock);
		s->waiting[READER] = false;
		if (atomic_load(&s->stopped)) {
			pthread_mutex_unlock(&s->lock);
			return stopped(e);
		}
		before = s->taken;
		r = try_read(s, buf, n, e);
		flush_out(s); /* a failure shows when reading, too */
		sending = s->out_len > 0;
		if (s->taken != before && s->waiting[WRITER])
			wake(s, WRITER);
		s->waiting[READER] = r == LIBSSH2_ERROR_EAGAIN;
		pthread_mutex_unlock(&s->lock);
		if (r != LIBSSH2_ERROR_EAGAIN)
			return r;
		wait_io(s, READER, sending ? POLLIN | POLLOUT : POLLIN);
	}
}

/* One try at writing, under the lock, once all that was to be sent before is gone: as try_read. */
static ssize_t try_write(struct ssh *s, const void *buf, size_t n, struct err *e)
{
	ssize_t r;

	if (flush_out(s))
		return err_set(e, EX_UNAVAILABLE, "connection lost: %s", strerror(errno));
	if (s->out_len > 0 || n == 0)
		return n ? LIBSSH2_ERROR_EAGAIN : 0;
	r = ssh2.channel_write_ex(s->channel, 0, buf, n);
	if (r > 0)
		return r;
	if (r == 0 || r == LIBSSH2_ERROR_EAGAIN)
		return LIBSSH2_ERROR_EAGAIN;
	hear_stderr(s);
	if (ssh2.channel_eof(s->channel) && ended(s, e) < 0)
		return -1;
	return ssh_lost(s, "connection lost", e);
}

static ssize_t ssh_write(void *self, const void *buf, size_t n, struct err *e)
{
	struct ssh *s = self;
	ssize_t done = 0;

	for (;;) {
		uint64_t before;
		bool sending;
		ssize_t r;

		pthread_mutex_lock(&s->lock);
		s->waiting[WRITER] = false;
		before = s->taken;
		r = atomic_load(&s->stopped) ? stopped(e) : try_write(s, buf, done ? 0 : n, e);
		if (r > 0)
			done = r;
		sending = s->out_len > 0;
		if (s->taken != before && s->waiting[READER])
			wake(s, READER);
		/* until the kernel has all of it: nobody might come back to send the rest */
		s->waiting[WRITER] = r != -1 && (done == 0 || sending);
		pthread_mutex_unlock(&s->lock);
		if (r == -1)
			return -1;
		if (done > 0 && !sending)
			return done;
		/* to be rid of it, or for the other side's permission to send more */
		wait_io(s, WRITER, sending ? POLLOUT : POLLIN);
	}
}

static void ssh_stop(void *self)
{
	struct ssh *s = self;

	atomic_store(&s->stopped, true);
	wake(s, READER); /* nobody resets these after a stop, so that later waits end, too */
	wake(s, WRITER);
	shutdown(s->fd, SHUT_RDWR);
}

static bool ssh_heard(void *self)
{
	struct ssh *s = self;

	pthread_mutex_lock(&s->lock);
	bool came = s->taken != s->told;
	s->told = s->taken;
	pthread_mutex_unlock(&s->lock);
	return stream_fd_came(s->fd, &s->untaken) || came;
}

static int ssh_socket(void *self)
{
	return ((struct ssh *)self)->fd;
}

/* Lets edge-serve see the end of its input and end by itself. */
static void farewell(struct ssh *s)
{
	s->deadline = clock_ms() + FAREWELL_MS;
	if (FINISH(s, ssh2.channel_send_eof(s->channel)) == 0)
		FINISH(s, ssh2.channel_close(s->channel));
	FINISH(s, ssh2.session_disconnect_ex(s->session, SSH_DISCONNECT_BY_APPLICATION, "done", ""));
	flush_out(s);
}

static void ssh_free(void *self)
{
	struct ssh *s = self;

	if (s->channel && !atomic_load(&s->stopped))
		farewell(s);
	s->mute = true; /* from here on libssh2 only tidies up */
	if (s->session)
		while (ssh2.session_free(s->session) == LIBSSH2_ERROR_EAGAIN)
			;
	if (s->fd >= 0)
		close(s->fd);
	for (int i = 0; i < 2; i++)
		if (s->wake[i] >= 0)
			close(s->wake[i]);
	pthread_mutex_destroy(&s->lock);
	free(s->out);
	free(s);
}

static const struct stream_ops ssh_ops = {
	.read = ssh_read,
	.write = ssh_write,
	.stop = ssh_stop,
	.free = ssh_free,
	.heard = ssh_heard,
	.socket = ssh_socket,
};

struct libssh2 ssh2;

static int start_library(void)
{
	return ssh2.init(0);
}

static int load_library(struct err *e)
{
	static struct library l = { LIBRARY_SSH2, "libssh2_", LIBSSH2_NAMES, &ssh2, start_library, false };

	return library_load(&l, e);
}

static struct ssh *ssh_new(int timeout_ms, struct err *e)
{
	struct ssh *s;

	if (load_library(e))
		return NULL;
	if (!(s = calloc(1, sizeof(*s)))) {
		err_sys(e, "ssh");
		return NULL;
	}
	s->fd = -1;
	s->deadline = clock_ms() + timeout_ms;
	pthread_mutex_init(&s->lock, NULL);
	s->wake[READER] = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK);
	s->wake[WRITER] = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK);
	s->session = ssh2.session_init_ex(NULL, NULL, NULL, s);
	if (s->wake[READER] < 0 || s->wake[WRITER] < 0 || !s->session) {
		err_set(e, EX_OSERR, "cannot make an SSH session");
		ssh_free(s);
		return NULL;
	}
	ssh2.session_set_blocking(s->session, 0);
	ssh2.session_callback_set(s->session, LIBSSH2_CALLBACK_SEND, take_packet);
	ssh2.session_callback_set(s->session, LIBSSH2_CALLBACK_RECV, take_bytes);
	return s;
}

static int open_channel(struct ssh *s)
{
	s->channel = ssh2.channel_open_ex(s->session, "session", 7, WINDOW, PACKET, NULL, 0);
	return s->channel ? 0 : ssh2.session_last_errno(s->session);
}

static int start(struct ssh *s, const struct ssh_target *t, struct err *e)
{
	int rc;

	s->fd = dial(t->host, t->port, s->deadline, e);
	if (s->fd < 0 || ssh_handshake(s, t, e) || ssh_login(s, t, e))
		return -1;
	rc = FINISH(s, open_channel(s));
	if (rc == 0)
		rc = FINISH(s, ssh2.channel_process_startup(s->channel, "exec", 4, "edge-serve", 10));
	if (rc == LIBSSH2_ERROR_EAGAIN)
		return err_set(e, EX_UNAVAILABLE, "cannot start edge-serve: timed out");
	return rc ? ssh_lost(s, "cannot start edge-serve", e) : 0;
}

struct stream *ssh_open(const struct ssh_target *t, int timeout_ms, struct err *e)
{
	struct ssh *s = ssh_new(timeout_ms, e);
	struct stream *stream = NULL;
	char peer[300];

	if (s && start(s, t, e)) {
		if (s->channel) /* nothing to say farewell to */
			atomic_store(&s->stopped, true);
		ssh_free(s);
		s = NULL;
	}
	snprintf(peer, sizeof(peer), "node %s", t->name);
	if (s) {
		stream = stream_new(&ssh_ops, s, peer);
		if (!stream)
			err_sys(e, "ssh");
	}
	if (!stream)
		err_wrap(e, "%s", peer);
	return stream;
}
