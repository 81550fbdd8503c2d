/* SPDX-License-Identifier: MIT */
#include "lib/move/image.h"

#include <dirent.h>
#include <fcntl.h>
#include <limits.h>
#include <pthread.h>
#include <stdatomic.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <unistd.h>

#include "lib/base/file.h"
#include "lib/move/pagemap.h"
#include "tests/unit/tap.h"

#define GIB (1ULL << 30)
#define PAGE 4096ULL

static char top[] = "/tmp/image_test.XXXXXX";
static struct err e;

static const char *in(const char *name)
{
	static char ring[4][PATH_MAX];
	static int next;
	char *p = ring[next++ % 4];

	snprintf(p, PATH_MAX, "%s/%s", top, name);
	return p;
}

static const uint8_t *page_of(unsigned seed)
{
	static uint8_t page[PAGE];

	for (size_t i = 0; i < PAGE; i++) {
		seed = seed * 1664525u + 1013904223u;
		page[i] = (uint8_t)(seed >> 16);
	}
	return page;
}

static int put(struct image *im, uint64_t object, uint64_t addr, unsigned seed)
{
	struct digest d;
	const uint8_t *page = page_of(seed);

	digest_of(page, PAGE, &d);
	return image_put(im, object, addr, &d, page, &e);
}

static bool has(struct image *im, uint64_t object, uint64_t addr, unsigned seed)
{
	uint8_t got[PAGE];

	return !image_read(im, object, addr, got) && !memcmp(got, page_of(seed), PAGE);
}

static int cover(struct image *im, uint64_t object, uint64_t number)
{
	return image_cover(im, &(struct image_window){ object, number }, 1, &e);
}

static uint64_t mark_of(struct image *im, uint64_t addr)
{
	uint64_t mark[2] = { 0 };

	image_marks(im, 1, addr - PAGE, 2, mark);
	return mark[1];
}

/* What CRIU would read at an address whose window has this rank in the layer's file. */
static bool file_has_zeros(const char *file, off_t at)
{
	static const uint8_t zeros[PAGE];
	uint8_t got[PAGE];
	AUTO_FD int fd = open(file, O_RDONLY | O_CLOEXEC);

	return fd >= 0 && pread(fd, got, PAGE, at) == (ssize_t)PAGE && !memcmp(got, zeros, PAGE);
}

static void test_pages(void)
{
	AUTO_IMAGE struct image *im = NULL;
	struct digest d;
	uint8_t got[PAGE];

	is_int(image_open(&im, in("pages"), &e), 0, "an image is opened where there is none");
	is_int(put(im, 1, 5 * PAGE, 1), -1, "a page outside of every window is refused");
	is_str(e.text, "memory image: page 0x5000 lies outside", "... by its address");
	is_int(cover(im, 1, 0) | cover(im, 2, 7), 0, "windows of two objects");
	is_int(put(im, 1, 5 * PAGE, 1) | put(im, 2, 7 * GIB, 2), 0, "pages go into them");
	ok(has(im, 1, 5 * PAGE, 1) && has(im, 2, 7 * GIB, 2), "... and come out");
	is_int(image_get(im, 1, 5 * PAGE, &d), PAGE_DATA, "a page has a state");
	is_int(image_get(im, 1, 6 * PAGE, &d), PAGE_NONE, "... and its neighbour has none");
	is_int(image_read(im, 1, 6 * PAGE, got), -1, "... and cannot be read");
	is_int(image_put(im, 1, 6 * PAGE, NULL, NULL, &e), 0, "a page of zeros");
	is_int(image_get(im, 1, 6 * PAGE, &d), PAGE_ZERO, "... is known as one");
	memset(got, 1, PAGE);
	ok(!image_read(im, 1, 6 * PAGE, got) && !got[0] && !got[4095], "... and reads as one");
	digest_of(page_of(2), PAGE, &d);
	ok(!image_find(im, &d, got) && !memcmp(got, page_of(2), PAGE), "a page is found by its content");
	put(im, 2, 7 * GIB, 3);
	is_int(image_find(im, &d, got), -1, "... until another takes its place");
	digest_of(page_of(3), PAGE, &d);
	is_int(image_find(im, &d, got), 0, "... which is found then");
	is_int((long long)image_pages(im), 2, "pages with data are counted");
	is_int(image_put_run(im, 1, IMAGE_RUN - PAGE, &d, got, 2, &e), -1, "a run over a boundary is refused");
}

