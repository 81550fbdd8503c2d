/* SPDX-License-Identifier: MIT */
#include "lib/engine/criu_limits.h"

#include <errno.h>
#include <linux/capability.h>
#include <linux/filter.h>
#include <linux/seccomp.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <sys/syscall.h>
#include <sys/uio.h>

#include "lib/base/auto.h"

/* The lines of /proc/PID/limits, whose order differs from the numbers'. */
static const char *const names[RLIM_NLIMITS] = {
	[RLIMIT_CPU] = "Max cpu time",
	[RLIMIT_FSIZE] = "Max file size",
	[RLIMIT_DATA] = "Max data size",
	[RLIMIT_STACK] = "Max stack size",
	[RLIMIT_CORE] = "Max core file size",
	[RLIMIT_RSS] = "Max resident set",
	[RLIMIT_NPROC] = "Max processes",
	[RLIMIT_NOFILE] = "Max open files",
	[RLIMIT_MEMLOCK] = "Max locked memory",
	[RLIMIT_AS] = "Max address space",
	[RLIMIT_LOCKS] = "Max file locks",
	[RLIMIT_SIGPENDING] = "Max pending signals",
	[RLIMIT_MSGQUEUE] = "Max msgqueue size",
	[RLIMIT_NICE] = "Max nice priority",
	[RLIMIT_RTPRIO] = "Max realtime priority",
	[RLIMIT_RTTIME] = "Max realtime timeout",
};

bool criu_limits_needed(void)
{
	struct __user_cap_header_struct h = { .version = _LINUX_CAPABILITY_VERSION_3 };
	struct __user_cap_data_struct d[2] = { { 0 }, { 0 } };

	return !syscall(SYS_capget, &h, d) && !(d[0].effective >> CAP_SYS_RESOURCE & 1);
}

static int send_fd(int sock, int fd)
{
	union {
		struct cmsghdr h;
		char room[CMSG_SPACE(sizeof(int))];
	} control = { .h = { .cmsg_len = CMSG_LEN(sizeof(int)), .cmsg_level = SOL_SOCKET, .cmsg_type = SCM_RIGHTS } };
	struct iovec io = { .iov_base = "", .iov_len = 1 };
	struct msghdr m = { .msg_iov = &io, .msg_iovlen = 1, .msg_control = &control, .msg_controllen = sizeof(control) };

	memcpy(CMSG_DATA(&control.h), &fd, sizeof(fd));
	return sendmsg(sock, &m, MSG_NOSIGNAL) == 1 ? 0 : -1;
}

int criu_limits_install(int sock)
{
	/* Only the number of the call is looked at: one of another architecture's is at worst let through unchanged. */
	struct sock_filter code[] = {
		BPF_STMT(BPF_LD | BPF_W | BPF_ABS, offsetof(struct seccomp_data, nr)),
		BPF_JUMP(BPF_JMP | BPF_JEQ | BPF_K, SYS_prlimit64, 0, 3),
		/* A program's own limits are the kernel's: the C library asks for them at start, long before criu_run(). */
		BPF_STMT(BPF_LD | BPF_W | BPF_ABS, offsetof(struct seccomp_data, args)),
		BPF_JUMP(BPF_JMP | BPF_JEQ | BPF_K, 0, 1, 0),
		BPF_STMT(BPF_RET | BPF_K, SECCOMP_RET_USER_NOTIF),
		BPF_STMT(BPF_RET | BPF_K, SECCOMP_RET_ALLOW),
	};
	struct sock_fprog program = { .len = sizeof(code) / sizeof(*code), .filter = code };
	AUTO_FD int fd = (int)syscall(SYS_seccomp, SECCOMP_SET_MODE_FILTER, SECCOMP_FILTER_FLAG_NEW_LISTENER, &program);

	return fd < 0 ? -1 : send_fd(sock, fd);
}

int criu_limits_take(int sock)
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
	return fd;
}

static rlim_t parse(const char *text)
{
	unsigned long long v;

	return sscanf(text, "%llu", &v) == 1 ? (rlim_t)v : RLIM_INFINITY;
}

static int read_limit(int pid, unsigned which, struct rlimit *out)
{
	char path[64], line[256], soft[32], hard[32];

	snprintf(path, sizeof(path), "/proc/%d/limits", pid);
	AUTO_FILE FILE *f = fopen(path, "re");
	while (f && which < RLIM_NLIMITS && fgets(line, sizeof(line), f)) {
		size_t n = strlen(names[which]);

		if (strncmp(line, names[which], n) || sscanf(line + n, "%31s %31s", soft, hard) != 2)
			continue;
		*out = (struct rlimit){ parse(soft), parse(hard) };
		return 0;
	}
	return -1;
}

void criu_limits_answer(int listener)
{
	/* The kernel's structs may be longer than ours; it fills only what is asked for. */
	struct seccomp_notif n = { 0 };
	struct seccomp_notif_resp r = { 0 };
	struct rlimit limit;

	if (ioctl(listener, SECCOMP_IOCTL_NOTIF_RECV, &n))
		return;
	r.id = n.id;
	int pid = (int)n.data.args[0];
	unsigned which = (unsigned)n.data.args[1];
	/* What the kernel does not refuse, or what sets a limit, is the kernel's to do. */
	if (!pid || n.data.args[2] || !n.data.args[3] || !syscall(SYS_prlimit64, pid, which, NULL, &limit) ||
	    errno != EPERM || read_limit(pid, which, &limit)) {
		r.flags = SECCOMP_USER_NOTIF_FLAG_CONTINUE;
	} else {
		struct iovec from = { &limit, sizeof(limit) };
		struct iovec to = { (void *)(uintptr_t)n.data.args[3], sizeof(limit) };

		if (ioctl(listener, SECCOMP_IOCTL_NOTIF_ID_VALID, &n.id) ||
		    process_vm_writev((pid_t)n.pid, &from, 1, &to, 1, 0) != (ssize_t)sizeof(limit))
			r.error = -EPERM;
	}
	ioctl(listener, SECCOMP_IOCTL_NOTIF_SEND, &r);
}
