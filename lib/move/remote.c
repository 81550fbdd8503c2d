/* SPDX-License-Identifier: MIT */
#include "lib/move/remote.h"

#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <pthread.h>
#include <signal.h>
#include <string.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

#include "lib/base/ssh.h"
#include "lib/discover/node.h"
#include "lib/move/wire.h"

#define CONNECT_MS 10000
#define ARGS_MAX 256

/* What a node lets another one run. */
static const char *const programs[] = { "edge-run", "edge-stop", "edge-checkpoint", "edge-ship", "edge-restore",
					"edge-migrate", "edge-latency", "edge-probe" };

struct stream *remote_open_target(const struct ssh_target *t, struct err *e)
{
	AUTO_STREAM struct stream *s = ssh_open(t, CONNECT_MS, e);

	return s && !wire_greet(s, e) ? TAKE_PTR(s) : NULL;
}

struct stream *remote_open(const char *node, struct err *e)
{
	AUTO_REGISTRY struct registry *r = NULL;
	struct ssh_target t;

	return registry_open(&r, NULL, e) || node_target(r, node, &t, e) ? NULL : remote_open_target(&t, e);
}

/* Its terminal is ours: no other node writes control characters to it. */
static void plain(char *s)
{
	for (; *s; s++)
		if ((unsigned char)*s < ' ' || *s == 0x7f)
			*s = ' ';
}

/* What it prints is a record, and nothing else: it may go to a terminal, or into a pipe of programs that trust each other. */
static int take_record(char *line, FILE *out, struct err *e)
{
	AUTO_JSON struct json *rec = json_parse(line, strlen(line), e);

	if (!rec)
		return err_wrap(e, "record from there");
	if (!json_is_object(rec))
		return err_set(e, EX_DATAERR, "record from there: not an object");
	plain(line);
	return record_pass(out, line, e);
}

/* One frame of the program's life; 1 when it was the last. */
static int take_frame(const struct frame *f, FILE *out, void (*say)(const char *), int *status, struct err *e)
{
	if (f->kind == FRAME_RECORD)
		return take_record((char *)f->data, out, e);
	if (f->kind == FRAME_NOTE) {
		plain((char *)f->data);
		if (say)
			say((const char *)f->data);
		return 0;
	}
	if (f->kind != FRAME_REPLY)
		return err_set(e, EX_DATAERR, "unexpected frame %d", f->kind);
	AUTO_JSON struct json *j = wire_json(f, e);
	if (!j)
		return -1;
	if (json_str(j, "error"))
		return err_set(e, wire_code(j), "%s", json_str(j, "error"));
	int64_t code = json_int(j, "status", EX_SOFTWARE);
	*status = code >= 0 && code <= 255 ? (int)code : EX_SOFTWARE;
	return 1;
}

/* A thread that ends the session when nobody reads our output any more: the far program then hears of it too, although
 * it may have nothing to print for a long time. */
struct watch {
	struct stream *s;
	int out, end[2]; /* `end`: a pipe whose writing end is closed when the watch is over */
	bool lost;
	pthread_t thread;
};

static void *watch_output(void *arg)
{
	struct watch *w = arg;
	struct pollfd p[2] = { { w->out, 0, 0 }, { w->end[0], POLLIN, 0 } };

	while (poll(p, 2, -1) < 0)
		;
	w->lost = p[0].revents & (POLLERR | POLLHUP | POLLNVAL);
	if (w->lost)
		stream_stop(w->s);
	return NULL;
}

static int watch_start(struct watch *w, struct stream *s, FILE *out, struct err *e)
{
	*w = (struct watch){ .s = s, .out = fileno(out), .end = { -1, -1 } }; /* out -1: a buffer */
	if (pipe2(w->end, O_CLOEXEC))
		return err_sys(e, "pipe");
	if (!pthread_create(&w->thread, NULL, watch_output, w))
		return 0;
	close(w->end[0]);
	close(w->end[1]);
	return err_set(e, EX_OSERR, "cannot start a thread");
}

