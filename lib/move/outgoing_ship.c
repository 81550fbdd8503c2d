/* SPDX-License-Identifier: MIT */
/* Checkpoints that stay on this node for a while, and shipping them. */
#include <fcntl.h>

#include "lib/base/clock.h"
#include "lib/move/layer.h"
#include "lib/move/outgoing_int.h"

int outgoing_copy_folders(struct outgoing *o, bool live, struct err *e)
{
	AUTO_FREE struct tree_inode *mapped = NULL;
	size_t n = 0;

	if (outgoing_mapped_files(o, &mapped, &n, e))
		return -1;
	for (int k = 0; k < o->n_files; k++)
		if (checkpoint_copy_folder(o->ck, &o->files[k], mapped, n, live, e))
			return -1;
	return 0;
}

int outgoing_keep(struct outgoing *o, struct err *e)
{
	if (checkpoint_complete(o->ck, o->im, e) || image_save(o->im, IMAGE_SWEEP, e))
		return -1;
	o->ck->held = !o->opt.snapshot;
	json_free(o->ck->facts);
	o->ck->facts = json_copy(o->facts);
	return checkpoint_save(o->ck, e);
}

static int seal(struct outgoing *o, struct err *e)
{
	AUTO_JSON struct json *answer = outgoing_call_with_images(o, "seal", e);

	return answer ? 0 : -1;
}

static struct json *shipment(const struct outgoing *o)
{
	const struct move_report *r = &o->rep;
	struct json *j = json_object();
	uint64_t sent = stream_sent(o->ctl);

	for (int i = 0; i < o->n_bulk; i++)
		sent += stream_sent(o->bulk[i]);
	json_set_str(j, "kind", "shipment");
	json_set_str(j, "checkpoint", o->ck->id);
	json_set_str(j, "service", o->ck->service->name);
	json_set_str(j, "instance", o->ck->service->id);
	json_set_str(j, "from", o->ck->from);
	json_set_str(j, "to", o->to);
	json_set_bool(j, "held", o->ck->held);
	json_set_num(j, "bytes_raw", (double)(r->memory.raw_bytes + r->file.raw_bytes + r->image_bytes +
					       r->memory.there * PAGE_BYTES + r->file.there_bytes));
	json_set_num(j, "bytes_sent", (double)sent);
	json_set_num(j, "bytes_there", (double)(r->memory.there * PAGE_BYTES + r->file.there_bytes));
	json_set_ms(j, "ms", clock_ms() - o->start);
	return j;
}

static int send_once(struct outgoing *o, unsigned number, const char *path, struct err *e)
{
	struct files f = { .number = number, .root = open(path, O_RDONLY | O_DIRECTORY | O_CLOEXEC), .what = "root" };
	int rc = f.root < 0 ? err_sys(e, "%s", path) : files_send(&f, o->ctl, NULL, 0, true, &o->rep.file, e);

	files_clear(&f);
	return rc;
}

int outgoing_send_base(struct outgoing *o, struct err *e)
{
	char dir[PATH_MAX + 8];

	if (o->need_layer && send_once(o, FOLDER_LAYER, o->svc->root, e))
		return -1;
	if (!o->base)
		return 0;
	snprintf(dir, sizeof(dir), "%s/base", o->ck->dir);
	return base_collect(o->base, dir, e) || send_once(o, FOLDER_BASE, dir, e) ? -1 : 0;
}

int outgoing_ship(struct outgoing *o, struct json **record, struct err *e)
{
	if (outgoing_send_base(o, e))
		return -1;
	for (int i = 0; i < o->n_files; i++)
		if (files_send(&o->files[i], o->ctl, NULL, 0, true, &o->rep.file, e) ||
		    checkpoint_check_copy(o->ck, i, o->files[i].tree, e))
			return -1;
	if (outgoing_image_runs(o, e) || sender_round(o->sender, &o->runs, true, true, &o->rep.memory, e) ||
	    outgoing_send_images(o, e) || seal(o, e))
		return -1;
	*record = shipment(o);
	return 0;
}

int outgoing_leave(struct outgoing *o, struct err *e)
{
	o->kept = true;
	return journal_forget(o->ck->id, e);
}

int outgoing_finish(struct outgoing *o, struct err *e)
{
	struct err late = { 0 };
	int rc;

	net_catch_pass_on(&o->catch);
	net_quiet_end(&o->quiet);
	rc = outgoing_retire(o, e);

	checkpoint_remove(o->ck, NULL);
	journal_forget(o->ck->id, rc ? &late : e);
	return rc;
}

uint64_t outgoing_bytes(const struct outgoing *o)
{
	return image_pages(o->im) * PAGE_BYTES + o->rep.image_bytes;
}
