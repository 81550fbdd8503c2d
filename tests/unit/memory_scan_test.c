/* SPDX-License-Identifier: MIT */
/* What there is, as it is known from the last look and from the pages that have lost their marks, against what the kernel says
 * when it looks at all of them; of memory of this process that is used in every way that changes what there is. memory_scan.c is
 * taken in whole, so that the kernel can be made to pass over what has no page table, as older ones do. */
#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/mman.h>
#include <sys/syscall.h>
#include <unistd.h>

static int test_ioctl(int fd, unsigned long request, void *arg);

#define ioctl test_ioctl
#include "lib/move/memory_scan.c" // NOLINT(bugprone-suspicious-include)
#undef ioctl
#include "tests/unit/tap.h"

#ifndef MADV_GUARD_INSTALL
#define MADV_GUARD_INSTALL 102
#define MADV_GUARD_REMOVE 103
#endif
#ifndef MADV_COLLAPSE
#define MADV_COLLAPSE 25
#endif

#define PAGE 4096ULL
#define TABLE (2ULL << 20)
#define AREA (48 * TABLE)
#define PAGES (AREA / PAGE)
#define LARGE (300ULL << 20)
#define LOOKS 400

static bool passes_over;
static int pagemap, uffd;

static bool is_hole(uint64_t start)
{
	static const uint64_t held = PAGE_IS_PRESENT | PAGE_IS_SWAPPED;
	struct page_region region;
	struct pm_scan_arg arg = {
		.size = sizeof(arg), .start = start, .end = start + TABLE, .vec = (uintptr_t)&region, .vec_len = 1,
		.category_anyof_mask = held, .return_mask = held,
	};

	return !ioctl(pagemap, PAGEMAP_SCAN, &arg);
}

/* Adds the pages without a mark in [start, end), but for tables in which there is nothing. */
static int pass_over(struct page_region *to, int n, uint64_t start, uint64_t end)
{
	for (uint64_t next; start < end; start = next) {
		next = (start / TABLE + 1) * TABLE;
		if (next <= end && start % TABLE == 0 && is_hole(start))
			continue;
		next = next < end ? next : end;
		if (n && to[n - 1].end == start)
			to[n - 1].end = next;
		else if (n == REGIONS)
			abort();
		else
			to[n++] = (struct page_region){ start, next, PAGE_IS_WRITTEN };
	}
	return n;
}

static int test_ioctl(int fd, unsigned long request, void *arg)
{
	struct page_region found[REGIONS];
	struct pm_scan_arg *a = arg;
	int k = 0, n = ioctl(fd, request, arg);

	if (!passes_over || request != PAGEMAP_SCAN || a->category_mask != PAGE_IS_WRITTEN || n <= 0)
		return n;
	for (int i = 0; i < n; i++) {
		const struct page_region *r = (struct page_region *)(uintptr_t)a->vec + i;

		k = pass_over(found, k, r->start, r->end);
	}
	memcpy((void *)(uintptr_t)a->vec, found, (size_t)k * sizeof(*found));
	return k;
}

static char *area;
static unsigned seed = 7;

static uint64_t below(uint64_t n)
{
	return (uint64_t)rand_r(&seed) % n;
}

static bool mark(void *from, uint64_t bytes)
{
	return !memory_markable(uffd, (uintptr_t)from, (uintptr_t)from + bytes);
}

static bool begin(void)
{
	pagemap = open("/proc/self/pagemap", O_RDONLY | O_CLOEXEC);
	uffd = (int)syscall(SYS_userfaultfd, O_CLOEXEC | UFFD_USER_MODE_ONLY);
	return uffd >= 0 && !memory_marks(uffd);
}

static char *map(uint64_t bytes)
{
	const int flags = MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE;
	char *room = mmap(NULL, bytes + TABLE, PROT_NONE, flags, -1, 0);
	char *p = (char *)(((uintptr_t)room + TABLE - 1) & ~(TABLE - 1)); /* begins with a table */

	if (room == MAP_FAILED || munmap(room, bytes + TABLE) ||
	    mmap(p, bytes, PROT_READ | PROT_WRITE, flags | MAP_FIXED, -1, 0) != p)
		abort();
	madvise(p, bytes, MADV_NOHUGEPAGE);
	return p;
}

