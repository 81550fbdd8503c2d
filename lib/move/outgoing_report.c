/* SPDX-License-Identifier: MIT */
#include "lib/engine/engine.h"
#include "lib/move/outgoing_int.h"

/* How the pages were found that had changed, and in which rounds. */
static void put_rounds(struct json *j, const struct outgoing *o)
{
	const struct move_report *r = &o->rep;
	struct track_stats t = { 0 };
	struct json *rounds = json_array();

	if (o->track)
		t = track_stats(o->track);
	json_set_str(j, "way", !t.tracked ? "digest" : t.tracked < t.processes ? "mixed" : "write-protect");
	if (o->track) {
		json_set_num(j, "tracking.processes", t.processes);
		json_set_num(j, "tracking.tracked", t.tracked);
		json_set_num(j, "tracking.pages_untracked", (double)t.looked_at);
		json_set_ms(j, "tracking.longest_stop_ms", t.longest_ms);
		if (t.reason)
			json_set_str(j, "tracking.reason", t.reason);
	}
	json_set_num(j, "rounds", r->rounds);
	for (int i = 0; i < r->rounds && i < ROUNDS_NOTED; i++) {
		struct json *one = json_object();

		json_set_num(one, "pages", (double)r->round[i].looked_at);
		json_set_num(one, "pages_sent", (double)r->round[i].sent);
		json_set_num(one, "bytes_sent", (double)r->round[i].sent_bytes);
		json_set_ms(one, "ms", r->round[i].ms);
		json_add(rounds, one);
	}
	json_set(j, "round", rounds);
	if (r->predicted > 0) {
		json_set_ms(j, "predicted_ms", r->predicted);
		json_set_num(j, "dirty_bps", (double)(long long)r->dirty_bps);
		json_set_num(j, "link_bps", (double)(long long)r->link_bps);
	}
	if (r->hot)
		json_set_num(j, "throttled", r->throttled);
}

struct json *outgoing_moved(const struct outgoing *o, const char *to)
{
	const struct move_report *r = &o->rep;
	struct json *j = json_object();

	json_set_str(j, "from", o->ck->from);
	json_set_str(j, "to", to);
	json_set_ms(j, "frozen_ms", r->frozen);
	json_set_ms(j, "total_ms", r->total);
	json_set_num(j, "bytes_raw", (double)(r->memory.raw_bytes + r->late.pages.raw_bytes + r->file.raw_bytes + r->image_bytes +
					       r->memory.there * PAGE_BYTES + r->file.there_bytes));
	json_set_num(j, "bytes_sent", (double)r->wire_bytes);
	json_set_num(j, "bytes_there", (double)(r->memory.there * PAGE_BYTES + r->file.there_bytes));
	put_rounds(j, o);
	if (r->restored[0])
		json_set_str(j, "restore", r->restored);
	if (r->restored_why[0])
		json_set_str(j, "restore_why", r->restored_why);
	json_set_num(j, "pages", (double)r->memory.looked_at);
	json_set_num(j, "pages_sent", (double)r->memory.sent);
	json_set_num(j, "pages_frozen", (double)r->last_pages);
	if (o->post_copy) {
		json_set_num(j, "late.pages", (double)r->late.pages.changed);
		json_set_num(j, "late.pages_asked", (double)r->late.asked);
		json_set_num(j, "late.bytes_sent", (double)r->late.wire_bytes);
		json_set_num(j, "late.connected", r->late.connected);
		json_set_ms(j, "late.ms", r->late.ms);
	}
	json_set_ms(j, "phases.connect_ms", r->connect);
	json_set_ms(j, "phases.check_ms", r->check);
	json_set_ms(j, "phases.precopy_ms", r->precopy);
	json_set_ms(j, "phases.quiet_ms", r->quiet);
	json_set_ms(j, "phases.freeze_ms", r->freeze);
	json_set_ms(j, "phases.dump_ms", r->dump);
	json_set_ms(j, "phases.scan_ms", r->scan);
	json_set_ms(j, "phases.pages_ms", r->pages);
	json_set_ms(j, "phases.files_ms", r->files);
	json_set_ms(j, "phases.images_ms", r->images);
	json_set_ms(j, "phases.restore_ms", r->restore);
	json_set_ms(j, "phases.resume_ms", r->resume);
	json_set_ms(j, "phases.safety_ms", r->safety);
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
