/* SPDX-License-Identifier: MIT */
/* The hand-over: the one step of a move that both nodes must agree on. */
#include <string.h>

#include "lib/base/clock.h"
#include "lib/engine/engine.h"
#include "lib/move/outgoing_int.h"
#include "lib/move/outcome.h"

#define ASK_MS 2000 /* for an answer about the outcome, between two looks for a signal */

int outgoing_retire(struct outgoing *o, struct err *e)
{
	o->frozen = false;
	o->retired = true;
	if (service_kill(o->svc, e))
		return -1;
	outgoing_join_dump(o, NULL);
	if (service_retire(o->svc, e))
		return -1;
	/* The pages stay for a move back. */
	image_save(o->im, IMAGE_SWEEP, NULL);
	return 0;
}

bool outgoing_lost(const struct outgoing *o, bool *connected)
{
	bool lost = !o->ctl || stream_failed(o->ctl);

	*connected = o->ctl != NULL;
	for (int i = 0; i < o->n_bulk; i++)
		lost |= stream_failed(o->bulk[i]);
	return lost && !o->gone && !o->retired;
}

void outgoing_reason(const struct outgoing *o, struct err *e)
{
	const char *why = o->pulse ? pulse_reason(o->pulse) : NULL;

	if (!why || o->gone)
		return;
	err_set(e, EX_TEMPFAIL, "service %s: %s: it goes on here", o->svc->name, why);
}

/* The connection broke at "go": asks the destination how it ended. 0 it runs there, 1 it does not, -1 unknown. */
static int learn_outcome(struct outgoing *o, struct json **there)
{
	AUTO_STREAM struct stream *s = NULL;
	double end = clock_ms() + o->opt.deadline_ms;
	enum outcome outcome;

	do
		outcome = outcome_learn(&o->target, o->ck->id, ASK_MS, &s);
	while (outcome == OUTCOME_UNKNOWN && clock_ms() < end && !(o->opt.interrupted && o->opt.interrupted(o->opt.ctx)));
	switch (outcome) {
	case OUTCOME_RUNNING:
		break;
	case OUTCOME_NOT:
		return 1;
	default:
		return -1;
	}
	AUTO_JSON struct json *record = service_record(o->svc, "running");
	json_set_str(record, "node", o->to);
	*there = json_object();
	json_set(*there, "service", TAKE_PTR(record));
	/* What is still to be said is said over the new connection. */
	pulse_end(TAKE_PTR(o->pulse));
	stream_free(o->ctl);
	o->ctl = TAKE_PTR(s);
	o->asked = true;
	return 0;
}

/* 0 it runs there; -1 it does not, or (o->gone) nobody knows. */
static int hand_over(struct outgoing *o, struct json **there, struct err *e)
{
	if (outgoing_late_begin(o, e))
		return -1;
	AUTO_JSON struct json *ready = outgoing_call_with_images(o, "restore", e);

	/* One that was killed behind its last point has not given the service back to the cgroup that holds it: it runs. */
	if (ready && outgoing_await_dump(o, e))
		return -1;
	double ready_at = clock_ms();
	if (!ready || outgoing_turn(o, "frozen", "go", e))
		return -1;
	/* From here the source stays frozen until it knows. */
	o->go_at = clock_ms();
	o->gone = true;
	guard_limit(&o->guard, 0);
	int rc = wire_ask(o->ctl, wire_request("go"), there, e);
	o->answered = rc >= 0;
	aside_weigh(&o->aside, ASIDE_AMONG); /* nobody waits for us, or for late pages only */
	o->rep.safety = o->answered ? clock_ms() - ready_at : 0;
	if (rc < 0)
		rc = learn_outcome(o, there);
	if (rc < 0)
		return outcome_unknown(o->svc->name, o->to, o->ck->id, e);
	/* It said no, and so it can never say yes. */
	o->gone = !rc || outgoing_turn(o, "go", "thawed", NULL);
	return rc ? -1 : 0;
}

/* The connection broke while late pages were brought. */
static void say_done_anew(struct outgoing *o)
{
	AUTO_STREAM struct stream *s = NULL;

	if (outcome_learn(&o->target, o->ck->id, ASK_MS, &s) == OUTCOME_RUNNING)
		outcome_known(s, o->ck->id);
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
	o->rep.safety += json_num(there, "safety_ms", 0) - o->rep.resume; /* both 0 in an answer that had to be asked for anew */
	snprintf(o->rep.restored, sizeof(o->rep.restored), "%s", json_str(there, "restore") ? json_str(there, "restore") : "");
	snprintf(o->rep.restored_why, sizeof(o->rep.restored_why), "%s",
		 json_str(there, "restore_why") ? json_str(there, "restore_why") : "");
	if (outgoing_late_deliver(o, e))
		return -1;
	o->rep.wire_bytes = stream_sent(o->ctl) + o->rep.late.wire_bytes;
	for (int i = 0; i < o->n_bulk; i++)
		o->rep.wire_bytes += stream_sent(o->bulk[i]);
	/* The service runs there: what fails now costs nothing but a note. */
	bool over = !outgoing_retire(o, &late) && !outgoing_turn(o, "go paging", "handed-over", &late);
	if (over) {
		checkpoint_remove(o->ck, NULL);
		journal_forget(o->ck->id, &late);
	}
	o->rep.total = clock_ms() - o->start;
	/* Answered when the registry has heard of it: who comes after us finds it there. As long as ours is not over, the other end must
	 * know of it, as it will be asked. */
	if (!over)
		;
	else if (o->asked)
		outcome_known(o->ctl, o->ck->id);
	else if (wire_ask(o->ctl, wire_request("done"), &said, NULL) < 0 && o->post_copy)
		say_done_anew(o);
	*record = json_get(there, "service");
	if (!*record)
		return err_set(e, EX_DATAERR, "%s: no service in its answer", stream_peer(o->ctl));
	json_set(*record, "moved", outgoing_moved(o, o->to));
	return 0;
}