/* One look; what is found goes to *there, *out. */
static int look(char *from, uint64_t bytes, uint64_t flags, bool still, const struct memory_there *was, struct memory_there *there,
		struct page_runs *out)
{
	const struct mapping m = {
		.start = (uintptr_t)from, .end = (uintptr_t)from + bytes, .private = true, .writable = true,
	};
	const struct memory_ask ask = {
		.flags = PM_SCAN_CHECK_WPASYNC | flags, .also = PAGE_IS_WRITTEN, .still = still, .there = there, .was = was,
	};

	out->n = 0;
	out->pages = 0;
	return memory_scan(pagemap, &m, 1, getpid(), &ask, out);
}

static void paint(char *page, const struct memory_there *there, const struct page_runs *out)
{
	memset(page, 0, PAGES);
	for (size_t i = 0; i < there->n; i++)
		for (uint64_t at = there->span[i].start; at < there->span[i].end; at += PAGE)
			page[(at - (uintptr_t)area) / PAGE] = 1;
	for (size_t i = 0; i < out->n; i++)
		for (uint32_t k = 0; k < out->run[i].pages; k++)
			page[(out->run[i].vaddr - (uintptr_t)area) / PAGE + k] |= 2;
}

static void touch(void)
{
	uint64_t first = below(PAGES), n = 1 + below(below(4) ? 4 : 600);

	for (uint64_t i = first; i < first + n && i < PAGES; i++)
		area[i * PAGE] = (char)below(100);
}

static void shrink(uint64_t to, bool write)
{
	if (mremap(area, AREA, AREA - to, 0) != area || mremap(area, AREA - to, AREA, 0) != area)
		abort();
	if (write)
		area[AREA - PAGE] = 1;
}

static void something(void)
{
	uint64_t at = below(PAGES) * PAGE, table = below(AREA / TABLE) * TABLE;
	uint64_t left = AREA - at < 40 * PAGE ? AREA - at : 40 * PAGE;
	volatile char *reading = area + at;

	switch (below(12)) {
	case 0:
		madvise(area + at, left, MADV_DONTNEED);
		break;
	case 1: /* with its table */
		madvise(area + table, TABLE, MADV_DONTNEED);
		break;
	case 2:
		madvise(area + table, TABLE, MADV_DONTNEED);
		area[table + below(TABLE / PAGE) * PAGE] = 1;
		break;
	case 3:
		(void)*reading;
		break;
	case 4:
		madvise(area + at, left, MADV_GUARD_INSTALL);
		madvise(area + at, left, MADV_GUARD_REMOVE);
		break;
	case 5:
		shrink(below(3) * TABLE + below(500) * PAGE + PAGE, below(2));
		break;
	case 6:
		madvise(area + table, TABLE, MADV_COLLAPSE);
		break;
	case 7:
		madvise(area + at, left, MADV_PAGEOUT);
		break;
	default:
		touch();
	}
}

static void test_all_that_changes(void)
{
	static char known[PAGES], truth[PAGES];
	struct memory_there was = { 0 }, there = { 0 }, all = { 0 };
	struct page_runs out = { 0 }, out_all = { 0 };
	uint64_t different = 0, failed = 0, pages = 0, marked = 0, looks = 0;

	area = map(AREA);
	memset(area, 1, AREA);
	ok(mark(area, AREA), "memory can be marked");
	failed += look(area, AREA, PM_SCAN_WP_MATCHING, false, NULL, &was, &out) != 0;
	for (int i = 0; i < LOOKS; i++) {
		for (uint64_t n = below(i % 100 < 90 ? 8 : 60); n; n--)
			something();
		if (i % 100 == 0) /* what is done next leaves ever less of it */
			memset(area, 2, AREA);
		bool still = below(2);

		if (still) {
			failed += look(area, AREA, 0, true, NULL, &all, &out_all) != 0;
			failed += look(area, AREA, 0, true, &was, &there, &out) != 0;
			paint(truth, &all, &out_all);
			paint(known, &there, &out);
			different += memcmp(truth, known, PAGES) != 0;
			looks++;
			for (uint64_t k = 0; k < PAGES; k++) {
				pages += truth[k] & 1;
				marked += truth[k] == 1;
			}
		} else {
			failed += look(area, AREA, PM_SCAN_WP_MATCHING, false, &was, &there, &out) != 0;
		}
		memory_there_clear(&all);
		memory_there_clear(&was);
		was = there;
		there = (struct memory_there){ 0 };
	}
	is_int((long long)failed, 0, "it can be looked at, again and again");
	is_int((long long)different, 0, "what there is, and what was written, is what the kernel finds when it looks at all");
	ok(looks > LOOKS / 4 && marked > pages / 10 && marked < pages, "... and some of it, not all, had kept its marks");
	printf("# %llu looks, %llu pages there, %llu of them marked\n", (unsigned long long)looks, (unsigned long long)pages,
	       (unsigned long long)marked);
	memory_there_clear(&was);
	page_runs_clear(&out);
	page_runs_clear(&out_all);
}

