/* SPDX-License-Identifier: MIT */
#include "tests/unit/tree_lab.h"

#include <sys/mount.h>

static void test_zoo(void)
{
	struct stat a, b;
	struct moved m;
	char buf[64];
	uint64_t bytes;

	fresh();
	make_zoo();
	umask(077);
	ok(mirror(&m), "every kind of file and attribute comes over");
	umask(022);
	bytes = 200001 + 100 + 10 + 10 + 70000 + 65536 + 65536 + 1;
	is_int((long long)m.bytes, (long long)bytes, "zeros, holes and second names are not sent");
	stat(in("b", "suid"), &b);
	ok(b.st_mode == (S_IFREG | 06755) && b.st_uid == 33 && b.st_gid == 44, "set-id bits and owner");
	ok(getxattr(in("b", "capable"), "security.capability", buf, sizeof buf) == 20 &&
		   !getxattr(in("b", "capable"), "user.empty", buf, sizeof buf),
	   "capabilities and empty attributes");
	ok(getxattr(in("b", "acl"), "system.posix_acl_access", buf, sizeof buf) == 44 &&
		   getxattr(in("b", "dir"), "system.posix_acl_default", buf, sizeof buf) == 44,
	   "access lists");
	ok(getxattr(in("b", "dir.d"), "trusted.overlay.opaque", buf, sizeof buf) == 1 &&
		   getxattr(in("b", "dir.d"), "trusted.overlay.origin", buf, sizeof buf) < 0,
	   "overlay marks, but not file handles");
	stat(in("b", "hard1"), &a);
	stat(in("b", "zhard3"), &b);
	ok(a.st_ino == b.st_ino && a.st_nlink == 3, "hard links");
	stat(in("a", "sparse"), &a);
	stat(in("b", "sparse"), &b);
	ok(b.st_size == 50 << 20 && b.st_blocks <= a.st_blocks, "sparse files stay sparse");
	lstat(in("b", "dir/sym"), &b);
	ok(b.st_mtim.tv_nsec == 123456789 && b.st_uid == 5, "owner and time of a symbolic link");
	stat(in("b", ""), &b);
	ok(b.st_uid == 3 && b.st_mtim.tv_sec == 1000000001, "owner and time of the root folder");
	lstat(in("b", "sock"), &b);
	ok(b.st_mode == (S_IFSOCK | 0640), "a socket's node");
	lstat(in("b", "whiteout2"), &b);
	ok(S_ISCHR(b.st_mode) && !b.st_rdev, "whiteouts");
	ok(mirror(&m) && !m.needs, "a second move sends nothing");
}

/* From a destination that is different in every way. */
static void test_replace(void)
{
	struct moved m;
	struct stat st;

	fresh();
	make_zoo();
	put(in("b", "dir"), 1, 10, 0);
	mkdir(in("b", "suid"), 0700);
	put(in("b", "suid/x"), 2, 10, 0);
	mkdir(in("b", "suid/y"), 0700);
	symlink("/etc/passwd", in("b", "empty"));
	put(in("b", "sparse"), 3, 60 << 20, 0);
	put(in("b", "hole"), 4, 200000, 0);
	mkfifo(in("b", "acl"), 0600);
	put(in("b", "old"), 5, 100, 0);
	link(in("b", "old"), in("b", "hard1"));
	link(in("b", "old"), in("b", "sym2"));
	setxattr(in("b", ""), "user.stray", "1", 1, 0);
	ok(mirror(&m), "what is there is replaced, removed and retyped");
	stat(in("b", "sparse"), &st);
	ok(st.st_blocks < 1000, "old content becomes holes");
	unlink(in("a", "zhard3"));
	put(in("a", "zhard3"), 6, 70000, 0);
	ok(mirror(&m) && m.bytes == 70000, "a hard link that is broken up");
	unlink(in("a", "zhard3"));
	link(in("a", "hard1"), in("a", "zhard3"));
	ok(mirror(&m) && !m.needs, "and joined again");
	unlink(in("a", "hard1"));
	ok(mirror(&m) && !m.needs, "the first of three names goes");
	link(in("a", "empty"), in("a", "empty2"));
	rename(in("a", "dir"), in("a", "moved"));
	ok(mirror(&m) && !m.needs, "a folder that moved is not sent again");
	link(in("b", "suid"), in(".", "outside"));
	put(in("a", "suid"), 20, 100, 0);
	ok(mirror(&m) && stat(in(".", "outside"), &st) == 0 && st.st_nlink == 1,
	   "names outside keep their content");
}

static void test_blocks(void)
{
	struct moved m;

	fresh();
	put(in("a", "db"), 1, 40 * TREE_BLOCK + 100, 0);
	ok(mirror(&m) && m.needs == 41, "a large file");
	put(in("a", "db"), 2, 10, 20 * TREE_BLOCK + 5);
	ok(mirror(&m) && m.needs == 1, "one changed byte sends one block");
	put(in("a", "db"), 3, 10, 50 * TREE_BLOCK);
	ok(mirror(&m) && m.needs == 2, "a file that grew");
	truncate(in("a", "db"), 30 * TREE_BLOCK + 1000);
	ok(mirror(&m) && m.needs == 1, "a file that shrank");
	rename(in("a", "db"), in("a", "db.1"));
	put(in("a", "db"), 4, 3 * TREE_BLOCK, 0);
	ok(mirror(&m) && m.needs == 3, "a rotated file is copied at the destination");
	put(in("a", "copy"), 4, 3 * TREE_BLOCK, 0);
	ok(mirror(&m) && !m.needs, "a copied file too");
	put(in("a", "x"), 5, 2 * TREE_BLOCK, 0);
	put(in("a", "y"), 5, 2 * TREE_BLOCK, 0);
	put(in("a", "y"), 5, 2 * TREE_BLOCK, 2 * TREE_BLOCK);
	ok(mirror(&m) && m.needs == 2, "equal new content is sent once");
	rename(in("a", "x"), in("a", "t"));
	rename(in("a", "db"), in("a", "x"));
	rename(in("a", "t"), in("a", "db"));
	ok(mirror(&m) && !m.needs, "two files that changed places");
}

