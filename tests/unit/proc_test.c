/* SPDX-License-Identifier: MIT */
#include "lib/base/proc.h"

#include <signal.h>
#include <stdlib.h>

#include "lib/base/auto.h"
#include "lib/base/clock.h"
#include "lib/base/file.h"
#include "tests/unit/tap.h"

#define RUN(...) ((const char *const[]){ __VA_ARGS__, NULL })

static void test_output(void)
{
	struct err e = { 0 };
	char *out = NULL;

	is_int(proc_run(RUN("sh", "-c", "echo one; echo two; echo err >&2"), &out, 5000, &e), 0,
	       "a program runs");
	is_str(out, "one\ntwo\n", "... and gives its stdout");
	free(out);
	is_int(proc_run(RUN("true"), &out, 0, &e), 0, "a program may say nothing");
	is_str(out, "", "... and gives an empty text");
	free(out);
	is_int(proc_run(RUN("echo", "$HOME; *"), &out, 0, &e), 0, "no shell");
	is_str(out, "$HOME; *\n", "... changes the arguments");
	free(out);
	is_int(proc_run(RUN("cat"), NULL, 5000, &e), 0, "stdin is empty");
	is_int(proc_run(RUN("sh", "-c",
	                    "head -c 3000000 /dev/zero | tr '\\0' x; head -c 300000 /dev/zero >&2"),
	                &out, 0, &e),
	       0, "much output does not block");
	is_int((long long)strlen(out), 3000000, "... and is complete");
	free(out);
	signal(SIGPIPE, SIG_IGN);
	is_int(proc_run(RUN("sh", "-c", "kill -PIPE $$; exit 0"), NULL, 5000, &e), -1,
	       "SIGPIPE has its usual effect");
	is_str(e.text, "sh: killed by signal 13", "... and the signal is told");
}

static void test_failures(void)
{
	struct err e = { 0 };
	char *out = (char *)"untouched";
	double t;

	is_int(proc_run(RUN("sh", "-c", "echo a >&2; echo 'the reason' >&2; echo >&2; exit 3"), &out, 0, &e),
	       -1, "failing");
	is_str(e.text, "sh: the reason", "... quotes the last line of stderr that is not empty");
	is_str(out, "untouched", "... and leaves the output alone");
	proc_run(RUN("/bin/sh", "-c", "echo 'sh: said' >&2; exit 3"), NULL, 0, &e);
	is_str(e.text, "sh: said", "the program's name is not doubled");
	proc_run(RUN("sh", "-c", "exit 7"), NULL, 0, &e);
	is_str(e.text, "sh: exit status 7", "without words the status is told");
	is_int(proc_run(RUN("no-such-program"), NULL, 0, &e), -1, "a missing program");
	is_str(e.text, "no-such-program: cannot run: No such file or directory", "... is named");
	is_int(e.code, EX_UNAVAILABLE, "... and unavailable");
	t = clock_ms();
	is_int(proc_run(RUN("sleep", "10"), NULL, 100, &e), -1, "a program that takes too long");
	is_str(e.text, "sleep: no answer within 100 ms", "... is reported");
	ok(clock_ms() - t < 2000, "... and killed");
	t = clock_ms();
	is_int(proc_run(RUN("sh", "-c", "sleep 3 & echo x"), &out, 10000, &e), 0,
	       "a program that leaves a child with its stdout");
	is_str(out, "x\n", "... gives its output");
	ok(clock_ms() - t < 2000, "... without waiting for the child");
	free(out);
}

static void test_find(void)
{
	char dir[] = "/tmp/proc_test.XXXXXX", path[64];
	struct err e = { 0 };

	if (!mkdtemp(dir))
		return;
	snprintf(path, sizeof(path), "%s/criu", dir);
	file_write(path, "#!/bin/sh\n", 10, 0755, &e);
	setenv("EDGE_CRIU", path, 1);
	is_str(proc_find("criu"), path, "EDGE_CRIU names the criu");
	setenv("EDGE_CRIU", "/none", 1);
	is_str(proc_find("criu"), NULL, "... also when it is not there");
	unsetenv("EDGE_CRIU");
	setenv("PATH", dir, 1);
	is_str(proc_find("criu"), path, "else PATH is searched");
	is_str(proc_find("sh"), NULL, "what is not on PATH is not found");
	setenv("PATH", "::/bin", 1);
	is_str(proc_find("sh"), "/bin/sh", "empty parts of PATH are passed over");
	file_remove_tree(dir, &e);
}

int main(void)
{
	setenv("PATH", "/usr/bin:/bin", 1); /* a folder of it that one may not enter would make another error */
	test_output();
	test_failures();
	test_find();
	return done();
}
