/* SPDX-License-Identifier: MIT */
#include "lib/base/errand.h"

#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <signal.h>
#include <stdlib.h>
#include <sys/prctl.h>
#include <sys/signalfd.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

#include "lib/base/auto.h"
#include "lib/base/clock.h"
#include "lib/base/file.h"

/* Tells why through `report`, which is closed when the program runs. */
static _Noreturn void become(char *const argv[], const struct errand *r, const sigset_t *mask, pid_t parent, int report)
{
	prctl(PR_SET_PDEATHSIG, SIGTERM);
	if (r->group)
		setpgid(0, 0);
	signal(SIGPIPE, SIG_DFL);
	sigprocmask(SIG_SETMASK, mask, NULL);
	if (getppid() == parent)
		execvp(argv[0], argv);
	fd_write_all(report, &errno, sizeof(errno));
	_exit(127);
}

int errand_start(struct errand *r, char *const argv[], struct err *e)
{
	sigset_t heeded, before;
	pid_t self = getpid();
	int pipe_fd[2], why;

	sigemptyset(&heeded);
	sigaddset(&heeded, SIGINT);
	sigaddset(&heeded, SIGTERM);
	sigaddset(&heeded, SIGHUP);
	sigprocmask(SIG_BLOCK, &heeded, &before);
	*r = (struct errand){ .signals = signalfd(-1, &heeded, SFD_CLOEXEC | SFD_NONBLOCK), .group = !isatty(STDIN_FILENO) };
	if (r->signals < 0 || pipe2(pipe_fd, O_CLOEXEC))
		return err_sys(e, "%s", argv[0]);
	AUTO_FD int report = pipe_fd[0];
	r->pid = fork();
	if (!r->pid)
		become(argv, r, &before, self, pipe_fd[1]);
	close(pipe_fd[1]);
	if (r->pid < 0)
		return err_sys(e, "%s: fork", argv[0]);
	if (r->group)
		setpgid(r->pid, r->pid); /* whoever comes first */
	r->pidfd = (int)syscall(SYS_pidfd_open, r->pid, 0);
	if (r->pidfd < 0)
		return err_sys(e, "%s", argv[0]);
	if (fd_read_all(report, &why, sizeof(why)))
		return 0;
	waitpid(r->pid, NULL, 0);
	errno = why;
	err_sys(e, "%s: cannot run", argv[0]);
	if (e && why == ENOENT)
		e->code = EX_UNAVAILABLE;
	return -1;
}

void errand_signal(const struct errand *r, int number)
{
	kill(r->group ? -r->pid : r->pid, number);
}

int errand_wait(struct errand *r, int timeout_ms, int *status)
{
	double end = clock_ms() + timeout_ms, left;

	while ((left = end - clock_ms()) > 0) {
		struct pollfd p[2] = { { .fd = r->pidfd, .events = POLLIN }, { .fd = r->signals, .events = POLLIN } };
		struct signalfd_siginfo info;
		int raw;

		if (poll(p, 2, (int)left + 1) < 0 && errno != EINTR)
			return 0;
		while (read(r->signals, &info, sizeof(info)) == sizeof(info))
			errand_signal(r, (int)info.ssi_signo);
		if (waitpid(r->pid, &raw, WNOHANG) == r->pid) {
			*status = WIFEXITED(raw) ? WEXITSTATUS(raw) : 128 + WTERMSIG(raw);
			return 1;
		}
	}
	return 0;
}
