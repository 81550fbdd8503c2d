/* SPDX-License-Identifier: MIT */
#include "lib/move/outgoing.h"

#include <pthread.h>
#include <string.h>
#include <unistd.h>

#include "lib/base/clock.h"
#include "lib/base/file.h"
#include "lib/engine/cgroup.h"
#include "lib/engine/engine.h"
#include "lib/engine/net.h"
#include "lib/move/check.h"
#include "lib/move/store.h"
#include "lib/move/outgoing_int.h"

#define LOCK_MS 2000
#define ROUNDS_MAX 8
#define FREEZE_MS 2000      /* limit of freezing the cgroup */
#define QUIET_MS 200        /* limit of waiting for new connections to be accepted, and old ones' ends */
#define FEW_PAGES 256       /* that changed in a round: the next one is the freeze */

void outgoing_init(struct outgoing *o)
{
	o->lock = o->criu.sock = -1;
	o->catch = (struct net_catch){ -1, -1 };
	o->quiet = (struct net_quiet){ -1, o->catch };
}

/* A move that was broken off: whoever made it is gone, as we have the lock. Before "go" the service goes on here; after it
 * only the destination knows, and the service must not be touched. */
static int settle_earlier(struct outgoing *o, struct err *e)
{
	AUTO_JOURNAL struct journal *j = NULL;
	char move[64];

	if (!journal_find("source", o->svc->id, move))
		return 0;
	if (!strcmp(journal_last(move), "go"))
		return err_set(e, EX_TEMPFAIL, "service %s: move %.12s: nobody knows how it ended", o->svc->name, move);
	if (net_attach(o->svc, e) || cgroup_thaw(o->svc->name, e) || journal_open(&j, move, e))
		return -1;
	return journal_end(j, e);
}

