/* SPDX-License-Identifier: MIT */
#include "lib/engine/criu_calls.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <linux/filter.h>
#include <poll.h>
#include <signal.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/pidfd.h>
#include <sys/socket.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

#include "lib/base/auto.h"
#include "lib/base/clock.h"
#include "lib/base/pagescan.h"
#include "lib/base/proc.h"
#include "lib/engine/criu.h"
#include "lib/engine/criu_limits.h"
#include "lib/engine/process.h"

#ifndef SECCOMP_FILTER_FLAG_WAIT_KILLABLE_RECV
#define SECCOMP_FILTER_FLAG_WAIT_KILLABLE_RECV (1UL << 5)
#endif
#ifndef SECCOMP_IOCTL_NOTIF_SET_FLAGS /* from linux/seccomp.h of 6.6 */
#define SECCOMP_IOCTL_NOTIF_SET_FLAGS SECCOMP_IOW(4, __u64)
#define SECCOMP_USER_NOTIF_FD_SYNC_WAKE_UP (1UL << 0)
#endif

#define START_MS 10000 /* until a criu that somebody else starts begins */
#define LOG_FLAGS (O_CREAT | O_TRUNC | O_WRONLY | O_APPEND) /* with which criu opens its log, and nothing else */
#define AT(member) ((uint32_t)offsetof(struct seccomp_data, member))

static int send_fd(int sock, int fd)
{
	union {
		struct cmsghdr h;
		char room[CMSG_SPACE(sizeof(int))];
	} control = { .h = { .cmsg_len = CMSG_LEN(sizeof(int)), .cmsg_level = SOL_SOCKET, .cmsg_type = SCM_RIGHTS } };
	struct iovec io = { .iov_base = "", .iov_len = 1 };
	struct msghdr m = { .msg_iov = &io, .msg_iovlen = 1 };

	if (fd >= 0) {
		m.msg_control = &control;
		m.msg_controllen = sizeof(control);
		memcpy(CMSG_DATA(&control.h), &fd, sizeof(fd));
	}
	return sendmsg(sock, &m, MSG_NOSIGNAL) == 1 && fd >= 0 ? 0 : -1;
}

int criu_calls_install(int sock, bool alone)
{
	/* Only the number of the call is looked at: one of another architecture's is at worst let through unchanged. */
	struct sock_filter code[] = {
		BPF_STMT(BPF_LD | BPF_W | BPF_ABS, AT(nr)),
		BPF_JUMP(BPF_JMP | BPF_JEQ | BPF_K, SYS_ioctl, 2, 0),
		BPF_JUMP(BPF_JMP | BPF_JEQ | BPF_K, SYS_openat, 3, 0),
		BPF_JUMP(BPF_JMP | BPF_JEQ | BPF_K, SYS_prlimit64, 7, 10),
		BPF_STMT(BPF_LD | BPF_W | BPF_ABS, AT(args[1])),
		BPF_JUMP(BPF_JMP | BPF_JEQ | BPF_K, (uint32_t)PAGEMAP_SCAN, 7, 8),
		/* Its log; or to be read, in a folder that it has open. */
		BPF_STMT(BPF_LD | BPF_W | BPF_ABS, AT(args[2])),
		BPF_JUMP(BPF_JMP | BPF_JEQ | BPF_K, LOG_FLAGS, 5, 0),
		BPF_JUMP(BPF_JMP | BPF_JEQ | BPF_K, O_RDONLY, 0, 5),
		BPF_STMT(BPF_LD | BPF_W | BPF_ABS, AT(args)),
		BPF_JUMP(BPF_JMP | BPF_JEQ | BPF_K, (uint32_t)AT_FDCWD, 3, 2),
		/* A program's own limits are the kernel's: the C library asks for them at start, long before criu_run(). */
		BPF_STMT(BPF_LD | BPF_W | BPF_ABS, AT(args)),
		BPF_JUMP(BPF_JMP | BPF_JEQ | BPF_K, 0, 1, 0),
		BPF_STMT(BPF_RET | BPF_K, SECCOMP_RET_USER_NOTIF),
		BPF_STMT(BPF_RET | BPF_K, SECCOMP_RET_ALLOW),
	};
	struct sock_fprog program = { .len = sizeof(code) / sizeof(*code), .filter = code };
	const unsigned long flags = SECCOMP_FILTER_FLAG_NEW_LISTENER;

	if (alone) {
		send_fd(sock, -1);
		return 0;
	}
	AUTO_FD int fd = (int)syscall(SYS_seccomp, SECCOMP_SET_MODE_FILTER, flags | SECCOMP_FILTER_FLAG_WAIT_KILLABLE_RECV, &program);
	/* Before 5.19 a signal in the middle of an answer makes criu ask again. */
	if (fd < 0)
		fd = (int)syscall(SYS_seccomp, SECCOMP_SET_MODE_FILTER, flags, &program);
	return send_fd(sock, fd);
}

int criu_calls_take(int sock)
{
	union {
		struct cmsghdr h;
		char room[CMSG_SPACE(sizeof(int))];
	} control = { 0 };
	char byte;
	struct iovec io = { .iov_base = &byte, .iov_len = 1 };
	struct msghdr m = { .msg_iov = &io, .msg_iovlen = 1, .msg_control = &control, .msg_controllen = sizeof(control) };
	int fd = -1;

	while (recvmsg(sock, &m, MSG_CMSG_CLOEXEC) < 0)
		if (errno != EINTR)
			return -1;
	if (m.msg_controllen >= CMSG_LEN(sizeof(int)) && control.h.cmsg_type == SCM_RIGHTS)
		memcpy(&fd, CMSG_DATA(&control.h), sizeof(fd));
	/* While one of us works the other waits: they need no second processor, nor the time that it takes to wake one up. Older
	 * kernels do not know of it. */
	(void)!ioctl(fd, SECCOMP_IOCTL_NOTIF_SET_FLAGS, SECCOMP_USER_NOTIF_FD_SYNC_WAKE_UP);
	return fd;
}