static void test_put(void)
{
	AUTO_TREE struct tree *s = NULL, *have = NULL;
	AUTO_TREE_PLAN struct tree_plan *p = NULL;
	AUTO_TREE_APPLY struct tree_apply *a = NULL;
	AUTO_TREE_READER struct tree_reader *r = NULL;
	const struct tree_block *needs;
	uint8_t buf[TREE_BLOCK];
	size_t n, len = 0;

	fresh();
	put(in("a", "f"), 1, 100000, 0);
	s = scan(src, NULL);
	have = scan(dst, NULL);
	ok(!tree_plan(&p, have, s, &e) && !tree_apply_start(&a, p, dst, 0, &e) &&
		   !tree_reader_open(&r, src, s, &e),
	   "an apply starts");
	needs = tree_plan_needs(p, &n);
	tree_read(r, needs[0], buf, &len, &e);
	buf[77] ^= 1;
	ok(tree_apply_put(a, needs[0], buf, len, &e) == -1 && e.code == EX_DATAERR,
	   "a corrupted block is refused");
	is_str(e.text, "f: block 0 is not what the manifest says", "and named");
	buf[77] ^= 1;
	ok(tree_apply_put(a, needs[0], buf, len - 1, &e) == -1, "a short block is refused");
	ok(!tree_apply_put(a, needs[0], buf, len, &e), "the true one is taken");
	ok(!tree_apply_put(a, (struct tree_block){ 99, 99 }, buf, len, &e),
	   "a block that nobody asked for is passed over");
	ok(tree_apply_finish(a, &e) == -1 && e.code == EX_DATAERR, "a block that lacks is an error");
	is_str(e.text, "f: block 1 has not come", "and named");
	ok(tree_read(r, (struct tree_block){ 1, 2 }, buf, &len, &e) == -1 && e.code == EX_DATAERR &&
		   tree_read(r, (struct tree_block){ 7, 0 }, buf, &len, &e) == -1,
	   "want lists out of range are refused");
}

static void test_devices(void)
{
	AUTO_TREE struct tree *s = NULL, *have = NULL, *after = NULL;
	struct moved m;

	fresh();
	mknod(in("a", "disk"), S_IFBLK | 0600, makedev(8, 0));
	s = scan(src, NULL);
	have = scan(dst, NULL);
	ok(send_all(have, s, 0, &m) == -1 && e.code == EX_NOPERM, "a disk's node is refused");
	is_str(e.text, "disk: block device 8:0 is not allowed", "by name");
	ok(!send_all(have, s, TREE_DEVICES, &m), "unless allowed");
	after = scan(dst, NULL);
	ok(same(s, after), "and then made");
}

/* The destination changed into a trap behind the scan's back. */
static void test_root(void)
{
	AUTO_TREE struct tree *s = NULL, *have = NULL;
	struct moved m;
	struct stat st;

	fresh();
	mkdir(in(".", "victim"), 0755);
	mkdir(in("a", "d"), 0755);
	mkdir(in("b", "d"), 0755);
	put(in("a", "d/f"), 1, 100, 0);
	s = scan(src, NULL);
	have = scan(dst, NULL);
	rmdir(in("b", "d"));
	symlink("../victim", in("b", "d"));
	ok(send_all(have, s, 0, &m) == -1 && stat(in("victim", "f"), &st),
	   "a folder that became a link leads nowhere");
}

static void test_mounts(void)
{
	AUTO_TREE struct tree *s = NULL;

	fresh();
	mkdir(in("a", "mnt"), 0755);
	if (mount("none", in("a", "mnt"), "tmpfs", 0, "size=1m")) {
		skip("mounts are not crossed", "cannot mount");
		skip("a full disk is a clear error", "cannot mount");
		return;
	}
	put(in("a", "mnt/secret"), 1, 10, 0);
	s = scan(src, NULL);
	ok(s && tree_find(s, "mnt") == 1 && tree_find(s, "mnt/secret") == TREE_NONE,
	   "mounts are not crossed");
	umount2(in("a", "mnt"), MNT_DETACH);
}

static void test_full(void)
{
	AUTO_TREE struct tree *s = NULL, *have = NULL;
	struct moved m;
	int rc;

	fresh();
	put(in("a", "big"), 1, 2 << 20, 0);
	if (mount("none", in("b", ""), "tmpfs", 0, "size=1m"))
		return;
	close(dst);
	dst = open(in("b", ""), O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	s = scan(src, NULL);
	have = scan(dst, NULL);
	rc = send_all(have, s, 0, &m);
	ok(rc == -1 && e.code == EX_IOERR, "a full disk is an I/O error");
	err_wrap(&e, "volume /data");
	is_str(e.text, "volume /data: big: cannot write: No space left on device", "and a clear one");
	close(dst);
	dst = -1;
	umount2(in("b", ""), MNT_DETACH);
}

int main(void)
{
	int status;

	if (!lab_start(&status))
		return status;
	test_zoo();
	test_replace();
	test_blocks();
	test_put();
	test_devices();
	test_root();
	test_mounts();
	test_full();
	return lab_end();
}
