/* SPDX-License-Identifier: MIT */
#include "lib/move/settle.h"

#include <errno.h>
#include <fcntl.h>
#include <linux/magic.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdlib.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/vfs.h>
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

static int written(const char *folder, const char *name)
{
	static char block[1 << 20];
	int fd = open(file_path("%s/%s", folder, name), O_RDWR | O_CREAT | O_CLOEXEC, 0600);

	if (fd < 0 || fd_write_all(fd, block, sizeof(block)))
		exit(1);
	return fd;
}

static void test_now(void)
{
	int fd = written(dir, "a");
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

/* On disk within 20 s. */
static bool comes(int fd)
{
	for (int i = 0; i < 2000 && waiting(fd) > 0; i++)
		usleep(10000);
	return !waiting(fd);
}

static void test_by_itself(const char *none)
{
	struct statfs fs;
	bool first = false, all = true;

	/* A disk may be so slow that the pages are there no sooner than all else. */
	for (int i = 0; i < 3 && !first; i++) {
		const double start = clock_ms();
		struct settle *s = settle_start(dir, dir);
		int pages = written(dir, "b"), other = written(none, "c");

		all &= comes(pages);
		first = waiting(other) > 0 && clock_ms() - start < 1800;
		all &= comes(other);
		settle_free(s);
		close(pages);
		close(other);
	}
	if (waiting(0) < 0 && errno == ENOSYS) {
		skip("what is written comes to disk unasked", "kernel: no cachestat(2)");
		return;
	}
	ok(all, "what is written comes to disk unasked");
	if (statfs(dir, &fs) || fs.f_type == OVERLAYFS_SUPER_MAGIC)
		skip("... pages first", "overlay: does not send a file's pages to disk by themselves");
	else
		ok(first, "... pages first");
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
	char none[sizeof(dir) + 8];

	snprintf(dir, sizeof(dir), "%s", mkdtemp((char[]){ "/var/tmp/settle-XXXXXX" }));
	snprintf(none, sizeof(none), "%s/none", dir);
	if (mkdir(none, 0700))
		exit(1);
	test_now();
	test_by_itself(none);
	test_none();
	file_remove_tree(dir, NULL);
	return done();
}
