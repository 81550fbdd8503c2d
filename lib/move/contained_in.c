/* SPDX-License-Identifier: MIT */
/* The destination's side. */
#include <fcntl.h>
#include <string.h>
#include <unistd.h>

#include "lib/base/clock.h"
#include "lib/base/file.h"
#include "lib/discover/registry.h"
#include "lib/engine/engine.h"
#include "lib/engine/net.h"
#include "lib/move/check.h"
#include "lib/move/contained.h"
#include "lib/move/decide.h"
#include "lib/move/files.h"
#include "lib/move/guard.h"
#include "lib/move/journal.h"
#include "lib/move/pulse.h"
#include "lib/move/recover.h"
#include "lib/move/wire.h"

#define LOCK_MS (PULSE_LIMIT_MS + 2000)
#define MENDS 3

struct arrival {
	struct service *s;
	const struct engine_memory *engine;
	struct stream *ctl;
	const char *move, *from;
	struct files files[CONTAINED_FOLDERS];
	struct service *old; /* what is here under its name; NULL */
	bool was_here;       /* its folder is older than this move */
	bool begun;          /* what is here under its name is this move's */
	bool running;
	bool stuck; /* ... but it could not be let go on */
};

static void stop_stream(void *ctx)
{
	stream_stop(ctx);
}

static int reply(struct arrival *a, const struct json *j, struct err *e)
{
	return wire_send_json(a->ctl, FRAME_REPLY, j, e);
}

static int reply_done(struct arrival *a, struct err *e)
{
	AUTO_JSON struct json *nothing = json_object();

	return reply(a, nothing, e);
}

/* ---- what is made ready ---- */

static int begin(struct arrival *a, struct err *e)
{
	AUTO_JSON struct json *head = json_object();

	json_set_str(head, "role", "destination");
	json_set_str(head, "service", a->s->name);
	json_set_str(head, "id", a->s->id);
	json_set_str(head, "from", a->from);
	json_set_str(head, "was_here", a->was_here ? "yes" : "no");
	return journal_begin(a->move, head, e);
}

/* Where they were at an earlier stay, and never where the peer says. */
static int place_volumes(struct service *s, const struct service *old, struct err *e)
{
	char below[32];

	for (int i = 0; i < s->n_volumes; i++) {
		snprintf(below, sizeof(below), "volumes/%d", i);
		snprintf(s->volumes[i].host, PATH_MAX, "%s", old && i < old->n_volumes ? old->volumes[i].host : service_dir(s, below));
		if (file_mkdirs(s->volumes[i].host, 0755, e))
			return -1;
	}
	return 0;
}

/* Until it runs here its folder is a cache, as that of one that has moved away: whoever undoes this move knows it by that. */
static int make_folder(struct arrival *a, struct err *e)
{
	struct service *s = a->s;

	if (a->old && !a->old->moved && service_running(a->old))
		return err_set(e, EX_TEMPFAIL, "service %s: was started here meanwhile", s->name);
	if (a->old && !a->was_here && service_remove(a->old, e))
		return -1;
	a->begun = !begin(a, e);
	if (!a->begun || file_mkdir_private(file_path("/var/lib/edge/services"), e) || file_mkdir_private(service_dir(s, NULL), e) ||
	    file_mkdir_private(service_dir(s, "checkpoint"), e))
		return -1;
	if (place_volumes(s, a->was_here ? a->old : NULL, e))
		return -1;
	s->moved = true;
	int rc = service_save(s, e);
	s->moved = false;
	return rc;
}

static int open_folder(struct arrival *a, unsigned k, const char *path, struct err *e)
{
	a->files[k] = (struct files){ .number = k, .root = open(path, O_RDONLY | O_DIRECTORY | O_CLOEXEC) };
	contained_name(a->files[k].what, a->s, k);
	return a->files[k].root < 0 ? err_sys(e, "%s", path) : 0;
}

static int arm(struct arrival *a, struct err *e)
{
	char upper[PATH_MAX];

	/* what an instance left that ended together with this machine */
	if (make_folder(a, e) || service_clear(a->s, e) || a->engine->arm(a->s, e) || a->engine->upper(a->s, upper, e))
		return -1;
	if (open_folder(a, CONTAINED_UPPER, upper, e) || open_folder(a, CONTAINED_CHECKPOINT, service_dir(a->s, "checkpoint"), e))
		return -1;
	for (int i = 0; i < a->s->n_volumes; i++)
		if (open_folder(a, CONTAINED_VOLUMES + (unsigned)i, a->s->volumes[i].host, e))
			return -1;
	return 0;
}

static int take_files(struct arrival *a, const struct json *call, struct err *e)
{
	int64_t k = json_int(call, "tree", -1);

	if (k < 0 || k >= CONTAINED_VOLUMES + a->s->n_volumes)
		return err_set(e, EX_DATAERR, "no such folder");
	return files_receive(&a->files[k], a->ctl, call, e) ? -1 : reply_done(a, e);
}

/* ---- restore and go ---- */

static int restore(struct arrival *a, struct err *e)
{
	AUTO_JSON struct json *answer = json_object();
	double start = clock_ms();

	if (journal_turn(a->move, "begun", "restoring", NULL, e) || a->engine->restore(a->s, service_dir(a->s, "checkpoint"), e))
		return -1;
	json_set_num(answer, "restore_ms", clock_ms() - start);
	return reply(a, answer, e);
}