static void test_damage(void)
{
	AUTO_IMAGE struct image *im = NULL;
	uint8_t got[PAGE];
	struct digest d;

	image_open(&im, in("damage"), &e);
	cover(im, 1, 0);
	put(im, 1, 0, 1);
	AUTO_FD int fd = open(in("damage/0000000000000001.0"), O_WRONLY | O_CLOEXEC);
	ok(fd >= 0 && pwrite(fd, "x", 1, 100) == 1, "a byte of the file is changed");
	is_int(image_read(im, 1, 0, got), -1, "a damaged page does not count");
	digest_of(page_of(1), PAGE, &d);
	is_int(image_find(im, &d, got), -1, "... nor is it found by what it was");
}

static void test_bounds(void)
{
	AUTO_IMAGE struct image *im = NULL;
	AUTO_FREE struct image_window *w = calloc(70000, sizeof(*w));
	struct rlimit old, few;
	uint8_t got[PAGE];

	image_open(&im, in("bounds"), &e);
	is_int(cover(im, 1, 1ULL << 26), -1, "an address beyond 56 bits is refused");
	is_str(e.text, "memory image: address out of range", "... and why is said");
	for (unsigned i = 0; i < 70000; i++)
		w[i] = (struct image_window){ i % 8 + 1, i * 2 };
	is_int(image_cover(im, w, 70000, &e), -1, "too many windows are refused");
	is_str(e.text, "memory image: address space too scattered", "... and why is said");
	is_int(put(im, 1, 0, 1), -1, "... and none of them is left behind without a file");
	is_int(image_put(im, 1, 0, NULL, NULL, &e), -1, "... for pages of zeros either");
	for (unsigned i = 0; i < 70000; i++)
		w[i] = (struct image_window){ i + 1, 0 };
	is_int(image_cover(im, w, 70000, &e), -1, "too many address spaces are refused");
	getrlimit(RLIMIT_NOFILE, &old);
	few = old;
	few.rlim_cur = 16;
	setrlimit(RLIMIT_NOFILE, &few);
	is_int(image_cover(im, w, 64, &e), -1, "out of descriptors: refused");
	setrlimit(RLIMIT_NOFILE, &old);
	ok(strstr(e.text, "Too many open files") != NULL, "... and why is said");
	is_int(put(im, 64, 0, 1), -1, "... and no page goes where there is no file");
	is_int(cover(im, 64, 0) | put(im, 64, 0, 1), 0, "... until there is one");
	ok(!image_read(im, 64, 0, got), "... from which it is read");
	is_int(image_save(im, IMAGE_SYNC, &e), 0, "such an image is saved");
}

/* Save, open again; what was not used is forgotten, also by its place in the file. */
static void test_rest(void)
{
	AUTO_IMAGE struct image *im = NULL;
	struct digest d;
	struct stat st;

	image_open(&im, in("rest"), &e);
	is_int(image_begin(im, &e), 0, "begin");
	cover(im, 1, 3);
	cover(im, OBJECT_SHARED | 9, 0);
	put(im, 1, 3 * GIB, 1);
	put(im, 1, 3 * GIB + PAGE, 2);
	put(im, 1, 3 * GIB + (4 << 20), 3);
	put(im, OBJECT_SHARED | 9, PAGE, 4);
	uint64_t used = image_use(im, 1, 3 * GIB, 1);
	used += image_use(im, OBJECT_SHARED | 9, PAGE, 1);
	is_int((long long)used, 2, "pages in use");
	is_int((long long)image_use(im, 1, 3 * GIB + 2 * PAGE, UINT64_MAX), 0, "one that is not there cannot be in use");
	ok(image_used(im, 1, 3 * GIB, 1) && !image_used(im, 1, 3 * GIB + PAGE, 1), "use is known");
	is_int(image_save(im, IMAGE_SWEEP | IMAGE_SYNC, &e), 0, "swept and saved");
	image_free(TAKE_PTR(im));
	is_int(image_open(&im, in("rest"), &e), 0, "opened again");
	ok(has(im, 1, 3 * GIB, 1) && has(im, OBJECT_SHARED | 9, PAGE, 4), "what was used is there");
	is_int(image_get(im, 1, 3 * GIB + PAGE, &d), PAGE_NONE, "what was not used is forgotten");
	is_int(image_get(im, 1, 3 * GIB + (4 << 20), &d), PAGE_NONE, "... a whole chunk of it, too");
	ok(!stat(in("rest/0000000000000001.0"), &st) && st.st_size == (off_t)GIB && st.st_blocks * 512 <= 16384,
	   "... and its space is given back");
	is_int(image_put(im, 1, 3 * GIB + PAGE, NULL, NULL, &e), 0, "zeros where a forgotten page was");
	ok(file_has_zeros(in("rest/0000000000000001.0"), PAGE), "... are zeros in the file that CRIU reads");
	image_set_mark(im, 1, 3 * GIB, 77);
	is_int((long long)mark_of(im, 3 * GIB), 77, "a mark");
	image_begin(im, &e);
	is_int((long long)mark_of(im, 3 * GIB), 0, "... is gone after begin");
	ok(!image_used(im, 1, 3 * GIB, 1), "... as is use");
}

