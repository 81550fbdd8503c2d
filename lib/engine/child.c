/* SPDX-License-Identifier: MIT */
/* What the keeper and its children do after a fork. */
#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/syscall.h>

#include "lib/base/file.h"
#include "lib/base/proc.h"
#include "lib/engine/process.h"

#define FDS_MAX 8

int child_fds(const int *fds, int n)
{
	int high[FDS_MAX];

	if (n > FDS_MAX)
		return -1;
	for (int i = 0; i < n; i++) /* out of the way first: the source of one may be the place of another */
		if ((high[i] = fcntl(fds[i], F_DUPFD_CLOEXEC, FDS_MAX)) < 0)
			return -1;
	for (int i = 0; i < n; i++)
		if (dup3(high[i], i, i == n - 1 ? O_CLOEXEC : 0) < 0)
			return -1;
	return (int)syscall(SYS_close_range, n, ~0u, 0);
}

void child_signals(void)
{
	sigset_t none;

	for (int i = 1; i < NSIG; i++)
		signal(i, SIG_DFL);
	sigemptyset(&none);
	sigprocmask(SIG_SETMASK, &none, NULL);
}

int child_report(int from, const char *name, struct err *e)
{
	struct err cause;

	if (fd_read_all(from, &cause, sizeof(cause)))
		return 0;
	cause.text[sizeof(cause.text) - 1] = '\0';
	return err_set(e, cause.code, "service %s: %s", name, cause.text);
}

void child_title(const char *what, const char *name)
{
	unsigned long from = 0, to = 0;
	char text[2048], *p;
	AUTO_FILE FILE *f = fopen("/proc/self/stat", "re");

	prctl(PR_SET_NAME, what);
	if (!f || !fgets(text, sizeof(text), f) || !(p = strrchr(text, ')')))
		return;
	for (int field = 2; p && field < 48; field++) /* arg_start is field 48, arg_end 49 */
		p = strchr(p + 1, ' ');
	if (!p || sscanf(p, "%lu %lu", &from, &to) != 2 || !from || to <= from)
		return;
	memset((char *)from, 0, to - from);
	snprintf((char *)from, to - from, "%s: %s", what, name);
}

void child_path(void)
{
	const char *criu = proc_find("criu"), *slash = criu ? strrchr(criu, '/') : NULL;

	if (slash)
		proc_prefer(criu, (size_t)(slash - criu));
}
