/* SPDX-License-Identifier: MIT */
#include "lib/base/file.h"

#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <sys/mount.h>
#include <sys/stat.h>
#include <sys/wait.h>

#include "lib/base/auto.h"
#include "tests/unit/tap.h"

static char top[] = "/tmp/file_test.XXXXXX";

static const char *in(const char *name)
{
	static char ring[4][PATH_MAX];
	static int next;
	char *p = ring[next++ % 4];

	snprintf(p, PATH_MAX, "%s/%s", top, name);
	return p;
}

static void test_paths(void)
{
	const char *a;

	unsetenv("EDGE_ROOT");
	a = file_path("/etc/%s", "edge");
	is_str(a, "/etc/edge", "file_path without a root");
	setenv("EDGE_ROOT", top, 1);
	is_str(file_path("/x%d", 1), in("x1"), "file_path puts EDGE_ROOT before");
	is_str(a, "/etc/edge", "earlier results stay");
}

static void test_below(void)
{
	ok(file_is_below("/a/b", "/a") && file_is_below("/a", "/a"), "a folder, and what is in it");
	ok(!file_is_below("/ab", "/a") && !file_is_below("/", "/a"), "... not what only begins so, nor what it is in");
	ok(file_is_below("/a", "/") && file_is_below("/", "/"), "all is below the root");
}

static void test_files(void)
{
	struct err e = { 0 };
	AUTO_FREE char *text = NULL;
	AUTO_FREE char *proc = NULL;
	struct stat st;
	size_t n = 0;

	is_int(file_mkdirs(in("a/b//c"), 0755, &e), 0, "folders are made");
	is_int(file_mkdirs(in("a/b/c/"), 0755, &e), 0, "... and may exist");
	ok(!file_mkdir_private(in("p/q"), &e) && !stat(in("p"), &st) && (st.st_mode & 07777) == 0755 &&
		   !stat(in("p/q"), &st) && (st.st_mode & 07777) == 0700, "a private folder is made in a common one");
	chmod(in("p/q"), 0777);
	ok(!file_mkdir_private(in("p/q"), &e) && !stat(in("p/q"), &st) && (st.st_mode & 07777) == 0700,
	   "... and closed when it was open to others");
	is_int(file_write(in("a/f"), "x\0y", 3, 0640, &e), 0, "a file is written");
	ok(stat(in("a/f"), &st) == 0 && (st.st_mode & 07777) == 0640, "... with its mode");
	text = file_slurp(in("a/f"), &n, &e);
	ok(text && n == 3 && memcmp(text, "x\0y", 4) == 0, "... and read with a NUL behind it");
	is_int(file_write(in("a/f"), "2", 1, 0644, &e), 0, "... and replaced");
	is_int(file_poke(in("a/f"), "3", &e), 0, "a short write");
	proc = file_slurp("/proc/self/maps", &n, &e);
	ok(proc && n > 100, "files of /proc that claim to be empty are read");
	is_int(file_mkdirs(in("a/f/g"), 0755, &e), -1, "no folder below a file");
	is_int(file_write(in("none/f"), "", 0, 0644, &e), -1, "no file in a folder that is not there");
	ok(file_slurp(in("none"), &n, &e) == NULL && strstr(e.text, "none: No such file"),
	   "a missing file's error names it");
	ok(close(open(in("big"), O_CREAT | O_WRONLY | O_CLOEXEC, 0600)) == 0 &&
	           truncate(in("big"), (64 << 20) + 1) == 0 && file_slurp(in("big"), &n, &e) == NULL &&
	           e.code == EX_DATAERR,
	   "a file over 64 MB is refused");
}

static void make_deep(int levels)
{
	int fd = open(top, O_RDONLY | O_DIRECTORY | O_CLOEXEC);

	for (int i = 0; i < levels; i++) {
		int next;

		mkdirat(fd, "dd", 0755);
		close(openat(fd, "file", O_CREAT | O_WRONLY | O_CLOEXEC, 0644));
		next = openat(fd, "dd", O_RDONLY | O_DIRECTORY | O_CLOEXEC);
		close(fd);
		fd = next;
	}
	close(fd);
}

static void test_remove(void)
{
	struct err e = { 0 };
	struct stat st;

	file_mkdirs(in("keep"), 0755, &e);
	file_write(in("keep/f"), "", 0, 0644, &e);
	file_mkdirs(in("t/sub"), 0755, &e);
	ok(symlink(in("keep"), in("t/sub/link")) == 0 && symlink(in("keep"), in("link")) == 0,
	   "links are made");
	is_int(file_remove_tree(in("t"), &e), 0, "a tree is removed");
	ok(stat(in("keep/f"), &st) == 0 && stat(in("t"), &st) < 0, "... but not what a link in it points to");
	is_int(file_remove_tree(in("link"), &e), 0, "a link is removed");
	ok(stat(in("keep/f"), &st) == 0, "... but not what it points to");
	is_int(file_remove_tree(in("t"), &e), 0, "a missing tree is no error");
	file_mkdirs(in("m/n"), 0755, &e);
	if (mount("none", in("m/n"), "tmpfs", 0, "size=64k")) {
		skip("a mounted filesystem is left alone", "needs root");
	} else {
		file_write(in("m/n/f"), "", 0, 0644, &e);
		is_int(file_remove_tree(in("m"), &e), -1, "a mounted filesystem is left alone");
		ok(stat(in("m/n/f"), &st) == 0, "... with its files");
		umount(in("m/n"));
	}
	make_deep(3000);
	is_int(file_remove_tree(top, &e), 0, "a tree 3000 levels deep is removed");
	ok(stat(top, &st) < 0 && errno == ENOENT, "... all of it");
}

static void test_lock(void)
{
	struct err e = { 0 };
	int fd = file_lock("svc", &e), st = -1;
	pid_t pid;

	ok(fd >= 0, "a lock is taken");
	fflush(stdout);
	pid = fork();
	if (pid == 0) {
		char want[64];

		snprintf(want, sizeof(want), "svc: busy: locked by process %d", (int)getppid());
		_exit(file_lock("svc", &e) == -1 && e.code == EX_TEMPFAIL && strcmp(e.text, want) == 0 ? 0
		                                                                                       : 1);
	}
	waitpid(pid, &st, 0);
	is_int(st, 0, "another process finds it taken and learns by whom");
	close(fd);
	fd = file_lock("svc", &e);
	ok(fd >= 0, "it is free once closed");
	close(fd);
}

static void test_descriptors(void)
{
	char buf[8] = "";
	int p[2];

	if (pipe(p))
		return;
	is_int(fd_write_all(p[1], "abc", 3), 0, "fd_write_all");
	close(p[1]);
	is_int(fd_read_all(p[0], buf, 3), 0, "fd_read_all");
	is_str(buf, "abc", "... reads what was written");
	is_int(fd_read_all(p[0], buf, 1), -1, "an early end fails");
	is_int(errno, EPIPE, "... with EPIPE");
	close(p[0]);
}

int main(void)
{
	if (!mkdtemp(top))
		return 1;
	test_paths();
	test_below();
	test_files();
	test_lock();
	test_descriptors();
	test_remove();
	return done();
}
