/* SPDX-License-Identifier: MIT */
#include "lib/move/incoming.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <string.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <unistd.h>

#include "lib/base/clock.h"
#include "lib/base/file.h"
#include "lib/discover/node.h"
#include "lib/discover/registry.h"
#include "lib/engine/cgroup.h"
#include "lib/engine/engine.h"
#include "lib/engine/net.h"
#include "lib/move/bulk.h"
#include "lib/move/check.h"
#include "lib/move/checkpoint.h"
#include "lib/move/files.h"
#include "lib/move/image.h"
#include "lib/move/journal.h"
#include "lib/move/layer.h"
#include "lib/move/pagemap.h"
#include "lib/move/store.h"
#include "lib/move/wire.h"

#define HURRY_NICE (-10)
#define ARP_PROBE_MS 150
#define LOCK_MS 2000 /* a keeper holds the lock for a moment when its service has ended */

struct incoming {
	struct stream *ctl;
	struct checkpoint *ck;    /* what comes, and its folder */
	struct service *svc;      /* = ck->service */
	const struct engine *engine;
	struct image *im;
	struct bulk *bulk;
	struct journal *journal;
	struct keeper keeper;
	struct criu criu;
	struct net_catch catch;
	struct files files[CHECKPOINT_FOLDERS], layer, base;
	char layer_name[65];
	int n_files, lock;
	bool was_here;            /* the service's folder is older than this move */
	bool net, cgroup, armed, running;
	bool opened;              /* it was sealed here before, and verified when it was opened */
	bool keep;                /* the checkpoint stays when the move does not succeed */
	bool own;                 /* it was taken here, and stays in any case */
	double t_restore, t_ready, t_go;
};

static int reply(struct incoming *in, struct json *j, struct err *e)
{
	AUTO_JSON struct json *owned = j;

	return wire_send_json(in->ctl, FRAME_REPLY, owned, e);
}

/* ---- prepare ---- */

/* Its lower layer: this node's own root, or a layer of the store. */
static int place_root(struct incoming *in, const struct service *old, const struct json *call, bool *need,
		      struct err *e)
{
	const char *layer = json_str(call, "layer");
	struct service *s = in->svc;
	char here[65];

	*need = false;
	if (!layer)
		return strcmp(s->root, "/") ? err_set(e, EX_DATAERR, "service %s: its root has no digest", s->name) : 0;
	/* Back where it started, from a folder that is in no store. */
	if (in->was_here && !layer_digest(old->root, here, NULL) && !strcmp(here, layer)) {
		strcpy(s->root, old->root);
		return 0;
	}
	if (layer_place(layer, s->root, need, e))
		return -1;
	strcpy(in->layer_name, layer);
	in->layer = (struct files){ .root = open(s->root, O_RDONLY | O_DIRECTORY | O_CLOEXEC), .what = "root" };
	return in->layer.root < 0 ? err_sys(e, "%s", s->root) : 0;
}

static int place_base(struct incoming *in, struct err *e)
{
	char dir[PATH_MAX + 8];

	snprintf(dir, sizeof(dir), "%s/base", in->ck->dir);
	if (file_mkdirs(dir, 0700, e))
		return -1;
	in->base = (struct files){ .root = open(dir, O_RDONLY | O_DIRECTORY | O_CLOEXEC), .what = "base" };
	return in->base.root < 0 ? err_sys(e, "%s", dir) : 0;
}

/* What an earlier stay has left; another instance's leavings of that name go. */
static int find_earlier(struct incoming *in, struct service **old, struct err *e)
{
	*old = NULL;
	if (service_load(old, in->svc->name, NULL))
		return 0;
	in->was_here = !strcmp((*old)->id, in->svc->id);
	return in->was_here ? 0 : service_remove(in->svc, e);
}

/* Where this node keeps the service's folders; those of an earlier stay are used again, and never one that the peer
 * names. */
