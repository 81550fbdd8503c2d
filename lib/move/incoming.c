/* SPDX-License-Identifier: MIT */
#include "lib/move/incoming_int.h"

#include <fcntl.h>
#include <math.h>
#include <string.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <unistd.h>

#include "lib/base/clock.h"
#include "lib/base/file.h"
#include "lib/base/proc.h"
#include "lib/discover/node.h"
#include "lib/discover/registry.h"
#include "lib/engine/cgroup.h"
#include "lib/move/check.h"
#include "lib/move/compare.h"
#include "lib/move/decide.h"
#include "lib/move/files.h"
#include "lib/move/image.h"
#include "lib/move/layer.h"
#include "lib/move/lazy.h"
#include "lib/move/pages.h"
#include "lib/move/recover.h"
#include "lib/move/store.h"
#include "lib/move/wire.h"

#define SERVED_MS 5000 /* until all processes have who gives them their pages */
#define FAILED_MS 10   /* until the keeper says whether it was not criu; the service stands still at its source */
#define KILL_MS 5000
#define FILL_MS 60000 /* until what was restored here before is all in place */
#define IMAGES_MAX (1ull << 30) /* bytes: all but memory */

int incoming_reply(struct incoming *in, struct json *j, struct err *e)
{
	AUTO_JSON struct json *owned = j;

	return wire_send_json(in->ctl, FRAME_REPLY, owned, e);
}

int incoming_begin(struct incoming *in, struct err *e)
{
	AUTO_JSON struct json *head = json_object();

	json_set_str(head, "role", "destination");
	json_set_str(head, "service", in->svc->name);
	json_set_str(head, "id", in->svc->id);
	json_set_str(head, "from", in->ck->from);
	json_set_str(head, "was_here", in->was_here ? "yes" : "no");
	in->begun = !journal_begin(in->ck->id, head, e);
	return in->begun ? 0 : -1;
}

/* ---- prepare ---- */

static void receive_pages(void *im, struct stream *s)
{
	receiver_run(s, im, NULL);
}

static int reserve(struct incoming *in, const struct json *call, struct json *wanted, struct json *answer,
		   struct err *e)
{
	AUTO_SERVICE struct service *old = NULL;
	bool need;

	if (in->keep && incoming_replace(in, e))
		return -1;
	if (incoming_find_earlier(in, &old, e) || incoming_begin(in, e) ||
	    incoming_place_root(in, old, call, &need, e) || incoming_place_folders(in, old, e))
		return -1;
	json_set_bool(answer, "need_layer", need);
	if (json_len(wanted, NULL)) {
		json_set(answer, "base", json_copy(wanted));
		if (incoming_place_base(in, e))
			return -1;
	}
	checkpoint_supersede(in->ck);
	/* To be sealed, and it runs here: then its image is read from, perhaps. */
	if (in->seal && in->was_here && lazy_wait(in->svc, FILL_MS, NULL, NULL, e))
		return -1;
	if (image_open(&in->im, store_memory_dir(in->svc->id), e) || image_begin(in->im, e))
		return -1;
	in->settle = settle_start(file_path("/var/lib/edge"), store_memory_dir(in->svc->id));
	return bulk_listen(&in->bulk, in->ck->id, receive_pages, in->im, e);
}

static int prepare(struct incoming *in, const struct json *call, struct err *e)
{
	AUTO_JSON struct json *refusals = NULL, *answer = json_object(), *wanted = json_array();

	const char *from = json_str(call, "from");

	/* One that was brought here before stays until it is really replaced; one of this node's own is not replaced. */
	in->keep = checkpoint_exists(json_str(call, "checkpoint"));
	if (in->keep && from && !strcmp(from, node_self()))
		return err_set(e, EX_UNAVAILABLE, "checkpoint %s: is of this node", json_str(call, "checkpoint"));
	if (checkpoint_from_json(&in->ck, call, e))
		return -1;
	in->svc = in->ck->service;
	in->engine = engine_find(in->svc->engine);
	if (in->engine && in->engine->whole)
		return err_set(e, EX_DATAERR, "service %s: engine %s: has no checkpoints", in->svc->name, in->svc->engine);
	in->seal = json_bool(call, "seal", false);
	in->lock = journal_lock(in->svc->name, LOCK_MS, e);
	if (in->lock < 0 || recover_instance(in->svc->name, in->svc->id, false, e))
		return -1;
	refusals = check_here(in->svc, call, wanted);
	bool stop = json_len(refusals, NULL) || json_bool(call, "dry_run", false);
	json_set(answer, "refusals", TAKE_PTR(refusals));
	json_set_str(answer, "node", node_self());
	if (!stop && reserve(in, call, wanted, answer, e))
		return -1;
	if (incoming_reply(in, TAKE_PTR(answer), e))
		return -1;
	return stop;
}

