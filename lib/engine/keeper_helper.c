/* SPDX-License-Identifier: MIT */
#include "lib/engine/keeper_helper.h"

#include <fcntl.h>
#include <sched.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "lib/base/auto.h"
#include "lib/base/file.h"
#include "lib/engine/cgroup.h"
#include "lib/engine/criu.h"
#include "lib/engine/process.h"

static int become(const struct service *s, char *const *argv, int netns, int fd3, int log, const char *errlog, int *report,
		  struct err *e)
{
	AUTO_FD int null = open("/dev/null", O_RDWR | O_CLOEXEC);
	bool to_log = errlog && !strcmp(errlog, "-");
	AUTO_FD int errors = to_log ? dup(log) :
			     errlog ? open(errlog, O_WRONLY | O_CREAT | O_APPEND | O_CLOEXEC, 0600) :
				      dup(null);

	if (null < 0 || errors < 0)
		return err_sys(e, "%s", errlog ? errlog : "/dev/null");
	if (cgroup_join(s->name, 0, e))
		return -1;
	if (setns(netns, CLONE_NEWNET))
		return err_sys(e, "cannot enter its network");
	/* In these the service will be, unless its images have others (spaces.h); a bundle says itself which it wants. */
	if (!s->bundle[0] && (unshare(CLONE_NEWUTS | CLONE_NEWIPC) || sethostname(s->name, strlen(s->name)) ||
			      setdomainname("(none)", strlen("(none)"))))
		return err_sys(e, "cannot make its namespaces");
	child_path();
	criu_tune();
	if (child_fds((int[]){ null, to_log ? errors : null, errors, fd3 >= 0 ? fd3 : null, log, *report }, 6))
		return err_sys(e, "descriptors");
	*report = 5;
	null = errors = -1;
	execvp(argv[0], argv);
	return err_sys(e, "cannot run %s", argv[0]);
}

int keeper_helper_spawn(const struct service *s, char *const *argv, int netns, int fd3, int log, const char *errlog, pid_t *pid,
			struct err *e)
{
	struct err cause = { .code = EX_UNAVAILABLE };
	int fds[2];

	if (pipe2(fds, O_CLOEXEC))
		return err_sys(e, "service %s: %s", s->name, argv[0]);
	AUTO_FD int from = fds[0], to = fds[1];
	if ((*pid = fork()) < 0)
		return err_sys(e, "service %s: %s", s->name, argv[0]);
	if (!*pid) {
		child_signals();
		become(s, argv, netns, fd3, log, errlog, &to, &cause);
		_exit(fd_write_all(to, &cause, sizeof(cause)) ? 2 : 1);
	}
	close(TAKE_FD(to));
	return child_report(from, s->name, e);
}