static int place_folders(struct incoming *in, const struct service *old, struct err *e)
{
	struct service *s = in->svc;
	const char *const below[] = { "upper", "work", "root", s->bundle[0] ? "bundle" : "upper" };

	/* What a service has, setuid files among it, is not for the node's other users. */
	if (file_mkdirs(file_path("/var/lib/edge/services"), 0700, e) || file_mkdirs(service_dir(s, "volumes"), 0700, e))
		return -1;
	if (chmod(file_path("/var/lib/edge/services"), 0700) || chmod(service_dir(s, NULL), 0700) ||
	    chmod(service_dir(s, "volumes"), 0700))
		return err_sys(e, "service %s: its folder", s->name);
	for (size_t i = 0; i < sizeof(below) / sizeof(*below); i++)
		if (file_mkdirs(service_dir(s, below[i]), 0755, e))
			return -1;
	for (int i = 0; i < s->n_volumes; i++) {
		char below_volume[32];

		snprintf(below_volume, sizeof(below_volume), "volumes/%d", i);
		if (in->was_here && i < old->n_volumes)
			snprintf(s->volumes[i].host, PATH_MAX, "%s", old->volumes[i].host);
		else if (!in->own)
			snprintf(s->volumes[i].host, PATH_MAX, "%s", service_dir(s, below_volume));
		if (file_mkdirs(s->volumes[i].host, 0755, e))
			return -1;
	}
	in->n_files = checkpoint_folders(s, in->files, e);
	return in->n_files < 0 ? -1 : 0;
}

static int reserve(struct incoming *in, const struct json *call, struct json *wanted, struct json *answer,
		   struct err *e)
{
	AUTO_JSON struct json *head = json_object();
	AUTO_SERVICE struct service *old = NULL;
	bool need;

	json_set_str(head, "role", "destination");
	json_set_str(head, "service", in->svc->name);
	json_set_str(head, "id", in->svc->id);
	json_set_str(head, "from", in->ck->from);
	if (in->keep && (checkpoint_remove(in->ck, e) || file_mkdirs(in->ck->dir, 0700, e)))
		return -1;
	in->keep = false;
	if (find_earlier(in, &old, e) || journal_begin(&in->journal, in->ck->id, head, e) ||
	    place_root(in, old, call, &need, e) || place_folders(in, old, e))
		return -1;
	json_set_bool(answer, "need_layer", need);
	if (json_len(wanted, NULL)) {
		json_set(answer, "base", json_copy(wanted));
		if (place_base(in, e))
			return -1;
	}
	/* What was brought here of it before: its files and pages are about to change. */
	checkpoint_supersede(in->ck);
	if (image_open(&in->im, store_memory_dir(in->svc->id), e) || image_begin(in->im, e))
		return -1;
	return bulk_listen(&in->bulk, in->ck->id, in->im, e);
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
	in->lock = service_lock(in->svc->name, LOCK_MS, e);
	if (in->lock < 0)
		return -1;
	refusals = check_here(in->svc, call, wanted);
	bool stop = json_len(refusals, NULL) || json_bool(call, "dry_run", false);
	json_set(answer, "refusals", TAKE_PTR(refusals));
	json_set_str(answer, "node", node_self());
	if (!stop && reserve(in, call, wanted, answer, e))
		return -1;
	if (reply(in, TAKE_PTR(answer), e))
		return -1;
	return stop;
}

/* Could it be started here as it is? */
static int check_place(const struct service *s, bool *was_here, struct err *e)
{
	AUTO_SERVICE struct service *here = NULL;
	int taken;

	*was_here = !service_load(&here, s->name, NULL) && !strcmp(here->id, s->id);
	if (*was_here && service_running(here))
		return err_set(e, EX_UNAVAILABLE, "service %s: runs here already", s->name);
	/* Also one that has left: what was brought here of this checkpoint lies in that folder. */
	if (here && !*was_here)
		return err_set(e, EX_UNAVAILABLE, "service %s: another instance has the name (%s)", s->name, here->id);
	taken = net_address_taken(s, ARP_PROBE_MS, e);
	if (taken > 0)
		return err_set(e, EX_UNAVAILABLE, "service %s: address %s: in use by another machine", s->name,
			       service_ip(s));
	return taken;
}

