/* SPDX-License-Identifier: MIT */
#include "lib/move/outgoing.h"

#include <math.h>
#include <string.h>
#include <unistd.h>

#include "lib/base/clock.h"
#include "lib/base/file.h"
#include "lib/engine/engine.h"
#include "lib/move/here.h"
#include "lib/move/lazy.h"
#include "lib/move/recover.h"
#include "lib/move/outgoing_int.h"

#define LOCK_MS 2000
#define FILL_MS 60000 /* until its memory is all in place, when it has just come here */

void outgoing_init(struct outgoing *o)
{
	o->lock = o->criu.sock = o->guard.fd = -1;
	o->catch = NET_CATCH_NONE;
	o->quiet = NET_QUIET_NONE;
}

int outgoing_turn(struct outgoing *o, const char *from, const char *step, struct err *e)
{
	AUTO_JSON struct json *more = json_object();
	struct err why = { 0 };
	char criu[16];

	/* Whoever goes on from "go" must know that memory is here that the destination lacks. */
	if (o->post_copy)
		json_set_str(more, "late", "yes");
	/* And whoever undoes it has to see that criu ended, and to know what may have been written behind it and lost. */
	if (!strcmp(step, "frozen") && o->criu.pid > 0) {
		snprintf(criu, sizeof(criu), "%d", (int)o->criu.pid);
		json_set_str(more, "criu", criu);
	}
	if (!strcmp(step, "frozen") && o->ctl)
		json_set_str(more, "unsynced", "go");
	/* The client waits for "go", and a node that is switched off before it is on disk has no service any more that could run twice. */
	int rc = strcmp(step, "go") ? journal_turn(o->ck->id, from, step, more, &why) :
				      journal_turn_cached(o->ck->id, from, step, more, &why);

	if (!rc)
		return 0;
	if (rc < 0 && why.code != EX_UNAVAILABLE) {
		if (e)
			*e = why;
		return -1;
	}
	return !o->frozen ?
		       err_set(e, EX_TEMPFAIL, "service %s: somebody else has ended this move", o->svc->name) :
		       guard_thawed(o->svc->name, o->frozen_at, o->opt.max_freeze_ms, e);
}

static int keep_waiting(void *ctx, struct err *e)
{
	return outgoing_go_on(ctx, "filling", e);
}

int outgoing_open(struct outgoing **out, const char *name, const struct move_options *opt, struct err *e)
{
	AUTO_OUTGOING struct outgoing *o = calloc(1, sizeof(*o));
	if (!o)
		return err_set(e, EX_OSERR, "out of memory");
	o->opt = *opt;
	outgoing_init(o);
	o->start = clock_ms();
	if (here_load(&o->svc, name, "--from", e))
		return -1;
	o->post_copy = opt->post_copy;
	o->lock = journal_lock(name, LOCK_MS, e);
	if (o->lock < 0)
		return -1;
	if (here_running(o->svc, "--from", e) || recover_instance(name, o->svc->id, true, e) || lazy_wait(o->svc, FILL_MS, keep_waiting, o, e))
		return -1;
	o->engine = engine_find(o->svc->engine);
	if (!o->engine)
		return err_set(e, EX_UNAVAILABLE, "service %s: unknown engine %s", name, o->svc->engine);
	if (o->engine->whole)
		return err_set(e, EX_UNAVAILABLE, "service %s: engine %s: its checkpoints are its own (edge-migrate moves it; engine process has others, of the same image)",
			       name, o->svc->engine);
	if (checkpoint_new(&o->ck, o->svc, opt->tcp_close, e) || (opt->snapshot && checkpoint_own_memory(o->ck, e)) ||
	    image_open(&o->im, checkpoint_memory_dir(o->ck), e) || image_begin(o->im, e))
		return -1;
	o->n_files = checkpoint_folders(o->svc, o->files, e);
	if (o->n_files < 0 || guard_start(&o->guard, name, o->ck->id, o->lock, e))
		return -1;
	*out = TAKE_PTR(o);
	return 0;
}