/* ---- files ---- */

static int take_files(struct incoming *in, const struct json *call, struct err *e)
{
	int64_t k = json_int(call, "tree", -1);
	struct files *f = k == FOLDER_LAYER ? &in->layer : k == FOLDER_BASE ? &in->base
			  : k >= 0 && k < in->n_files       ? &in->files[k]
							    : NULL;

	if (!f || f->root < 0 || in->opened)
		return err_set(e, EX_DATAERR, "no such folder");
	if (files_receive(f, in->ctl, call, e) || (k == FOLDER_LAYER && layer_arrived(in->layer_name, f->tree, e)))
		return -1;
	return incoming_reply(in, json_object(), e);
}

/* ---- restore and go ---- */

static int take_image(struct incoming *in, const struct frame *f, struct err *e)
{
	const char *name = (const char *)f->data;
	size_t n = strnlen(name, f->len);

	if (n == f->len || n > 100 || *name == '.' || !checkpoint_is_image(name))
		return err_set(e, EX_DATAERR, "checkpoint: not the name of an image");
	in->image_bytes += f->len;
	if (in->image_bytes > IMAGES_MAX)
		return err_set(e, EX_DATAERR, "checkpoint: more than %llu MB of images", IMAGES_MAX >> 20);
	char path[PATH_MAX];
	snprintf(path, sizeof(path), "%s/%s", in->ck->dir, name);
	AUTO_FD int out = open(path, O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC | O_NOFOLLOW, 0600);
	if (out < 0 || fd_write_all(out, f->data + n + 1, f->len - n - 1))
		return err_sys(e, "checkpoint: %s", name);
	return 0;
}

/* The images arrived as they were sent. */
static int verify_images(struct incoming *in, const struct json *call, struct err *e)
{
	AUTO_JSON struct json *digests = json_get(call, "images");

	return checkpoint_verify(in->ck, digests, e) ? err_wrap(e, "checkpoint %s", in->ck->id) : 0;
}

/* Whatever waits, ends; what was restored is killed, and criu with it. */
static void stop_all(void *ctx)
{
	struct incoming *in = ctx;

	stream_stop(in->ctl);
	/* Not if it is just being committed. */
	if (in->armed && !journal_turn(in->ck->id, "begun restoring", "void", NULL, NULL))
		cgroup_kill(in->svc->name, KILL_MS, NULL);
}

/* What a service that runs must have behind it: service.json, so that this node knows of it, and the registry's word that nobody
 * has forced it to go on at the source. */
static int commit_prepare(struct incoming *in, struct err *e)
{
	if (service_save_cached(in->svc, e))
		return -1;
	enum decided how = decide_in(in->registry, in->ck->id, DECIDED_RUNNING);
	if (how == DECIDED_UNKNOWN) /* a connection may have died meanwhile */
		how = decide(in->ck->id, DECIDED_RUNNING);

	in->decided = how != DECIDED_UNKNOWN;
	if (how == DECIDED_THAWED)
		return err_set(e, EX_UNAVAILABLE, "service %s: it was forced to go on at the source", in->svc->name);
	return 0;
}

/* The commit: from the moment that "running" is on disk the service is this node's. */
static int commit(struct incoming *in, struct err *e)
{
	AUTO_JSON struct json *more = json_object();
	struct service *s = in->svc;
	char epoch[24];

	if (!keeper_alive(&in->keeper))
		return err_set(e, EX_SOFTWARE, "service %s: its keeper has ended", s->name);
	if (!in->whole && keeper_served(&in->keeper, SERVED_MS, e))
		return -1;
	service_set_fleet(s);
	service_arrive(s, in->ck->from);
	s->start_time = service_start_time(s->pid);
	s->log_ino = in->keeper.log_ino;
	snprintf(epoch, sizeof(epoch), "%ld", s->epoch);
	json_set_str(more, "epoch", epoch); /* service.json has it, which is not on disk yet */
	double start = clock_ms();
	int rc = commit_prepare(in, e) ? -1 : journal_turn(in->ck->id, "restoring", "running", more, e);
	in->safety += clock_ms() - start;
	if (rc > 0)
		err_set(e, EX_TEMPFAIL, "service %s: the source goes on without this move", s->name);
	if (rc)
		s->epoch--;
	in->running = !rc;
	return rc ? -1 : 0;
}