/* Nothing else is opened so. */
static bool makes_log(const struct seccomp_notif *n)
{
	return n->data.nr == SYS_openat && (uint32_t)n->data.args[2] == LOG_FLAGS;
}

static void answer(int listener, const struct seccomp_notif *n, struct criu_pages *hidden, struct criu_maps *maps)
{
	struct seccomp_notif_resp r = { .id = n->id };
	bool known;

	if (n->data.nr == SYS_openat && maps && criu_maps_answer(maps, listener, n))
		return;
	known = n->data.nr == SYS_prlimit64 ? criu_limits_answer(listener, n, &r) :
					      n->data.nr == SYS_ioctl && hidden && criu_pages_answer(hidden, listener, n, &r);
	if (!known)
		r.flags = SECCOMP_USER_NOTIF_FLAG_CONTINUE;
	ioctl(listener, SECCOMP_IOCTL_NOTIF_SEND, &r);
}

void criu_calls_answer(int listener, struct criu_pages *hidden, struct criu_maps *maps)
{
	/* The kernel's structs may be longer than ours; it fills only what is asked for. */
	struct seccomp_notif n = { 0 };

	if (!ioctl(listener, SECCOMP_IOCTL_NOTIF_RECV, &n))
		answer(listener, &n, hidden, maps);
}

bool criu_calls_hinder(const pid_t *pids, size_t n)
{
	bool filtered = false;
	struct dirent *de;
	char path[64];

	for (size_t i = 0; i < n && !filtered; i++) {
		snprintf(path, sizeof(path), "/proc/%d/task", (int)pids[i]);
		DIR *d = opendir(path);
		while (d && !filtered && (de = readdir(d)))
			filtered = de->d_name[0] != '.' && proc_filtered(pids[i], (pid_t)strtol(de->d_name, NULL, 10));
		if (d)
			closedir(d);
	}
	return filtered;
}

/* ---- a criu that somebody else starts ---- */

/* In the child. It becomes that program when the parent has the filter's listener. */
__attribute__((noreturn)) static void become(const struct criu_calls_job *job, int sock)
{
	int null = open("/dev/null", O_RDWR | O_CLOEXEC);
	char go;

	setpgid(0, 0); /* a terminal's ^C is not for it: it would leave its work half done */
	for (int fd = 0; fd <= 2; fd++)
		dup2(null, fd);
	child_signals();
	child_path();
	criu_tune();
	criu_calls_install(sock, job->alone);
	if (recv(sock, &go, 1, 0) == 1)
		execvp(job->argv[0], (char *const *)job->argv);
	_exit(127);
}

/* Until it ends. False: it was given up, or it takes too long. Nothing is hidden from a criu before the one that works. */
static bool answer_all(const struct criu_calls_job *job, int listener, int pidfd, struct criu_pages *hidden, struct criu_maps *maps,
		       bool *begun)
{
	struct pollfd p[] = { { .fd = pidfd, .events = POLLIN }, { .fd = listener, .events = POLLIN } };
	double end = clock_ms() + (*begun ? job->timeout_ms : START_MS), left;

	while (!(p[0].revents & POLLIN) && (left = end - clock_ms()) > 0) {
		struct seccomp_notif n = { 0 };

		if (poll(p, 2, (int)left + 1) < 0)
			p[0].revents = p[1].revents = 0;
		if (p[1].revents && !(p[1].revents & POLLIN)) /* nobody is left who could ask */
			p[1].fd = -1;
		else if (p[1].revents && !ioctl(listener, SECCOMP_IOCTL_NOTIF_RECV, &n)) {
			if (!*begun && makes_log(&n)) {
				if (job->begins(job->ctx, (pid_t)n.pid))
					return false;
				*begun = true;
				end = clock_ms() + job->timeout_ms;
			}
			answer(listener, &n, *begun ? hidden : NULL, *begun ? maps : NULL);
		}
	}
	return p[0].revents & POLLIN;
}

int criu_calls_run(const struct criu_calls_job *job, struct criu_pages *hidden, struct criu_maps *maps, struct err *e)
{
	int ours, theirs, status = -1;
	pid_t pid;

	if (criu_socketpair(&ours, &theirs, e))
		return -1;
	pid = fork();
	if (!pid) {
		close(ours);
		become(job, theirs);
	}
	close(theirs);
	AUTO_FD int sock = ours, listener = pid > 0 ? criu_calls_take(ours) : -1;
	AUTO_FD int pidfd = pid > 0 ? pidfd_open(pid, 0) : -1;
	if (pid < 0)
		return err_sys(e, "%s: fork", job->argv[0]);
	setpgid(pid, pid); /* whichever of us is the first */
	bool begun = listener < 0;
	bool ended = pidfd >= 0 && (!begun || !job->begins(job->ctx, 0)) && send(sock, "", 1, MSG_NOSIGNAL) == 1 &&
		     answer_all(job, listener, pidfd, hidden, maps, &begun);
	if (!ended)
		kill(-pid, SIGKILL); /* with what it has started */
	while (waitpid(pid, &status, 0) < 0 && errno == EINTR)
		;
	if (!ended)
		return err_set(e, EX_TEMPFAIL, "%s: had to be ended", job->argv[0]);
	if (!WIFEXITED(status) || WEXITSTATUS(status))
		return -1;
	return begun ? 0 : err_set(e, EX_SOFTWARE, "%s: its criu was not seen to begin", job->argv[0]);
}
