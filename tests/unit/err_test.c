/* SPDX-License-Identifier: MIT */
#include "lib/base/err.h"

#include <errno.h>

#include "tests/unit/tap.h"

static int code_for(int error)
{
	struct err e = { 0 };

	errno = error;
	err_sys(&e, "x");
	return e.code;
}

int main(void)
{
	struct err e = { 0 };
	char long_text[2048];

	is_int(err_set(&e, EX_USAGE, "%s: %d", "name", 7), -1, "err_set returns -1");
	is_str(e.text, "name: 7", "err_set formats the text");
	is_int(e.code, EX_USAGE, "err_set keeps the code");
	errno = ENOENT;
	is_int(err_sys(&e, "/a/b"), -1, "err_sys returns -1");
	is_str(e.text, "/a/b: No such file or directory", "err_sys appends errno's text");
	is_int(e.code, EX_OSERR, "ENOENT is an error of the system");
	is_int(errno, ENOENT, "err_sys leaves errno alone");
	is_int(code_for(EACCES), EX_NOPERM, "EACCES is forbidden");
	is_int(code_for(EPERM), EX_NOPERM, "EPERM is forbidden");
	is_int(code_for(ENOSPC), EX_IOERR, "ENOSPC is an I/O error");
	is_int(code_for(EAGAIN), EX_TEMPFAIL, "EAGAIN is temporary");
	is_int(code_for(EBUSY), EX_TEMPFAIL, "EBUSY is temporary");
	err_set(&e, EX_IOERR, "inner");
	is_int(err_wrap(&e, "node %s", "edge2"), -1, "err_wrap returns -1");
	is_str(e.text, "node edge2: inner", "err_wrap puts the prefix before the text");
	is_int(e.code, EX_IOERR, "err_wrap keeps the code");
	err_set(&e, EX_IOERR, "[%s]", e.text);
	is_str(e.text, "[node edge2: inner]", "the text itself may be an argument");
	err_set(&e, EX_IOERR, "a\nb\tc\033[1m");
	is_str(e.text, "a b c [1m", "the text stays one printable line");
	memset(long_text, 'x', sizeof(long_text) - 1);
	long_text[sizeof(long_text) - 1] = '\0';
	err_set(&e, EX_IOERR, "%s", long_text);
	is_int((long long)strlen(e.text), sizeof(e.text) - 1, "a long text is cut");
	is_int(err_set(NULL, 1, "x") + err_sys(NULL, "x") + err_wrap(NULL, "x"), -3, "a NULL err is allowed");
	return done();
}