/* The commit: from the moment that "running" is on disk the service is this node's. */
static int commit(struct arrival *a, struct err *e)
{
	struct service *s = a->s;

	service_set_fleet(s);
	service_arrive(s, a->from);
	s->start_time = service_start_time(s->pid);
	if (!service_running(s))
		return err_set(e, EX_UNAVAILABLE, "service %s: has ended at once", s->name);
	if (service_save(s, e))
		return -1;
	if (decide(a->move, DECIDED_RUNNING) == DECIDED_THAWED)
		return err_set(e, EX_UNAVAILABLE, "service %s: it was forced to go on at the source", s->name);
	int rc = journal_turn(a->move, "restoring", "running", NULL, e);
	a->running = !rc;
	return rc > 0 ? err_set(e, EX_TEMPFAIL, "service %s: the source goes on without this move", s->name) : rc;
}

/* A registry that is gone does not stop a move; one that knows a later epoch ends it here. */
static void publish(struct arrival *a)
{
	AUTO_REGISTRY struct registry *r = NULL;
	AUTO_JSON struct json *rec = service_record(a->s, "running");

	if (!registry_open(&r, NULL, NULL) && registry_put_service(r, rec, NULL) == 1)
		service_retire(a->s, NULL);
}

static int go(struct arrival *a, struct err *e)
{
	AUTO_JSON struct json *answer = json_object();

	if (commit(a, e))
		return -1;
	/* It is here now, so what fails from here on is no reason to go back: it can be mended, now or by recovery. */
	a->stuck = true;
	for (int i = 0; i < MENDS && a->stuck; i++)
		a->stuck = service_mend(a->s, NULL) != 0;
	json_set(answer, "service", service_record(a->s, "running"));
	int rc = reply(a, answer, e);
	publish(a);
	return rc;
}

/* All that comes after the first call; a->running says how it ended. */
static int follow(struct arrival *a, struct err *e)
{
	AUTO_FRAME struct frame f = { 0 };
	bool ready = false;
	int rc = 0;

	while (!rc && !a->running) {
		if (wire_expect(a->ctl, FRAME_CALL, &f, e))
			return -1;
		AUTO_JSON struct json *call = wire_json(&f, e);
		const char *verb = call ? json_str(call, "verb") : NULL;

		if (!call)
			return -1;
		if (verb && !strcmp(verb, "files") && !ready)
			rc = take_files(a, call, e);
		else if (verb && !strcmp(verb, "restore") && !ready)
			rc = restore(a, e), ready = true;
		else if (verb && !strcmp(verb, "go") && ready)
			rc = go(a, e);
		else
			rc = err_set(e, EX_DATAERR, "service %s: not the word it waits for", a->s->name);
	}
	return rc;
}

/* ---- the end ---- */

/* It does not run here. A link that was lost may come again: what has arrived is kept for that. */
static void undo(struct arrival *a)
{
	struct service *s = a->s;

	service_kill(s, NULL);
	service_clear(s, NULL);
	if (!a->was_here && !stream_failed(a->ctl)) {
		service_remove(s, NULL);
		return;
	}
	s->pid = 0;
	s->moved = true;
	service_save(s, NULL);
}

/* Under the service's lock. */
static int receive(struct arrival *a, int lock, const struct json *answer, struct err *e)
{
	struct guard guard = { -1 };
	struct pulse *pulse = NULL;

	if (guard_start(&guard, a->s->name, a->move, lock, e))
		return -1;
	a->was_here = !service_load(&a->old, a->s->name, NULL) && !strcmp(a->old->id, a->s->id);
	int rc = pulse_start(&pulse, a->ctl, NULL, stop_stream, a->ctl, e) || arm(a, e) || reply(a, answer, e) || follow(a, e) ? -1 : 0;
	if (a->begun && !a->running)
		undo(a);
	/* Until the source has heard of its outcome it can ask for it. */
	bool over = !a->running || (wire_told(a->ctl, "done") && !a->stuck);
	if (a->begun && over) {
		decide_forget(a->move);
		journal_forget(a->move, NULL);
	}
	guard_end(&guard);
	pulse_end(pulse);
	for (int k = 0; k < CONTAINED_FOLDERS; k++)
		files_clear(&a->files[k]);
	if (a->running && over)
		reply_done(a, NULL);
	return a->running ? 1 : rc;
}

int contained_serve(struct stream *ctl, const struct json *call, struct err *e)
{
	AUTO_JSON struct json *spec = json_get(call, "service"), *answer = json_object(), *wanted = json_array();
	AUTO_JSON struct json *refusals = NULL;
	AUTO_SERVICE struct service *s = NULL;
	struct arrival a = { .ctl = ctl, .move = json_str(call, "move"), .from = json_str(call, "from") };

	for (int k = 0; k < CONTAINED_FOLDERS; k++)
		a.files[k].root = -1;
	if (!spec || !a.move || !a.from)
		return err_set(e, EX_DATAERR, "no service, move or source in the call");
	if (service_from_json(&s, spec, e))
		return -1;
	a.s = s;
	s->pid = 0; /* that is another machine's */
	s->start_time = s->log_ino = 0;
	const struct engine *engine = engine_find(s->engine);
	if (!engine || !engine->whole || !engine->whole->memory || s->stateless || !s->addr[0])
		return err_set(e, EX_DATAERR, "service %s: engine %s: cannot be brought here so", s->name, s->engine);
	a.engine = engine->whole->memory;
	AUTO_FD int lock = journal_lock(s->name, LOCK_MS, e);
	if (lock < 0 || recover_instance(s->name, s->id, false, e))
		return -1;
	refusals = check_here(s, call, wanted);
	bool stop = json_len(refusals, NULL) > 0 || json_bool(call, "dry_run", false);
	json_set(answer, "refusals", TAKE_PTR(refusals));
	int rc = stop ? reply(&a, answer, e) : receive(&a, lock, answer, e);
	service_free(a.old);
	return rc;
}