int outgoing_open(struct outgoing **out, const char *name, const struct move_options *opt, struct err *e)
{
	AUTO_OUTGOING struct outgoing *o = calloc(1, sizeof(*o));
	if (!o)
		return err_set(e, EX_OSERR, "out of memory");
	o->opt = *opt;
	outgoing_init(o);
	o->start = clock_ms();
	if (service_load(&o->svc, name, e))
		return -1;
	o->lock = service_lock(name, LOCK_MS, e);
	if (o->lock < 0)
		return -1;
	if (!service_running(o->svc))
		return err_set(e, EX_UNAVAILABLE, "service %s: does not run here", name);
	if (settle_earlier(o, e))
		return -1;
	o->engine = engine_find(o->svc->engine);
	if (!o->engine)
		return err_set(e, EX_UNAVAILABLE, "service %s: unknown engine %s", name, o->svc->engine);
	if (checkpoint_new(&o->ck, o->svc, opt->tcp_close, e) || (opt->snapshot && checkpoint_own_memory(o->ck, e)) ||
	    image_open(&o->im, checkpoint_memory_dir(o->ck), e) || image_begin(o->im, e))
		return -1;
	o->n_files = checkpoint_folders(o->svc, o->files, e);
	if (o->n_files < 0)
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

/* ---- connect ---- */

static void *connect_one(void *arg)
{
	struct connecting *c = arg;

	c->stream = ssh_open(&c->to, c->timeout_ms, &c->err);
	if (c->stream && wire_greet(c->stream, &c->err)) {
		stream_free(c->stream);
		c->stream = NULL;
	}
	return NULL;
}

/* What the destination wants to know, once. */
static int collect_facts(struct outgoing *o, struct err *e)
{
	AUTO_JSON struct json *facts = json_object();
	AUTO_FREE pid_t *pids = NULL;
	int n;

	if (o->facts)
		return 0;
	if (outgoing_pids(o, &pids, &n, e) || check_facts(o->svc, pids, (size_t)n, facts, e))
		return -1;
	o->facts = TAKE_PTR(facts);
	return 0;
}

/* The control session first: the destination checks while the bulk sessions shake hands. */
int outgoing_connect(struct outgoing *o, const struct ssh_target *to, struct err *e)
{
	struct connecting control = { .to = *to, .timeout_ms = o->opt.connect_ms };
	double start = clock_ms();

	o->target = *to;
	bool aside = !pthread_create(&control.thread, NULL, connect_one, &control);
	collect_facts(o, NULL); /* if it cannot, prepare says why */
	if (aside)
		pthread_join(control.thread, NULL);
	else
		connect_one(&control);
	o->ctl = control.stream;
	o->rep.connect = clock_ms() - start;
	if (!o->ctl) {
		*e = control.err;
		return -1;
	}
	for (; o->n_connecting < BULK_STREAMS && !o->opt.dry_run; o->n_connecting++) {
		struct connecting *c = &o->connecting[o->n_connecting];

		*c = (struct connecting){ .to = *to, .timeout_ms = o->opt.connect_ms };
		if (pthread_create(&c->thread, NULL, connect_one, c))
			break;
	}
	return 0;
}

static int join_bulk(struct outgoing *o, struct err *e)
{
	struct err first = { 0 };

	for (int i = 0; i < o->n_connecting; i++) {
		pthread_join(o->connecting[i].thread, NULL);
		if (o->connecting[i].stream)
			o->bulk[o->n_bulk++] = o->connecting[i].stream;
		else if (!first.text[0])
			first = o->connecting[i].err;
	}
	o->n_connecting = 0;
	if (!o->n_bulk && e)
		*e = first;
	return o->n_bulk ? 0 : -1;
}

/* ---- prepare ---- */

static int begin_journal(struct outgoing *o, struct err *e)
{
	AUTO_JSON struct json *head = json_object();

	json_set_str(head, "role", "source");
	json_set_str(head, "service", o->svc->name);
	json_set_str(head, "id", o->svc->id);
	if (o->ctl)
		json_set_str(head, "to", stream_peer(o->ctl));
	return journal_begin(&o->journal, o->ck->id, head, e);
}

/* Between the steps. */
static int go_on(struct outgoing *o, const char *phase, struct err *e)
{
	if (o->opt.progress && o->opt.progress(o->opt.ctx, phase, 0, 0))
		return err_set(e, EX_TEMPFAIL, "service %s: interrupted: it goes on here", o->svc->name);
	return 0;
}

static int on_progress(void *ctx, uint64_t done, uint64_t all)
{
	struct outgoing *o = ctx;
	char phase[32];

	snprintf(phase, sizeof(phase), o->frozen ? "frozen" : "round %d", o->rep.rounds + 1);
	return o->opt.progress(o->opt.ctx, phase, done, all);
}

static int attach_bulk(struct outgoing *o, struct err *e)
{
	if (join_bulk(o, e))
		return -1;
	for (int i = 0; i < o->n_bulk; i++) {
		struct json *call = wire_request("attach");

		json_set_str(call, "move", o->ck->id);
		AUTO_JSON struct json *answer = wire_call(o->bulk[i], call, e);
		if (!answer)
			return -1;
	}
	if (sender_new(&o->sender, o->im, o->bulk, o->n_bulk, e))
		return -1;
	sender_progress(o->sender, o->opt.progress ? on_progress : NULL, o);
	return 0;
}

/* The destination gets what it was offered, and nothing else of this node. */
static int check_wishes(const struct outgoing *o, struct err *e)
{
	size_t n = o->base ? json_len(o->base, NULL) : 0;

	if ((n && !o->opt.ship_base) || (o->need_layer && !json_str(o->facts, "layer")))
		return err_set(e, EX_DATAERR, "%s: asks for what it was not offered", stream_peer(o->ctl));
	for (size_t i = 0; i < n; i++) {
		AUTO_JSON struct json *path = json_at(o->base, i);

		if (!json_value(path) || !check_base_offered(o->facts, json_value(path)))
			return err_set(e, EX_DATAERR, "%s: asks for a file that it was not offered",
				       stream_peer(o->ctl));
	}
	return 0;
}

int outgoing_prepare(struct outgoing *o, struct json **refusals, struct err *e)
{
	AUTO_JSON struct json *call = NULL, *answer = NULL;
	double start = clock_ms();

	*refusals = NULL;
	if (collect_facts(o, e))
		return -1;
	call = json_copy(o->facts);
	json_set_str(call, "verb", "prepare");
	checkpoint_to_json(o->ck, call);
	json_set_bool(call, "dry_run", o->opt.dry_run);
	json_set_bool(call, "ship_base", o->opt.ship_base);
	answer = wire_call(o->ctl, TAKE_PTR(call), e);
	if (!answer)
		return -1;
	snprintf(o->to, sizeof(o->to), "%s", json_str(answer, "node") ? json_str(answer, "node") : "");
	*refusals = json_get(answer, "refusals");
	o->need_layer = json_bool(answer, "need_layer", false);
	o->base = json_get(answer, "base");
	if (check_wishes(o, e))
		return -1;
	o->rep.check = clock_ms() - start;
	if (!*refusals || json_len(*refusals, NULL) || o->opt.dry_run)
		return 1;
	if ((!o->shipping && begin_journal(o, e)) || attach_bulk(o, e))
		return -1;
	return 0;
}

/* ---- pre-copy ---- */

static int send_files(struct outgoing *o, bool final, struct err *e)
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

static int memory_round(struct outgoing *o, bool ask, bool final, struct pages_stats *st, struct err *e)
{
	AUTO_FREE pid_t *pids = NULL;
	int n;

	if (outgoing_pids(o, &pids, &n, e) || memory_runs(pids, (size_t)n, &o->runs, e))
		return -1;
	return sender_round(o->sender, &o->runs, ask, final, st, e);
}

static void add_round(struct outgoing *o, const struct pages_stats *st)
{
	struct pages_stats *all = &o->rep.memory;

	all->looked_at += st->looked_at;
	all->changed += st->changed;
	all->zero += st->zero;
	all->there += st->there;
	all->sent += st->sent;
	all->raw_bytes += st->raw_bytes;
	all->sent_bytes += st->sent_bytes;
	o->rep.rounds++;
}

static int arm(struct outgoing *o, struct err *e)
{
	AUTO_JSON struct json *answer = wire_call(o->ctl, wire_request("arm"), e);

	return answer ? 0 : -1;
}

int outgoing_warm(struct outgoing *o, struct err *e)
{
	AUTO_FD int netns = net_open(o->svc, e);

	return netns < 0 || criu_start(&o->criu, netns, e) ? -1 : 0;
}

int outgoing_precopy(struct outgoing *o, struct err *e)
{
	double start = clock_ms();
	struct pages_stats first = { 0 }, before = { 0 };

	if (go_on(o, "files", e) || outgoing_send_base(o, e) || send_files(o, false, e) || go_on(o, "memory", e) ||
	    arm(o, e) || outgoing_warm(o, e))
		return -1;
	for (int i = 0; i < ROUNDS_MAX; i++) {
		struct pages_stats st = { 0 };

		if (memory_round(o, true, false, &st, e)) {
			go_on(o, "memory", e);
			return -1;
		}
		add_round(o, &st);
		if (st.changed < FEW_PAGES || (i && !pages_round_pays(&first, &before, &st)))
			break;
		if (!i)
			first = st;
		before = st;
	}
	/* Files written meanwhile, so that the freeze finds few. */
	if (send_files(o, false, e) || go_on(o, "freezing", e))
		return -1;
	o->rep.precopy = clock_ms() - start;
	return 0;
}

int outgoing_capture(struct outgoing *o, struct err *e)
{
	struct stream *const none[] = { NULL };
	struct pages_stats st = { 0 };

	if (collect_facts(o, e) || outgoing_warm(o, e) || sender_new(&o->sender, o->im, none, 1, e) ||
	    (o->opt.snapshot && outgoing_copy_folders(o, true, e)) || memory_round(o, false, false, &st, e))
		return -1;
	add_round(o, &st);
	return 0;
}

/* ---- freeze ---- */

static void dump_signal(struct outgoing *o, int state)
{
	pthread_mutex_lock(&o->dump_lock);
	if (!o->dump_state)
		o->dump_state = state;
	pthread_cond_signal(&o->dump_cond);
	pthread_mutex_unlock(&o->dump_lock);
}

/* In the dumping thread, at criu's own points. The network is cut only when criu is about to look at the sockets: until
 * then the peers' last acknowledgements still come in. Files are brought over before criu removes the links that it made
 * for files without a name. */
static int at_point(void *ctx, const char *point)
{
	struct outgoing *o = ctx;

	if (!strcmp(point, "pre-dump")) {
		AUTO_JSON struct json *catch = wire_request("catch");

		o->held = true;
		if (net_hold(o->svc, &o->dump_err))
			return -1;
		/* What comes for it meanwhile is kept where it will run: there, or here. */
		return o->ctl ? wire_send_json(o->ctl, FRAME_CALL, catch, &o->dump_err)
			      : net_catch_start(&o->catch, o->svc, &o->dump_err);
	}
	if (!strcmp(point, "post-dump")) {
		double start = clock_ms();

		o->rep.dump = start - o->frozen_at;
		if ((o->ctl && send_files(o, true, &o->dump_err)) ||
		    (o->opt.snapshot && outgoing_copy_folders(o, false, &o->dump_err)))
			return -1;
		o->rep.files = clock_ms() - start;
		dump_signal(o, DUMP_WHOLE);
	}
	return 0;
}

static void *dump_thread(void *arg)
{
	struct outgoing *o = arg;
	struct err e = { 0 };

	if (o->engine->dump(o->svc, &o->criu, o->ck->dir, o->ck->tcp_close, at_point, o, &e)) {
		if (!o->dump_err.text[0])
			o->dump_err = e;
		dump_signal(o, DUMP_FAILED);
	}
	return NULL;
}

static int wait_dump(struct outgoing *o, struct err *e)
{
	pthread_mutex_lock(&o->dump_lock);
	while (!o->dump_state)
		pthread_cond_wait(&o->dump_cond, &o->dump_lock);
	pthread_mutex_unlock(&o->dump_lock);
	if (o->dump_state == DUMP_WHOLE)
		return 0;
	if (e)
		*e = o->dump_err;
	return -1;
}

int outgoing_freeze(struct outgoing *o, struct err *e)
{
	struct pages_stats st = { 0 };
	double start = clock_ms();
	int rc;

	net_quiet_start(&o->quiet, o->svc, QUIET_MS);
	o->rep.quiet = clock_ms() - start;
	start = clock_ms();
	outgoing_hurry(o);
	if (!o->journal && begin_journal(o, e))
		return -1;
	if (journal_step(o->journal, "frozen", e))
		return -1;
	o->frozen = true;
	o->frozen_at = clock_ms();
	if (net_quiet_freeze(o->svc, FREEZE_MS, e))
		return -1;
	o->rep.freeze = clock_ms() - start;
	pthread_mutex_init(&o->dump_lock, NULL);
	pthread_cond_init(&o->dump_cond, NULL);
	if (pthread_create(&o->dumper, NULL, dump_thread, o))
		return err_set(e, EX_OSERR, "cannot start a thread");
	o->dumping = true;
	/* The memory stands still now: its last pages go over while criu collects the rest. */
	start = clock_ms();
	rc = memory_round(o, false, true, &st, e);
	o->rep.pages = clock_ms() - start;
	if (wait_dump(o, rc ? NULL : e) || rc)
		return -1;
	start = clock_ms();
	rc = outgoing_images(o, &st, e) || go_on(o, "restoring", e) ? -1 : 0;
	o->rep.images = clock_ms() - start;
	add_round(o, &st);
	o->rep.last_pages = st.sent;
	return rc;
}

void outgoing_join_dump(struct outgoing *o)
{
	if (o->dumping)
		pthread_join(o->dumper, NULL);
	o->dumping = false;
	criu_close(&o->criu);
}

void outgoing_free(struct outgoing *o)
{
	if (o->ctl)
		stream_stop(o->ctl);
	join_bulk(o, NULL);
	outgoing_join_dump(o);
	outgoing_thaw(o);
	net_quiet_stop(&o->quiet);
	net_catch_stop(&o->catch);
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
	if (o->journal && !o->retired && !o->gone && !o->kept)
		journal_end(o->journal, NULL);
	if (o->ck && !o->retired && !o->gone && !o->kept)
		checkpoint_remove(o->ck, NULL);
	if (o->journal)
		journal_free(o->journal);
	if (o->ck)
		checkpoint_free(o->ck);
	page_runs_clear(&o->runs);
	json_free(o->facts);
	json_free(o->base);
	if (o->svc)
		service_free(o->svc);
	if (o->lock >= 0)
		close(o->lock);
	free(o);
}