static int compare(struct incoming *in)
{
	AUTO_FREE pid_t *pids = NULL;
	int n;

	if (in->ck->late)
		return 0;
	return cgroup_pids(in->svc->name, &pids, &n, &in->why) || compare_memory(in->im, pids, n, false, &in->why) ? -1 : 0;
}

/* Called while all is restored and nothing runs. The source learns it, and says go, once. */
static int on_ready(void *ctx)
{
	struct incoming *in = ctx;
	AUTO_FRAME struct frame f = { 0 };

	in->t_ready = clock_ms();
	if (compare(in))
		return -1;
	if (incoming_reply(in, json_object(), &in->why) || wire_expect(in->ctl, FRAME_CALL, &f, &in->why))
		return -1;
	AUTO_JSON struct json *call = wire_json(&f, &in->why);
	if (!call || !json_str(call, "verb") || strcmp(json_str(call, "verb"), "go"))
		return err_set(&in->why, EX_DATAERR, "service %s: not the word it waits for", in->svc->name);
	in->t_go = clock_ms();
	if (commit(in, &in->why))
		return -1;
	/* It is here now, so what fails from here on is no reason to go back. */
	net_catch_attach(&in->catch, in->svc, NULL);
	return 0;
}

/* The registry hears of it after the service runs; a registry that is gone does not stop a move. */
static void publish(struct incoming *in)
{
	AUTO_REGISTRY struct registry *r = NULL;
	AUTO_JSON struct json *rec = service_record(in->svc, "running");

	if (!registry_open(&r, NULL, NULL) && registry_put_service(r, rec, NULL) == 1)
		service_retire(in->svc, NULL); /* forced to run elsewhere, in this very moment */
}

static int finish(struct incoming *in, struct err *e)
{
	struct service *s = in->svc;
	AUTO_JSON struct json *answer = json_object();

	json_set(answer, "service", service_record(s, "running"));
	json_set_str(answer, "restore", in->whole ? "whole" : "lazy");
	if (in->whole)
		json_set_str(answer, "restore_why", in->whole);
	json_set_ms(answer, "restore_ms", in->t_ready - in->t_restore);
	json_set_ms(answer, "resume_ms", clock_ms() - in->t_go);
	json_set_ms(answer, "safety_ms", in->safety);
	int rc = incoming_reply(in, TAKE_PTR(answer), e);
	bool saved = !service_save(s, NULL); /* now there is time for the disk */
	if (keeper_release(&in->keeper, s->pid, e))
		rc = -1;
	proc_unhurry(); /* the service comes first */
	publish(in);
	image_save(in->im, IMAGE_SWEEP, NULL);
	incoming_used_up(in);
	close(TAKE_FD(in->lock)); /* it can be stopped, or moved on, while we wait for the source */
	/* Until the source has heard of its outcome the move stays in the journal, where the source can ask for it. */
	if (wire_told(in->ctl, "done")) {
		if (in->decided)
			decide_forget(in->ck->id);
		if (saved) /* else recovery tries again */
			journal_forget(in->ck->id, NULL);
		incoming_reply(in, json_object(), NULL);
	}
	return rc;
}

/* Was it not criu that failed, but who gives it its pages? */
static bool pages_failed(struct incoming *in)
{
	return !in->whole && keeper_served(&in->keeper, FAILED_MS, &in->why) && in->why.code == EX_UNAVAILABLE;
}

static int restore(struct incoming *in, const struct json *call, struct err *e)
{
	in->t_restore = clock_ms();
	bulk_free(TAKE_PTR(in->bulk)); /* nothing changes any more */
	if (!in->opened && (verify_images(in, call, e) || incoming_install_base(in, e)))
		return -1;
	double start = clock_ms();
	if (journal_turn_cached(in->ck->id, "begun", "restoring", NULL, e))
		return -1;
	in->safety = clock_ms() - start;
	if (checkpoint_complete(in->ck, in->im, e) || image_link_parents(in->im, in->ck->dir, e) || incoming_put_back(in, e) ||
	    keeper_mount(&in->keeper, e))
		return -1;
	int rc = in->engine->restore(in->svc, &in->keeper, &in->criu, in->ck->dir, in->ck->tcp_close, !in->whole, on_ready, in, e);
	if (in->running)
		return finish(in, e);
	if (rc && (in->why.text[0] || pages_failed(in)))
		*e = in->why;
	return -1;
}

/* ---- the rest ---- */

