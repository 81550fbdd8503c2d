/* SPDX-License-Identifier: MIT */
#include "lib/move/tree.h"

#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <stdlib.h>
#include <sys/mman.h>
#include <sys/mount.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/sysmacros.h>
#include <sys/un.h>
#include <sys/xattr.h>
#include <unistd.h>

#include "lib/base/clock.h"
#include "lib/base/file.h"
#include "tests/unit/tap.h"

static char top[] = "/tmp/tree_test.XXXXXX";
static struct err e;
static int src = -1, dst = -1; /* the two folders */

static const char *in(const char *side, const char *name)
{
	static char ring[4][PATH_MAX];
	static int next;
	char *p = ring[next++ % 4];

	snprintf(p, PATH_MAX, "%s/%s/%s", top, side, name);
	return p;
}

static void fill(void *buf, size_t n, unsigned seed)
{
	unsigned *p = buf;
	size_t i;

	for (i = 0; i < (n + 3) / 4; i++)
		p[i] = seed = seed * 1664525u + 1013904223u;
}

/* n bytes that depend on seed, at an offset. */
static void put(const char *path, unsigned seed, size_t n, off_t at)
{
	AUTO_FREE char *buf = calloc(1, n + 4);
	AUTO_FD int fd = open(path, O_WRONLY | O_CREAT, 0644);

	fill(buf, n, seed);
	if (fd < 0 || fd_pwrite_all(fd, buf, n, at))
		printf("# cannot write %s: %s\n", path, strerror(errno));
}

