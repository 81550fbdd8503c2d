/* SPDX-License-Identifier: MIT */
#include "lib/move/settle.h"

#include <fcntl.h>
#include <stdint.h>
#include <stdlib.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <unistd.h>

#include "lib/base/clock.h"
#include "lib/base/file.h"
#include "tests/unit/tap.h"

#ifndef SYS_cachestat
#define SYS_cachestat 451
#endif

static char dir[64];

/* Pages of the file that are not on disk yet; -1: this kernel does not tell (before 6.5). */
static long waiting(int fd)
{
	uint64_t range[2] = { 0 }, count[5] = { 0 }; /* cached, dirty, in writeback, evicted, recently evicted */

	return syscall(SYS_cachestat, fd, range, count, 0) ? -1 : (long)(count[1] + count[2]);
}

static int written(const char *name)
{
	static char block[1 << 20];
	int fd = open(file_path("%s/%s", dir, name), O_RDWR | O_CREAT | O_CLOEXEC, 0600);

	if (fd < 0 || fd_write_all(fd, block, sizeof(block)))
		exit(1);
	return fd;
}

static void test_now(void)
{
	int fd = written("a");
	struct settle *s = settle_start(dir, dir);
	const long before = waiting(fd);

	ok(s != NULL, "a folder's disk is caught up with");
	settle_now(s, 30000);
	if (before < 0)
		skip("when it was asked for, all is on disk", "kernel: no cachestat(2)");
	else
		is_int(waiting(fd), 0, "when it was asked for, all is on disk");
	double start = clock_ms();
	settle_now(s, 30000);
	ok(clock_ms() - start < 1000, "asking again waits for nothing");
	settle_free(s);
	close(fd);
}

static void test_by_itself(const char *pages, const char *what)
{
	struct settle *s = settle_start(dir, pages);
	int fd = written("b");

	for (int i = 0; i < 200 && waiting(fd) > 0; i++)
		usleep(100000);
	if (waiting(fd) < 0)
		skip(what, "kernel: no cachestat(2)");
	else
		is_int(waiting(fd), 0, what);
	settle_free(s);
	close(fd);
}

static void test_none(void)
{
	ok(!settle_start("/nowhere/at/all", dir) && !settle_start(dir, "/nowhere/at/all"), "where there is no folder there is nothing to wait for");
	settle_now(NULL, 1000);
	settle_free(NULL);
	ok(1, "... and that is no reason to fail");
}

int main(void)
{
	snprintf(dir, sizeof(dir), "%s", mkdtemp((char[]){ "/var/tmp/settle-XXXXXX" }));
	if (mkdir(file_path("%s/none", dir), 0700))
		exit(1);
	test_now();
	test_by_itself(dir, "pages that are written meanwhile come to disk unasked");
	test_by_itself(file_path("%s/none", dir), "... and so does all else");
	test_none();
	file_remove_tree(dir, NULL);
	return done();
}