static void test_guards(void)
{
	struct memory_there was = { 0 }, there = { 0 };
	struct page_runs out = { 0 };
	char *p = map(TABLE);

	memset(p, 1, TABLE);
	if (!mark(p, TABLE))
		abort();
	is_int(look(p, TABLE, PM_SCAN_WP_MATCHING, false, NULL, &was, &out), 0, "memory without guard pages");
	if (madvise(p + PAGE, PAGE, MADV_GUARD_INSTALL)) {
		skip("guard pages", "there are none before Linux 6.13");
		return;
	}
	is_int(look(p, TABLE, 0, true, &was, &there, &out), 0, "... and with one, when it stands still");
	ok(there.guards || there.n == 1, "... of which it is told, if the kernel tells of it");
	memory_there_clear(&was);
	memory_there_clear(&there);
	page_runs_clear(&out);
}

/* By several threads; and the table of one part of it is gone. */
static void test_large(void)
{
	struct memory_there was = { 0 }, there = { 0 };
	struct page_runs out = { 0 };
	char *p = map(LARGE);
	uint64_t pages = 0;

	memset(p, 1, LARGE);
	if (!mark(p, LARGE))
		abort();
	is_int(look(p, LARGE, PM_SCAN_WP_MATCHING, false, NULL, &was, &out), 0, "a large mapping");
	if (mremap(p, LARGE, LARGE - 4 * TABLE, 0) != p || mremap(p, LARGE - 4 * TABLE, LARGE, 0) != p)
		abort();
	p[LARGE / 2] = 2;
	p[LARGE / 2 + 32 * PAGE] = 2;
	is_int(look(p, LARGE, 0, true, &was, &there, &out), 0, "... some of it gone, some written, looked at when it stands still");
	for (size_t i = 0; i < there.n; i++)
		pages += (there.span[i].end - there.span[i].start) / PAGE;
	is_int((long long)pages, (LARGE - 4 * TABLE) / PAGE, "... has the pages that are left");
	is_int((long long)out.pages, 2, "... and of those were written");
	memory_there_clear(&was);
	memory_there_clear(&there);
	page_runs_clear(&out);
	munmap(p, LARGE);
}

static void test_unmarked(void)
{
	struct memory_there was = { 0 }, there = { 0 };
	struct page_runs out = { 0 };
	char *p = map(TABLE);

	memset(p, 1, TABLE);
	is_int(look(p, TABLE, PM_SCAN_WP_MATCHING, false, &was, &there, &out), -1, "memory that cannot be marked");
	is_int(errno, EPERM, "... is called so");
	is_int((long long)there.n + (long long)out.n, 0, "... and nothing was found");
	munmap(p, TABLE);
}

int main(void)
{
	if (!begin()) {
		printf("1..0 # skip no userfaultfd with an asynchronous mode here\n");
		return 0;
	}
	test_guards();
	passes_over = true;
	ask_for_hole();
	ok(!holes_told, "a kernel that passes over what has no page table is known");
	for (int i = 0; i < 2; i++) {
		test_all_that_changes();
		test_large();
		passes_over = false;
		ask_for_hole();
		printf("# this one %s\n", holes_told ? "does not" : "does so, too");
	}
	test_unmarked();
	return done();
}
