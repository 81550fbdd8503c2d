/* SPDX-License-Identifier: MIT */
#include "tests/unit/tree_lab.h"

#include <signal.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/wait.h>

/* Rounds as of a live move: full, delta while it changes, last delta. */
static void test_rounds(void)
{
	AUTO_TREE struct tree *s0 = NULL, *s1 = NULL, *s2 = NULL, *have = NULL, *w0 = NULL, *w1 = NULL,
			      *w2 = NULL;
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
		if (tree_at(w0, (uint32_t)k)->hot &&
		    tree_forget(s0, (struct tree_block){ (uint32_t)k, 3 }, &e))
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
	ok(!tree_decode_delta(&w2, w1, b2, n, &e) && !send_all(w1, w2, 0, &m) && m.needs == 1,
	   "the last round");
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
	ino = (struct tree_inode){ st.st_dev, st.st_ino };
	if (tree_scan(&s1, src, s0, &ino, 1, &e) || tree_scan(&s2, src, s1, NULL, 0, &e))
		printf("# %s\n", e.text);
	ok(!same(s0, s1), "a mapped file is read again though its times are old");
	ok(same(s1, s2), "an unchanged one stays equal");
	ok(tree_at(s1, 1)->runs == tree_at(s2, 1)->runs, "and is not read again");
	munmap(map, 2 * TREE_BLOCK);
}

/* What a service may do to its files at any moment. */
static void churn(void)
{
	char name[32], other[32];
	unsigned i;

	for (i = 0;; i++) {
		unsigned k = i * 7919 % 40;

		snprintf(name, sizeof name, "dir.d/c%u", k);
		snprintf(other, sizeof other, "dir.d/c%u", (k * 3 + i) % 40);
		switch (i % 8) {
		case 0:
			mkdir(in("a", name), 0755);
			break;
		case 1:
			rename(in("a", name), in("a", other));
			break;
		case 2:
			unlink(in("a", name));
			rmdir(in("a", name));
			break;
		case 3:
			symlink("target", in("a", name));
			break;
		case 4:
			link(in("a", "empty"), in("a", name));
			break;
		case 5:
			truncate(in("a", "big"), i % 500000);
			break;
		default:
			put(in("a", i % 2 ? name : "big"), i, 30000, i * 1000 % 400000);
		}
		usleep(100);
	}
}

/* Rounds while everything changes, then one when nothing does. */
static void test_churn(void)
{
	AUTO_TREE struct tree *s = NULL, *w = NULL, *after = NULL;
	bool good = true;
	size_t i, n, len;
	pid_t pid;
	int round;

	fresh();
	make_zoo();
	put(in("a", "big"), 1, 400000, 0);
	w = scan(dst, NULL);
	pid = fork();
	if (pid < 0) {
		ok(false, "fork");
		return;
	}
	if (!pid) {
		prctl(PR_SET_PDEATHSIG, SIGKILL);
		fclose(stdout);
		churn();
	}
	for (round = 0; round < 15 && good; round++) {
		AUTO_TREE_PLAN struct tree_plan *p = NULL;
		AUTO_TREE_APPLY struct tree_apply *a = NULL;
		AUTO_TREE_READER struct tree_reader *r = NULL;
		AUTO_FREE uint8_t *b = NULL;
		struct tree *s2 = NULL, *w2 = NULL;
		const struct tree_block *needs;
		static uint8_t buf[TREE_BLOCK];

		if (round == 14) {
			kill(pid, SIGKILL);
			waitpid(pid, NULL, 0);
		}
		good = !tree_scan(&s2, src, s, NULL, 0, &e) &&
		       (s ? !tree_encode_delta(s, s2, &b, &len, &e) && !tree_decode_delta(&w2, w, b, len, &e)
			  : !tree_encode(s2, &b, &len, &e) && !tree_decode(&w2, b, len, &e)) &&
		       !tree_plan(&p, w, w2, &e) &&
		       !tree_apply_start(&a, p, dst, round < 14 ? TREE_LIVE : 0, &e) &&
		       !tree_reader_open(&r, src, s2, &e);
		needs = good ? tree_plan_needs(p, &n) : NULL;
		for (i = 0; good && i < n; i++) {
			int rc = tree_read(r, needs[i], buf, &len, &e);

			good = rc == 1   ? !tree_forget(s2, needs[i], &e) && !tree_forget(w2, needs[i], &e)
			       : rc == 0 ? !tree_apply_put(a, needs[i], buf, len, &e)
					 : false;
		}
		good = good && !tree_apply_finish(a, &e);
		tree_free(s);
		tree_free(w);
		s = s2;
		w = w2;
	}
	if (!good)
		printf("# round %d: %s\n", round, e.text);
	if (round < 15) {
		kill(pid, SIGKILL);
		waitpid(pid, NULL, 0);
	}
	after = scan(dst, NULL);
	ok(good && same(s, after), "rounds while everything changes end with equal trees");
	tree_free(after);
	after = scan(src, NULL);
	ok(same(s, after), "and a scan by increments sees what a full one sees");
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

/* The two times that stand inside a freeze, at half the number of files unless TREE_TEST_FILES says more.
 * Bounds are loose: other jobs run beside. */
static void test_many(void)
{
	AUTO_TREE struct tree *s = NULL, *s2 = NULL, *s3 = NULL, *w = NULL, *w2 = NULL, *after = NULL;
	AUTO_FREE uint8_t *b = NULL, *d = NULL;
	struct moved m;
	size_t n = 0, k = 0;
	double t, best = 1e9;
	const char *files = getenv("TREE_TEST_FILES");
	unsigned many = files ? (unsigned)atoi(files) : 5000;
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
	ok(same(s, s2), "an unchanged tree is the same");
	put(in("a", "d07/file700"), 1, 3000, 0);
	put(in("a", "d30/file3000"), 2, 3000, 0);
	put(in("a", "d49/file4999"), 3, 3000, 0);
	tree_id(s, (uint8_t[TREE_DIGEST]){ 0 }, &e);
	tree_id(w, (uint8_t[TREE_DIGEST]){ 0 }, &e);
	t = clock_ms();
	s3 = scan(src, s2);
	printf("# scan with three changed: %.2f ms\n", clock_ms() - t);
	t = clock_ms();
	tree_encode_delta(s, s3, &d, &k, &e);
	printf("# delta: %zu bytes, encoded in %.2f ms\n", k, clock_ms() - t);
	t = clock_ms();
	i = tree_decode_delta(&w2, w, d, k, &e);
	printf("# decoded in %.2f ms\n", clock_ms() - t);
	ok(!i && !send_all(w, w2, 0, &m) && m.needs == 3, "three changes are applied alone");
	printf("# applied in %.2f ms\n", m.ms);
	after = scan(dst, NULL);
	ok(same(s3, after), "and exactly");
}

int main(void)
{
	int status;

	if (!lab_start(&status))
		return status;
	test_rounds();
	test_many_rounds();
	test_hot();
	test_churn();
	test_many();
	return lab_end();
}
