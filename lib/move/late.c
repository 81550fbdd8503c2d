/* SPDX-License-Identifier: MIT */
#include "lib/move/late.h"

#include <poll.h>
#include <pthread.h>
#include <string.h>

#include "lib/base/clock.h"
#include "lib/base/proc.h"
#include "lib/engine/cgroup.h"
#include "lib/move/bulk.h"
#include "lib/move/outcome.h"
#include "lib/move/pulse.h"

#define LINES 3 /* the first one is asked over */
#define ASK_MS 2000
#define PAUSE_MS 2000 /* between two tries, at most */

struct line {
	const struct late *late;
	struct stream *stream;
	struct err err;
	bool refused;
	pthread_t thread;
};

struct late {
	struct ssh_target to;
	char move[64];
	int timeout_ms;
	struct line line[LINES];
	struct image *im;
	struct {
		uint64_t object;
		pid_t pid;
	} *process; /* owned */
	int n_processes;
	struct sender *answers, *rest;
	struct pulse *pulse;
	pthread_t answerer;
	bool answering;
	struct page_runs runs;
	struct late_stats stats;
};

/* ---- lines ---- */

static void *join_move(void *arg)
{
	struct line *l = arg;
	AUTO_JSON struct json *answer = NULL;
	struct json *call = wire_request("attach");
	AUTO_STREAM struct stream *s = ssh_open(&l->late->to, l->late->timeout_ms, &l->err);
	char name[BULK_NAME_MAX];
	int rc;

	json_set_str(call, "move", bulk_late_name(l->late->move, name));
	if (!s || wire_greet(s, &l->err)) {
		json_free(call);
		return NULL;
	}
	rc = wire_ask(s, call, &answer, &l->err);
	l->refused = rc > 0;
	if (!rc)
		l->stream = TAKE_PTR(s);
	return NULL;
}

static void hang_up(struct late *l)
{
	for (int i = 0; i < LINES; i++)
		if (l->line[i].stream)
			stream_stop(l->line[i].stream);
	pulse_end(TAKE_PTR(l->pulse));
	if (l->answering)
		pthread_join(l->answerer, NULL);
	l->answering = false;
	if (l->answers)
		sender_free(TAKE_PTR(l->answers));
	if (l->rest)
		sender_free(TAKE_PTR(l->rest));
	for (int i = 0; i < LINES; i++) {
		if (!l->line[i].stream)
			continue;
		l->stats.wire_bytes += stream_sent(l->line[i].stream);
		stream_free(TAKE_PTR(l->line[i].stream));
	}
}

/* 0; 1 refused: nobody is there who wants pages; -1. */
static int connect_lines(struct late *l, struct err *e)
{
	bool refused = false, failed = false, aside[LINES];

	for (int i = 0; i < LINES; i++) {
		l->line[i] = (struct line){ .late = l };
		aside[i] = !pthread_create(&l->line[i].thread, NULL, join_move, &l->line[i]);
		if (!aside[i])
			join_move(&l->line[i]);
	}
	for (int i = 0; i < LINES; i++) {
		struct line *line = &l->line[i];

		if (aside[i])
			pthread_join(line->thread, NULL);
		if (!line->stream && !failed && e)
			*e = line->err;
		failed |= !line->stream;
		refused |= line->refused;
	}
	l->stats.connected += !failed;
	if (failed)
		hang_up(l);
	return refused ? 1 : failed ? -1 : 0;
}

int late_open(struct late **out, const struct ssh_target *to, const char *move, int timeout_ms, struct err *e)
{
	AUTO_LATE struct late *l = calloc(1, sizeof(*l));

	if (!l)
		return err_set(e, EX_OSERR, "out of memory");
	l->to = *to;
	snprintf(l->move, sizeof(l->move), "%s", move);
	l->timeout_ms = timeout_ms;
	int rc = connect_lines(l, e);
	if (!rc)
		*out = TAKE_PTR(l);
	return rc;
}

void late_free(struct late *l)
{
	hang_up(l);
	page_runs_clear(&l->runs);
	free(l->process);
	free(l);
}

struct late_stats late_stats(const struct late *l)
{
	return l->stats;
}

/* ---- pages ---- */

/* CRIU has been so good as to name an address space like its process. */
static pid_t pid_of(const struct late *l, uint64_t object)
{
	for (int i = 0; i < l->n_processes; i++)
		if (l->process[i].object == object)
			return l->process[i].pid;
	return 0;
}

static int add_runs(const struct late *l, struct late_run lack, struct page_runs *out, struct err *e)
{
	struct page_run run = { .object = lack.object, .pid = pid_of(l, lack.object) };

	if (!run.pid)
		return err_set(e, EX_DATAERR, "memory: it lacks pages of object %llu, which is no process here",
			       (unsigned long long)lack.object);
	for (uint64_t i = 0; i < lack.pages; i += run.pages) {
		uint64_t left = lack.pages - i;

		run.addr = run.vaddr = lack.addr + i * PAGE_BYTES;
		run.pages = left < RUN_PAGES ? (uint32_t)left : RUN_PAGES;
		if (page_runs_add(out, &run))
			return err_set(e, EX_OSERR, "out of memory");
	}
	return 0;
}

