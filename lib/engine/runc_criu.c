/* SPDX-License-Identifier: MIT */
/* The runc engine's dump and restore. runc drives criu itself, so there is nothing to start ahead, and between restored
 * and running there is no point where one could stop: the network, which is held, is what keeps it from the world. */
#include <stdlib.h>
#include <string.h>

#include "lib/base/file.h"
#include "lib/base/proc.h"
#include "lib/engine/cgroup.h"
#include "lib/engine/criu_timers.h"
#include "lib/engine/runc.h"

#define DUMP_MS 120000
#define FREEZE_MS 5000

static void copy(char to[PATH_MAX], const char *path)
{
	snprintf(to, PATH_MAX, "%s", path);
}

/* "PATH=..." with the folder of the criu that we would use in front. */
static void path_variable(char *to, size_t size)
{
	const char *criu = proc_find("criu"), *slash = criu ? strrchr(criu, '/') : NULL, *path = getenv("PATH");

	snprintf(to, size, "PATH=%.*s%s%s", slash ? (int)(slash - criu) : 0, slash ? criu : "", slash ? ":" : "",
		 path ? path : "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin");
}

int runc_dump(struct service *s, struct criu *warm, const char *images, bool tcp_close,
	      int (*at)(void *, const char *), void *ctx, struct err *e)
{
	char root[PATH_MAX], log[PATH_MAX], work[PATH_MAX], config[PATH_MAX], path[2 * PATH_MAX];
	const char *const argv[] = { "env", path, "runc", "--root", root, "--log", log, "--log-format", "json",
				     "checkpoint", "--leave-running", "--tcp-established", "--work-path", work,
				     "--image-path", images, s->name, NULL };

	(void)warm;
	copy(root, runc_root());
	copy(log, service_dir(s, "runc.log"));
	copy(work, service_dir(s, "runc.work"));
	copy(config, service_dir(s, "bundle/config.json"));
	path_variable(path, sizeof(path));
	if (runc_adapt(s, config, tcp_close, e) || file_remove_tree(work, e) || file_mkdirs(work, 0700, e))
		return -1;
	unlink(log);
	if (at && at(ctx, "pre-dump"))
		return err_set(e, EX_UNAVAILABLE, "service %s: dump: given up", s->name);
	if (proc_run(argv, NULL, DUMP_MS, NULL))
		return runc_failed(s, "checkpoint", e);
	if (criu_mend_timers(images, e))
		return -1;
	if (at && at(ctx, "post-dump"))
		return err_set(e, EX_UNAVAILABLE, "service %s: dump: given up", s->name);
	return 0;
}

int runc_restore_arm(struct service *s, struct keeper *k, struct criu *warm, struct err *e)
{
	(void)k;
	*warm = (struct criu){ .sock = -1 };
	return file_mkdirs(runc_root(), 0700, e) || file_mkdirs(service_dir(s, "runc.work"), 0700, e) ? -1 : 0;
}

int runc_restore(struct service *s, struct keeper *k, struct criu *warm, const char *images, bool tcp_close, bool lazy,
		 int (*ready)(void *), void *ctx, struct err *e)
{
	char bundle[PATH_MAX], work[PATH_MAX], pid_file[PATH_MAX], config[PATH_MAX];
	const char *const args[] = { "restore", "--detach", "--tcp-established", "--bundle", bundle, "--image-path", images,
				     "--work-path", work, "--pid-file", pid_file, s->name, NULL };

	(void)warm;
	(void)lazy;
	copy(bundle, service_dir(s, "bundle"));
	copy(config, service_dir(s, "bundle/config.json"));
	copy(work, service_dir(s, "runc.work"));
	copy(pid_file, service_dir(s, "runc.pid"));
	if (runc_adapt(s, config, tcp_close, e) || runc_do(s, k, args, e) || cgroup_freeze(s->name, FREEZE_MS, e) ||
	    runc_pid(s, &s->pid, e))
		return -1;
	if (ready && ready(ctx)) /* what it did in this moment, nobody has seen: its owner kills it */
		return err_set(e, EX_UNAVAILABLE, "service %s: restore: given up", s->name);
	return cgroup_thaw(s->name, e);
}
