/* SPDX-License-Identifier: MIT */
/* The hand-over: the one step of a move that both nodes must agree on. */
#include <poll.h>
#include <string.h>

#include "lib/base/clock.h"
#include "lib/engine/engine.h"
#include "lib/move/outgoing_int.h"
#include "lib/move/remote.h"

#define OUTCOME_MS 10000 /* how long the destination is asked for it after a broken connection */

int outgoing_retire(struct outgoing *o, struct err *e)
{
	struct service *s = o->svc;

	o->frozen = false;
	o->retired = true;
	if (service_kill(s, e))
		return -1;
	outgoing_join_dump(o);
	if (service_clear(s, e))
		return -1;
	s->pid = 0;
	s->start_time = 0;
	s->moved = true;
	if (service_save(s, e))
		return -1;
	/* The pages stay for a move back. */
	image_save(o->im, IMAGE_SWEEP, NULL);
	return 0;
}

/* The connection broke at "go": asks the destination how it ended. 1 it runs there, 0 it does not, -1 unknown. */
static int learn_outcome(struct outgoing *o, struct json **there)
{
	double end = clock_ms() + OUTCOME_MS;
	AUTO_JSON struct json *record = service_record(o->svc, "running");

	for (int pause_ms = 100; clock_ms() < end; pause_ms *= 2) {
		AUTO_STREAM struct stream *s = ssh_open(&o->target, o->opt.connect_ms, NULL);
		int known = s && !wire_greet(s, NULL) ? remote_outcome(s, o->ck->id, record) : -1;

		if (known >= 0) {
			json_set_str(record, "node", o->to);
			*there = json_object();
			json_set(*there, "service", TAKE_PTR(record));
			return known;
		}
		poll(NULL, 0, pause_ms);
	}
	return -1;
}

static int hand_over(struct outgoing *o, struct json **there, struct err *e)
{
	AUTO_JSON struct json *ready = outgoing_call_with_images(o, "restore", e);
	int rc;

	if (!ready)
		return -1;
	/* From here the source stays frozen until it knows. */
	if (journal_step(o->journal, "go", e))
		return -1;
	o->gone = true;
	rc = wire_ask(o->ctl, wire_request("go"), there, e);
	if (rc < 0) {
		rc = learn_outcome(o, there) - 1;
		if (rc < -1)
			return err_wrap(e, "service %s: stays frozen here, as nobody knows whether it runs there",
					o->svc->name);
	}
	if (rc)
		o->gone = false;
	return rc ? -1 : 0;
}

int outgoing_hand_over(struct outgoing *o, struct json **record, struct err *e)
{
	AUTO_JSON struct json *there = NULL, *said = NULL;
	struct err late = { 0 };

	if (hand_over(o, &there, e))
		return -1;
	o->rep.frozen = clock_ms() - o->frozen_at;
	net_quiet_end(&o->quiet);
	o->rep.restore = json_num(there, "restore_ms", 0);
	o->rep.resume = json_num(there, "resume_ms", 0);
	o->rep.wire_bytes = stream_sent(o->ctl);
	for (int i = 0; i < o->n_bulk; i++)
		o->rep.wire_bytes += stream_sent(o->bulk[i]);
	/* The service runs there: what fails now costs nothing but a note. */
	if (outgoing_retire(o, &late))
		*e = late;
	else
		journal_end(o->journal, &late);
	checkpoint_remove(o->ck, NULL);
	o->rep.total = clock_ms() - o->start;
	/* Answered when the registry has heard of it: who comes after us finds it there. */
	wire_ask(o->ctl, wire_request("done"), &said, NULL);
	*record = json_get(there, "service");
	if (!*record)
		return err_set(e, EX_DATAERR, "%s: no service in its answer", stream_peer(o->ctl));
	json_set(*record, "moved", outgoing_moved(o, o->to));
	return 0;
}
