/* SPDX-License-Identifier: MIT */
/* Memory copied while the service runs: rounds, until what is left is little enough for the freeze. */
#include <string.h>

#include "lib/base/clock.h"
#include "lib/base/proc.h"
#include "lib/engine/cgroup.h"
#include "lib/engine/engine.h"
#include "lib/move/outgoing_int.h"

#define ROUNDS_MAX 8     /* of a service whose writes are found by reading all of it */
#define FEW_PAGES 256    /* that changed in such a round: the next one is the freeze */
#define FIXED_MS 40.0    /* of the pause have nothing to do with pages */
#define RUNC_MS 100.0    /* more, where runc starts and ends it */
#define LEAST_MS 5.0     /* of pages, however short the pause is to be */
#define LEARN_PAGES 1024 /* a round of so many tells what a page costs, and one of fewer what a round does, at least so much: */
#define ROUND_MS 5.0
#define SHRINKS 0.8      /* a round with more than that of the pages of the one before does not get nearer */
#define NEARER 0.9       /* with less than that of the least so far it does */
#define HOT_MS 10000     /* of waiting for a calmer moment, when no round gets nearer; of long ones so many: */
#define HOT_ROUNDS 2
#define THROTTLE 0.5     /* of the processor time that it had, at each step */
#define THROTTLE_MIN 0.02
#define QUIET_PAGES_MS 2.0 /* of pages written meanwhile are worth a further round, as long as it gets less */

static int find_runs(struct outgoing *o, bool final, struct err *e)
{
	AUTO_FREE pid_t *pids = NULL;
	int n;

	if (outgoing_pids(o, &pids, &n, e))
		return -1;
	if (!o->track)
		return memory_runs(pids, (size_t)n, &o->runs, e);
	return final ? track_last_round(o->track, pids, (size_t)n, &o->criu.hidden, &o->runs, e) :
		       track_round(o->track, pids, (size_t)n, &o->runs, e);
}

int outgoing_find_runs(struct outgoing *o, bool final, struct err *e)
{
	double start = clock_ms();
	int rc = find_runs(o, final, e);

	if (final) /* criu waits for it, whatever became of it */
		criu_pages_known(&o->criu.hidden);
	o->rep.scan = clock_ms() - start;
	return rc;
}

int outgoing_memory_round(struct outgoing *o, bool ask, bool final, struct pages_stats *st, struct err *e)
{
	/* While its pages are looked at the service may wait for us; not while they are sent. */
	if (outgoing_find_runs(o, final, e))
		return -1;
	if (!o->yields)
		return sender_round(o->sender, &o->runs, ask, final, st, e);
	proc_yield(); /* to the service, above all */
	aside_weigh(&o->aside, ASIDE_AFTER);
	int rc = sender_round(o->sender, &o->runs, ask, final, st, e);
	proc_unhurry();
	aside_weigh(&o->aside, ASIDE_AMONG);
	return rc;
}

void outgoing_add_round(struct outgoing *o, const struct pages_stats *st)
{
	struct pages_stats *all = &o->rep.memory;

	all->looked_at += st->looked_at;
	all->changed += st->changed;
	all->zero += st->zero;
	all->there += st->there;
	all->sent += st->sent;
	all->raw_bytes += st->raw_bytes;
	all->sent_bytes += st->sent_bytes;
	if (o->rep.rounds < ROUNDS_NOTED)
		o->rep.round[o->rep.rounds] = *st;
	o->rep.rounds++;
}

int outgoing_track(struct outgoing *o, struct err *e)
{
	return o->opt.by_digest ? 0 : track_new(&o->track, e);
}

/* Is every process of it tracked? */
static bool all_tracked(const struct outgoing *o)
{
	struct track_stats s = { 0 };

	if (o->track)
		s = track_stats(o->track);
	return s.processes && s.tracked == s.processes;
}

static double fixed_ms(const struct outgoing *o)
{
	return o->engine && o->engine != &engine_process ? FIXED_MS + RUNC_MS : FIXED_MS;
}

static void learn_round(struct pace *p, double ms)
{
	ms = ms > ROUND_MS ? ms : ROUND_MS;
	if (!p->round_ms || ms < p->round_ms)
		p->round_ms = ms;
}

/* What a round says about the next one, and about the freeze. */
static int paced_round(struct outgoing *o, struct pages_stats *st, struct err *e)
{
	struct pace *p = &o->pace;
	double start = clock_ms(), since = start - p->at;

	if (outgoing_memory_round(o, true, false, st, e))
		return -1;
	outgoing_add_round(o, st);
	if (!p->page_ms || st->changed > LEARN_PAGES)
		p->page_ms = st->ms / (double)(st->changed ? st->changed : 1);
	else
		learn_round(p, clock_ms() - start - (double)st->changed * p->page_ms);
	if (p->at)
		p->written = (double)st->changed / since;
	p->at = start;
	p->left_ms = p->written * (clock_ms() - start) * p->page_ms;
	o->rep.predicted = fixed_ms(o) + p->left_ms;
	o->rep.dirty_bps = p->written * PAGE_BYTES * 1000;
	o->rep.link_bps = PAGE_BYTES * 1000 / p->page_ms;
	return 0;
}

static bool fits(const struct outgoing *o)
{
	double most = o->opt.max_pause_ms - FIXED_MS;

	return o->pace.left_ms <= (most > LEAST_MS ? most : LEAST_MS);
}

/* ---- a service that writes faster than that gets through ---- */