static int seal(struct incoming *in, const struct json *call, struct err *e)
{
	bulk_free(TAKE_PTR(in->bulk));
	if (verify_images(in, call, e) || checkpoint_complete(in->ck, in->im, e) ||
	    image_save(in->im, IMAGE_SWEEP | IMAGE_SYNC, e) || incoming_seal(in, e))
		return -1;
	in->keep = true;
	return incoming_reply(in, json_object(), e);
}

static void undo(struct incoming *in, struct err *e)
{
	if (in->armed)
		keeper_cancel(&in->keeper);
	criu_close(&in->criu);
	if (in->net)
		net_remove(in->svc, NULL);
	if (in->cgroup)
		cgroup_remove(in->svc->name, NULL);
	incoming_unplace(in, e);
}

static void release(struct incoming *in, struct err *e)
{
	pulse_end(in->pulse);
	if (in->bulk)
		bulk_free(in->bulk);
	if (!in->running)
		undo(in, e);
	criu_close(&in->criu);
	if (!in->running) /* the source has it again by now, mostly */
		net_catch_pass_on(&in->catch);
	net_catch_stop(&in->catch);
	for (int i = 0; i < in->n_files; i++)
		files_clear(&in->files[i]);
	files_clear(&in->layer);
	files_clear(&in->base);
	settle_free(in->settle);
	if (in->im)
		image_free(in->im);
	if (in->back)
		checkpoint_back_free(in->back);
	if (in->ck)
		checkpoint_free(in->ck);
	registry_close(in->registry);
	if (in->lock >= 0)
		close(in->lock);
}

/* The service at the source waits for its freeze. */
static int settle(struct incoming *in, struct err *e)
{
	double end = clock_ms() + SETTLE_MS;

	if (in->im)
		image_note_stop(in->im, 0);
	settle_now(in->settle, SETTLE_MS);
	if (in->im)
		image_note_stop(in->im, (int)fmax(end - clock_ms(), 0));
	return incoming_reply(in, json_object(), e);
}

static int on_call(struct incoming *in, const struct json *call, bool *end, struct err *e)
{
	const char *verb = json_str(call, "verb");

	if (!verb)
		return err_set(e, EX_DATAERR, "a call without a verb");
	if (!strcmp(verb, "files"))
		return take_files(in, call, e);
	if (!strcmp(verb, "arm"))
		return incoming_arm(in, call, e);
	if (!strcmp(verb, "settle"))
		return settle(in, e);
	if (!strcmp(verb, "catch")) { /* without an answer; without it frames are lost, as on any bad day */
		net_catch_start(&in->catch, in->svc, true, NULL);
		return 0;
	}
	*end = true;
	if (!strcmp(verb, "restore"))
		return restore(in, call, e);
	if (!strcmp(verb, "seal"))
		return seal(in, call, e);
	if (!strcmp(verb, "abort"))
		return incoming_reply(in, json_object(), e);
	return err_set(e, EX_DATAERR, "unknown verb in a move: %s", verb);
}

static int serve(struct incoming *in, const struct json *first, struct err *e)
{
	AUTO_FRAME struct frame f = { 0 };
	bool open = !strcmp(json_str(first, "verb"), "open"), end = false;
	int rc = open ? incoming_reopen(in, first, e) : prepare(in, first, e);

	if (rc)
		return rc < 0 ? -1 : 0;
	while (!rc && !end) {
		if (wire_recv(in->ctl, &f, e))
			return -1;
		if (f.kind == FRAME_IMAGE && !in->opened) {
			rc = take_image(in, &f, e);
		} else if (f.kind == FRAME_CALL) {
			AUTO_JSON struct json *call = wire_json(&f, e);

			rc = call ? on_call(in, call, &end, e) : -1;
		} else {
			rc = err_set(e, EX_DATAERR, "unexpected frame %d", f.kind);
		}
	}
	return rc;
}

int incoming_serve(struct stream *ctl, const struct json *call, struct err *e)
{
	struct incoming in = {
		.ctl = ctl,
		.lock = -1,
		.criu = { .sock = -1 },
		.keeper = { .ctl = -1 },
		.catch = NET_CATCH_NONE,
		.layer = { .root = -1 },
		.base = { .root = -1 },
	};
	int rc = pulse_start(&in.pulse, ctl, NULL, stop_all, &in, e) ? -1 : serve(&in, call, e);

	/* Undone before it is reported: who hears of the failure may try again at once. */
	release(&in, e);
	if (rc && e->text[0])
		wire_send_error(ctl, e, NULL);
	return rc;
}
