/* SPDX-License-Identifier: MIT */
#include "tests/unit/tree_lab.h"

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
	static const char *const bad[] = { "..", "../x", "/etc", "a/../b",    "a//b", "./a",
					   "a/", "a/.",  ".",    "no/parent", "\n/x", "" };
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
	ok(tree_decode_delta(&out, s2, delta, m, &e) == -1 && e.code == EX_DATAERR,
	   "a delta to another base is refused");
	ok(!tree_decode_delta(&out, s, delta, m, &e) && same(out, s2), "the delta as it was still serves");
}

int main(void)
{
	int status;

	if (!lab_start(&status))
		return status;
	test_hostile_paths();
	test_hostile_counts();
	test_mangled();
	return lab_end();
}
