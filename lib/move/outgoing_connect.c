/* SPDX-License-Identifier: MIT */
/* An outgoing move's way to its destination: the sessions, the pulse that watches them, and what is agreed on before
 * anything is sent. */
#include <pthread.h>
#include <string.h>

#include "lib/base/clock.h"
#include "lib/move/check.h"
#include "lib/move/outgoing_int.h"

#define GO_MS 5000          /* for the answer to "go": then the destination is asked over a new connection */
#define SLACK_MS 100        /* the guard thaws first */
#define INTERRUPT_MS 1500  /* for a step to end by itself */

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

/* A reason to break off what waits for the other end. */
static const char *look(void *ctx)
{
	struct outgoing *o = ctx;
	double now = clock_ms();

	if (o->farewell_at && now > o->farewell_at + INTERRUPT_MS)
		return "no answer to \"abort\"";
	if (o->answered)
		return NULL;
	if (o->gone)
		return now > o->go_at + GO_MS ? "no answer to \"go\"" : NULL;
	/* It is mostly noticed between two steps, and the other end then told. */
	if (!o->opt.interrupted || !o->opt.interrupted(o->opt.ctx))
		o->interrupted_at = now;
	if (now > o->interrupted_at + INTERRUPT_MS)
		return "interrupted";
	if (o->frozen && o->opt.max_freeze_ms && now > o->frozen_at + o->opt.max_freeze_ms + SLACK_MS)
		return "frozen for too long";
	return NULL;
}

static void stop_all(void *ctx)
{
	struct outgoing *o = ctx;

	stream_stop(o->ctl);
	for (int i = 0; i < o->n_bulk; i++)
		stream_stop(o->bulk[i]);
}

/* What the destination wants to know, once. */
int outgoing_facts(struct outgoing *o, struct err *e)
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

/* A host that does not answer takes its time, for which a signal does not wait. */
static bool ended(struct outgoing *o, pthread_t thread)
{
	struct timespec until;

	do {
		if (o->opt.interrupted && o->opt.interrupted(o->opt.ctx))
			return false;
		clock_gettime(CLOCK_MONOTONIC, &until);
		until.tv_nsec += 100000000;
		until.tv_sec += until.tv_nsec / 1000000000;
		until.tv_nsec %= 1000000000;
	} while (pthread_clockjoin_np(thread, NULL, CLOCK_MONOTONIC, &until));
	return true;
}

static int connect_control(struct outgoing *o, const struct ssh_target *to, struct err *e)
{
	AUTO_FREE struct connecting *c = calloc(1, sizeof(*c));

	if (!c)
		return err_set(e, EX_OSERR, "out of memory");
	*c = (struct connecting){ .to = *to, .timeout_ms = o->opt.connect_ms };
	bool aside = !pthread_create(&c->thread, NULL, connect_one, c);
	outgoing_facts(o, NULL); /* if it cannot, prepare says why */
	if (!aside)
		connect_one(c);
	else if (!ended(o, c->thread)) {
		pthread_detach(c->thread);
		TAKE_PTR(c); /* still in use: left to it */
		return err_set(e, EX_TEMPFAIL, "service %s: interrupted: it goes on here", o->svc->name);
	}
	o->ctl = c->stream;
	if (!o->ctl && e)
		*e = c->err;
	return o->ctl ? 0 : -1;
}

/* The control session first: the destination checks while the bulk sessions shake hands. */
int outgoing_connect(struct outgoing *o, const struct ssh_target *to, struct err *e)
{
	double start = clock_ms();

	o->target = *to;
	if (connect_control(o, to, e))
		return -1;
	o->rep.connect = clock_ms() - start;
	if (pulse_start(&o->pulse, o->ctl, look, stop_all, o, e))
		return -1;
	for (; o->n_connecting < BULK_STREAMS && !o->opt.dry_run; o->n_connecting++) {
		struct connecting *c = &o->connecting[o->n_connecting];

		*c = (struct connecting){ .to = *to, .timeout_ms = o->opt.connect_ms };
		if (pthread_create(&c->thread, NULL, connect_one, c))
			break;
	}
	return 0;
}

int outgoing_join_bulk(struct outgoing *o, struct err *e)
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

int outgoing_begin(struct outgoing *o, struct err *e)
{
	o->begun = !journal_begin_source(o->ck->id, o->svc, o->opt.to, e);
	return o->begun ? 0 : -1;
}

static int on_progress(void *ctx, uint64_t done, uint64_t all, struct err *e)
{
	struct outgoing *o = ctx;
	char phase[32];

	snprintf(phase, sizeof(phase), o->frozen ? "frozen" : "round %d", o->rep.rounds + 1);
	return outgoing_tell(o, phase, done, all, e);
}

static int attach_bulk(struct outgoing *o, struct err *e)
{
	if (outgoing_join_bulk(o, e))
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
	sender_progress(o->sender, on_progress, o);
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
	if (outgoing_facts(o, e))
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
	if ((!o->shipping && outgoing_begin(o, e)) || attach_bulk(o, e))
		return -1;
	return 0;
}