/* Runs of pages of any length and place, with pages missing here and there, across chunks. */
static void test_use(void)
{
	AUTO_IMAGE struct image *im = NULL;
	bool missing[1500] = { [7] = true, [64] = true, [200] = true, [511] = true, [512] = true, [1200] = true, [1499] = true };
	int wrong = 0;

	image_open(&im, in("use"), &e);
	cover(im, 1, 0);
	for (uint64_t p = 0; p < 1500; p++)
		if (!missing[p])
			image_put(im, 1, p * PAGE, NULL, NULL, &e);
	for (uint64_t from = 0; from < 1500; from += 1 + from % 5)
		for (uint64_t n = 1; from + n <= 1500; n += 1 + n / 2) {
			uint64_t have = 0;

			while (have < n && !missing[from + have])
				have++;
			wrong += image_use(im, 1, from * PAGE, n) != have || image_used(im, 1, from * PAGE, n) != have;
		}
	is_int(wrong, 0, "what is in use is known by runs");
	image_begin(im, &e);
	image_use(im, 1, 100 * PAGE, 50);
	is_int((long long)image_used(im, 1, 100 * PAGE, 200), 50, "... and where it ends");
	ok(!image_used(im, 1, 99 * PAGE, 1) && !image_used(im, 1, 150 * PAGE, 1), "... on both sides");
}

static void test_many(void)
{
	AUTO_IMAGE struct image *im = NULL;
	uint8_t got[PAGE];
	unsigned lost = 0;
	struct digest d;

	image_open(&im, in("many"), &e);
	image_begin(im, &e);
	cover(im, 1, 1);
	for (unsigned i = 0; i < 5000; i++) {
		put(im, 1, GIB + i * PAGE, i);
		for (unsigned j = i; j <= i; j /= 2) { /* some of all that are there */
			digest_of(page_of(j), PAGE, &d);
			lost += image_find(im, &d, got) || memcmp(got, page_of(j), PAGE);
			if (!j)
				break;
		}
	}
	is_int(lost, 0, "each of many is found by its content at any time");
}

static atomic_bool enough;

static void *put_many(void *arg)
{
	for (unsigned i = 0; !enough; i++) {
		unsigned o = i / 4096 < 8 ? i / 4096 : 7; /* no more: else a slow machine would never end a note */

		if (i % 4096 == 0 && i / 4096 < 8)
			cover(arg, 2 + o, 1); /* a new object: the note under way is given up */
		put(arg, 2 + o, GIB + i % 4096 * PAGE, i);
	}
	return NULL;
}

static void test_busy(void)
{
	AUTO_IMAGE struct image *im = NULL;
	struct stat before, after;
	pthread_t thread;
	bool again = false;

	image_open(&im, in("busy"), &e);
	image_begin(im, &e);
	cover(im, 1, 1);
	for (unsigned i = 0; i < 2000; i++)
		put(im, 1, GIB + i * PAGE, i);
	usleep(300000);
	image_note(im);
	for (int i = 0; i < 100 && stat(in("busy/rough"), &before); i++)
		usleep(100000);
	pthread_create(&thread, NULL, put_many, im);
	for (int i = 0; i < 6000 && !again; i++) {
		usleep(10000);
		image_note(im);
		again = !stat(in("busy/rough"), &after) && after.st_ino != before.st_ino;
	}
	enough = true;
	pthread_join(thread, NULL);
	ok(again, "a note is written while pages come");
	image_note_stop(im, 5000);
	stat(in("busy/rough"), &before);
	usleep(300000);
	image_note(im);
	usleep(300000);
	ok(!stat(in("busy/rough"), &after) && after.st_ino == before.st_ino && access(in("busy/index~"), F_OK),
	   "... but not when the service is about to stand still");
	image_free(TAKE_PTR(im));
	is_int(image_open(&im, in("busy"), &e), 0, "... which is a whole one");
	ok(image_rough(im) && image_pages(im) >= 2000 && has(im, 1, GIB + 1999 * PAGE, 1999), "... and knows what was there before it");
}

