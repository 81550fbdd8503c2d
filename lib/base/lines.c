/* SPDX-License-Identifier: MIT */
#include "lib/base/lines.h"

#include <errno.h>
#include <stdbool.h>
#include <string.h>

#define BLOCK          ((size_t)256 << 10)
#define LINE_MAX_BYTES ((size_t)16 << 20)

struct lines {
	int fd;
	char *name;
	FILE *out;
	char *buf;
	size_t at, end, room; /* buf[at, end) has not been given out */
	bool over, blank; /* blank: such lines are given out */
	unsigned long number;
};

struct lines *lines_open(int fd, const char *name, FILE *out)
{
	struct lines *l = calloc(1, sizeof(*l));

	if (!l)
		abort();
	l->fd = fd;
	l->out = out;
	l->name = strdup(name);
	l->room = 2 * BLOCK;
	l->buf = malloc(l->room);
	if (!l->name || !l->buf)
		abort();
	return l;
}

void lines_free(struct lines *l)
{
	if (!l)
		return;
	free(l->name);
	free(l->buf);
	free(l);
}

void lines_keep_blank(struct lines *l)
{
	l->blank = true;
}

static int cannot_write(struct err *e)
{
	err_sys(e, "cannot write");
	if (e)
		e->code = EX_IOERR;
	return -1;
}

/* Reads more behind what is there, which moves to the front. */
static int fill(struct lines *l, struct err *e)
{
	ssize_t n;

	if (l->at > 0) {
		memmove(l->buf, l->buf + l->at, l->end - l->at);
		l->end -= l->at;
		l->at = 0;
	}
	if (l->room - l->end < BLOCK) {
		l->room *= 2;
		l->buf = realloc(l->buf, l->room);
		if (!l->buf)
			abort();
	}
	if (l->out && fflush(l->out))
		return cannot_write(e);
	do
		n = read(l->fd, l->buf + l->end, l->room - l->end);
	while (n < 0 && errno == EINTR);
	if (n < 0)
		return err_sys(e, "%s: cannot read", l->name);
	l->over = n == 0;
	l->end += (size_t)n;
	return 0;
}

static bool is_blank(const char *p, size_t n)
{
	while (n > 0 && (*p == ' ' || *p == '\t' || *p == '\r')) {
		p++;
		n--;
	}
	return n == 0;
}

int lines_next(struct lines *l, const char **line, size_t *len, struct err *e)
{
	size_t seen = 0; /* no newline in these bytes from `at` on */

	for (;;) {
		char *start = l->buf + l->at, *nl = memchr(start + seen, '\n', l->end - l->at - seen);

		seen = l->end - l->at;
		if (!nl && !l->over && seen <= LINE_MAX_BYTES) {
			if (fill(l, e))
				return -1;
			continue;
		}
		*len = nl ? (size_t)(nl - start) : seen;
		l->number++;
		if (*len > LINE_MAX_BYTES)
			return err_set(e, EX_DATAERR, "%s: line %lu: longer than 16 MB", l->name, l->number);
		if (!nl && seen == 0)
			return 0;
		l->at += *len + (nl != NULL);
		seen = 0;
		*line = start;
		if (!is_blank(start, *len))
			return 1;
		if (l->blank) {
			*len = 0;
			return 1;
		}
	}
}

int lines_wrap(const struct lines *l, struct err *e)
{
	return err_wrap(e, "%s: line %lu", l->name, l->number);
}

int lines_pass(FILE *out, const char *line, size_t len, struct err *e)
{
	if (fwrite_unlocked(line, 1, len, out) != len || putc_unlocked('\n', out) == EOF)
		return cannot_write(e);
	return 0;
}
