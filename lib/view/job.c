/* SPDX-License-Identifier: MIT */
#include "lib/view/job.h"

#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <spawn.h>
#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>

#define LINE_MAX_BYTES (1u << 20)

void feed_open(struct feed *f, int fd)
{
	*f = (struct feed){ .fd = fd };
	fcntl(fd, F_SETFL, fcntl(fd, F_GETFL) | O_NONBLOCK);
}

void feed_close(struct feed *f)
{
	if (f->fd >= 0)
		close(f->fd);
	free(f->buf);
	*f = (struct feed){ .fd = -1 };
}

static void hand_over(struct feed *f, bool all, void (*line)(void *ctx, char *text), void *ctx)
{
	char *at = f->buf, *end = f->buf + f->n, *stop;

	while (at < end && ((stop = memchr(at, '\n', (size_t)(end - at))) || all)) {
		if (!stop)
			stop = end; /* there is room for its NUL */
		*stop = 0;
		line(ctx, at);
		at = stop < end ? stop + 1 : end;
	}
	f->n = (size_t)(end - at);
	memmove(f->buf, at, f->n);
}

bool feed_read(struct feed *f, void (*line)(void *ctx, char *text), void *ctx)
{
	while (f->fd >= 0) {
		if (f->room - f->n < 4096) {
			char *bigger = realloc(f->buf, f->room + 65536);

			if (!bigger)
				break;
			f->buf = bigger;
			f->room += 65536;
		}
		ssize_t got = read(f->fd, f->buf + f->n, f->room - f->n - 1);
		if (got < 0 && errno == EINTR)
			continue;
		if ((got < 0 && errno == EAGAIN) || (!got && f->follow))
			return true;
		if (got <= 0)
			break;
		f->n += (size_t)got;
		hand_over(f, f->n > LINE_MAX_BYTES, line, ctx);
	}
	if (f->n)
		hand_over(f, true, line, ctx);
	feed_close(f);
	return false;
}

static int spawn(struct job *j, char *const argv[], const int out[2], const int err[2])
{
	posix_spawn_file_actions_t files;
	posix_spawnattr_t attr;
	sigset_t normal;

	sigemptyset(&normal);
	sigaddset(&normal, SIGPIPE);
	posix_spawn_file_actions_init(&files);
	posix_spawn_file_actions_addopen(&files, 0, "/dev/null", O_RDONLY, 0);
	posix_spawn_file_actions_adddup2(&files, out[1], 1);
	posix_spawn_file_actions_adddup2(&files, err[1], 2);
	posix_spawnattr_init(&attr);
	posix_spawnattr_setsigdefault(&attr, &normal);
	posix_spawnattr_setflags(&attr, POSIX_SPAWN_SETSID | POSIX_SPAWN_SETSIGDEF);
	int rc = posix_spawnp(&j->pid, argv[0], &files, &attr, argv, environ);
	posix_spawnattr_destroy(&attr);
	posix_spawn_file_actions_destroy(&files);
	return rc;
}

int job_start(struct job *j, char *const argv[], struct err *e)
{
	int out[2] = { -1, -1 }, err[2] = { -1, -1 }, rc;

	if (pipe2(out, O_CLOEXEC) || pipe2(err, O_CLOEXEC)) {
		if (out[0] >= 0) {
			close(out[0]);
			close(out[1]);
		}
		return err_sys(e, "pipe");
	}
	rc = spawn(j, argv, out, err);
	close(out[1]);
	close(err[1]);
	feed_open(&j->out, out[0]);
	feed_open(&j->err, err[0]);
	if (!rc)
		return 0;
	job_leave(j);
	errno = rc;
	return err_sys(e, "cannot run %s", argv[0]);
}

bool job_ended(struct job *j, int *status)
{
	int how;

	if (!j->pid || j->out.fd >= 0 || j->err.fd >= 0 || waitpid(j->pid, &how, WNOHANG) == 0)
		return false;
	*status = WIFEXITED(how) ? WEXITSTATUS(how) : 128 + WTERMSIG(how);
	j->pid = 0;
	return true;
}

void job_leave(struct job *j)
{
	feed_close(&j->out);
	feed_close(&j->err);
	j->pid = 0;
}

void job_end(struct job *j)
{
	pid_t pid = j->pid;

	if (!pid)
		return;
	kill(pid, SIGTERM);
	job_leave(j);
	while (waitpid(pid, NULL, 0) < 0 && errno == EINTR)
		;
}
