/* SPDX-License-Identifier: MIT */
/* The time in which the service stands still at its source: what is dumped and sent then, and how it goes on if the move comes
 * to nothing. */
#include <math.h>
#include <pthread.h>
#include <string.h>

#include "lib/base/clock.h"
#include "lib/base/proc.h"
#include "lib/engine/cgroup.h"
#include "lib/engine/engine.h"
#include "lib/engine/net.h"
#include "lib/move/compare.h"
#include "lib/move/outgoing_int.h"

#define FREEZE_MS 2000      /* limit of freezing the cgroup */
#define QUIET_MS 200        /* limit of waiting for new connections to be accepted, and old ones' ends */

static void dump_signal(struct outgoing *o, int state)
{
	pthread_mutex_lock(&o->dump_lock);
	if (o->dump_state <= DUMP_WAITS)
		o->dump_state = state;
	pthread_cond_broadcast(&o->dump_cond);
	pthread_mutex_unlock(&o->dump_lock);
}

/* Criu has started up while the service ran; from here on it looks at it. */
static int await_freeze(struct outgoing *o)
{
	dump_signal(o, DUMP_WAITS);
	pthread_mutex_lock(&o->dump_lock);
	while (!o->dump_go)
		pthread_cond_wait(&o->dump_cond, &o->dump_lock);
	pthread_mutex_unlock(&o->dump_lock);
	return o->dump_go > 0 ? 0 : -1;
}

/* In the dumping thread, at criu's own points. The network is cut only when criu is about to look at the sockets. Files are
 * brought over before criu removes the links that it made for files without a name. */