static int add_frame(const struct late *l, const struct frame *f, struct page_runs *out, struct err *e)
{
	for (size_t at = 0; at + LATE_BYTES <= f->len; at += LATE_BYTES)
		if (add_runs(l, late_get(f->data + at), out, e))
			return -1;
	return 0;
}

/* Until its line ends. */
static void *answer(void *arg)
{
	struct late *l = arg;
	struct page_runs runs = { 0 };
	AUTO_FRAME struct frame f = { 0 };
	struct err e;
	int rc = 0;

	proc_hurry(0);
	while (!rc && !wire_expect(l->line[0].stream, FRAME_LACK, &f, &e)) {
		runs.n = runs.pages = 0;
		rc = add_frame(l, &f, &runs, &e);
		for (size_t i = 0; i < runs.n && !rc; i++)
			rc = sender_now(l->answers, &runs.run[i], &e);
		l->stats.asked += runs.pages;
	}
	page_runs_clear(&runs);
	/* The other lines are no good without this one. */
	for (int i = 0; i < LINES; i++)
		stream_stop(l->line[i].stream);
	return NULL;
}

static void stop_all(void *ctx)
{
	struct late *l = ctx;

	for (int i = 0; i < LINES; i++)
		stream_stop(l->line[i].stream);
}

static int begin(struct late *l, struct err *e)
{
	struct stream *rest[LINES - 1];
	AUTO_JSON struct json *call = wire_request("ask");

	for (int i = 1; i < LINES; i++)
		rest[i - 1] = l->line[i].stream;
	if (sender_new(&l->answers, l->im, &l->line[0].stream, 1, e) || sender_new(&l->rest, l->im, rest, LINES - 1, e))
		return -1;
	sender_send_all(l->answers);
	sender_send_all(l->rest);
	if (wire_send_json(l->line[0].stream, FRAME_CALL, call, e) ||
	    pulse_start(&l->pulse, l->line[0].stream, NULL, stop_all, l, e))
		return -1;
	l->answering = !pthread_create(&l->answerer, NULL, answer, l);
	return l->answering ? 0 : err_set(e, EX_OSERR, "cannot start a thread");
}

int late_begin(struct late *l, const struct service *s, struct image *im, struct err *e)
{
	AUTO_FREE pid_t *pids = NULL;
	int n;

	l->im = im;
	if (cgroup_pids(s->name, &pids, &n, e))
		return -1;
	l->process = calloc((size_t)n + 1, sizeof(*l->process));
	if (!l->process)
		return err_set(e, EX_OSERR, "out of memory");
	for (int i = 0; i < n; i++) {
		l->process[i].object = (uint64_t)memory_ns_pid(pids[i]);
		l->process[i].pid = pids[i];
	}
	l->n_processes = n;
	return begin(l, e);
}

/* All that lacks now. */
static int bring(struct late *l, struct err *e)
{
	struct stream *s = l->line[1].stream;
	AUTO_JSON struct json *call = wire_request("lacking");
	AUTO_FRAME struct frame f = { 0 };

	if (!l->answering) /* it could not begin */
		return -1;
	if (wire_send_json(s, FRAME_CALL, call, e))
		return -1;
	l->runs.n = l->runs.pages = 0;
	do
		if (wire_expect(s, FRAME_LACK, &f, e) || add_frame(l, &f, &l->runs, e))
			return -1;
	while (f.len);
	return sender_round(l->rest, &l->runs, false, true, &l->stats.pages, e);
}

/* The service is not to be kept waiting for a link that is there again. */
static int connect_again(struct late *l, double end, const struct late_hooks *hooks, struct err *e)
{
	int rc, pause_ms = 50;

	for (;;) {
		rc = connect_lines(l, e);
		if (rc >= 0 || clock_ms() + pause_ms > end || (hooks && hooks->interrupted && hooks->interrupted(hooks->ctx)))
			return rc;
		poll(NULL, 0, pause_ms);
		pause_ms = pause_ms * 2 > PAUSE_MS ? PAUSE_MS : pause_ms * 2;
	}
}

/* Nobody takes pages there: is it that all have come? */
static enum late_end ended(const struct late *l)
{
	switch (outcome_learn(&l->to, l->move, ASK_MS, NULL)) {
	case OUTCOME_DIED:
		return LATE_DIED;
	case OUTCOME_UNKNOWN:
		return LATE_LOST;
	default:
		return LATE_DONE;
	}
}

enum late_end late_deliver(struct late *l, int deadline_ms, const struct late_hooks *hooks, struct err *e)
{
	double start = clock_ms(), end = start + deadline_ms;
	enum late_end how = LATE_DONE;
	uint64_t sent = 0;

	proc_unhurry(); /* what was asked for comes first */
	while (bring(l, e)) {
		hang_up(l);
		if (hooks && hooks->lost)
			hooks->lost(hooks->ctx, e->text);
		if (l->stats.pages.sent > sent) /* as long as it gets on */
			end = clock_ms() + deadline_ms;
		sent = l->stats.pages.sent;
		int rc = clock_ms() > end ? -1 : connect_again(l, end, hooks, e);
		if (rc) {
			how = rc > 0 ? ended(l) : LATE_LOST;
			break;
		}
		begin(l, e);
	}
	hang_up(l);
	l->stats.ms += clock_ms() - start;
	return how;
}