static void fresh(void)
{
	if (src >= 0) {
		close(src);
		close(dst);
	}
	file_remove_tree(in("a", ""), NULL);
	file_remove_tree(in("b", ""), NULL);
	mkdir(in("a", ""), 0755);
	mkdir(in("b", ""), 0755);
	src = open(in("a", ""), O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	dst = open(in("b", ""), O_RDONLY | O_DIRECTORY | O_CLOEXEC);
}

static struct tree *scan(int fd, const struct tree *prev)
{
	struct tree *t = NULL;

	if (tree_scan(&t, fd, prev, NULL, 0, &e))
		printf("# scan: %s\n", e.text);
	return t;
}

static bool same(const struct tree *a, const struct tree *b)
{
	AUTO_FREE uint8_t *x = NULL, *y = NULL;
	size_t n = 0, m = 1;
	uint32_t i;

	if (!a || !b || tree_encode(a, &x, &n, &e) || tree_encode(b, &y, &m, &e))
		return false;
	if (n == m && !memcmp(x, y, n))
		return true;
	printf("# %u and %u entries, %zu and %zu bytes\n", tree_count(a), tree_count(b), n, m);
	for (i = 0; i < tree_count(a) && i < tree_count(b); i++) {
		const struct tree_entry *p = tree_at(a, i), *q = tree_at(b, i);

		if (strcmp(p->path, q->path) || p->mode != q->mode || p->mtime_ns != q->mtime_ns || p->uid != q->uid ||
		    p->link != q->link || p->xattrs_len != q->xattrs_len || p->size != q->size)
			printf("# differs: %s %o %ld.%09u, %s %o %ld.%09u\n", p->path, p->mode, (long)p->mtime,
			       p->mtime_ns, q->path, q->mode, (long)q->mtime, q->mtime_ns);
	}
	return false;
}

struct moved {
	size_t needs;
	uint64_t bytes;
	double ms; /* of plan, start and finish */
};

/* Sends what `want` needs from src to dst and applies it. */
static int send_all(const struct tree *have, struct tree *want, int flags, struct moved *m)
{
	AUTO_TREE_PLAN struct tree_plan *p = NULL;
	AUTO_TREE_APPLY struct tree_apply *a = NULL;
	AUTO_TREE_READER struct tree_reader *r = NULL;
	static uint8_t buf[TREE_BLOCK];
	const struct tree_block *needs;
	double t0 = clock_ms(), t1, t2;
	size_t n, i, len;
	int rc;

	if (tree_plan(&p, have, want, &e) || tree_apply_start(&a, p, dst, flags, &e) ||
	    tree_reader_open(&r, src, want, &e))
		return -1;
	t1 = clock_ms();
	needs = tree_plan_needs(p, &n);
	m->needs = n;
	m->bytes = tree_plan_bytes(p);
	for (i = 0; i < n; i++) {
		rc = tree_read(r, needs[i], buf, &len, &e);
		if (rc < 0 || (rc == 1 && tree_forget(want, needs[i], &e)) ||
		    (!rc && tree_apply_put(a, needs[i], buf, len, &e)))
			return -1;
	}
	t2 = clock_ms();
	if (tree_apply_finish(a, &e))
		return -1;
	m->ms = t1 - t0 + clock_ms() - t2;
	return 0;
}

/* A whole move of src to dst by way of an encoded manifest, and a look at the result. */
static bool mirror(struct moved *m)
{
	AUTO_TREE struct tree *s = scan(src, NULL), *have = scan(dst, NULL), *want = NULL, *after = NULL;
	AUTO_FREE uint8_t *buf = NULL;
	size_t len;

	memset(m, 0, sizeof *m);
	if (!s || !have || tree_encode(s, &buf, &len, &e) || tree_decode(&want, buf, len, &e) ||
	    send_all(have, want, 0, m)) {
		printf("# mirror: %s\n", e.text);
		return false;
	}
	after = scan(dst, NULL);
	return same(s, want) && same(s, after);
}

static void make_zoo(void)
{
	struct timespec old[2] = {{.tv_sec = 1000000000, .tv_nsec = 1}, {.tv_sec = 1000000001, .tv_nsec = 123456789}};
	static const uint8_t cap[20] = {1, 0, 0, 2, 0, 4, 0, 0}; /* cap_net_bind_service+ep, version 2 */
	static const uint8_t acl[] = {2, 0, 0, 0, 1, 0, 6, 0, 0xff, 0xff, 0xff, 0xff, 2, 0, 6, 0, 33, 0, 0, 0,
				      4, 0, 4, 0, 0xff, 0xff, 0xff, 0xff, 0x10, 0, 6, 0, 0xff, 0xff, 0xff, 0xff,
				      0x20, 0, 4, 0, 0xff, 0xff, 0xff, 0xff};
	struct sockaddr_un un = {.sun_family = AF_UNIX};
	int fd;

	mkdir(in("a", "dir"), 0);
	chmod(in("a", "dir"), 01777);
	mkdir(in("a", "dir/deep"), 0700);
	mkdir(in("a", "dir.d"), 0755); /* sorts between "dir" and "dir/" by plain bytes */
	put(in("a", "dir/deep/file"), 7, 200001, 0);
	put(in("a", "suid"), 8, 100, 0);
	chown(in("a", "suid"), 33, 44);
	chmod(in("a", "suid"), 06755);
	put(in("a", "empty"), 0, 0, 0);
	put(in("a", "capable"), 9, 10, 0);
	chown(in("a", "capable"), 1, 2);
	setxattr(in("a", "capable"), "security.capability", cap, sizeof cap, 0);
	setxattr(in("a", "capable"), "user.long", "0123456789", 10, 0);
	setxattr(in("a", "capable"), "user.empty", "", 0, 0);
	put(in("a", "acl"), 10, 10, 0);
	setxattr(in("a", "acl"), "system.posix_acl_access", acl, sizeof acl, 0);
	setxattr(in("a", "dir"), "system.posix_acl_default", acl, sizeof acl, 0);
	setxattr(in("a", "dir.d"), "trusted.overlay.opaque", "y", 1, 0);
	setxattr(in("a", "dir.d"), "trusted.overlay.origin", "gone", 4, 0);
	put(in("a", "hard1"), 11, 70000, 0);
	link(in("a", "hard1"), in("a", "dir/hard2"));
	link(in("a", "hard1"), in("a", "zhard3"));
	symlink("../outside/\xff of here", in("a", "dir/sym"));
	lchown(in("a", "dir/sym"), 5, 6);
	lsetxattr(in("a", "dir/sym"), "trusted.note", "x", 1, 0);
	utimensat(AT_FDCWD, in("a", "dir/sym"), old, AT_SYMLINK_NOFOLLOW);
	link(in("a", "dir/sym"), in("a", "sym2"));
	mkfifo(in("a", "fifo"), 0620);
	mknod(in("a", "null"), S_IFCHR | 0666, makedev(1, 3));
	mknod(in("a", "whiteout"), S_IFCHR, makedev(0, 0));
	link(in("a", "whiteout"), in("a", "whiteout2"));
	put(in("a", "sparse"), 12, 5000, 10 << 20);
	put(in("a", "sparse"), 13, 5000, 30 << 20);
	truncate(in("a", "sparse"), 50 << 20);
	truncate(in("a", "hole"), 0);
	put(in("a", "hole"), 0, 0, 0);
	truncate(in("a", "hole"), 12345678);
	put(in("a", "odd \n name"), 14, 1, 0);
	fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);
	snprintf(un.sun_path, sizeof un.sun_path, "%s/a/sock", top);
	bind(fd, (struct sockaddr *)&un, sizeof un);
	close(fd);
	chmod(in("a", "sock"), 0640);
	utimensat(AT_FDCWD, in("a", "dir/deep"), old, 0);
	utimensat(AT_FDCWD, in("a", "dir"), old, 0);
	chown(in("a", ""), 3, 4);
	utimensat(AT_FDCWD, in("a", ""), old, 0);
}

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
	   !getxattr(in("b", "capable"), "user.empty", buf, sizeof buf), "capabilities and empty attributes");
	ok(getxattr(in("b", "acl"), "system.posix_acl_access", buf, sizeof buf) == 44 &&
	   getxattr(in("b", "dir"), "system.posix_acl_default", buf, sizeof buf) == 44, "access lists");
	ok(getxattr(in("b", "dir.d"), "trusted.overlay.opaque", buf, sizeof buf) == 1 &&
	   getxattr(in("b", "dir.d"), "trusted.overlay.origin", buf, sizeof buf) < 0, "overlay marks, but not file handles");
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
	ok(mirror(&m) && stat(in(".", "outside"), &st) == 0 && st.st_nlink == 1, "names outside keep their content");
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