int outgoing_open_checkpoint(struct outgoing **out, const char *id, const struct move_options *opt, struct err *e)
{
	AUTO_OUTGOING struct outgoing *o = calloc(1, sizeof(*o));
	AUTO_JSON struct json *spec = NULL;

	if (!o)
		return err_set(e, EX_OSERR, "out of memory");
	o->opt = *opt;
	outgoing_init(o);
	o->start = clock_ms();
	o->shipping = o->kept = true;
	if (checkpoint_load(&o->ck, id, e))
		return -1;
	o->facts = json_copy(o->ck->facts);
	spec = service_to_json(o->ck->service);
	if (service_from_json(&o->svc, spec, e) || image_open(&o->im, checkpoint_memory_dir(o->ck), e) ||
	    checkpoint_complete(o->ck, o->im, e))
		return -1;
	o->n_files = checkpoint_copied_folders(o->ck, o->files, e);
	if (o->n_files < 0)
		return -1;
	*out = TAKE_PTR(o);
	return 0;
}

int outgoing_tell(struct outgoing *o, const char *phase, uint64_t done, uint64_t all, struct err *e)
{
	if (o->opt.progress && o->opt.progress(o->opt.ctx, phase, done, all))
		return err_set(e, EX_TEMPFAIL, "service %s: interrupted: it goes on here", o->svc->name);
	return 0;
}

int outgoing_go_on(struct outgoing *o, const char *phase, struct err *e)
{
	return outgoing_tell(o, phase, 0, 0, e);
}

/* ---- pre-copy ---- */

int outgoing_send_files(struct outgoing *o, bool final, struct err *e)
{
	AUTO_FREE struct tree_inode *mapped = NULL;
	size_t n = 0;

	if (outgoing_mapped_files(o, &mapped, &n, e))
		return -1;
	for (int i = 0; i < o->n_files; i++)
		if (files_send(&o->files[i], o->ctl, mapped, n, final, &o->rep.file, e))
			return -1;
	return 0;
}

static int arm(struct outgoing *o, struct err *e)
{
	struct json *call = wire_request("arm");

	json_set_bool(call, "late", outgoing_may_be_late(o));
	AUTO_JSON struct json *answer = wire_call(o->ctl, call, e);
	return !answer || (outgoing_may_be_late(o) && outgoing_late_open(o, answer, e)) ? -1 : 0;
}

int outgoing_warm(struct outgoing *o, struct err *e)
{
	if (o->engine != &engine_process) /* which starts its own */
		return criu_unchanged(e);
	AUTO_FD int netns = net_open(o->svc, e);
	return netns < 0 || criu_start(&o->criu, netns, o->svc, criu_hindered(o->svc), e) || criu_unchanged(e) ? -1 : 0;
}

static int read_maps(struct outgoing *o, struct err *e)
{
	AUTO_FREE pid_t *pids = NULL;
	int n;

	if (o->engine == &engine_process && !o->criu.heard)
		return 0;
	return outgoing_pids(o, &pids, &n, e) || criu_maps_read(&o->criu.maps, pids, (size_t)n, CRIU_MAPS_WORTH, e) ? -1 : 0;
}

/* Neither disk has much to catch up with when the service stands still. */
static int settle(struct outgoing *o, struct err *e)
{
	settle_now(o->settle, SETTLE_MS);
	AUTO_JSON struct json *answer = wire_call(o->ctl, wire_request("settle"), e);
	return answer ? 0 : -1;
}

static struct lbe *be_gentle(struct outgoing *o)
{
	struct stream *all[BULK_STREAMS + 1] = { o->ctl };

	for (int i = 0; i < o->n_bulk; i++)
		all[i + 1] = o->bulk[i];
	return lbe_start(all, o->n_bulk + 1);
}