static int at_point(void *ctx, const char *point)
{
	struct outgoing *o = ctx;

	if (!strcmp(point, "pre-dump")) {
		if (await_freeze(o))
			return -1;
		if (o->held) /* it was here before */
			return 0;
		o->held = true;
		if (net_hold(o->svc, &o->dump_err))
			return -1;
		return o->ctl ? 0 : net_catch_start(&o->catch, o->svc, false, &o->dump_err);
	}
	if (!strcmp(point, "post-dump")) {
		double start = clock_ms();

		o->rep.dump = start - o->frozen_at;
		if ((o->ctl && outgoing_send_files(o, true, &o->dump_err)) ||
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

	proc_warm_stack();
	/* What it was told of mappings is looked at again while the destination restores. */
	if (o->engine->dump(o->svc, &o->criu, o->ck->dir, o->ck->tcp_close, at_point, o, &e) ||
	    (criu_maps_verify(&o->criu.maps, &e) && err_wrap(&e, "service %s", o->svc->name))) {
		if (!o->dump_err.text[0] && o->dump_go >= 0)
			o->dump_err = e;
		dump_signal(o, DUMP_FAILED);
	}
	return NULL;
}

/* Until it is as far as that. */
static int wait_dump(struct outgoing *o, int state, struct err *e)
{
	pthread_mutex_lock(&o->dump_lock);
	while (o->dump_state < state)
		pthread_cond_wait(&o->dump_cond, &o->dump_lock);
	pthread_mutex_unlock(&o->dump_lock);
	if (o->dump_state != DUMP_FAILED)
		return 0;
	if (e)
		*e = o->dump_err;
	return -1;
}

static int start_dump(struct outgoing *o, struct err *e)
{
	pthread_mutex_init(&o->dump_lock, NULL);
	pthread_cond_init(&o->dump_cond, NULL);
	if (pthread_create(&o->dumper, NULL, dump_thread, o))
		return err_set(e, EX_OSERR, "cannot start a thread");
	o->dumping = true;
	return 0;
}

static void let_dump(struct outgoing *o, int go)
{
	pthread_mutex_lock(&o->dump_lock);
	if (!o->dump_go)
		o->dump_go = go;
	pthread_cond_broadcast(&o->dump_cond);
	pthread_mutex_unlock(&o->dump_lock);
}

void outgoing_hurry(struct outgoing *o)
{
	proc_hurry(0);
	if (o->criu.pid > 0)
		proc_hurry(o->criu.pid);
}

static int compare(struct outgoing *o, struct err *e)
{
	AUTO_FREE pid_t *pids = NULL;
	int n;

	if (o->post_copy)
		return 0;
	return outgoing_pids(o, &pids, &n, e) || compare_memory(o->im, pids, n, true, e) ? -1 : 0;
}

/* The criu that waits shares a namespace that was empty then, and is not now, or was not hindered then: another one takes its place. */
static int renew_criu(struct outgoing *o, struct err *e)
{
	if (!criu_outgrown(&o->criu, o->svc) && !(o->criu.heard && criu_hindered(o->svc)))
		return 0;
	criu_close(&o->criu);
	return outgoing_warm(o, e);
}

int outgoing_freeze(struct outgoing *o, struct err *e)
{
	AUTO_JSON struct json *catch = wire_request("catch");
	struct pages_stats st = { 0 };
	double start;
	int rc;

	if (renew_criu(o, e))
		return -1;
	outgoing_hurry(o);
	if (start_dump(o, e) || wait_dump(o, DUMP_WAITS, e))
		return -1;
	proc_warm(); /* after the last fork */
	if (outgoing_more_rounds(o, CALM_ROUNDS, INFINITY, e)) /* criu took its time to start up */
		return -1;
	start = clock_ms();
	net_quiet_start(&o->quiet, o->svc, QUIET_MS);
	if (outgoing_more_rounds(o, QUIET_ROUNDS, start + QUIET_MS - clock_ms(), e))
		return -1;
	o->rep.quiet = clock_ms() - start;
	start = clock_ms();
	if ((!o->begun && outgoing_begin(o, e)) || outgoing_turn(o, "begun", "frozen", e))
		return -1;
	aside_weigh(&o->aside, ASIDE_BEFORE); /* not before: it would be in the service's way */
	lbe_end(TAKE_PTR(o->lbe));
	o->frozen = true;
	o->frozen_at = clock_ms();
	guard_limit(&o->guard, o->opt.max_freeze_ms);
	if (net_quiet_freeze(&o->quiet, o->svc, FREEZE_MS, e))
		return -1;
	o->rep.freeze = clock_ms() - start;
	outgoing_unthrottle(o); /* criu works in its processes */
	/* What comes for it from here on is kept where it will run: there, before it is cut off here, so that nothing is lost in
	 * between. */
	if (o->ctl && wire_send_json(o->ctl, FRAME_CALL, catch, e))
		return -1;
	criu_pages_expect(&o->criu.hidden);
	let_dump(o, 1);
	/* The memory stands still now: its last pages go over while criu collects the rest. */
	start = clock_ms();
	rc = o->post_copy ? outgoing_late_round(o, &st, e) : outgoing_memory_round(o, false, true, &st, e);
	o->rep.pages = clock_ms() - start;
	if (wait_dump(o, DUMP_WHOLE, rc ? NULL : e) || rc)
		return -1;
	start = clock_ms();
	rc = outgoing_images(o, &st, e) || compare(o, e) || outgoing_go_on(o, "restoring", e) ? -1 : 0;
	o->rep.images = clock_ms() - start;
	outgoing_add_round(o, &st);
	o->rep.last_pages = st.sent;
	return rc;
}

int outgoing_await_dump(struct outgoing *o, struct err *e)
{
	if (o->dumping) {
		let_dump(o, -1); /* one that still waits has touched nothing */
		pthread_join(o->dumper, NULL);
	}
	o->dumping = false;
	if (o->dump_err.text[0] && e)
		*e = o->dump_err;
	return o->dump_err.text[0] ? -1 : 0;
}

int outgoing_join_dump(struct outgoing *o, struct err *e)
{
	int rc = outgoing_await_dump(o, e);

	criu_close(&o->criu);
	return rc;
}

void outgoing_thaw(struct outgoing *o)
{
	if (!o->frozen || o->gone)
		return;
	bool half_done = outgoing_join_dump(o, NULL);
	/* Of a checkpoint that is held somebody else may just have said "go": then only the outcome counts. */
	int rc = o->begun ? journal_turn(o->ck->id, "begun frozen shipped thawed failed refused", "thawed", NULL, NULL) : 0;
	if (rc > 0 || (rc < 0 && o->ck->held)) {
		o->gone = true;
		return;
	}
	if (o->held)
		net_catch_attach(&o->catch, o->svc, NULL);
	/* A criu that was killed has left its work half done. */
	if (!half_done || service_mend(o->svc, NULL))
		cgroup_thaw(o->svc->name, NULL);
	net_quiet_end(&o->quiet);
	aside_weigh(&o->aside, ASIDE_AMONG);
	o->frozen = o->held = false;
}