static void put_u(uint8_t **p, uint64_t v)
{
	for (; v > 0x7f; v >>= 7)
		*(*p)++ = (uint8_t)(v | 0x80);
	*(*p)++ = (uint8_t)v;
}

/* An entry without prefix, xattrs and content (or with `size` and nothing behind it). */
static void raw(uint8_t **p, const char *path, unsigned mode, const char *target, uint64_t size)
{
	size_t n = strlen(path);
	int i;

	put_u(p, 0);
	put_u(p, n);
	memcpy(*p, path, n);
	*p += n;
	put_u(p, mode);
	for (i = 0; i < 6; i++)
		put_u(p, 0); /* no link, uid, gid, seconds, nanoseconds, xattrs */
	if (S_ISREG(mode))
		put_u(p, size);
	if (S_ISLNK(mode)) {
		put_u(p, strlen(target));
		memcpy(*p, target, strlen(target));
		*p += strlen(target);
	}
}

static bool refused(const uint8_t *buf, size_t n)
{
	/* at the end of its own allocation, so that a byte too far is seen by sanitizers */
	AUTO_FREE uint8_t *own = malloc(n ? n : 1);
	AUTO_TREE struct tree *t = NULL;

	if (n)
		memcpy(own, buf, n);
	e.code = 0;
	return tree_decode(&t, own, n, &e) == -1 && e.code == EX_DATAERR && !t && !strchr(e.text, '\n');
}

