/* SPDX-License-Identifier: MIT */
/* Archives into folders: what is kept, what a layer takes away, and that nothing gets out. */
#include "lib/app/unpack.h"

#include <fcntl.h>
#include <stdlib.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <unistd.h>

#include "lib/base/auto.h"
#include "lib/base/file.h"
#include "tests/unit/tap.h"

static char top[] = "/tmp/unpack_test.XXXXXX";

/* One entry of a ustar archive: type '0' file, '1' hard link, '2' link, '3' device, '5' folder. */
static void put(int fd, char type, const char *name, const char *link, const char *data)
{
	char h[512] = "", block[512] = "";
	unsigned sum = 0;
	size_t n = data ? strlen(data) : 0;

	snprintf(h, 100, "%s", name);
	snprintf(h + 100, 8, "%07o", type == '5' ? 0755 : 0640);
	snprintf(h + 108, 8, "%07o", getuid());
	snprintf(h + 116, 8, "%07o", getgid());
	snprintf(h + 124, 12, "%011zo", n);
	snprintf(h + 136, 12, "%011o", 1000000000);
	memset(h + 148, ' ', 8);
	h[156] = type;
	snprintf(h + 157, 100, "%s", link ? link : "");
	memcpy(h + 257, "ustar\00000", 8);
	for (size_t i = 0; i < sizeof(h); i++)
		sum += (unsigned char)h[i];
	snprintf(h + 148, 8, "%06o", sum);
	memcpy(block, data ? data : "", n);
	if (fd_write_all(fd, h, sizeof(h)) || (n && fd_write_all(fd, block, sizeof(block))))
		exit(1);
}

static int archive(void)
{
	return memfd_create("archive", MFD_CLOEXEC);
}

static int finish(int fd, int root, bool whiteouts, struct err *e)
{
	char zeros[1024] = "";

	if (fd_write_all(fd, zeros, sizeof(zeros)))
		exit(1);
	int rc = unpack(fd, root, whiteouts, e);
	close(fd);
	return rc;
}