/* A move dies: what came after the last note may have been written or not. */
static void test_rough(void)
{
	AUTO_IMAGE struct image *im = NULL;
	struct digest d;

	image_open(&im, in("rough"), &e);
	image_begin(im, &e);
	cover(im, 1, 3);
	put(im, 1, 3 * GIB, 1);
	image_note(im);
	ok(access(in("rough/rough"), F_OK) != 0, "a note is not written at once");
	usleep(300000);
	image_note(im);
	for (int i = 0; i < 100 && access(in("rough/rough"), F_OK); i++)
		usleep(100000);
	ok(!access(in("rough/rough"), F_OK) && access(in("rough/index"), F_OK), "... but after a while");
	put(im, 1, 3 * GIB, 5);
	put(im, 1, 3 * GIB + PAGE, 2);
	put(im, 1, 3 * GIB + (4 << 20), 3);
	cover(im, 1, 9);
	put(im, 1, 9 * GIB, 4);
	image_free(TAKE_PTR(im));
	is_int(image_open(&im, in("rough"), &e), 0, "what an interrupted move has left is opened");
	is_int((long long)image_pages(im), 1, "... with the pages of the note");
	ok(!has(im, 1, 3 * GIB, 1) && !has(im, 1, 3 * GIB, 5), "... of which one that was overwritten is not taken for it");
	is_int(image_get(im, 1, 3 * GIB + PAGE, &d), PAGE_NONE, "a page that came later is not there");
	ok(file_has_zeros(in("rough/0000000000000001.0"), PAGE) && file_has_zeros(in("rough/0000000000000001.0"), 4 << 20),
	   "... nor in the file that CRIU reads");
	ok(access(in("rough/0000000000000001.1"), F_OK) != 0, "... nor are files that came later");
	image_begin(im, &e);
	is_int(put(im, 1, 3 * GIB, 1) | image_save(im, 0, &e), 0, "it goes on");
	ok(image_rough(im) && !access(in("rough/rough"), F_OK) && access(in("rough/index"), F_OK), "... and stays doubtful");
	image_use(im, 1, 3 * GIB, 1);
	is_int(image_save(im, IMAGE_SWEEP, &e), 0, "... until what was not looked at is swept away");
	ok(!image_rough(im) && access(in("rough/rough"), F_OK) != 0, "... and what is saved needs no note");
	image_free(TAKE_PTR(im));
	image_open(&im, in("rough"), &e);
	ok(has(im, 1, 3 * GIB, 1), "... as it was");
	image_begin(im, &e);
	image_free(TAKE_PTR(im));
	image_open(&im, in("rough"), &e);
	ok(has(im, 1, 3 * GIB, 1), "a move that dies at once costs nothing");
}

static void test_index(void)
{
	AUTO_FREE char *index = NULL;
	size_t n = 0, refused = 0, tried = 0;

	for (int round = 0; round < 3; round++) {
		AUTO_IMAGE struct image *im = NULL;

		image_open(&im, in("index"), &e);
		image_begin(im, &e);
		cover(im, 1, 0);
		put(im, 1, 0, 1);
		image_save(im, 0, &e);
		image_free(TAKE_PTR(im));
		if (!index)
			index = file_slurp(in("index/index"), &n, &e);
		file_poke(in("index/index"), "EDGEMEM0", &e);
		image_open(&im, in("index"), &e);
		refused += !image_pages(im);
	}
	is_int((long long)refused, 3, "an index of another version makes the image empty");
	refused = 0;
	for (size_t at = 0; index && at < n; at += n / 40, tried++) {
		AUTO_IMAGE struct image *im = NULL;
		char old = index[at];

		index[at] ^= 0x41;
		file_write(in("index/index"), index, n, 0600, &e);
		refused += !image_open(&im, in("index"), &e) && !image_pages(im);
		index[at] = old;
	}
	ok(tried >= 40 && refused == tried, "a changed byte anywhere in the index makes the image empty");
	for (size_t len = refused = tried = 0; index && len < n; len += n / 20, tried++) {
		AUTO_IMAGE struct image *im = NULL;

		file_write(in("index/index"), index, len, 0600, &e);
		refused += !image_open(&im, in("index"), &e) && !image_pages(im);
	}
	ok(tried >= 20 && refused == tried, "... as does a shortened one");
}