static void test_hostile_paths(void)
{
	static const char *const bad[] = {"..", "../x", "/etc", "a/../b", "a//b", "./a", "a/", "a/.", ".", "no/parent", "\n/x", ""};
	uint8_t buf[8192], *p, *start;
	char name[400];
	size_t i;

	memcpy(buf, "ETREE\1F", 7);
	start = buf + 7;
	raw(&start, "", S_IFDIR | 0755, NULL, 0);
	for (i = 0; i < sizeof bad / sizeof *bad; i++) {
		p = start;
		raw(&p, bad[i], S_IFREG | 0644, NULL, 0);
		snprintf(name, sizeof name, "path refused: '%s'", *bad[i] == '\n' ? "newline/x" : bad[i]);
		ok(refused(buf, (size_t)(p - buf)), name);
	}
	p = start;
	raw(&p, "d", S_IFLNK | 0777, "/etc", 0);
	raw(&p, "d/passwd", S_IFREG | 0644, NULL, 0);
	ok(refused(buf, (size_t)(p - buf)), "a symbolic link as a parent is refused");
	p = start;
	raw(&p, "b", S_IFREG | 0644, NULL, 0);
	raw(&p, "a", S_IFREG | 0644, NULL, 0);
	ok(refused(buf, (size_t)(p - buf)), "paths out of order are refused");
	p = start;
	raw(&p, "a", S_IFREG | 0644, NULL, 0);
	raw(&p, "a", S_IFREG | 0644, NULL, 0);
	ok(refused(buf, (size_t)(p - buf)), "a path named twice is refused");
	memset(name, 'x', sizeof name);
	name[300] = 0;
	p = start;
	raw(&p, name, S_IFREG | 0644, NULL, 0);
	ok(refused(buf, (size_t)(p - buf)), "a name longer than 255 bytes is refused");
	p = buf + 7;
	raw(&p, "", S_IFLNK | 0777, "/", 0);
	ok(refused(buf, (size_t)(p - buf)), "a root that is no folder is refused");
	ok(refused(buf, 7) && refused(buf, 3) && refused(NULL, 0), "manifests without entries are refused");
}

static void test_hostile_counts(void)
{
	uint8_t buf[4096], *p, *start;

	memcpy(buf, "ETREE\1F", 7);
	start = buf + 7;
	raw(&start, "", S_IFDIR | 0755, NULL, 0);
	p = start;
	raw(&p, "f", S_IFREG | 0644, NULL, TREE_FILE_MAX);
	put_u(&p, 1);
	put_u(&p, TREE_FILE_MAX / TREE_BLOCK);
	ok(refused(buf, (size_t)(p - buf)), "digests by the million that are not there are refused");
	p = start;
	raw(&p, "f", S_IFREG | 0644, NULL, UINT64_MAX);
	ok(refused(buf, (size_t)(p - buf)), "a file of 16 EiB is refused");
	p = start;
	raw(&p, "f", S_IFREG | 0644, NULL, 100);
	put_u(&p, 0);
	put_u(&p, 2);
	ok(refused(buf, (size_t)(p - buf)), "more blocks than the size has are refused");
	p = start;
	raw(&p, "f", S_IFREG | 0644, NULL, 100);
	put_u(&p, 0);
	put_u(&p, 0);
	ok(refused(buf, (size_t)(p - buf)), "a run of no blocks is refused");
	p = start;
	raw(&p, "f", S_IFREG | 0644, NULL, 100);
	put_u(&p, 2);
	put_u(&p, 1);
	ok(refused(buf, (size_t)(p - buf)), "a reference to a base without one is refused");
	p = start;
	raw(&p, "f", 0644, NULL, 0);
	ok(refused(buf, (size_t)(p - buf)), "an unknown type is refused");
	p = start;
	memset(p, 0xff, 12);
	ok(refused(buf, (size_t)(p + 12 - buf)), "a number without end is refused");
	p = start;
	put_u(&p, 0);
	put_u(&p, 1);
	*p++ = 'l';
	put_u(&p, S_IFREG | 0644);
	put_u(&p, 1);
	put_u(&p, 5);
	ok(refused(buf, (size_t)(p - buf)), "a hard link to a later entry is refused");
	p[-1] = 0;
	ok(refused(buf, (size_t)(p - buf)), "a hard link to a folder is refused");
}