/* A checkpoint that was sealed here before, or a snapshot of this node's own. */
static int reopen(struct incoming *in, const struct json *call, struct err *e)
{
	AUTO_JSON struct json *answer = json_object(), *head = json_object();
	AUTO_SERVICE struct service *old = NULL;
	const char *id = json_str(call, "checkpoint");

	in->keep = true;
	if (checkpoint_load(&in->ck, id ? id : "", e))
		return -1;
	in->svc = in->ck->service;
	in->engine = engine_find(in->svc->engine);
	if (!in->engine)
		return err_set(e, EX_DATAERR, "checkpoint %s: unknown engine", id);
	in->lock = service_lock(in->svc->name, LOCK_MS, e);
	if (in->lock < 0)
		return -1;
	/* The holder of a frozen service waits for one try. */
	in->opened = true;
	in->keep = !in->ck->held;
	in->own = in->keep && !strcmp(in->ck->from, node_self());
	if (check_place(in->svc, &in->was_here, e) || journal_begin(&in->journal, in->ck->id, head, e) ||
	    (in->own && (find_earlier(in, &old, e) || place_folders(in, old, e) || checkpoint_put_back(in->ck, e))) ||
	    image_open(&in->im, checkpoint_memory_dir(in->ck), e))
		return -1;
	json_set_str(answer, "node", node_self());
	json_set_str(answer, "from", in->ck->from);
	json_set_bool(answer, "held", in->ck->held);
	json_set_str(answer, "service", in->svc->name);
	json_set_str(answer, "instance", in->svc->id);
	return reply(in, TAKE_PTR(answer), e);
}

int incoming_drop(struct stream *ctl, const struct json *call, struct err *e)
{
	AUTO_JSON struct json *answer = json_object();
	AUTO_CHECKPOINT struct checkpoint *ck = NULL;
	AUTO_SERVICE struct service *here = NULL;
	const char *id = json_str(call, "checkpoint");

	if (checkpoint_load(&ck, id ? id : "", e))
		return -1;
	AUTO_FD int lock = service_lock(ck->service->name, LOCK_MS, e);
	if (lock < 0)
		return -1;
	if (!ck->held || !strcmp(ck->from, node_self()))
		return err_set(e, EX_UNAVAILABLE, "checkpoint %s: was not brought here for a holder", id);
	if (service_load(&here, ck->service->name, NULL)) /* its files came with the checkpoint */
		service_remove(ck->service, NULL);
	return checkpoint_remove(ck, e) ? -1 : wire_send_json(ctl, FRAME_REPLY, answer, e);
}

/* ---- files ---- */

static int take_files(struct incoming *in, const struct json *call, struct err *e)
{
	int64_t k = json_int(call, "tree", -1);
	struct files *f = k == FOLDER_LAYER ? &in->layer : k == FOLDER_BASE ? &in->base
			  : k >= 0 && k < in->n_files       ? &in->files[k]
							    : NULL;

	if (!f || f->root < 0)
		return err_set(e, EX_DATAERR, "no such folder");
	if (files_receive(f, in->ctl, call, e) || (k == FOLDER_LAYER && layer_arrived(in->layer_name, f->tree, e)))
		return -1;
	return reply(in, json_object(), e);
}

/* ---- arm ---- */

static int arm(struct incoming *in, struct err *e)
{
	struct service *s = in->svc;

	if (in->cgroup)
		return err_set(e, EX_DATAERR, "service %s: is armed already", s->name);
	if (cgroup_create(s, e))
		return -1;
	in->cgroup = true;
	if (net_create(s, e))
		return -1;
	in->net = true;
	if (keeper_spawn(&in->keeper, s, e))
		return -1;
	in->armed = true;
	if (in->engine->restore_arm(s, &in->keeper, &in->criu, e))
		return -1;
	/* From the freeze on, what restores it comes before other work on this node; the restored tasks get their own
	 * priorities back. */
	setpriority(PRIO_PROCESS, 0, HURRY_NICE);
	if (in->criu.pid > 0)
		setpriority(PRIO_PROCESS, (id_t)in->criu.pid, HURRY_NICE);
	return reply(in, json_object(), e);
}

