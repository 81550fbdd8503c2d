/* SPDX-License-Identifier: MIT */
#include "lib/base/err.h"

#include <errno.h>
#include <stdio.h>
#include <string.h>

/* Text of other programs and of peers ends up in here: an error stays one printable line. */
static void one_line(char *s)
{
	for (; *s; s++)
		if ((unsigned char)*s < ' ' || *s == 0x7f)
			*s = ' ';
}

static int code_of(int error)
{
	switch (error) {
	case EACCES:
	case EPERM:
		return EX_NOPERM;
	case ENOSPC:
	case EIO:
	case EPIPE:
		return EX_IOERR;
	case EAGAIN:
	case EBUSY:
		return EX_TEMPFAIL;
	default:
		return EX_OSERR;
	}
}

int (err_set)(struct err *e, int code, const char *fmt, ...)
{
	char text[sizeof(e->text)]; /* the arguments may point into e->text */
	va_list ap;

	if (!e)
		return -1;
	va_start(ap, fmt);
	vsnprintf(text, sizeof(text), fmt, ap);
	va_end(ap);
	one_line(text);
	e->code = code;
	memcpy(e->text, text, sizeof(text));
	return -1;
}

int (err_sys)(struct err *e, const char *fmt, ...)
{
	int error = errno;
	char text[sizeof(e->text)];
	va_list ap;

	va_start(ap, fmt);
	vsnprintf(text, sizeof(text), fmt, ap);
	va_end(ap);
	err_set(e, code_of(error), "%s: %s", text, strerror(error));
	errno = error;
	return -1;
}

int (err_wrap)(struct err *e, const char *fmt, ...)
{
	char prefix[sizeof(e->text)];
	va_list ap;

	if (!e)
		return -1;
	va_start(ap, fmt);
	vsnprintf(prefix, sizeof(prefix), fmt, ap);
	va_end(ap);
	return err_set(e, e->code, "%s: %s", prefix, e->text);
}