/* Numbers in host order, as in the index. */
static size_t words(uint64_t *to, const uint64_t *from, size_t n)
{
	memcpy(to, from, n * 8);
	return n;
}

static void test_hostile_index(void)
{
	AUTO_IMAGE struct image *im = NULL;
	uint64_t w[64] = { 0 };
	size_t n;

	memcpy(w, "EDGEMEM2", 8);
	/* An object with three windows, then the same one again with one. */
	n = 1 + words(w + 1, (uint64_t[]){ 2, 1, 1, 3, 0, 0, 0, 1, 0, 0, 2, 0, 0 }, 13);
	n += words(w + n, (uint64_t[]){ 1, 1, 4, 5, 0, 0, 6, 0, 0, 7, 0, 0, 8, 0, 0 }, 15);
	file_mkdirs(in("hostile"), 0700, &e);
	file_write(in("hostile/index"), w, n * 8, 0600, &e);
	is_int(image_open(&im, in("hostile"), &e), 0, "an index that names an object twice");
	is_int((long long)image_pages(im), 0, "... makes the image empty");
}

static void test_parents(void)
{
	AUTO_IMAGE struct image *im = NULL;
	AUTO_PAGEMAP struct pagemap *first = NULL, *second = NULL;
	struct stat a, b;

	image_open(&im, in("parents"), &e);
	image_cover(im, (struct image_window[]){ { 1, 5 }, { 1, 2 } }, 2, &e);
	cover(im, 1, 3);
	put(im, 1, 2 * GIB, 1);
	put(im, 1, 3 * GIB, 2);
	file_mkdirs(in("images"), 0700, &e);
	is_int(image_link_parents(im, in("images"), &e), 0, "the chain of parents is made");
	is_int(image_link_parents(im, in("images"), &e), 0, "... and made again");
	ok(!pagemap_read(&first, in("images/parent/pagemap-1.img"), &e) &&
		   !pagemap_read(&second, in("images/parent/parent/pagemap-1.img"), &e),
	   "... of two layers");
	ok(first && first->n == 3 && first->entry[0].addr == 2 * GIB && first->entry[0].flags == PAGES_IN_PARENT &&
		   first->entry[1].addr == 3 * GIB && first->entry[1].flags == PAGES_PRESENT &&
		   first->entry[2].addr == 5 * GIB && first->entry[2].flags == PAGES_IN_PARENT,
	   "the upper one has its own window and refers to those below");
	ok(second && second->n == 2 && second->entry[0].addr == 2 * GIB && second->entry[1].addr == 5 * GIB &&
		   second->entry[1].flags == PAGES_PRESENT && second->entry[1].pages == GIB / PAGE,
	   "the lower one has the first windows, in order");
	ok(!stat(in("images/parent/parent/pages-1.img"), &a) && !stat(in("parents/0000000000000001.0"), &b) &&
		   a.st_ino == b.st_ino && a.st_size == (off_t)(2 * GIB),
	   "its pages are the image's own file");
	is_int(image_link_parents(im, in("nowhere"), &e), -1, "no chain below a folder that is not there");
	ok(strstr(e.text, "nowhere/parent: No such file") != NULL, "... and it is named");
}

static int open_files(void)
{
	DIR *d = opendir("/proc/self/fd");
	int n = 0;

	while (readdir(d))
		n++;
	closedir(d);
	return n;
}

int main(void)
{
	int before;

	if (!mkdtemp(top))
		return 70;
	before = open_files();
	test_pages();
	test_damage();
	test_bounds();
	test_rest();
	test_use();
	test_many();
	test_rough();
	test_busy();
	test_index();
	test_hostile_index();
	test_parents();
	is_int(open_files(), before, "no descriptor is left open");
	file_remove_tree(top, NULL);
	return done();
}
