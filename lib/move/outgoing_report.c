/* SPDX-License-Identifier: MIT */
#include "lib/engine/engine.h"
#include "lib/move/outgoing_int.h"

/* Microseconds are as fine as a record needs. */
static void put_ms(struct json *j, const char *path, double ms)
{
	json_set_num(j, path, (double)(long long)(ms * 1000 + 0.5) / 1000);
}

struct json *outgoing_moved(const struct outgoing *o, const char *to)
{
	const struct move_report *r = &o->rep;
	struct json *j = json_object();

	json_set_str(j, "from", o->ck->from);
	json_set_str(j, "to", to);
	put_ms(j, "frozen_ms", r->frozen);
	put_ms(j, "total_ms", r->total);
	json_set_num(j, "bytes_raw", (double)(r->memory.raw_bytes + r->file.raw_bytes + r->image_bytes +
					       r->memory.there * PAGE_BYTES + r->file.there_bytes));
	json_set_num(j, "bytes_sent", (double)r->wire_bytes);
	json_set_num(j, "bytes_there", (double)(r->memory.there * PAGE_BYTES + r->file.there_bytes));
	json_set_str(j, "way", "digest");
	if (r->restored[0])
		json_set_str(j, "restore", r->restored);
	if (r->restored_why[0])
		json_set_str(j, "restore_why", r->restored_why);
	json_set_num(j, "rounds", r->rounds);
	json_set_num(j, "pages", (double)r->memory.looked_at);
	json_set_num(j, "pages_sent", (double)r->memory.sent);
	json_set_num(j, "pages_frozen", (double)r->last_pages);
	put_ms(j, "phases.connect_ms", r->connect);
	put_ms(j, "phases.check_ms", r->check);
	put_ms(j, "phases.precopy_ms", r->precopy);
	put_ms(j, "phases.quiet_ms", r->quiet);
	put_ms(j, "phases.freeze_ms", r->freeze);
	put_ms(j, "phases.dump_ms", r->dump);
	put_ms(j, "phases.pages_ms", r->pages);
	put_ms(j, "phases.files_ms", r->files);
	put_ms(j, "phases.images_ms", r->images);
	put_ms(j, "phases.restore_ms", r->restore);
	put_ms(j, "phases.resume_ms", r->resume);
	return j;
}

const struct checkpoint *outgoing_checkpoint(const struct outgoing *o)
{
	return o->ck;
}

const struct move_report *outgoing_report(const struct outgoing *o)
{
	return &o->rep;
}
