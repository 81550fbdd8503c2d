/* SPDX-License-Identifier: MIT */
#include "lib/view/top.h"

#include <errno.h>
#include <fcntl.h>
#include <langinfo.h>
#include <locale.h>
#include <math.h>
#include <poll.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "lib/base/clock.h"
#include "lib/view/dialog.h"
#include "lib/view/job.h"
#include "lib/view/screen.h"

#define REDRAW_MS 200 /* between two pictures, unless a key was pressed */
#define KEYS "q quit   up, down select   m migrate   s stop   d deploy"

struct top {
	const struct top_options *o;
	struct board board;
	struct view_lines lines;
	struct screen *screen;
	struct job probe, action;
	struct feed in, log;
	struct dialog dialog;
	char status[512];       /* what was said last */
	char doing[160];        /* the action under way */
	char name[64], id[64];  /* the selected service */
	int first;              /* line on the screen */
	bool utf8;
};

static void take_line(void *ctx, char *text)
{
	struct top *t = ctx;
	struct err e;
	AUTO_JSON struct json *rec = json_parse(text, strlen(text), &e);

	if (rec)
		board_take(&t->board, rec, clock_ms() / 1e3);
	else if (*text)
		snprintf(t->status, sizeof(t->status), "a line that is no record: %.200s", e.text);
}

static void take_words(void *ctx, char *text)
{
	struct top *t = ctx;

	if (!t->screen && t->o->say)
		t->o->say(text);
	snprintf(t->status, sizeof(t->status), "%s", text);
}

static int open_all(struct top *t, struct err *e)
{
	t->in.fd = t->log.fd = -1;
	board_init(&t->board, t->o->red);
	setlocale(LC_ALL, "");
	t->utf8 = !strcmp(nl_langinfo(CODESET), "UTF-8");
	if (t->o->log) {
		int fd = open(t->o->log, O_RDONLY | O_CLOEXEC);

		if (fd < 0)
			return err_sys(e, "%s", t->o->log);
		feed_open(&t->log, fd);
		t->log.follow = true;
	}
	if (t->o->probe)
		return job_start(&t->probe, t->o->probe, e);
	feed_open(&t->in, fcntl(STDIN_FILENO, F_DUPFD_CLOEXEC, 3));
	return 0;
}

static void close_all(struct top *t)
{
	job_end(&t->probe);
	if (t->action.pid)
		job_leave(&t->action);
	feed_close(&t->in);
	feed_close(&t->log);
	dialog_clear(&t->dialog);
	view_lines_release(&t->lines);
	board_release(&t->board);
}

static void read_job(struct top *t, struct job *j)
{
	if (!j->pid)
		return;
	feed_read(&j->out, take_line, t);
	feed_read(&j->err, take_words, t);
}

static void read_all(struct top *t)
{
	feed_read(&t->log, take_line, t);
	feed_read(&t->in, take_line, t);
	read_job(t, &t->probe);
	read_job(t, &t->action);
}

/* Waits for any of the descriptors to have something to say; those below 0 are passed over. */
static void wait_for(const struct top *t, int tty, int ms)
{
	struct pollfd p[] = {
		{ tty, POLLIN, 0 },
		{ t->in.fd, POLLIN, 0 },
		{ t->probe.pid ? t->probe.out.fd : -1, POLLIN, 0 },
		{ t->probe.pid ? t->probe.err.fd : -1, POLLIN, 0 },
		{ t->action.pid ? t->action.out.fd : -1, POLLIN, 0 },
		{ t->action.pid ? t->action.err.fd : -1, POLLIN, 0 },
	};

	poll(p, sizeof(p) / sizeof(*p), ms);
}

/* ---- once ---- */

static void print_lines(struct top *t)
{
	double now = clock_ms() / 1e3;

	board_settle(&t->board, now, INFINITY);
	view_lines_make(&t->lines, &t->board, now, INFINITY, t->o->moves, t->utf8);
	for (int i = 0; i < t->lines.n; i++)
		puts(t->lines.line[i].text);
}

int top_print(const struct top_options *o, int *status, struct err *e)
{
	struct top t = { .o = o };
	int rc = open_all(&t, e);

	*status = 0;
	while (!rc) {
		read_all(&t);
		if (o->probe ? job_ended(&t.probe, status) : t.in.fd < 0)
			break;
		wait_for(&t, -1, 20);
	}
	if (!rc)
		print_lines(&t);
	close_all(&t);
	return rc;
}

