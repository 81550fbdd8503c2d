/* SPDX-License-Identifier: MIT */
/* The source's side. */
#include "lib/move/contained.h"

#include <fcntl.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "lib/base/clock.h"
#include "lib/base/file.h"
#include "lib/base/random.h"
#include "lib/discover/node.h"
#include "lib/engine/cgroup.h"
#include "lib/engine/container.h"
#include "lib/engine/engine.h"
#include "lib/engine/net.h"
#include "lib/move/check.h"
#include "lib/move/files.h"
#include "lib/move/guard.h"
#include "lib/move/here.h"
#include "lib/move/image_send.h"
#include "lib/move/journal.h"
#include "lib/move/layer.h"
#include "lib/move/outcome.h"
#include "lib/move/pulse.h"
#include "lib/move/recover.h"
#include "lib/move/refusal.h"
#include "lib/move/wire.h"

#define LOCK_MS 2000
#define SETTLE_MS 200 /* for what has come before it was cut off */

struct departure {
	struct service *s;
	const struct engine_memory *engine;
	const char *to;
	const struct ssh_target *target;
	const struct move_options *opt;
	char move[33];
	struct stream *stream;
	struct stream *anew; /* over which the outcome was asked for, when the first one had broken */
	struct pulse *pulse;
	struct guard guard;
	struct files files[CONTAINED_FOLDERS];
	struct files_stats stats;
	bool frozen;  /* or about to be */
	bool gone;    /* "go" was said, and nobody knows yet whether it was heard */
	bool retired; /* it runs there */
	double start, frozen_at, frozen_ms, dump_ms, ship_ms, restore_ms;
};

void contained_name(char what[80], const struct service *s, unsigned k)
{
	if (k < CONTAINED_VOLUMES)
		snprintf(what, 80, "service %.60s", s->name);
	else
		snprintf(what, 80, "volume %.60s", s->volumes[k - CONTAINED_VOLUMES].path);
}

static const char *look(void *ctx)
{
	const struct departure *d = ctx;
	double limit = d->opt->max_freeze_ms;

	if (d->gone)
		return NULL;
	if (d->frozen && limit > 0 && clock_ms() > d->frozen_at + limit)
		return "it stood still for longer than --max-freeze allows";
	return d->opt->interrupted && d->opt->interrupted(d->opt->ctx) ? "interrupted" : NULL;
}

static void stop_stream(void *ctx)
{
	const struct departure *d = ctx;

	stream_stop(d->stream);
}

/* ---- what can be known before ---- */

/* Each goes as a folder of its own. */
static int check_volumes(const struct service *s, struct err *e)
{
	for (int i = 0; i < s->n_volumes; i++) {
		const char *host = s->volumes[i].host, *path = s->volumes[i].path;
		const char *why = NULL;
		struct stat st;

		if (stat(host, &st) || !S_ISDIR(st.st_mode))
			why = "not a folder";
		else if (strpbrk(host, "\"\\&<>")) /* podman's list of mounts has them otherwise */
			why = "its folder's name has one of \" \\ & < >";
		for (int k = 0; k < s->n_volumes && !why; k++)
			if (k != i && file_is_below(s->volumes[k].host, host))
				why = "another one is in its folder";
		if (why)
			return err_set(e, EX_UNAVAILABLE, "service %s: engine %s: volume %s: %s", s->name, s->engine, path, why);
	}
	return 0;
}

/* What the image itself asks for (VOLUME) lies with the engine, and would not come along. */
static int check_mounts(const struct service *s, struct err *e)
{
	AUTO_FREE char *list = container_ask(s, s->engine, "{{range .Mounts}}{{println .Destination}}{{end}}", e);
	char *save = NULL;

	for (char *path = list ? strtok_r(list, "\n", &save) : NULL; path; path = strtok_r(NULL, "\n", &save)) {
		bool ours = false;

		for (int i = 0; i < s->n_volumes; i++)
			ours |= !strcmp(s->volumes[i].path, path);
		if (!ours)
			return err_set(e, EX_UNAVAILABLE, "service %s: engine %s: %s is a volume that its engine has made: cannot be moved "
				       "(--volume gives it a folder)", s->name, s->engine, path);
	}
	return list ? 0 : -1;
}

static int check(const struct departure *d, struct err *e)
{
	const struct service *s = d->s;
	const char *why = d->engine->unable();
	int open;

	if (why)
		return err_set(e, EX_UNAVAILABLE, "service %s: engine %s: %s", s->name, s->engine, why);
	if (!s->addr[0])
		return err_set(e, EX_UNAVAILABLE, "service %s: engine %s: only one with an address of its own can be moved with its memory",
			       s->name, s->engine);
	if (check_volumes(s, e) || check_mounts(s, e))
		return -1;
	if (d->engine->keeps_connections || d->opt->tcp_close || (open = net_connections(s)) <= 0)
		return 0;
	return err_set(e, EX_UNAVAILABLE, "service %s: engine %s: does not keep its %d open connection%s (--tcp-close gives them up)",
		       s->name, s->engine, open, open == 1 ? "" : "s");
}

