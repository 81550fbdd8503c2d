/* SPDX-License-Identifier: MIT */
/* Where what comes is put, and what was put there before. */
#include <fcntl.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "lib/base/file.h"
#include "lib/discover/node.h"
#include "lib/discover/registry.h"
#include "lib/move/decide.h"
#include "lib/move/incoming_int.h"
#include "lib/move/layer.h"
#include "lib/move/recover.h"
#include "lib/move/store.h"
#include "lib/move/wire.h"

#define ARP_PROBE_MS 150

int incoming_place_root(struct incoming *in, const struct service *old, const struct json *call, bool *need,
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

int incoming_place_base(struct incoming *in, struct err *e)
{
	char dir[PATH_MAX + 8];

	snprintf(dir, sizeof(dir), "%s/base", in->ck->dir);
	if (file_mkdirs(dir, 0700, e))
		return -1;
	in->base = (struct files){ .root = open(dir, O_RDONLY | O_DIRECTORY | O_CLOEXEC), .what = "base" };
	return in->base.root < 0 ? err_sys(e, "%s", dir) : 0;
}

int incoming_install_base(struct incoming *in, struct err *e)
{
	char dir[PATH_MAX + 8], upper[PATH_MAX];

	snprintf(dir, sizeof(dir), "%s/base", in->ck->dir);
	if (access(dir, F_OK))
		return 0;
	if (in->seal)
		checkpoint_copy_path(in->ck, 0, upper);
	else
		snprintf(upper, sizeof(upper), "%s", service_dir(in->svc, "upper"));
	if (in->files[0].tree) /* it is not like that any more */
		tree_free(TAKE_PTR(in->files[0].tree));
	return base_install(dir, upper, e) || file_remove_tree(dir, e) ? -1 : 0;
}

int incoming_replace(struct incoming *in, struct err *e)
{
	checkpoint_give_memory(in->ck);
	in->keep = false;
	return checkpoint_remove(in->ck, e) || checkpoint_make_folder(in->ck, e) ? -1 : 0;
}

int incoming_find_earlier(struct incoming *in, struct service **old, struct err *e)
{
	*old = NULL;
	if (service_load(old, in->svc->name, NULL))
		return 0;
	in->was_here = !strcmp((*old)->id, in->svc->id);
	in->had_moved = (*old)->moved;
	if (in->was_here || in->seal)
		return 0;
	return service_remove(in->svc, e) || store_forget((*old)->id, e) ? -1 : 0;
}

/* What comes is a cache until the service runs here, like the files of one that has moved away: whoever undoes this move, also after
 * we were killed, leaves it to the next try. */
static int save_as_cache(struct service *s, struct err *e)
{
	s->moved = true;
	int rc = service_save(s, e);
	s->moved = false;
	return rc;
}

int incoming_place_folders(struct incoming *in, const struct service *old, struct err *e)
{
	struct service *s = in->svc;
	const char *const below[] = { "upper", "work", "root", s->bundle[0] ? "bundle" : "upper" };

	if (in->seal) {
		in->n_files = checkpoint_make_folders(in->ck, in->was_here ? old : NULL, in->files, e);
		return in->n_files < 0 ? -1 : 0;
	}
	in->placed = !in->was_here;
	/* What a service has, setuid files among it, is not for the node's other users. */
	if (file_mkdir_private(file_path("/var/lib/edge/services"), e) || file_mkdir_private(service_dir(s, NULL), e) ||
	    file_mkdir_private(service_dir(s, "volumes"), e))
		return -1;
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
	if (in->placed && !in->opened && save_as_cache(s, e))
		return -1;
	in->n_files = checkpoint_folders(s, in->files, e);
	return in->n_files < 0 ? -1 : 0;
}

int incoming_seal(struct incoming *in, struct err *e)
{
	if (incoming_install_base(in, e) || checkpoint_own_folders(in->ck, in->files, in->n_files, e))
		return -1;
	if (!in->ck->held && tree_sync(in->files[0].root, e)) /* nobody waits, and it may lie here for long */
		return -1;
	image_free(TAKE_PTR(in->im));
	if (checkpoint_take_memory(in->ck, e))
		return -1;
	if (!checkpoint_save(in->ck, e))
		return 0;
	checkpoint_give_memory(in->ck);
	return -1;
}

/* With the epoch that it will have. */
static int claim(const struct incoming *in, struct err *e)
{
	AUTO_REGISTRY struct registry *r = NULL;
	AUTO_JSON struct json *rec = service_record(in->svc, "running");

	json_set_num(rec, "epoch", (double)in->svc->epoch + 1);
	int rc = registry_open(&r, NULL, e) ? -1 : registry_put_service(r, rec, e);
	if (rc > 0)
		return err_set(e, EX_UNAVAILABLE, "checkpoint %s: another node has restored its instance", in->ck->id);
	return rc;
}

/* Also by a keeper, or by recovery, that do not know whether a process that was killed had come so far. */
void incoming_unclaim(const char *id)
{
	AUTO_REGISTRY struct registry *r = NULL;

	if (!registry_open(&r, NULL, NULL))
		registry_stop_service(r, id, node_self(), NULL);
}

int incoming_put_back(struct incoming *in, struct err *e)
{
	if (!in->opened)
		return 0;
	/* What is held has one place to go to, and the source waits for that. */
	return (!in->ck->held && claim(in, e)) || checkpoint_put_back(in->ck, !in->own, &in->back, e) ? -1 : 0;
}

void incoming_used_up(struct incoming *in)
{
	if (in->own)
		return;
	checkpoint_give_memory(in->ck);
	checkpoint_remove(in->ck, NULL);
}

/* When the link was lost, or a program, the same move is tried again before long: what has come of its files stays as a cache,
 * as it does for a service that has moved away. A checkpoint's instance may have stopped here, and then still has. */
static void unplace_folder(struct incoming *in)
{
	bool lost = (in->orphan || stream_failed(in->ctl)) && !in->opened;

	if (in->placed && !lost) {
		service_remove(in->svc, NULL);
	} else if (in->begun && !in->seal) {
		in->svc->pid = 0;
		in->svc->moved = in->opened ? in->had_moved : true;
		service_save(in->svc, NULL);
	}
}

void incoming_unplace(struct incoming *in, struct err *e)
{
	struct err late = { 0 };

	if (in->back && checkpoint_undo(in->back, &late)) {
		size_t n = strlen(e->text);

		snprintf(e->text + n, sizeof(e->text) - n, "; and its files are not as they were: %s", late.text);
	}
	if (in->begun && in->opened && !in->ck->held)
		incoming_unclaim(in->svc->id);
	unplace_folder(in);
	if (in->ck && !in->keep) {
		/* What arrived of the memory stays in the store for the next try. */
		if (in->im && !in->opened)
			image_save(in->im, 0, NULL);
		if (in->opened)
			checkpoint_give_memory(in->ck);
		checkpoint_remove(in->ck, NULL);
	}
	if (in->begun) {
		bulk_forget(in->ck->id); /* a keeper undoes what a killed process had */
		if (in->decided || in->orphan)
			decide_forget(in->ck->id);
		journal_forget(in->ck->id, NULL);
	}
}

/* Could it be started here as it is? */
static int check_place(const struct service *s, bool *was_here, struct err *e)
{
	AUTO_SERVICE struct service *here = NULL;
	int taken;

	*was_here = !service_load(&here, s->name, NULL) && !strcmp(here->id, s->id);
	if (*was_here && service_running(here))
		return err_set(e, EX_UNAVAILABLE, "service %s: runs here already", s->name);
	if (here && !*was_here && !here->moved)
		return err_set(e, EX_UNAVAILABLE, "service %s: another instance has the name (%s)", s->name, here->id);
	taken = net_address_taken(s, ARP_PROBE_MS, e);
	if (taken > 0)
		return err_set(e, EX_UNAVAILABLE, "service %s: address %s: in use by another machine", s->name,
			       service_ip(s));
	return taken;
}

/* It goes on from the past: what it has done since, perhaps elsewhere, is over. */
static void renew_epoch(struct service *s)
{
	AUTO_REGISTRY struct registry *r = NULL;
	char node[256];
	int64_t epoch;

	if (!registry_open(&r, NULL, NULL) && !registry_epoch(r, s->id, &epoch, node, NULL) && epoch > s->epoch &&
	    epoch < SERVICE_EPOCH_MAX)
		s->epoch = (long)epoch;
}

int incoming_reopen(struct incoming *in, const struct json *call, struct err *e)
{
	AUTO_JSON struct json *answer = json_object();
	AUTO_SERVICE struct service *old = NULL;
	const char *id = json_str(call, "checkpoint");

	in->keep = true;
	if (checkpoint_load(&in->ck, id ? id : "", e))
		return -1;
	in->svc = in->ck->service;
	in->engine = engine_find(in->svc->engine);
	if (!in->engine || in->engine->whole)
		return err_set(e, EX_DATAERR, "checkpoint %s: unknown engine", id);
	in->lock = journal_lock(in->svc->name, LOCK_MS, e);
	if (in->lock < 0)
		return -1;
	/* The holder of a frozen service waits for one try. */
	in->opened = true;
	in->keep = !in->ck->held;
	in->own = in->keep && !strcmp(in->ck->from, node_self());
	if (in->keep)
		renew_epoch(in->svc);
	if (recover_instance(in->svc->name, in->svc->id, false, e) || check_place(in->svc, &in->was_here, e) ||
	    incoming_begin(in, e) ||
	    incoming_find_earlier(in, &old, e) || incoming_place_folders(in, old, e) ||
	    image_open(&in->im, checkpoint_memory_dir(in->ck), e))
		return -1;
	json_set_str(answer, "node", node_self());
	json_set_str(answer, "from", in->ck->from);
	json_set_bool(answer, "held", in->ck->held);
	json_set_str(answer, "service", in->svc->name);
	json_set_str(answer, "instance", in->svc->id);
	return incoming_reply(in, TAKE_PTR(answer), e);
}

int incoming_drop(struct stream *ctl, const struct json *call, struct err *e)
{
	AUTO_JSON struct json *answer = json_object();
	AUTO_CHECKPOINT struct checkpoint *ck = NULL;
	const char *id = json_str(call, "checkpoint");

	if (checkpoint_load(&ck, id ? id : "", e))
		return -1;
	AUTO_FD int lock = journal_lock(ck->service->name, LOCK_MS, e);
	if (lock < 0)
		return -1;
	if (!ck->held || !strcmp(ck->from, node_self()))
		return err_set(e, EX_UNAVAILABLE, "checkpoint %s: was not brought here for a holder", id);
	checkpoint_give_memory(ck);
	return checkpoint_remove(ck, e) ? -1 : wire_send_json(ctl, FRAME_REPLY, answer, e);
}