/* Less processor time for it: half of what it had since the last time, each time. */
static int throttle(struct outgoing *o, struct err *e)
{
	double used = 0, now = clock_ms();
	uint64_t bytes;

	if (cgroup_usage(o->svc->name, &used, &bytes, e))
		return -1;
	if (o->cpu_at) {
		double share = (used - o->cpu_used) * 1000 / (now - o->cpu_at) * THROTTLE;

		if (cgroup_limit_cpu(o->svc, share > THROTTLE_MIN ? share : THROTTLE_MIN, e))
			return -1;
		o->throttled = true;
		o->rep.throttled++;
	}
	o->cpu_used = used;
	o->cpu_at = now;
	return 0;
}

void outgoing_unthrottle(struct outgoing *o)
{
	if (o->throttled && !o->retired)
		cgroup_limit_cpu(o->svc, o->svc->cpu, NULL);
	o->throttled = false;
}

/* 0: another round, 1: it is frozen as it is, -1. */
static int heat(struct outgoing *o, double round_ms, struct err *e)
{
	double begun;

	if (o->yields) { /* it may be other work that leaves us no time: first at an equal weight */
		o->yields = false;
		return 0;
	}
	if (!o->hot_at) {
		o->hot_at = clock_ms();
		o->rep.hot = true;
		if (o->opt.hot)
			o->opt.hot(o->opt.ctx, o->rep.dirty_bps, o->rep.link_bps);
	}
	if (o->opt.on_hot == HOT_ABORT)
		return err_set(e, EX_TEMPFAIL, "service %s: writes %.0f MB/s of memory, and %.0f MB/s get through: it goes on here",
			       o->svc->name, o->rep.dirty_bps / 1e6, o->rep.link_bps / 1e6);
	o->post_copy |= o->opt.on_hot == HOT_POST_COPY;
	begun = o->pace.least_at > o->hot_at ? o->pace.least_at : o->hot_at;
	if (o->post_copy || clock_ms() > begun + HOT_MS + HOT_ROUNDS * round_ms)
		return 1;
	return o->opt.on_hot == HOT_THROTTLE ? throttle(o, e) : 0;
}

/* ---- rounds ---- */

static int tracked_rounds(struct outgoing *o, struct err *e)
{
	uint64_t before = UINT64_MAX;
	int rc = 0;

	for (int i = 0; !rc; i++) {
		struct pages_stats st = { 0 };

		if (paced_round(o, &st, e))
			return -1;
		if (!all_tracked(o) || (o->rep.rounds > 1 && fits(o)))
			return 0;
		if (!o->pace.least || (double)st.changed < NEARER * (double)o->pace.least) {
			o->pace.least = st.changed;
			o->pace.least_at = clock_ms();
		}
		if (i && (double)st.changed > SHRINKS * (double)before)
			rc = heat(o, st.ms, e);
		before = st.changed;
	}
	return rc < 0 ? -1 : 0;
}

/* Each of these reads all memory. */
static int digest_rounds(struct outgoing *o, struct err *e)
{
	struct pages_stats first = o->rep.round[0], before = first;

	for (int i = 1; i < ROUNDS_MAX && before.changed >= FEW_PAGES; i++) {
		struct pages_stats st = { 0 };

		if (paced_round(o, &st, e))
			return -1;
		if (!pages_round_pays(&first, &before, &st))
			break;
		before = st;
	}
	return 0;
}

/* Each further one is worth it as long as it halves what is left: what comes late costs more, in waiting and in risk. */
static int post_copy_rounds(struct outgoing *o, struct err *e)
{
	uint64_t before = UINT64_MAX;

	for (;;) {
		struct pages_stats st = { 0 };

		if (paced_round(o, &st, e))
			return -1;
		if (!all_tracked(o) || (o->rep.rounds > 1 && fits(o)) || st.changed > before / 2)
			break;
		before = st.changed;
	}
	o->rep.predicted = fixed_ms(o);
	return 0;
}

static int rounds(struct outgoing *o, struct err *e)
{
	struct pages_stats st = { 0 };

	if (outgoing_track(o, e))
		return -1;
	/* Without marks all pages would be late, also those that were sent. */
	if (o->post_copy && !o->track)
		return 0;
	if (o->post_copy)
		return post_copy_rounds(o, e);
	if (paced_round(o, &st, e))
		return -1;
	int rc = all_tracked(o) ? tracked_rounds(o, e) : digest_rounds(o, e);
	if (o->post_copy) /* now it is */
		o->rep.predicted = fixed_ms(o);
	return rc;
}

int outgoing_rounds(struct outgoing *o, struct err *e)
{
	o->yields = true;
	int rc = rounds(o, e);
	o->yields = false;
	return rc;
}

/* Of what is left now the next round leaves so much as is written while it is sent, and while it does what each has to do. One in
 * which something held us up makes a service look hot that is not: another one shows. */
int outgoing_more_rounds(struct outgoing *o, int most, double limit_ms, struct err *e)
{
	struct pace *p = &o->pace;
	double end = clock_ms() + limit_ms;

	for (int i = 0; i < most && clock_ms() < end && all_tracked(o) && (!o->post_copy || fits(o)); i++) {
		double share = p->written * p->page_ms, left = share * (clock_ms() - p->at);
		bool pays = share * (left + p->round_ms) < SHRINKS * left;
		struct pages_stats st = { 0 };

		if (left <= QUIET_PAGES_MS || (!pays && (p->doubted || share < SHRINKS)))
			break;
		p->doubted = !pays;
		if (paced_round(o, &st, e))
			return -1;
	}
	return 0;
}