/* Every truncation, and every byte changed: refused or decoded, never worse. */
static void test_mangled(void)
{
	AUTO_TREE struct tree *s = NULL, *s2 = NULL, *out = NULL;
	AUTO_FREE uint8_t *full = NULL, *delta = NULL;
	size_t n, m, i;
	bool good = true;

	fresh();
	make_zoo();
	s = scan(src, NULL);
	put(in("a", "new"), 1, 100000, 0);
	unlink(in("a", "fifo"));
	s2 = scan(src, s);
	tree_encode(s, &full, &n, &e);
	tree_encode_delta(s, s2, &delta, &m, &e);
	for (i = 0; i < n; i++)
		if (tree_decode(&out, full, i, &e) == 0) /* cut between two entries: a smaller tree */
			tree_free(TAKE_PTR(out));
		else
			good &= e.code == EX_DATAERR;
	for (i = 0; i < n + m; i++) {
		uint8_t *b = i < n ? full + i : delta + i - n, was = *b;

		*b ^= (uint8_t)(1u << i % 8);
		if (i < n ? tree_decode(&out, full, n, &e) : tree_decode_delta(&out, s, delta, m, &e))
			good &= e.code == EX_DATAERR;
		else
			tree_free(TAKE_PTR(out));
		*b = was;
	}
	ok(good, "cut off and mangled manifests are bad input and nothing worse");
	ok(tree_decode_delta(&out, s2, delta, m, &e) == -1 && e.code == EX_DATAERR, "a delta to another base is refused");
	ok(!tree_decode_delta(&out, s, delta, m, &e) && same(out, s2), "the delta as it was still serves");
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
	ok(!tree_plan(&p, have, s, &e) && !tree_apply_start(&a, p, dst, 0, &e) && !tree_reader_open(&r, src, s, &e),
	   "an apply starts");
	needs = tree_plan_needs(p, &n);
	tree_read(r, needs[0], buf, &len, &e);
	buf[77] ^= 1;
	ok(tree_apply_put(a, needs[0], buf, len, &e) == -1 && e.code == EX_DATAERR, "a corrupted block is refused");
	is_str(e.text, "f: block 0 is not what the manifest says", "and named");
	buf[77] ^= 1;
	ok(tree_apply_put(a, needs[0], buf, len - 1, &e) == -1, "a short block is refused");
	ok(!tree_apply_put(a, needs[0], buf, len, &e), "the true one is taken");
	ok(!tree_apply_put(a, (struct tree_block){99, 99}, buf, len, &e), "a block that nobody asked for is passed over");
	ok(tree_apply_finish(a, &e) == -1 && e.code == EX_DATAERR, "a block that lacks is an error");
	is_str(e.text, "f: block 1 has not come", "and named");
	ok(tree_read(r, (struct tree_block){1, 2}, buf, &len, &e) == -1 && e.code == EX_DATAERR &&
	   tree_read(r, (struct tree_block){7, 0}, buf, &len, &e) == -1, "want lists out of range are refused");
}