/* ---- with a person ---- */

/* The selected service's index; the first one when it is gone, -1 when there is none. */
static int selected(struct top *t)
{
	const struct board *b = &t->board;
	int at = 0;

	for (int i = 0; i < b->n_services; i++)
		if (!strcmp(b->service[i].name, t->name) && !strcmp(b->service[i].id, t->id))
			at = i;
	return b->n_services ? at : -1;
}

static void select_by(struct top *t, int step)
{
	int at = selected(t) + step, n = t->board.n_services;

	if (!n)
		return;
	at = at < 0 ? 0 : at >= n ? n - 1 : at;
	strcpy(t->name, t->board.service[at].name);
	strcpy(t->id, t->board.service[at].id);
}

static void begin_action(struct top *t)
{
	struct err e;
	size_t n = 0;

	t->doing[0] = 0;
	for (char **a = t->dialog.argv; *a && n < sizeof(t->doing); a++)
		n += (size_t)snprintf(t->doing + n, sizeof(t->doing) - n, "%s%s", n ? " " : "", *a);
	if (job_start(&t->action, t->dialog.argv, &e))
		snprintf(t->status, sizeof(t->status), "%s", e.text);
	dialog_clear(&t->dialog);
}

static void end_action(struct top *t)
{
	int status;

	if (!job_ended(&t->action, &status))
		return;
	if (!status)
		snprintf(t->status, sizeof(t->status), "done: %s", t->doing);
	else if (!t->status[0])
		snprintf(t->status, sizeof(t->status), "failed (%d): %s", status, t->doing);
}

static void begin_dialog(struct top *t, int verb)
{
	int at = selected(t);

	if (t->action.pid) {
		snprintf(t->status, sizeof(t->status), "one thing at a time: %s", t->doing);
		return;
	}
	t->status[0] = 0;
	if (!dialog_begin(&t->dialog, (char)verb, verb == 'd' || at < 0 ? NULL : &t->board.service[at]))
		snprintf(t->status, sizeof(t->status), "no service is selected");
}

/* False when it is time to leave. */
static bool press(struct top *t, int key)
{
	if (t->dialog.state != DIALOG_NONE) {
		if (key < 0x1000)
			dialog_key(&t->dialog, key);
		if (t->dialog.state == DIALOG_READY)
			begin_action(t);
		return true;
	}
	t->dialog.prompt[0] = 0;
	switch (key) {
	case 'q': return false;
	case SCREEN_UP: select_by(t, -1); break;
	case SCREEN_DOWN: select_by(t, 1); break;
	case SCREEN_PAGE_UP: select_by(t, -10); break;
	case SCREEN_PAGE_DOWN: select_by(t, 10); break;
	case 'm':
	case 's':
	case 'd': begin_dialog(t, key); break;
	}
	return true;
}

static void show(struct top *t)
{
	double now = clock_ms() / 1e3, silent = 3 * t->o->every_s + 10;
	char doing[sizeof(t->doing) + 8] = "";
	const char *status = t->dialog.prompt[0] ? t->dialog.prompt : t->status;

	if (t->action.pid && !t->dialog.prompt[0]) {
		snprintf(doing, sizeof(doing), "%s ...", t->doing);
		status = doing;
	}
	board_settle(&t->board, now, silent);
	view_lines_make(&t->lines, &t->board, now, silent, t->o->moves, t->utf8);
	screen_show(t->screen, &t->lines, &t->first, selected(t), status, KEYS);
}

static void loop(struct top *t, int tty)
{
	double shown = 0;

	for (bool stay = true, pressed = true; stay;) {
		read_all(t);
		end_action(t);
		if (pressed || clock_ms() - shown >= REDRAW_MS) {
			show(t);
			shown = clock_ms();
		}
		wait_for(t, tty, REDRAW_MS);
		pressed = false;
		for (int key; stay && (key = screen_key(t->screen)) >= 0; pressed = true)
			stay = press(t, key);
	}
}

int top_watch(const struct top_options *o, struct err *e)
{
	AUTO_FD int tty = open("/dev/tty", O_RDWR | O_CLOEXEC);
	struct top t = { .o = o };

	if (tty < 0)
		return err_sys(e, "/dev/tty");
	int rc = open_all(&t, e);
	if (!rc && !(rc = screen_open(&t.screen, tty, e))) {
		loop(&t, tty);
		screen_close(t.screen);
	}
	close_all(&t);
	return rc;
}
