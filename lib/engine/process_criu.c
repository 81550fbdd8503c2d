/* SPDX-License-Identifier: MIT */
/* The process engine's dump and restore: CRIU driven directly. */
#include <stdio.h>
#include <string.h>

#include "lib/engine/cgroup.h"
#include "lib/engine/criu_cgroups.h"
#include "lib/engine/criu_timers.h"
#include "lib/engine/net.h"
#include "lib/engine/process_criu.h"
#include "lib/engine/watches.h"

#define KILL_MS 5000
#define LOG_FD 4 /* the log pipe's descriptor in a program that keeper_exec starts */

/* Volumes are mounts that CRIU is told of by a name, which stands for another folder at the other node. */
struct externals {
	char text[SERVICE_VOLUMES_MAX][PATH_MAX + 32];
	const char *list[SERVICE_VOLUMES_MAX + 1];
};

static void externals_of(const struct service *s, bool restore, struct externals *x)
{
	for (int i = 0; i < s->n_volumes; i++) {
		if (restore)
			snprintf(x->text[i], sizeof(x->text[i]), "mnt[vol%d]:%s", i, s->volumes[i].host);
		else
			snprintf(x->text[i], sizeof(x->text[i]), "mnt[%s]:vol%d", s->volumes[i].path, i);
		x->list[i] = x->text[i];
	}
	x->list[s->n_volumes] = NULL;
}

struct points {
	const struct service *s;
	const char *images;
	const struct criu *criu;
	bool watched; /* criu was told of its watches */
	struct err why; /* of our own failure at a point */
	int (*at)(void *, const char *);
	void *ctx;
};

static int on_dump(void *ctx, const char *point, pid_t pid)
{
	struct points *p = ctx;

	(void)pid;
	if (!strcmp(point, "post-dump") && (criu_mend_timers(p->images, &p->why) || criu_drop_cgroups(p->images, &p->why)))
		return -1;
	if (p->at && p->at(p->ctx, point))
		return -1;
	/* From the first point on they stand still. */
	if (!strcmp(point, "pre-dump") && criu_outgrown(p->criu, p->s))
		return err_set(&p->why, EX_TEMPFAIL, "service %s: began to use System V IPC while it was about to stand still: try again",
			       p->s->name);
	AUTO_WATCHES char **late = p->watched || strcmp(point, "pre-dump") ? NULL : watches_find(p->s);
	return late ? err_set(&p->why, EX_TEMPFAIL, "service %s: began to watch files while it was about to stand still: try again",
			      p->s->name) : 0;
}

int process_dump(struct service *s, struct criu *warm, const char *images, bool tcp_close,
		 int (*at)(void *, const char *), void *ctx, struct err *e)
{
	AUTO_WATCHES char **watched = watches_find(s);
	struct points p = { .s = s, .images = images, .criu = warm, .watched = watched, .at = at, .ctx = ctx };
	struct externals x;

	/* Criu is told of watches at its start, and so it starts when they cannot change any more. */
	if (watched) {
		if (at && at(ctx, "pre-dump"))
			return err_set(e, EX_UNAVAILABLE, "service %s: dump: given up", s->name);
		watches_free(watched);
		watched = watches_find(s);
	}
	externals_of(s, false, &x);
	int rc = criu_run(warm,
			&(struct criu_job){
				.verb = CRIU_DUMP,
				.images = images,
				.pid = s->pid,
				.freeze_cgroup = cgroup_v2_dir(s->name),
				.metadata_only = true,
				.leave_running = true, /* its frozen cgroup holds it */
				.tcp_close = tcp_close,
				.watched = watched,
				.external = x.list,
				.notify = on_dump,
				.ctx = &p,
			},
			NULL, e);
	if (rc && p.why.text[0])
		*e = p.why;
	else if (rc && warm->heard && criu_hindered(s))
		criu_hindered_late(s, e);
	else if (rc)
		err_wrap(e, "service %s", s->name);
	return rc;
}

int process_restore_arm(struct service *s, struct keeper *k, struct criu *warm, struct err *e)
{
	const char *const *argv = criu_argv(e);
	int theirs;

	(void)s;
	*warm = (struct criu){ .sock = -1 };
	if (!argv || criu_socketpair(&warm->sock, &theirs, e))
		return -1;
	int rc = keeper_exec(k, argv, theirs, warm->sock, NULL, &warm->pid, e);
	close(theirs);
	return rc;
}

const char *process_lazy_dir(const struct service *s, const char *images)
{
	(void)s;
	return images;
}

struct ready {
	struct service *s;
	int (*fn)(void *);
	void *ctx;
	bool runs; /* fn has said so: it runs, whatever becomes of criu */
};

static int on_restore(void *ctx, const char *point, pid_t pid)
{
	struct ready *r = ctx;

	if (!strcmp(point, "post-restore"))
		r->s->pid = pid;
	if (strcmp(point, "pre-resume"))
		return 0;
	r->runs = !r->fn(r->ctx);
	if (r->runs)
		return 0;
	/* From here on criu lets them run whatever we answer: so it, and they, end before it is answered. */
	cgroup_kill(r->s->name, KILL_MS, NULL);
	return -1;
}

int process_restore(struct service *s, struct keeper *k, struct criu *warm, const char *images, bool tcp_close, bool lazy,
		    int (*ready)(void *), void *ctx, struct err *e)
{
	struct ready r = { s, ready, ctx, false };
	char log_key[64];
	struct externals x;

	(void)k;
	externals_of(s, true, &x);
	snprintf(log_key, sizeof(log_key), "pipe:[%llu]", (unsigned long long)s->log_ino);
	const struct criu_pair inherit[] = { { s->log_ino ? log_key : NULL, LOG_FD }, { NULL, 0 } };
	int rc = criu_run(warm,
			&(struct criu_job){
				.verb = CRIU_RESTORE,
				.images = images,
				.root = service_dir(s, "root"),
				.tcp_close = tcp_close,
				.lazy = lazy,
				.sibling = true,
				.external = x.list,
				.inherit = inherit,
				.notify = on_restore,
				.ctx = &r,
			},
			NULL, e);
	if (rc && !r.runs)
		s->pid = 0;
	return rc ? err_wrap(e, "service %s", s->name) : 0;
}