/* ---- restore and go ---- */

static int take_image(struct incoming *in, const struct frame *f, struct err *e)
{
	const char *name = (const char *)f->data;
	size_t n = strnlen(name, f->len);

	if (n == f->len || !n || n > 100 || strchr(name, '/') || *name == '.')
		return err_set(e, EX_DATAERR, "checkpoint: not the name of an image");
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

/* Called while all is restored and nothing runs. The source learns it, and says go, once. */
static int on_ready(void *ctx)
{
	struct incoming *in = ctx;
	AUTO_FRAME struct frame f = { 0 };
	struct err e = { 0 };

	in->t_ready = clock_ms();
	if (reply(in, json_object(), &e) || wire_expect(in->ctl, FRAME_CALL, &f, &e))
		return -1;
	AUTO_JSON struct json *call = wire_json(&f, &e);
	if (!call || !json_str(call, "verb") || strcmp(json_str(call, "verb"), "go"))
		return -1;
	in->t_go = clock_ms();
	in->svc->epoch++;
	in->svc->start_time = service_start_time(in->svc->pid);
	in->svc->log_ino = in->keeper.log_ino;
	/* Before the commit: a service that runs is one that this node knows of. */
	if (service_save(in->svc, &e) || journal_step(in->journal, "running", &e))
		return -1;
	in->running = true;
	return net_catch_attach(&in->catch, in->svc, &e);
}

/* Until the source has heard of its outcome the move stays in the journal, where the source can ask for it. */
static bool source_knows(struct incoming *in)
{
	AUTO_FRAME struct frame f = { 0 };

	if (wire_expect(in->ctl, FRAME_CALL, &f, NULL))
		return false;
	AUTO_JSON struct json *call = wire_json(&f, NULL);
	return call && json_str(call, "verb") && !strcmp(json_str(call, "verb"), "done");
}

/* The registry hears of it after the service runs; a registry that is gone does not stop a move. */
static void publish(struct incoming *in)
{
	AUTO_REGISTRY struct registry *r = NULL;
	AUTO_JSON struct json *rec = service_record(in->svc, "running");
	char key[64];

	snprintf(key, sizeof(key), "service/%s", in->svc->id);
	if (!registry_open(&r, NULL, NULL))
		registry_put(r, key, rec, NULL, NULL);
}

static int finish(struct incoming *in, struct err *e)
{
	struct service *s = in->svc;
	AUTO_JSON struct json *answer = json_object();

	json_set(answer, "service", service_record(s, "running"));
	json_set_num(answer, "restore_ms", in->t_ready - in->t_restore);
	json_set_num(answer, "resume_ms", clock_ms() - in->t_go);
	int rc = reply(in, TAKE_PTR(answer), e);
	if (keeper_release(&in->keeper, s->pid, e))
		rc = -1;
	publish(in);
	close(TAKE_FD(in->lock)); /* it can be stopped, or moved on, while we wait for the source */
	image_save(in->im, IMAGE_SWEEP, NULL);
	if (!in->own)
		checkpoint_remove(in->ck, NULL);
	if (source_knows(in)) {
		journal_end(in->journal, NULL);
		reply(in, json_object(), NULL);
	}
	return rc;
}

static int restore(struct incoming *in, const struct json *call, struct err *e)
{
	char base[PATH_MAX + 8];

	in->t_restore = clock_ms();
	bulk_free(TAKE_PTR(in->bulk)); /* nothing changes any more */
	snprintf(base, sizeof(base), "%s/base", in->ck->dir);
	if ((!in->opened && verify_images(in, call, e)) || base_install(base, in->svc, e))
		return -1;
	if (journal_step(in->journal, "restoring", e) || checkpoint_complete(in->ck, in->im, e) ||
	    image_link_parents(in->im, in->ck->dir, e) || keeper_mount(&in->keeper, e))
		return -1;
	if (in->engine->restore(in->svc, &in->keeper, &in->criu, in->ck->dir, in->ck->tcp_close, on_ready, in, e)) {
		if (in->running)
			journal_step(in->journal, "failed", NULL);
		in->running = false;
		in->svc->pid = 0;
		return -1;
	}
	return finish(in, e);
}

/* ---- the rest ---- */

static int seal(struct incoming *in, const struct json *call, struct err *e)
{
	bulk_free(TAKE_PTR(in->bulk));
	if (verify_images(in, call, e) || checkpoint_complete(in->ck, in->im, e) ||
	    image_save(in->im, IMAGE_SWEEP | IMAGE_SYNC, e) || checkpoint_save(in->ck, e))
		return -1;
	in->keep = true;
	return reply(in, json_object(), e);
}

static void undo(struct incoming *in)
{
	if (in->armed)
		keeper_cancel(&in->keeper);
	criu_close(&in->criu);
	if (in->net)
		net_remove(in->svc, NULL);
	if (in->cgroup)
		cgroup_remove(in->svc->name, NULL);
	if (in->journal)
		journal_end(in->journal, NULL);
	if (in->keep && !in->own)
		return;
	/* What arrived of the memory stays in the store for the next try. */
	if (in->im)
		image_save(in->im, 0, NULL);
	if (in->journal && !in->was_here)
		service_remove(in->svc, NULL);
	if (in->ck && !in->keep)
		checkpoint_remove(in->ck, NULL);
}

static void release(struct incoming *in)
{
	if (in->bulk)
		bulk_free(in->bulk);
	if (!in->running)
		undo(in);
	criu_close(&in->criu);
	net_catch_stop(&in->catch);
	for (int i = 0; i < in->n_files; i++)
		files_clear(&in->files[i]);
	files_clear(&in->layer);
	files_clear(&in->base);
	if (in->im)
		image_free(in->im);
	if (in->journal)
		journal_free(in->journal);
	if (in->ck)
		checkpoint_free(in->ck);
	if (in->lock >= 0)
		close(in->lock);
}

static int on_call(struct incoming *in, const struct json *call, bool *end, struct err *e)
{
	const char *verb = json_str(call, "verb");

	if (!verb)
		return err_set(e, EX_DATAERR, "a call without a verb");
	if (!strcmp(verb, "files"))
		return take_files(in, call, e);
	if (!strcmp(verb, "arm"))
		return arm(in, e);
	if (!strcmp(verb, "catch")) { /* without an answer; without it frames are lost, as on any bad day */
		net_catch_start(&in->catch, in->svc, NULL);
		return 0;
	}
	*end = true;
	if (!strcmp(verb, "restore"))
		return restore(in, call, e);
	if (!strcmp(verb, "seal"))
		return seal(in, call, e);
	if (!strcmp(verb, "abort"))
		return reply(in, json_object(), e);
	return err_set(e, EX_DATAERR, "unknown verb in a move: %s", verb);
}

static int serve(struct incoming *in, const struct json *first, struct err *e)
{
	AUTO_FRAME struct frame f = { 0 };
	bool open = !strcmp(json_str(first, "verb"), "open"), end = false;
	int rc = open ? reopen(in, first, e) : prepare(in, first, e);

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
		.catch = { .fd = -1, .to = -1 },
		.layer = { .root = -1 },
		.base = { .root = -1 },
	};
	int rc = serve(&in, call, e);

	/* Undone before it is reported: who hears of the failure may try again at once. */
	release(&in);
	if (rc && e->text[0])
		wire_send_error(ctl, e, NULL);
	return rc;
}
