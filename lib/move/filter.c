/* SPDX-License-Identifier: MIT */
#include "lib/move/filter.h"

#include <errno.h>
#include <poll.h>
#include <string.h>

static bool wanted(const struct json *rec, const char *const kinds[])
{
	const char *kind = json_str(rec, "kind");

	for (int i = 0; kind && kinds[i]; i++)
		if (!strcmp(kind, kinds[i]))
			return true;
	return false;
}

struct pipe_ends {
	int in, out;
	bool lost; /* the reader of `out` is gone */
};

static ssize_t read_while_wanted(void *cookie, char *buf, size_t n)
{
	struct pipe_ends *ends = cookie;
	struct pollfd p[2] = { { ends->in, POLLIN, 0 }, { ends->out, 0, 0 } };

	while (poll(p, 2, -1) < 0)
		if (errno != EINTR)
			return -1;
	ends->lost = p[1].revents & (POLLERR | POLLHUP | POLLNVAL);
	if (!ends->lost)
		return read(ends->in, buf, n);
	errno = EPIPE;
	return -1;
}

/* 1 passed on or converted, 0 failed and told, -1 the filter cannot go on. */
static int take(const struct json *rec, const char *line, FILE *out, const char *const kinds[], filter_fn *fn, void *ctx,
		void (*tell)(const struct err *), struct err *e)
{
	AUTO_JSON struct json *made = NULL;
	struct err why = { 0 };
	int rc;

	if (!wanted(rec, kinds))
		return record_pass(out, line, e) ? -1 : 1;
	rc = fn(rec, ctx, &made, &why);
	if (rc < 0)
		tell(&why);
	if (rc)
		return 0;
	return record_print(out, made, e) ? -1 : 1;
}

int filter_records(FILE *in, FILE *out, const char *const kinds[], filter_fn *fn, void *ctx,
		   void (*tell)(const struct err *), int *failed, struct err *e)
{
	struct pipe_ends ends = { fileno(in), fileno(out), false };
	AUTO_FILE FILE *f = fopencookie(&ends, "r", (cookie_io_functions_t){ .read = read_while_wanted });
	AUTO_RECORDS struct records *r = records_open(f, "stdin");
	int rc;

	if (!f)
		return err_set(e, EX_OSERR, "out of memory");
	for (;;) {
		AUTO_JSON struct json *rec = NULL;

		rc = records_next(r, &rec, e);
		if (rc < 0 && ends.lost)
			return err_set(e, EX_IOERR, "cannot write: %s", strerror(EPIPE));
		if (rc <= 0)
			return rc;
		rc = take(rec, records_line(r), out, kinds, fn, ctx, tell, e);
		if (rc < 0)
			return -1;
		*failed += !rc;
	}
}
