/* SPDX-License-Identifier: MIT */
#include "lib/base/lines.h"

#include <fcntl.h>
#include <sys/wait.h>

#include "tests/unit/tap.h"

/* A descriptor from which `text` comes in pieces of random size. */
static int in_pieces(const char *text, size_t n, pid_t *child)
{
	int p[2];

	if (pipe(p))
		abort();
	*child = fork();
	if (*child == 0) {
		while (n > 0) {
			size_t piece = (size_t)rand() % (rand() % 4 ? 20 : 100000) + 1;
			ssize_t sent = write(p[1], text, piece < n ? piece : n);

			if (sent <= 0)
				break;
			text += sent;
			n -= (size_t)sent;
		}
		_exit(0);
	}
	close(p[1]);
	return p[0];
}

static void test_pieces(void)
{
	static char text[3000000], passed[3000000];
	int same = 0;

	for (int round = 0; round < 20; round++) {
		AUTO_FILE FILE *out = fmemopen(passed, sizeof(passed), "w");
		size_t n = 0, len, written;
		const char *line;
		pid_t child;
		int rc;

		while (n < 2000000) { /* lines of all lengths, some of them longer than a block */
			size_t more = (size_t)rand() % (rand() % 50 ? 200 : 600000) + 1;

			memset(text + n, 'a' + rand() % 26, more);
			n += more;
			text[n++] = '\n';
		}
		AUTO_FD int fd = in_pieces(text, n, &child);
		AUTO_LINES struct lines *l = lines_open(fd, "test", NULL);
		while ((rc = lines_next(l, &line, &len, NULL)) > 0)
			lines_pass(out, line, len, NULL);
		fflush(out);
		written = (size_t)ftell(out);
		waitpid(child, NULL, 0);
		same += rc == 0 && written == n && !memcmp(text, passed, n);
	}
	is_int(same, 20, "lines that come in pieces of any size are passed byte for byte");
}

static void test_lines(void)
{
	const char text[] = "one\n\n \t\r\n two \nnul\0nul\nlast";
	pid_t child;
	AUTO_FD int fd = in_pieces(text, sizeof(text) - 1, &child);
	AUTO_LINES struct lines *l = lines_open(fd, "test", NULL);
	struct err e;
	const char *line;
	size_t len;

	ok(lines_next(l, &line, &len, &e) == 1 && len == 3 && !memcmp(line, "one", 3), "a line");
	ok(lines_next(l, &line, &len, &e) == 1 && len == 5 && !memcmp(line, " two ", 5), "blank ones are passed over");
	err_set(&e, EX_DATAERR, "bad");
	lines_wrap(l, &e);
	is_str(e.text, "test: line 4: bad", "... but counted");
	ok(lines_next(l, &line, &len, &e) == 1 && len == 7, "a line may have any bytes");
	ok(lines_next(l, &line, &len, &e) == 1 && len == 4 && !memcmp(line, "last", 4), "the last one needs no newline");
	ok(lines_next(l, &line, &len, &e) == 0 && lines_next(l, &line, &len, &e) == 0, "the end, as often as one asks");
	waitpid(child, NULL, 0);
}

static void test_failures(void)
{
	AUTO_FD int dir = open("/", O_RDONLY | O_CLOEXEC);
	AUTO_LINES struct lines *l = lines_open(dir, "test", NULL);
	AUTO_FILE FILE *full = fopen("/dev/full", "we");
	struct err e = { 0 };
	const char *line;
	size_t len;
	pid_t child;

	ok(lines_next(l, &line, &len, &e) < 0, "what cannot be read");
	is_str(e.text, "test: cannot read: Is a directory", "... is told");
	AUTO_FD int fd = in_pieces("x\n", 2, &child);
	AUTO_LINES struct lines *tied = lines_open(fd, "test", full);
	setvbuf(full, NULL, _IOFBF, 4096);
	putc('x', full);
	ok(lines_next(tied, &line, &len, &e) < 0 && e.code == EX_IOERR, "what is to be flushed before, and cannot be");
	is_str(e.text, "cannot write: No space left on device", "... is told");
	waitpid(child, NULL, 0);
}

int main(void)
{
	srand(1);
	test_pieces();
	test_lines();
	test_failures();
	return done();
}
