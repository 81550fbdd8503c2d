/* SPDX-License-Identifier: MIT */
/* The runc engine's dump and restore. runc starts criu itself: for a dump both are started ahead, and wait. But between restored and
 * running there is no point where one could stop: the network, which is held, is what keeps it from the world. */
#include "lib/base/file.h"
#include "lib/engine/cgroup.h"
#include "lib/engine/criu_calls.h"
#include "lib/engine/criu_timers.h"
#include "lib/engine/runc.h"

#define DUMP_MS 120000
#define FREEZE_MS 5000

static void copy(char to[PATH_MAX], const char *path)
{
	snprintf(to, PATH_MAX, "%s", path);
}

struct points {
	struct criu *criu; /* is told of runc's */
	int (*at)(void *, const char *);
	void *ctx;
	bool given_up;
};

/* criu waits. */
static int pre_dump(void *ctx, pid_t criu)
{
	struct points *p = ctx;

	p->criu->pid = criu;
	p->given_up = p->at && p->at(p->ctx, "pre-dump");
	return p->given_up ? -1 : 0;
}

int runc_dump(struct service *s, struct criu *criu, const char *images, bool tcp_close,
	      int (*at)(void *, const char *), void *ctx, struct err *e)
{
	char root[PATH_MAX], log[PATH_MAX], work[PATH_MAX], config[PATH_MAX];
	const char *const argv[] = { "runc", "--root", root, "--log", log, "--log-format", "json",
				     "checkpoint", "--leave-running", "--tcp-established", "--work-path", work,
				     "--image-path", images, s->name, NULL };
	struct points p = { .criu = criu, .at = at, .ctx = ctx };
	const struct criu_calls_job job = { .argv = argv, .alone = criu_hindered(s), .begins = pre_dump, .ctx = &p, .timeout_ms = DUMP_MS };
	struct err why = { 0 };

	copy(root, runc_root());
	copy(log, service_dir(s, "runc.log"));
	copy(work, service_dir(s, "runc.work"));
	copy(config, service_dir(s, "bundle/config.json"));
	if (runc_adapt(s, config, tcp_close, e) || file_remove_tree(work, e) || file_mkdirs(work, 0700, e))
		return -1;
	unlink(log);
	int rc = criu_calls_run(&job, criu_pages_used(criu_version()) ? &criu->hidden : NULL, &criu->maps, &why);
	criu->pid = 0;
	if (!rc && criu_mend_timers(images, e))
		return -1;
	if (p.given_up || (!rc && at && at(ctx, "post-dump")))
		return err_set(e, EX_UNAVAILABLE, "service %s: dump: given up", s->name);
	if (why.text[0])
		return err_set(e, why.code, "service %s: dump: %s", s->name, why.text);
	if (rc && !job.alone && criu_hindered(s))
		return criu_hindered_late(s, e);
	return rc ? runc_failed(s, "checkpoint", e) : 0;
}

int runc_restore_arm(struct service *s, struct keeper *k, struct criu *warm, struct err *e)
{
	(void)k;
	*warm = (struct criu){ .sock = -1 };
	return file_mkdirs(runc_root(), 0700, e) || file_mkdirs(service_dir(s, "runc.work"), 0700, e) ? -1 : 0;
}

const char *runc_lazy_dir(const struct service *s, const char *images)
{
	(void)images;
	return service_dir(s, "runc.work");
}

int runc_restore(struct service *s, struct keeper *k, struct criu *warm, const char *images, bool tcp_close, bool lazy,
		 int (*ready)(void *), void *ctx, struct err *e)
{
	char bundle[PATH_MAX], work[PATH_MAX], pid_file[PATH_MAX], config[PATH_MAX];
	const char *const args[] = { "restore", "--detach", "--tcp-established", "--bundle", bundle, "--image-path", images,
				     "--work-path", work, "--pid-file", pid_file, lazy ? "--lazy-pages" : s->name,
				     lazy ? s->name : NULL, NULL };

	(void)warm;
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
