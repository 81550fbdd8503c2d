/* SPDX-License-Identifier: MIT */
/* A snapshot of processes that none of us has started. They are in namespaces and cgroups of their own choice, so criu alone
 * stops them, and what it writes is a folder that criu alone can restore. */
#include <dirent.h>
#include <string.h>

#include "lib/base/clock.h"
#include "lib/engine/cgroup.h"
#include "lib/engine/criu_calls.h"
#include "lib/move/hold.h"
#include "lib/move/outgoing_int.h"

struct tree_pids {
	pid_t *pid;
	int n, room;
};

static int add_pid(struct tree_pids *t, pid_t pid, struct err *e)
{
	if (t->n == t->room) {
		int room = t->room ? 2 * t->room : 16;
		pid_t *bigger = realloc(t->pid, (size_t)room * sizeof(*bigger));

		if (!bigger)
			return err_set(e, EX_OSERR, "out of memory");
		t->pid = bigger;
		t->room = room;
	}
	t->pid[t->n++] = pid;
	return 0;
}

/* -1 when there is no such process; 0 for one from outside. */
static pid_t parent_of(pid_t pid)
{
	char path[64], text[1024], *tail;
	int parent = -1;

	snprintf(path, sizeof(path), "/proc/%d/stat", (int)pid);
	AUTO_FILE FILE *f = fopen(path, "re");
	if (!f || !fgets(text, sizeof(text), f) || !(tail = strrchr(text, ')')) || sscanf(tail, ") %*c %d", &parent) != 1)
		return -1;
	return parent;
}

/* The children of any thread of it. */
static int add_children(struct tree_pids *t, pid_t pid, struct err *e)
{
	char path[64];
	int child;

	snprintf(path, sizeof(path), "/proc/%d/task", (int)pid);
	DIR *d = opendir(path);
	struct dirent *de;
	int rc = 0;

	while (d && !rc && (de = readdir(d))) {
		if (de->d_name[0] == '.')
			continue;
		snprintf(path, sizeof(path), "/proc/%d/task/%.16s/children", (int)pid, de->d_name);
		AUTO_FILE FILE *f = fopen(path, "re");
		while (!rc && f && fscanf(f, "%d", &child) == 1)
			rc = add_pid(t, child, e);
	}
	if (d)
		closedir(d);
	return rc;
}

int outgoing_pids(const struct outgoing *o, pid_t **pids, int *n, struct err *e)
{
	struct tree_pids t = { 0 };
	int rc;

	if (o->svc)
		return cgroup_pids(o->svc->name, pids, n, e);
	rc = add_pid(&t, o->tree, e);
	for (int i = 0; !rc && i < t.n; i++)
		rc = add_children(&t, t.pid[i], e);
	*pids = t.pid;
	*n = t.n;
	return rc;
}

static int check_tree(pid_t pid, struct err *e)
{
	char path[64], line[PATH_MAX];

	if (pid <= 0 || parent_of(pid) < 0)
		return err_set(e, EX_UNAVAILABLE, "process %d: no such process", (int)pid);
	for (pid_t p = getpid(); p > 0; p = parent_of(p))
		if (p == pid)
			return err_set(e, EX_USAGE, "process %d: this program is one of its children", (int)pid);
	snprintf(path, sizeof(path), "/proc/%d/cgroup", (int)pid);
	AUTO_FILE FILE *f = fopen(path, "re");
	while (f && fgets(line, sizeof(line), f)) {
		const char *edge = strstr(line, ":/edge/");

		if (edge)
			return err_set(e, EX_USAGE, "process %d: belongs to service %.*s, which has a name", (int)pid,
				       (int)strcspn(edge + 7, "/\n"), edge + 7);
	}
	return 0;
}

static int round_of(struct outgoing *o, bool final, struct pages_stats *st, struct err *e)
{
	AUTO_FREE pid_t *pids = NULL;
	int n;

	if (outgoing_pids(o, &pids, &n, e) || memory_runs(pids, (size_t)n, &o->runs, e))
		return -1;
	return sender_round(o->sender, &o->runs, false, final, st, e);
}

/* All is written but the memory, and criu has them stopped still. */
static int at_point(void *ctx, const char *point, pid_t pid)
{
	struct outgoing *o = ctx;
	struct pages_stats st = { 0 };

	(void)pid;
	if (!strcmp(point, "pre-dump"))
		o->frozen_at = clock_ms();
	if (strcmp(point, "post-dump"))
		return 0;
	o->rep.dump = clock_ms() - o->frozen_at;
	return round_of(o, true, &st, &o->dump_err) || outgoing_images(o, &st, &o->dump_err);
}

static int dump_tree(struct outgoing *o, struct err *e)
{
	const struct criu_job job = {
		.verb = CRIU_DUMP,
		.images = o->ck->dir,
		.pid = o->tree,
		.metadata_only = true,
		.leave_running = true,
		.tcp_close = o->ck->tcp_close,
		.shell_job = true,
		.notify = at_point,
		.ctx = o,
	};
	int rc = criu_run(&o->criu, &job, NULL, e);

	if (rc && o->dump_err.text[0])
		*e = o->dump_err;
	return rc ? err_wrap(e, "process %d", (int)o->tree) : 0;
}

static int start_criu(struct outgoing *o, struct err *e)
{
	AUTO_FREE pid_t *pids = NULL;
	int n;

	return outgoing_pids(o, &pids, &n, e) || criu_start(&o->criu, -1, NULL, criu_calls_hinder(pids, (size_t)n), e) ? -1 : 0;
}

static int snapshot(struct outgoing *o, struct err *e)
{
	struct stream *const none[] = { NULL };
	struct pages_stats st = { 0 };

	/* Most of the memory is copied while they run. */
	if (checkpoint_own_memory(o->ck, e) || image_open(&o->im, checkpoint_memory_dir(o->ck), e) ||
	    image_begin(o->im, e) || sender_new(&o->sender, o->im, none, 1, e) || start_criu(o, e) ||
	    round_of(o, false, &st, e) || dump_tree(o, e))
		return -1;
	return checkpoint_complete(o->ck, o->im, e) || image_save(o->im, IMAGE_SWEEP, e) ||
			       image_link_parents(o->im, o->ck->dir, e) || checkpoint_save(o->ck, e)
		       ? -1
		       : 0;
}

int hold_pid(pid_t pid, const struct move_options *opt, FILE *out, struct err *e)
{
	AUTO_OUTGOING struct outgoing *o = calloc(1, sizeof(*o));
	AUTO_JSON struct json *rec = json_object();

	if (!o)
		return err_set(e, EX_OSERR, "out of memory");
	outgoing_init(o);
	o->tree = pid;
	if (check_tree(pid, e) || checkpoint_new_tree(&o->ck, pid, opt->tcp_close, e) || snapshot(o, e))
		return -1;
	json_set_str(rec, "kind", "checkpoint");
	json_set_str(rec, "id", o->ck->id);
	json_set_num(rec, "pid", pid);
	json_set_str(rec, "from", o->ck->from);
	json_set_bool(rec, "held", false);
	json_set_num(rec, "bytes", (double)outgoing_bytes(o));
	json_set_ms(rec, "dump_ms", o->rep.dump);
	if (record_print(out, rec, e))
		return -1;
	o->kept = true;
	return 0;
}
