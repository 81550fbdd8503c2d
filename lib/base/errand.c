/* SPDX-License-Identifier: MIT */
#include "lib/base/errand.h"

#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <signal.h>
#include <stdlib.h>
#include <sys/prctl.h>
#include <sys/signalfd.h>
#include <sys/wait.h>
#include <unistd.h>

#include "lib/base/auto.h"
#include "lib/base/clock.h"
#include "lib/base/file.h"

#define REST_MS 20 /* nobody tells when a group is empty */

/* From the background, too. */
static void give_terminal(pid_t group)
{
	sigset_t out, before;

	sigemptyset(&out);
	sigaddset(&out, SIGTTOU);
	sigprocmask(SIG_BLOCK, &out, &before);
	tcsetpgrp(STDIN_FILENO, group);
	sigprocmask(SIG_SETMASK, &before, NULL);
}

static bool in_foreground(void)
{
	return isatty(STDIN_FILENO) && tcgetpgrp(STDIN_FILENO) == getpgrp();
}

/* To be given away at once. A pager that reads what is written is in our group, and needs it, too. */
static bool have_terminal(void)
{
	return in_foreground() && isatty(STDOUT_FILENO);
}

/* Tells why through `report`, which is closed when the program runs. */
static _Noreturn void become(char *const argv[], const struct errand *r, const sigset_t *mask, pid_t parent, int report)
{
	prctl(PR_SET_PDEATHSIG, SIGTERM);
	setpgid(0, 0);
	if (r->terminal)
		give_terminal(getpid());
	signal(SIGPIPE, SIG_DFL);
	sigprocmask(SIG_SETMASK, mask, NULL);
	if (getppid() == parent)
		execvp(argv[0], argv);
	fd_write_all(report, &errno, sizeof(errno));
	_exit(127);
}

static void take_terminal(struct errand *r)
{
	if (r->terminal)
		give_terminal(getpgrp());
	r->terminal = false;
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
	sigaddset(&heeded, SIGCHLD);
	if (isatty(STDIN_FILENO)) /* ^Z, where it has not the terminal itself */
		sigaddset(&heeded, SIGTSTP);
	sigprocmask(SIG_BLOCK, &heeded, &before);
	signal(SIGCHLD, SIG_DFL);
	prctl(PR_SET_CHILD_SUBREAPER, 1);
	*r = (struct errand){ .signals = signalfd(-1, &heeded, SFD_CLOEXEC | SFD_NONBLOCK), .wake = -1, .terminal = have_terminal() };
	if (r->signals < 0 || pipe2(pipe_fd, O_CLOEXEC))
		return err_sys(e, "%s", argv[0]);
	AUTO_FD int report = pipe_fd[0];
	r->pid = fork();
	if (!r->pid)
		become(argv, r, &before, self, pipe_fd[1]);
	close(pipe_fd[1]);
	if (r->pid < 0)
		return err_sys(e, "%s: fork", argv[0]);
	setpgid(r->pid, r->pid); /* whoever comes first */
	if (fd_read_all(report, &why, sizeof(why)))
		return 0;
	waitpid(r->pid, NULL, 0);
	take_terminal(r);
	errno = why;
	err_sys(e, "%s: cannot run", argv[0]);
	if (e && why == ENOENT)
		e->code = EX_UNAVAILABLE;
	return -1;
}

void errand_signal(const struct errand *r, int number)
{
	kill(-r->pid, number);
}

/* Stops, too, until somebody lets us go on, who may have given us the terminal. It itself goes on with the next wait. */
static void stop(struct errand *r)
{
	sigset_t stops;

	sigemptyset(&stops);
	sigaddset(&stops, SIGTSTP);
	take_terminal(r);
	r->stopped = true;
	sigprocmask(SIG_UNBLOCK, &stops, NULL);
	kill(0, SIGTSTP);
	sigprocmask(SIG_BLOCK, &stops, NULL);
	r->terminal = have_terminal();
}

static void go_on(struct errand *r)
{
	r->stopped = false;
	if (r->terminal)
		give_terminal(r->pid);
	errand_signal(r, SIGCONT);
}

static bool is_stop(int status)
{
	return WIFSTOPPED(status) && WSTOPSIG(status) != SIGSTOP && isatty(STDIN_FILENO);
}

static bool wants_terminal(const struct errand *r, int status)
{
	return WIFSTOPPED(status) && (WSTOPSIG(status) == SIGTTIN || WSTOPSIG(status) == SIGTTOU) && !r->terminal && in_foreground();
}

/* Reaps also what it has left behind, which is in the group until then. Has its state changed? */
static bool look(struct errand *r)
{
	enum errand_state before = r->state;
	int raw = 0;
	pid_t pid;

	while ((pid = waitpid(-1, &raw, WNOHANG | WUNTRACED)) > 0) {
		if (pid == r->pid && wants_terminal(r, raw)) {
			r->terminal = true;
			go_on(r);
			continue;
		}
		if (pid == r->pid && is_stop(raw)) {
			stop(r);
			return true;
		}
		if (pid != r->pid || WIFSTOPPED(raw))
			continue;
		take_terminal(r);
		r->status = WIFEXITED(raw) ? WEXITSTATUS(raw) : 128 + WTERMSIG(raw);
		r->state = ERRAND_REST;
	}
	if (r->state == ERRAND_REST && kill(-r->pid, 0) && errno == ESRCH)
		r->state = ERRAND_OVER;
	return r->state != before;
}

enum errand_state errand_wait(struct errand *r, int timeout_ms)
{
	double end = clock_ms() + timeout_ms, left;

	if (r->stopped)
		go_on(r);
	while (!look(r) && (left = end - clock_ms()) > 0) {
		struct pollfd p[2] = { { .fd = r->signals, .events = POLLIN }, { .fd = r->wake, .events = POLLIN } };
		struct signalfd_siginfo info;

		if (poll(p, 2, r->state == ERRAND_REST && left > REST_MS ? REST_MS : (int)left + 1) < 0 && errno != EINTR)
			break;
		while (read(r->signals, &info, sizeof(info)) == sizeof(info))
			if (info.ssi_signo != SIGCHLD)
				errand_signal(r, (int)info.ssi_signo);
		if (p[1].revents)
			break;
	}
	return r->state;
}
