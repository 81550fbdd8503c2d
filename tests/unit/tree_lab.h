/* SPDX-License-Identifier: MIT */
/* Two folders, what can lie in one, and the way from one to the other, for the tests of trees. */
#ifndef EDGE_TESTS_TREE_LAB_H
#define EDGE_TESTS_TREE_LAB_H

#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <stdlib.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/sysmacros.h>
#include <sys/un.h>
#include <sys/xattr.h>
#include <unistd.h>

#include "lib/base/clock.h"
#include "lib/base/file.h"
#include "lib/move/tree.h"
#include "tests/unit/tap.h"

static char top[] = "/tmp/tree_test.XXXXXX";
static struct err e;
static int src = -1, dst = -1; /* the two folders */

static inline const char *in(const char *side, const char *name)
{
	static char ring[4][PATH_MAX];
	static int next;
	char *p = ring[next++ % 4];

	snprintf(p, PATH_MAX, "%s/%s/%s", top, side, name);
	return p;
}

static inline void fill(void *buf, size_t n, unsigned seed)
{
	unsigned *p = buf;
	size_t i;

	for (i = 0; i < (n + 3) / 4; i++)
		p[i] = seed = seed * 1664525u + 1013904223u;
}

/* n bytes that depend on seed, at an offset. */
static inline void put(const char *path, unsigned seed, size_t n, off_t at)
{
	AUTO_FREE char *buf = calloc(1, n + 4);
	AUTO_FD int fd = open(path, O_WRONLY | O_CREAT, 0644);

	fill(buf, n, seed);
	if (fd < 0 || fd_pwrite_all(fd, buf, n, at))
		printf("# cannot write %s: %s\n", path, strerror(errno));
}

static inline void fresh(void)
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

static inline struct tree *scan(int fd, const struct tree *prev)
{
	struct tree *t = NULL;

	if (tree_scan(&t, fd, prev, NULL, 0, &e))
		printf("# scan: %s\n", e.text);
	return t;
}

static inline bool same(const struct tree *a, const struct tree *b)
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

		if (strcmp(p->path, q->path) || p->mode != q->mode || p->mtime_ns != q->mtime_ns ||
		    p->uid != q->uid || p->link != q->link || p->xattrs_len != q->xattrs_len ||
		    p->size != q->size)
			printf("# differs: %s %o %ld.%09u, %s %o %ld.%09u\n", p->path, p->mode,
			       (long)p->mtime, p->mtime_ns, q->path, q->mode, (long)q->mtime, q->mtime_ns);
	}
	return false;
}

struct moved {
	size_t needs;
	uint64_t bytes;
	double ms; /* of plan, start and finish */
};

/* Sends what `want` needs from src to dst and applies it. */
static inline int send_all(const struct tree *have, struct tree *want, int flags, struct moved *m)
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
static inline bool mirror(struct moved *m)
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

static inline void make_zoo(void)
{
	struct timespec old[2] = { { .tv_sec = 1000000000, .tv_nsec = 1 },
				   { .tv_sec = 1000000001, .tv_nsec = 123456789 } };
	static const uint8_t cap[20] = { 1, 0, 0, 2, 0, 4, 0, 0 }; /* cap_net_bind_service+ep, version 2 */
	static const uint8_t acl[] = { 2,    0,    0,    0,    1,    0,    6,    0,    0xff, 0xff, 0xff,
				       0xff, 2,    0,    6,    0,    33,   0,    0,    0,    4,    0,
				       4,    0,    0xff, 0xff, 0xff, 0xff, 0x10, 0,    6,    0,    0xff,
				       0xff, 0xff, 0xff, 0x20, 0,    4,    0,    0xff, 0xff, 0xff, 0xff };
	struct sockaddr_un un = { .sun_family = AF_UNIX };
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

/* In a folder of its own, with two folders a and b below it; `status` is main's when that is not possible. */
static inline bool lab_start(int *status)
{
	if (geteuid()) {
		skip("trees", "needs root");
		*status = done();
		return false;
	}
	umask(022);
	*status = 1;
	return mkdtemp(top) != NULL;
}

static inline int lab_end(void)
{
	if (src >= 0)
		close(src);
	if (dst >= 0)
		close(dst);
	file_remove_tree(top, NULL);
	return done();
}

#endif