static bool watch_end(struct watch *w)
{
	close(w->end[1]);
	pthread_join(w->thread, NULL);
	close(w->end[0]);
	return w->lost;
}

static int follow(struct stream *s, FILE *out, void (*say)(const char *), int *status, struct err *e)
{
	AUTO_FRAME struct frame f = { 0 };
	struct watch w;
	int rc = 0;

	if (watch_start(&w, s, out, e))
		return -1;
	while (!rc)
		rc = wire_recv(s, &f, e) ? -1 : take_frame(&f, out, say, status, e);
	if (watch_end(&w) && rc < 0)
		return err_set(e, EX_IOERR, "cannot write: %s", strerror(EPIPE));
	return rc < 0 ? -1 : 0;
}

int remote_run(const char *node, const char *program, const struct json *args, FILE *out, void (*say)(const char *),
	       struct err *e)
{
	AUTO_STREAM struct stream *s = remote_open(node, e);
	AUTO_JSON struct json *call = wire_request("run");
	int status = -1;

	if (!s)
		return -1;
	json_set_str(call, "program", program);
	json_set(call, "args", json_copy(args));
	if (wire_send_json(s, FRAME_CALL, call, e) || follow(s, out, say, &status, e)) {
		if (e && e->code == EX_NOPERM) /* it has not been run */
			err_wrap(e, "%s", stream_peer(s));
		return -1;
	}
	return status;
}

/* ---- edge-serve's side ---- */

struct child {
	pid_t pid;
	int out, err;
};

static int start_program(struct child *c, char *const argv[], struct err *e)
{
	int out[2], err[2];

	if (pipe2(out, O_CLOEXEC))
		return err_sys(e, "pipe");
	if (pipe2(err, O_CLOEXEC)) {
		close(out[0]);
		close(out[1]);
		return err_sys(e, "pipe");
	}
	c->pid = fork();
	if (!c->pid) {
		int null = open("/dev/null", O_RDONLY);

		dup2(null, 0);
		dup2(out[1], 1);
		dup2(err[1], 2);
		execvp(argv[0], argv);
		dprintf(2, "edge-serve: %s: %s\n", argv[0], strerror(errno));
		_exit(EX_UNAVAILABLE);
	}
	close(out[1]);
	close(err[1]);
	if (c->pid < 0) {
		err_sys(e, "fork");
		close(out[0]);
		close(err[0]);
		return -1;
	}
	c->out = out[0];
	c->err = err[0];
	return 0;
}

struct lines {
	int fd;
	enum frame_kind kind;
	char *buf;
	size_t n, room;
};

/* Reads what there is and sends the whole lines of it. 1: more may come; 0: the end. */
static int pump(struct lines *l, struct stream *s, struct err *e)
{
	ssize_t got;
	char *nl;

	if (l->room - l->n < 4096) {
		char *bigger = realloc(l->buf, l->room + 65536);

		if (!bigger)
			return err_set(e, EX_OSERR, "out of memory");
		l->buf = bigger;
		l->room += 65536;
	}
	got = read(l->fd, l->buf + l->n, l->room - l->n);
	if (got < 0 && errno == EINTR)
		return 1;
	if (got <= 0) /* a last line may lack its newline */
		return l->n ? wire_send(s, l->kind, l->buf, l->n, NULL, 0, e) : 0;
	l->n += (size_t)got;
	while ((nl = memchr(l->buf, '\n', l->n))) {
		size_t len = (size_t)(nl - l->buf);

		if (wire_send(s, l->kind, l->buf, len, NULL, 0, e))
			return -1;
		l->n -= len + 1;
		memmove(l->buf, nl + 1, l->n);
	}
	return l->n > FRAME_MAX / 2 ? err_set(e, EX_DATAERR, "line too long") : 1;
}