int outgoing_precopy(struct outgoing *o, struct err *e)
{
	double start = clock_ms();

	aside_take(&o->aside);
	o->lbe = be_gentle(o);
	o->settle = settle_start(file_path("/var/lib/edge"), checkpoint_memory_dir(o->ck));
	if (outgoing_go_on(o, "files", e) || outgoing_send_base(o, e) || outgoing_send_files(o, false, e) || outgoing_go_on(o, "memory", e) ||
	    arm(o, e) || outgoing_warm(o, e) || outgoing_rounds(o, e))
		return -1;
	/* Files written meanwhile, so that the freeze finds few. */
	if (outgoing_send_files(o, false, e) || read_maps(o, e) || settle(o, e) ||
	    outgoing_more_rounds(o, CALM_ROUNDS, INFINITY, e) || outgoing_go_on(o, "freezing", e))
		return -1;
	o->rep.precopy = clock_ms() - start;
	return 0;
}

int outgoing_capture(struct outgoing *o, struct err *e)
{
	struct stream *const none[] = { NULL };
	struct pages_stats st = { 0 };

	if (outgoing_facts(o, e) || outgoing_warm(o, e) || sender_new(&o->sender, o->im, none, 1, e) ||
	    outgoing_track(o, e) ||
	    (o->opt.snapshot && outgoing_copy_folders(o, true, e)) || outgoing_memory_round(o, false, false, &st, e))
		return -1;
	outgoing_add_round(o, &st);
	return 0;
}

/* A move that ends without having come to anything is over for the other end, too; where the connection was lost instead,
 * what has arrived is kept for the next try. */
static void say_farewell(struct outgoing *o)
{
	AUTO_JSON struct json *said = NULL;
	bool connected;

	if (!o->begun || o->gone || o->retired || outgoing_lost(o, &connected))
		return;
	o->farewell_at = clock_ms();
	/* The other end may have drawn the service's frames to itself after it was thawed; they are to come here again, those that
	 * are kept there, too. */
	if (!wire_ask(o->ctl, wire_request("abort"), &said, NULL) && o->frozen_at && !o->frozen)
		net_attach(o->svc, NULL);
}

void outgoing_free(struct outgoing *o)
{
	/* The service first, unless criu is still at work: then it may wait for what only the connection's end ends. */
	if (!o->dumping || o->dump_go <= 0 || o->dump_state > DUMP_WAITS)
		outgoing_thaw(o);
	outgoing_unthrottle(o);
	say_farewell(o);
	if (o->ctl)
		stream_stop(o->ctl);
	outgoing_join_bulk(o, NULL);
	lbe_end(o->lbe);
	pulse_end(o->pulse);
	if (o->late)
		late_free(TAKE_PTR(o->late));
	outgoing_join_dump(o, NULL);
	outgoing_thaw(o);
	net_quiet_stop(&o->quiet);
	net_catch_stop(&o->catch);
	settle_free(o->settle);
	if (o->sender)
		sender_free(o->sender);
	for (int i = 0; i < o->n_bulk; i++)
		stream_free(o->bulk[i]);
	if (o->ctl)
		stream_free(o->ctl);
	for (int i = 0; i < o->n_files; i++)
		files_clear(&o->files[i]);
	if (o->im && !o->retired && !o->kept) /* an interrupted try keeps what it knows */
		image_save(o->im, 0, NULL);
	if (o->im)
		image_free(o->im);
	if (o->begun && !o->retired && !o->gone && !o->kept)
		journal_forget(o->ck->id, NULL);
	if (o->ck && !o->retired && !o->gone && !o->kept)
		checkpoint_remove(o->ck, NULL);
	if (o->ck)
		checkpoint_free(o->ck);
	if (o->track)
		track_free(o->track, o->retired);
	page_runs_clear(&o->runs);
	json_free(o->facts);
	json_free(o->base);
	if (o->svc)
		service_free(o->svc);
	/* After "go" without an outcome it goes on to ask for it. */
	if (!o->gone || o->retired)
		guard_end(&o->guard);
	else if (o->guard.fd >= 0)
		close(o->guard.fd);
	if (o->lock >= 0)
		close(o->lock);
	aside_leave(&o->aside);
	free(o);
}