/* Rounds as of a live move: full, delta while it changes, last delta. */
static void test_rounds(void)
{
	AUTO_TREE struct tree *s0 = NULL, *s1 = NULL, *s2 = NULL, *have = NULL, *w0 = NULL, *w1 = NULL, *w2 = NULL;
	AUTO_TREE struct tree *after = NULL;
	AUTO_TREE_PLAN struct tree_plan *p = NULL;
	AUTO_FREE uint8_t *b0 = NULL, *b1 = NULL, *b2 = NULL;
	struct moved m;
	size_t n, k;

	fresh();
	make_zoo();
	put(in("a", "db"), 1, 10 * TREE_BLOCK, 0);
	put(in("a", "twin"), 1, 10 * TREE_BLOCK, 0);
	s0 = scan(src, NULL);
	have = scan(dst, NULL);
	tree_encode(s0, &b0, &n, &e);
	tree_decode(&w0, b0, n, &e);
	put(in("a", "db"), 2, 100, 3 * TREE_BLOCK); /* changes between scan and reading */
	ok(!send_all(have, w0, TREE_LIVE, &m), "a file that changes while it is sent is no error while live");
	for (k = 0; k < tree_count(w0); k++) /* what the frames of the wire tell the source */
		if (tree_at(w0, (uint32_t)k)->hot && tree_forget(s0, (struct tree_block){(uint32_t)k, 3}, &e))
			ok(false, "forget");
	unlink(in("a", "hard1"));
	unlink(in("a", "fifo"));
	mkdir(in("a", "newdir"), 0711);
	put(in("a", "newdir/f"), 5, 1000, 0);
	s1 = scan(src, s0);
	tree_encode_delta(s0, s1, &b1, &n, &e);
	ok(!tree_decode_delta(&w1, w0, b1, n, &e) && same(s1, w1), "a delta carries all changes");
	ok(n < 1500, "and little else");
	tree_plan(&p, s0, s1, &e);
	tree_plan_needs(p, &k);
	ok(!send_all(w0, w1, TREE_LIVE, &m) && m.needs == k && k == 3, "both ends know the same needs");
	put(in("a", "db"), 3, 100, 5 * TREE_BLOCK);
	chmod(in("a", "suid"), 0700);
	s2 = scan(src, s1);
	tree_encode_delta(s1, s2, &b2, &n, &e);
	ok(!tree_decode_delta(&w2, w1, b2, n, &e) && !send_all(w1, w2, 0, &m) && m.needs == 1, "the last round");
	after = scan(dst, NULL);
	ok(same(s2, after), "after which both ends are equal");
}

static void test_many_rounds(void)
{
	struct tree *s = NULL, *w = NULL, *next;
	struct moved m;
	bool good = true;
	unsigned i;

	fresh();
	make_zoo();
	s = scan(src, NULL);
	w = scan(dst, NULL);
	good &= !send_all(w, s, 0, &m);
	tree_free(w);
	w = scan(dst, NULL);
	for (i = 0; i < 30; i++) { /* more than trees share memory with */
		AUTO_FREE uint8_t *b = NULL;
		size_t n = 0;
		char name[20];

		snprintf(name, sizeof name, "n%u", i % 7);
		put(in("a", name), i, 70000, 0);
		next = scan(src, s);
		good &= next && !tree_encode_delta(s, next, &b, &n, &e);
		tree_free(s);
		s = next;
		good &= !tree_decode_delta(&next, w, b, n, &e) && !send_all(w, next, 0, &m) && same(s, next);
		tree_free(w);
		w = next;
	}
	next = scan(dst, NULL);
	ok(good && same(s, next), "thirty rounds in a row");
	tree_free(next);
	tree_free(s);
	tree_free(w);
}

