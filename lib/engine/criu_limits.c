/* SPDX-License-Identifier: MIT */
#include "lib/engine/criu_limits.h"

#include <errno.h>
#include <linux/capability.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/resource.h>
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

bool criu_limits_answer(int listener, const struct seccomp_notif *n, struct seccomp_notif_resp *r)
{
	struct rlimit limit;
	int pid = (int)n->data.args[0];
	unsigned which = (unsigned)n->data.args[1];

	/* What the kernel does not refuse, or what sets a limit, is the kernel's to do. */
	if (!pid || n->data.args[2] || !n->data.args[3] || !syscall(SYS_prlimit64, pid, which, NULL, &limit) ||
	    errno != EPERM || read_limit(pid, which, &limit))
		return false;
	struct iovec from = { &limit, sizeof(limit) };
	struct iovec to = { (void *)(uintptr_t)n->data.args[3], sizeof(limit) };

	if (ioctl(listener, SECCOMP_IOCTL_NOTIF_ID_VALID, &n->id) ||
	    process_vm_writev((pid_t)n->pid, &from, 1, &to, 1, 0) != (ssize_t)sizeof(limit))
		r->error = -EPERM;
	return true;
}
