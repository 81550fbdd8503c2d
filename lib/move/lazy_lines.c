/* SPDX-License-Identifier: MIT */
#include "lib/move/lazy_lines.h"

#include <pthread.h>
#include <string.h>
#include <unistd.h>

#include "lib/base/clock.h"
#include "lib/base/proc.h"
#include "lib/move/bulk.h"
#include "lib/move/late.h"
#include "lib/move/pages.h"
#include "lib/move/pulse.h"
#include "lib/move/wire.h"

struct lazy_lines {
	struct bulk *bulk;
	struct lazy_fill *fill;
	int note;
	pthread_mutex_t lock; /* of all below */
	struct stream *asks;  /* the line over which pages are asked for; NULL: the source is not there */
	struct pulse *pulse;  /* of that one */
	double since;         /* the source is there, or is not */
};

/* The lock is held. */
static void note(struct lazy_lines *l)
{
	const char *text = l->asks ? "the rest of its memory is coming from the source" :
				     "its memory is not all here, and the source does not send it";

	if (ftruncate(l->note, 0) || pwrite(l->note, text, strlen(text), 0) < 0)
		return; /* then nobody can read it */
}

static int take(void *ctx, uint64_t object, uint64_t addr, uint64_t pages, const void *data, struct err *e)
{
	struct lazy_lines *l = ctx;

	return lazy_fill_late(l->fill, (struct late_run){ object, addr, pages }, data, e);
}

static int tell_lacking(struct lazy_lines *l, struct stream *s, struct err *e)
{
	AUTO_FREE struct late_run *list = NULL;
	AUTO_FREE uint8_t *buf = malloc(LATE_LIST * LATE_BYTES);
	size_t n, some;
	int rc;

	if (!buf)
		return err_set(e, EX_OSERR, "out of memory");
	rc = lazy_fill_lacking(l->fill, &list, &n, e);
	if (rc > 0)
		err_set(e, EX_TEMPFAIL, "what lacks is not known yet");
	/* The last one is empty. */
	for (size_t i = 0; !rc && i <= n; i += some) {
		some = n - i < LATE_LIST ? n - i : LATE_LIST;
		for (size_t k = 0; k < some; k++)
			late_put(buf + k * LATE_BYTES, &list[i + k]);
		rc = wire_send(s, FRAME_LACK, buf, some * LATE_BYTES, NULL, 0, e);
		if (!some)
			break;
	}
	return rc ? -1 : 0;
}

static void stop_all(void *ctx)
{
	const struct lazy_lines *l = ctx;

	bulk_stop(l->bulk, NULL);
}

/* A source that comes again has given up its lines of before. */
static int begin_asking(struct lazy_lines *l, struct stream *s, struct err *e)
{
	pthread_mutex_lock(&l->lock);
	pulse_end(TAKE_PTR(l->pulse));
	if (l->asks)
		stream_stop(l->asks);
	l->asks = s;
	l->since = clock_ms();
	int rc = pulse_start(&l->pulse, s, NULL, stop_all, l, e);
	note(l);
	pthread_mutex_unlock(&l->lock);
	if (!rc)
		lazy_fill_ask_again(l->fill);
	return rc;
}

static void end_asking(struct lazy_lines *l, const struct stream *s)
{
	struct pulse *pulse = NULL;

	pthread_mutex_lock(&l->lock);
	if (l->asks == s) {
		l->asks = NULL;
		l->since = clock_ms();
		pulse = TAKE_PTR(l->pulse);
		note(l);
	}
	pthread_mutex_unlock(&l->lock);
	pulse_end(pulse);
}

static int on_call(void *ctx, struct stream *s, const struct json *call, struct err *e)
{
	const char *verb = json_str(call, "verb");
	struct err why = { 0 };
	int rc;

	if (verb && !strcmp(verb, "lacking"))
		rc = tell_lacking(ctx, s, &why);
	else if (verb && !strcmp(verb, "ask"))
		rc = begin_asking(ctx, s, &why);
	else
		rc = err_set(&why, EX_DATAERR, "unknown verb for late pages");
	return rc ? wire_send_error(s, &why, e) : 0;
}

static void line(void *ctx, struct stream *s)
{
	const struct page_sink sink = { take, on_call, ctx };

	proc_hurry(0); /* also one whose pages are not waited for: events of the process are, while it puts them in place */
	receiver_pour(s, &sink, NULL);
	end_asking(ctx, s);
}

int lazy_lines_new(struct lazy_lines **out, const char *move, struct lazy_fill *fill, int note_fd, struct err *e)
{
	struct lazy_lines *l = calloc(1, sizeof(*l));
	char name[BULK_NAME_MAX];

	if (!l)
		return err_set(e, EX_OSERR, "out of memory");
	pthread_mutex_init(&l->lock, NULL);
	l->fill = fill;
	l->note = note_fd;
	l->since = clock_ms();
	if (bulk_listen(&l->bulk, bulk_late_name(move, name), line, l, e)) {
		free(l);
		return -1;
	}
	*out = l;
	return 0;
}

void lazy_lines_ask(struct lazy_lines *l, struct late_run run)
{
	uint8_t buf[LATE_BYTES];

	late_put(buf, &run);
	pthread_mutex_lock(&l->lock);
	/* One that breaks is replaced, and then all is asked for again. */
	if (l->asks)
		wire_send(l->asks, FRAME_LACK, buf, sizeof(buf), NULL, 0, NULL);
	pthread_mutex_unlock(&l->lock);
}

double lazy_lines_silent_ms(struct lazy_lines *l)
{
	pthread_mutex_lock(&l->lock);
	double ms = l->asks ? 0 : clock_ms() - l->since;
	pthread_mutex_unlock(&l->lock);
	return ms;
}

void lazy_lines_end(struct lazy_lines *l, int timeout_ms)
{
	for (double end = clock_ms() + timeout_ms; bulk_lines(l->bulk) && clock_ms() < end; usleep(1000))
		;
	bulk_free(l->bulk);
	pthread_mutex_destroy(&l->lock);
	free(l);
}