static void test_hot(void)
{
	AUTO_TREE struct tree *s0 = NULL, *s1 = NULL, *s2 = NULL;
	AUTO_FD int fd = -1;
	struct tree_inode ino;
	struct stat st;
	char *map;

	fresh();
	put(in("a", "m"), 1, 2 * TREE_BLOCK, 0);
	fd = open(in("a", "m"), O_RDWR | O_CLOEXEC);
	map = mmap(NULL, 2 * TREE_BLOCK, PROT_READ | PROT_WRITE, MAP_SHARED, fd, 0);
	map[5]++; /* from here on the page is writable, and a write changes no time */
	usleep(250000);
	s0 = scan(src, NULL);
	map[5]++;
	fstat(fd, &st);
	ino = (struct tree_inode){st.st_dev, st.st_ino};
	if (tree_scan(&s1, src, s0, &ino, 1, &e) || tree_scan(&s2, src, s1, NULL, 0, &e))
		printf("# %s\n", e.text);
	ok(!same(s0, s1), "a mapped file is read again though its times are old");
	ok(same(s1, s2), "an unchanged one stays equal");
	ok(tree_at(s1, 1)->runs == tree_at(s2, 1)->runs, "and is not read again");
	munmap(map, 2 * TREE_BLOCK);
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
	ok(send_all(have, s, 0, &m) == -1 && stat(in("victim", "f"), &st), "a folder that became a link leads nowhere");
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
	ok(s && tree_find(s, "mnt") == 1 && tree_find(s, "mnt/secret") == TREE_NONE, "mounts are not crossed");
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

static void make_many(unsigned n)
{
	char name[40];
	unsigned i;

	for (i = 0; i < n; i++) {
		if (i % 100 == 0) {
			snprintf(name, sizeof name, "d%02u", i / 100);
			mkdir(in("a", name), 0755);
		}
		snprintf(name, sizeof name, "d%02u/file%u", i / 100, i);
		put(in("a", name), i, 100 + i % 400, 0);
	}
}

/* The two times that stand inside a freeze, at half the number of files. Bounds are loose: other jobs run beside. */
static void test_many(void)
{
	AUTO_TREE struct tree *s = NULL, *s2 = NULL, *s3 = NULL, *w = NULL, *w2 = NULL, *after = NULL;
	AUTO_FREE uint8_t *b = NULL, *d = NULL;
	struct moved m;
	size_t n = 0, k = 0;
	double t, best = 1e9;
	unsigned many = getenv("TREE_TEST_FILES") ? (unsigned)atoi(getenv("TREE_TEST_FILES")) : 5000;
	int i;

	fresh();
	make_many(many);
	ok(mirror(&m) && m.needs == many, "5,000 files come over");
	usleep(150000);
	s = scan(src, NULL);
	tree_encode(s, &b, &n, &e);
	tree_decode(&w, b, n, &e);
	printf("# manifest: %zu bytes\n", n);
	for (i = 0; i < 3; i++) {
		tree_free(s2);
		t = clock_ms();
		s2 = scan(src, s);
		t = clock_ms() - t;
		best = t < best ? t : best;
	}
	printf("# scan of %u unchanged files: %.2f ms\n", many, best);
	ok(same(s, s2) && best < 250, "an unchanged tree is scanned quickly");
	put(in("a", "d07/file700"), 1, 3000, 0);
	put(in("a", "d30/file3000"), 2, 3000, 0);
	put(in("a", "d49/file4999"), 3, 3000, 0);
	tree_id(s, (uint8_t[TREE_DIGEST]){0}, &e);
	tree_id(w, (uint8_t[TREE_DIGEST]){0}, &e);
	t = clock_ms();
	s3 = scan(src, s2);
	printf("# scan with three changed: %.2f ms\n", clock_ms() - t);
	t = clock_ms();
	tree_encode_delta(s, s3, &d, &k, &e);
	printf("# delta: %zu bytes, encoded in %.2f ms\n", k, clock_ms() - t);
	t = clock_ms();
	i = tree_decode_delta(&w2, w, d, k, &e);
	printf("# decoded in %.2f ms\n", clock_ms() - t);
	ok(!i && !send_all(w, w2, 0, &m) && m.needs == 3 && m.ms < 100, "three changes are applied quickly");
	printf("# applied in %.2f ms\n", m.ms);
	after = scan(dst, NULL);
	ok(same(s3, after), "and exactly");
}

int main(void)
{
	if (geteuid()) {
		skip("trees", "needs root");
		return done();
	}
	if (!mkdtemp(top))
		return 1;
	umask(022);
	test_zoo();
	test_replace();
	test_blocks();
	test_hostile_paths();
	test_hostile_counts();
	test_mangled();
	test_put();
	test_rounds();
	test_many_rounds();
	test_hot();
	test_devices();
	test_root();
	test_mounts();
	test_full();
	test_many();
	close(src);
	if (dst >= 0)
		close(dst);
	file_remove_tree(top, NULL);
	return done();
}