static int prepare(struct departure *d, struct json **refusals, struct err *e)
{
	AUTO_JSON struct json *call = wire_request("contain"), *answer = NULL;
	AUTO_FREE pid_t *pids = NULL;
	int n;

	if (cgroup_pids_with(d->s->pid, &pids, &n, e) || check_facts(d->s, pids, (size_t)n, call, e))
		return -1;
	json_set_str(call, "move", d->move);
	json_set_str(call, "from", node_self());
	json_set_bool(call, "dry_run", d->opt->dry_run);
	json_set_bool(call, "tcp_close", d->opt->tcp_close);
	json_set(call, "service", service_to_json(d->s));
	answer = wire_call(d->stream, TAKE_PTR(call), e);
	if (answer)
		*refusals = json_get(answer, "refusals");
	return answer ? 0 : -1;
}

static int connect_to(struct departure *d, struct err *e)
{
	d->stream = ssh_open(d->target, d->opt->connect_ms, e);
	return d->stream && !wire_greet(d->stream, e) && !pulse_start(&d->pulse, d->stream, look, stop_stream, d, e) ? 0 : -1;
}

static int open_folder(struct departure *d, unsigned k, const char *path, struct err *e)
{
	d->files[k].number = k;
	contained_name(d->files[k].what, d->s, k);
	d->files[k].root = open(path, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	return d->files[k].root < 0 ? err_sys(e, "%s", path) : 0;
}

static int send_folder(struct departure *d, unsigned k, bool final, struct err *e)
{
	return files_send(&d->files[k], d->stream, NULL, 0, final, &d->stats, e);
}

/* Its files: what it has written over its image, and its volumes. */
static int send_files(struct departure *d, bool final, struct err *e)
{
	if (send_folder(d, CONTAINED_UPPER, final, e))
		return -1;
	for (int i = 0; i < d->s->n_volumes; i++)
		if (send_folder(d, CONTAINED_VOLUMES + (unsigned)i, final, e))
			return -1;
	return 0;
}

/* While it runs: most of them, so that few are left for the freeze. */
static int send_ahead(struct departure *d, struct err *e)
{
	char upper[PATH_MAX];

	if (d->engine->upper(d->s, upper, e) || open_folder(d, CONTAINED_UPPER, upper, e))
		return -1;
	for (int i = 0; i < d->s->n_volumes; i++)
		if (open_folder(d, CONTAINED_VOLUMES + (unsigned)i, d->s->volumes[i].host, e))
			return -1;
	return send_files(d, false, e);
}

/* ---- standing still ---- */

/* Turns the journal; EX_TEMPFAIL when the guard has let it go on meanwhile. */
static int turn(const struct departure *d, const char *from, const char *step, struct err *e)
{
	int rc = journal_turn(d->move, from, step, NULL, e);

	return rc <= 0 ? rc : guard_thawed(d->s->name, d->frozen_at, d->opt->max_freeze_ms, e);
}

static int stop_here(struct departure *d, struct err *e)
{
	if (turn(d, "begun", "frozen", e))
		return -1;
	d->frozen = true;
	d->frozen_at = clock_ms();
	guard_limit(&d->guard, d->opt->max_freeze_ms);
	if (net_hold(d->s, e))
		return -1;
	net_settle(d->s, SETTLE_MS);
	if (d->opt->tcp_close)
		net_drop_connections(d->s);
	return d->engine->freeze(d->s, e);
}

static int dump(struct departure *d, struct err *e)
{
	double start = clock_ms();
	char dir[PATH_MAX];

	snprintf(dir, sizeof(dir), "%s", service_dir(d->s, "checkpoint"));
	if (file_remove_tree(dir, e) || file_mkdir_private(dir, e) || d->engine->dump(d->s, dir, e) ||
	    open_folder(d, CONTAINED_CHECKPOINT, dir, e))
		return -1;
	d->dump_ms = clock_ms() - start;
	start = clock_ms();
	if (send_files(d, true, e) || send_folder(d, CONTAINED_CHECKPOINT, true, e))
		return -1;
	d->ship_ms = clock_ms() - start;
	return 0;
}

/* Until "go" it goes on here. */
static void thaw(struct departure *d)
{
	/* The guard may have done it already: then there is nothing left to do, and no harm in it. */
	if (d->frozen && !d->gone && !d->retired && journal_turn(d->move, "begun frozen thawed", "thawed", NULL, NULL) <= 0)
		service_mend(d->s, NULL);
	d->frozen &= d->gone;
}

/* ---- the hand-over ---- */

/* 0 it runs there; -1 it does not, or (d->gone) nobody knows. */
static int say_go(struct departure *d, struct json **there, struct err *e)
{
	AUTO_JSON struct json *ready = wire_call(d->stream, wire_request("restore"), e);

	if (!ready || turn(d, "frozen", "go", e))
		return -1;
	d->restore_ms = json_num(ready, "restore_ms", 0);
	/* From here it stands still until it knows. */
	d->gone = true;
	guard_limit(&d->guard, 0);
	int rc = wire_ask(d->stream, wire_request("go"), there, e);
	if (rc < 0) {
		enum outcome outcome = outcome_learn(d->target, d->move, d->opt->deadline_ms, &d->anew);

		rc = outcome == OUTCOME_RUNNING ? 0 : outcome == OUTCOME_NOT ? 1 : -1;
	}
	if (rc < 0)
		return outcome_unknown(d->s->name, d->to, d->move, e);
	/* It said no, and so it can never say yes. */
	d->gone = !rc || turn(d, "go", "thawed", NULL);
	return rc ? -1 : 0;
}

static struct json *moved(const struct departure *d)
{
	struct json *j = json_object();

	json_set_str(j, "from", node_self());
	json_set_str(j, "to", d->to);
	json_set_ms(j, "frozen_ms", d->frozen_ms);
	json_set_ms(j, "total_ms", clock_ms() - d->start);
	json_set_num(j, "bytes_raw", (double)(d->stats.raw_bytes + d->stats.there_bytes));
	json_set_num(j, "bytes_sent", (double)stream_sent(d->stream));
	json_set_num(j, "bytes_there", (double)d->stats.there_bytes);
	json_set_str(j, "restore", "whole");
	json_set_str(j, "restore_why", "its engine restores it");
	json_set_ms(j, "container.dump_ms", d->dump_ms);
	json_set_ms(j, "container.ship_ms", d->ship_ms);
	json_set_ms(j, "container.restore_ms", d->restore_ms);
	return j;
}

static int hand_over(struct departure *d, struct json **record, struct err *e)
{
	AUTO_JSON struct json *there = NULL, *said = NULL;
	struct json *made;

	if (say_go(d, &there, e))
		return -1;
	d->frozen_ms = clock_ms() - d->frozen_at;
	/* It runs there: what fails now is told, but no reason to go back. */
	int rc = service_retire(d->s, e) || journal_turn(d->move, "go", "handed-over", NULL, e) ? -1 : 0;
	d->retired = !rc;
	if (!there) /* it had to be asked for */
		made = service_record(d->s, "running");
	else if (!(made = json_get(there, "service")))
		return err_set(e, EX_DATAERR, "node %s: no service in its answer", d->to);
	if (!there)
		json_set_str(made, "node", d->to);
	json_set(made, "moved", moved(d));
	/* The other end must know of the move as long as it can be asked. */
	if (d->retired && d->anew)
		outcome_known(d->anew, d->move);
	else if (d->retired)
		wire_ask(d->stream, wire_request("done"), &said, NULL);
	*record = made;
	return rc;
}

static int depart(struct departure *d, struct json **record, struct err *e)
{
	AUTO_JSON struct json *refusals = NULL;

	if (check(d, e) || connect_to(d, e) || (!d->opt->dry_run && image_send_over(d->stream, d->s, e)) || prepare(d, &refusals, e))
		return -1;
	bool stay = refusals && json_len(refusals, NULL);
	if (stay)
		refusal_error(d->to, refusals, e);
	if (stay || d->opt->dry_run) {
		*record = refusal_record(d->s, node_self(), d->to, TAKE_PTR(refusals));
		return stay && !d->opt->dry_run ? -1 : 0;
	}
	return send_ahead(d, e) || stop_here(d, e) || dump(d, e) || hand_over(d, record, e) ? -1 : 0;
}

/* Whoever looks on is told why, and not only that the stream has ended. */
static void say_why(const struct departure *d, struct err *e)
{
	const char *why = d->pulse ? pulse_reason(d->pulse) : NULL;

	if (why && !d->gone)
		err_set(e, EX_TEMPFAIL, "service %s: %s: it goes on here", d->s->name, why);
}

static void departure_clear(struct departure *d)
{
	thaw(d);
	pulse_end(d->pulse);
	stream_free(d->stream);
	stream_free(d->anew);
	for (int k = 0; k < CONTAINED_FOLDERS; k++)
		files_clear(&d->files[k]);
	if (d->gone && !d->retired) { /* the guard goes on to ask */
		close(d->guard.fd);
		return;
	}
	journal_forget(d->move, NULL);
	guard_end(&d->guard);
}

int migrate_contained(struct service *s, const char *to, const struct ssh_target *t, const struct move_options *opt,
		      struct json **record, struct err *e)
{
	struct departure d = { .s = s, .engine = engine_find(s->engine)->whole->memory, .to = to, .target = t, .opt = opt,
			       .guard = { -1 }, .start = clock_ms() };
	AUTO_FD int lock = journal_lock(s->name, LOCK_MS, e);
	int rc;

	for (int k = 0; k < CONTAINED_FOLDERS; k++)
		d.files[k].root = -1;
	if (lock < 0)
		return -1;
	if (here_running(s, "--from", e) || recover_instance(s->name, s->id, true, e) || random_hex(d.move, 16, e) ||
	    guard_start(&d.guard, s->name, d.move, lock, e))
		return -1;
	rc = journal_begin_source(d.move, s, to, e) ? -1 : depart(&d, record, e);
	if (rc)
		say_why(&d, e);
	departure_clear(&d);
	return rc;
}