static int pump_all(struct child *c, struct stream *s, struct err *e)
{
	struct lines l[2] = { { .fd = c->out, .kind = FRAME_RECORD }, { .fd = c->err, .kind = FRAME_NOTE } };
	int open = 2, rc = 1;

	while (open && rc >= 0) {
		struct pollfd p[2] = { { l[0].fd, POLLIN, 0 }, { l[1].fd, POLLIN, 0 } };

		if (poll(p, 2, -1) < 0 && errno != EINTR)
			rc = err_sys(e, "poll");
		for (int i = 0; i < 2 && rc >= 0; i++)
			if (p[i].revents && !(rc = pump(&l[i], s, e))) {
				l[i].fd = -1;
				open--;
			}
	}
	free(l[0].buf);
	free(l[1].buf);
	return rc < 0 ? -1 : 0;
}

static int build_argv(const struct json *call, char *argv[ARGS_MAX + 2], struct err *e)
{
	const char *program = json_str(call, "program");
	size_t n = json_len(call, "args");
	AUTO_JSON struct json *args = json_get(call, "args");
	bool known = false;

	for (size_t i = 0; program && i < sizeof(programs) / sizeof(*programs); i++)
		known |= !strcmp(program, programs[i]);
	if (!known)
		return err_set(e, EX_NOPERM, "%s: not a program that may be run from elsewhere",
			       program ? program : "nothing");
	if (n > ARGS_MAX)
		return err_set(e, EX_DATAERR, "%s: too many arguments", program);
	argv[0] = strdup(program);
	if (!argv[0])
		return err_set(e, EX_OSERR, "out of memory");
	for (size_t i = 0; i < n; i++) {
		AUTO_JSON struct json *a = json_at(args, i);

		if (!a || !json_value(a))
			return err_set(e, EX_DATAERR, "%s: an argument is not a string", program);
		argv[i + 1] = strdup(json_value(a));
		if (!argv[i + 1])
			return err_set(e, EX_OSERR, "out of memory");
	}
	return 0;
}

/* A thread that waits for the caller to go away, and then asks the program to end. A holder of a frozen service thaws it
 * then. */
struct caller {
	struct stream *s;
	int pidfd;
	pthread_t thread;
};

static void *wait_caller(void *arg)
{
	struct caller *c = arg;
	AUTO_FRAME struct frame f = { 0 };

	while (!wire_recv(c->s, &f, NULL))
		;
	syscall(SYS_pidfd_send_signal, c->pidfd, SIGTERM, NULL, 0);
	return NULL;
}

static int serve_child(struct stream *s, struct child *c, struct err *e)
{
	AUTO_JSON struct json *answer = json_object();
	struct caller caller = { .s = s, .pidfd = (int)syscall(SYS_pidfd_open, c->pid, 0) };
	bool watched = caller.pidfd >= 0 && !pthread_create(&caller.thread, NULL, wait_caller, &caller);
	int status = -1, rc = pump_all(c, s, e);

	close(c->out);
	close(c->err);
	if (rc) /* nobody listens any more */
		kill(c->pid, SIGTERM);
	while (waitpid(c->pid, &status, 0) < 0 && errno == EINTR)
		;
	json_set_num(answer, "status", status >= 0 && WIFEXITED(status) ? WEXITSTATUS(status) : EX_SOFTWARE);
	if (!rc)
		rc = wire_send_json(s, FRAME_REPLY, answer, e);
	stream_stop(s);
	if (watched)
		pthread_join(caller.thread, NULL);
	if (caller.pidfd >= 0)
		close(caller.pidfd);
	return rc;
}

int remote_serve(struct stream *s, const struct json *call, struct err *e)
{
	char *argv[ARGS_MAX + 2] = { NULL };
	struct child c = { 0 };
	int rc = build_argv(call, argv, e);

	if (!rc)
		rc = start_program(&c, argv, e);
	for (char **a = argv; *a; a++)
		free(*a);
	if (rc)
		return -1;
	serve_child(s, &c, NULL); /* a caller that is gone hears of nothing */
	return 1;
}