static int folder(const char *name)
{
	char path[PATH_MAX];

	snprintf(path, sizeof(path), "%s/%s", top, name);
	mkdir(path, 0755);
	return open(path, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
}

static const char *content(const char *path)
{
	static char buf[64];
	char whole[PATH_MAX];

	snprintf(whole, sizeof(whole), "%s/%s", top, path);
	AUTO_FREE char *text = file_slurp(whole, NULL, NULL);
	snprintf(buf, sizeof(buf), "%s", text ? text : "(none)");
	return buf;
}

static void test_layers(void)
{
	AUTO_FD int root = folder("layers");
	struct err e = { 0 };
	struct stat st;
	int a = archive();

	put(a, '5', "./", NULL, NULL);
	put(a, '5', "etc/", NULL, NULL);
	put(a, '0', "etc/one", NULL, "1");
	put(a, '1', "etc/same", "etc/one", NULL);
	put(a, '2', "etc/link", "/etc/one", NULL);
	put(a, '3', "etc/device", NULL, NULL);
	put(a, '0', "deep/er/file", NULL, "deep");
	put(a, '0', "gone/x", NULL, "x");
	put(a, '0', "opaque/old", NULL, "old");
	ok(!finish(a, root, true, &e), "a layer is unpacked");
	is_str(content("layers/etc/one"), "1", "... its files");
	is_str(content("layers/deep/er/file"), "deep", "... with folders that it does not name");
	ok(!fstatat(root, "etc/same", &st, 0) && st.st_nlink == 2 && (st.st_mode & 07777) == 0640 && st.st_mtime == 1000000000,
	   "... hard links, modes and times");
	ok(!fstatat(root, "etc", &st, 0) && st.st_mtime == 1000000000 && !fstatat(root, "deep", &st, 0) && !st.st_mtime,
	   "... times of folders, too, which are the same each time");
	ok(fstatat(root, "etc/device", &st, 0) && !fstatat(root, "etc/link", &st, AT_SYMLINK_NOFOLLOW), "... no devices");
	a = archive();
	put(a, '0', "opaque/new", NULL, "new");
	put(a, '0', "opaque/.wh..wh..opq", NULL, NULL);
	put(a, '0', ".wh.gone", NULL, NULL);
	put(a, '0', "etc/.wh.same", NULL, NULL);
	put(a, '5', "etc/link/", NULL, NULL);
	put(a, '0', "etc/one", NULL, "2");
	ok(!finish(a, root, true, &e), "a layer over it");
	ok(fstatat(root, "gone", &st, 0) && fstatat(root, "etc/same", &st, 0) && fstatat(root, "opaque/old", &st, 0) &&
		   fstatat(root, "opaque/.wh..wh..opq", &st, 0), "... takes away what it whites out");
	is_str(content("layers/opaque/new"), "new", "... and nothing of its own");
	is_str(content("layers/etc/one"), "2", "... and replaces files");
	ok(!fstatat(root, "etc/link", &st, AT_SYMLINK_NOFOLLOW) && S_ISDIR(st.st_mode), "... and links by folders");
}

static void is_inside(const char *name)
{
	char path[PATH_MAX];

	snprintf(path, sizeof(path), "%s/out/file", top);
	ok(access(path, F_OK) && !strcmp(content("out/kept"), "kept"), name);
}

static void test_escapes(void)
{
	AUTO_FD int root = folder("in"), out = folder("out");
	char link[PATH_MAX], kept[PATH_MAX];
	struct err e = { 0 };
	int a;

	snprintf(kept, sizeof(kept), "%s/out/kept", top);
	file_write(kept, "kept", 4, 0600, &e);
	a = archive();
	put(a, '0', "../out/file", NULL, "x");
	ok(finish(a, root, true, &e) && e.code == EX_DATAERR, "a path that leads out is refused");
	is_str(e.text, "../out/file: a path that leads out", "... and told");
	a = archive();
	put(a, '0', "a/../../out/file", NULL, "x");
	ok(finish(a, root, true, &e), "... also from within");
	a = archive();
	put(a, '0', "a/..", NULL, "x");
	ok(finish(a, root, true, &e), "... or at the end");
	a = archive();
	put(a, '2', "door", "../out", NULL);
	put(a, '0', "door/file", NULL, "x");
	finish(a, root, true, &e);
	is_inside("a link upwards leads nowhere");
	snprintf(link, sizeof(link), "%s/out", top);
	a = archive();
	put(a, '2', "gate", link, NULL);
	put(a, '0', "gate/file", NULL, "x");
	put(a, '0', "gate/.wh.kept", NULL, NULL);
	put(a, '0', "gate/.wh..wh..opq", NULL, NULL);
	finish(a, root, true, &e);
	is_inside("a link to another place neither");
	snprintf(link, sizeof(link), "..%s", kept);
	a = archive();
	put(a, '1', "hard", link, NULL);
	finish(a, root, true, &e);
	ok(!strcmp(content("in/hard"), "(none)"), "no hard link to a file outside");
	a = archive();
	put(a, '0', "d/.wh...", NULL, NULL);
	put(a, '0', "d/.wh..", NULL, NULL);
	put(a, '0', ".wh.", NULL, NULL);
	ok(!finish(a, root, true, &e), "odd whiteouts");
	is_inside("... take nothing away");
}

static void test_odd(void)
{
	AUTO_FD int root = folder("odd");
	struct err e = { 0 };
	int a = archive();

	put(a, '0', "/abs/file", NULL, "abs");
	put(a, '0', ".wh.plain", NULL, "plain");
	put(a, '0', "caf\xc3\xa9\xff", NULL, "bytes");
	ok(!finish(a, root, false, &e), "an archive that is no layer");
	is_str(content("odd/abs/file"), "abs", "... absolute paths begin at its root");
	is_str(content("odd/.wh.plain"), "plain", "... whiteouts are files there");
	is_str(content("odd/caf\xc3\xa9\xff"), "bytes", "names are bytes");
	a = archive();
	if (fd_write_all(a, "this is no archive", 18))
		exit(1);
	ok(finish(a, root, false, &e) && e.code == EX_DATAERR, "something else is refused");
	a = archive();
	put(a, '0', "cut", NULL, "x");
	if (ftruncate(a, 600) || lseek(a, 0, SEEK_END) < 0)
		exit(1);
	ok(unpack(a, root, false, &e) && e.code == EX_DATAERR, "one that was cut off, too");
	close(a);
}

int main(void)
{
	if (getuid()) {
		skip("archives", "needs root");
		return done();
	}
	if (!mkdtemp(top))
		return 1;
	test_layers();
	test_escapes();
	test_odd();
	file_remove_tree(top, NULL);
	return done();
}
