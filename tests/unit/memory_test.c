/* SPDX-License-Identifier: MIT */
/* The memory of a child with mappings of every kind, as it is seen from outside. memory.c and memory_scan.c are taken in whole, so
 * that the kernel can be made to lack PAGEMAP_SCAN. */
#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <stdarg.h>
#include <sys/ioctl.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <sys/wait.h>

/* Page by page, terabytes would take minutes. AddressSanitizer's own are scattered with pages, and are walked so. */
#ifdef __SANITIZE_ADDRESS__
#define QUICK_MS 100000
#else
#define QUICK_MS 5000
#endif

static int scan_error; /* what PAGEMAP_SCAN fails with; 0: it does not */

static int test_ioctl(int fd, unsigned long request, void *arg)
{
	if (scan_error) {
		errno = scan_error;
		return -1;
	}
	return ioctl(fd, request, arg);
}

#define ioctl test_ioctl
#include "lib/move/memory_scan.c" // NOLINT(bugprone-suspicious-include)
#include "lib/move/memory.c" // NOLINT(bugprone-suspicious-include)
#undef ioctl

#include "lib/base/clock.h"
#include "tests/unit/tap.h"

#define PAGE 4096

static struct err e;
static uint64_t huge = 1ULL << 42;

/* Mapped before the fork, so that parent and child know the addresses. */
static struct maps {
	char *anon, *none, *file, *shared, *memfd, *huge, *empty, *arena;
} at;
static char file_name[] = "/tmp/memory_test.XXXXXX";

static char *map(size_t n, int prot, int flags, int fd)
{
	char *p = mmap(NULL, n, prot, flags, fd, 0);

	if (p == MAP_FAILED)
		abort();
	return p;
}

static void write_page(char *p, int value)
{
	memset(p, value, PAGE);
}

static void make_maps(void)
{
	int memfd = memfd_create("test", MFD_CLOEXEC), fd = mkostemp(file_name, O_CLOEXEC);
	static char page[PAGE];

	for (int i = 0; i < 8; i++) {
		memset(page, 'a' + i, PAGE);
		(void)!write(fd, page, PAGE);
	}
	(void)!ftruncate(memfd, 64 * PAGE);
	at.anon = map(1024 * PAGE, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1);
	madvise(at.anon, 1024 * PAGE, MADV_NOHUGEPAGE);
	at.none = map(16 * PAGE, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1);
	at.file = map(8 * PAGE, PROT_READ | PROT_WRITE, MAP_PRIVATE, fd);
	at.shared = map(64 * PAGE, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1);
	at.memfd = map(64 * PAGE, PROT_READ | PROT_WRITE, MAP_SHARED, memfd);
	at.huge = map(huge, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1);
	madvise(at.huge, huge, MADV_NOHUGEPAGE);
	at.empty = map(16 * PAGE, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1);
	close(memfd);
	close(fd);
}

static void child_writes(int which)
{
	volatile char sink;

	if (which) { /* the second process only shares */
		write_page(at.shared + 20 * PAGE, 'T');
		sink = at.shared[10 * PAGE];
		return;
	}
	for (int i = 100; i < 800; i++)
		write_page(at.anon + i * PAGE, 'A');
	write_page(at.anon + 1000 * PAGE, 'B');
	for (int i = 3; i < 6; i++)
		write_page(at.none + i * PAGE, 'N');
	mprotect(at.none, 16 * PAGE, PROT_NONE);
	sink = at.file[0]; /* read: the file's page */
	write_page(at.file + 5 * PAGE, 'F');
	write_page(at.shared + 10 * PAGE, 'S');
	write_page(at.memfd + 7 * PAGE, 'M');
	write_page(at.huge + huge / 2, 'H');
	if (at.arena)
		write_page(at.arena + 3 * PAGE, 'R');
	sink = at.empty[0]; /* the zero page */
	(void)sink;
}

static pid_t start(int which)
{
	int ready[2];
	char byte;

	if (pipe2(ready, O_CLOEXEC))
		abort();
	pid_t pid = fork();
	if (!pid) {
		prctl(PR_SET_PDEATHSIG, SIGKILL);
		child_writes(which);
		(void)!write(ready[1], "x", 1);
		for (;;)
			pause();
	}
	close(ready[1]);
	if (read(ready[0], &byte, 1) != 1)
		abort();
	close(ready[0]);
	return pid;
}

/* How many of these pages of a process's own memory the runs name. */
static uint64_t covered(const struct page_runs *r, uint64_t object, const char *from, uint64_t pages)
{
	uint64_t lo = (uintptr_t)from, hi = lo + pages * PAGE, n = 0;

	for (size_t i = 0; i < r->n; i++)
		for (uint64_t p = 0; p < r->run[i].pages; p++) {
			uint64_t v = r->run[i].vaddr + p * PAGE;

			n += r->run[i].object == object && v >= lo && v < hi;
		}
	return n;
}

static const struct page_run *run_at(const struct page_runs *r, const char *where)
{
	uint64_t v = (uintptr_t)where;

	for (size_t i = 0; i < r->n; i++)
		if (v >= r->run[i].vaddr && v < r->run[i].vaddr + r->run[i].pages * (uint64_t)PAGE)
			return &r->run[i];
	return NULL;
}

static bool reads(const struct page_runs *r, const char *where, char value)
{
	static char buf[RUN_PAGES * PAGE];
	const struct page_run *run = run_at(r, where);
	size_t skip = run ? (uintptr_t)where - run->vaddr : 0;

	return run && memory_read(run, buf) == run->pages && buf[skip] == value && buf[skip + PAGE - 1] == value;
}

static void check_runs(const struct page_runs *r, uint64_t own, const char *how)
{
	uint64_t before_object = 0, before_end = 0, pages = 0, shared = 0;
	bool ordered = true, small = true;

	printf("# %s\n", how);
	for (size_t i = 0; i < r->n; i++) {
		const struct page_run *run = &r->run[i];

		ordered &= run->object > before_object || (run->object == before_object && run->addr >= before_end);
		small &= run->pages > 0 && run->pages <= RUN_PAGES;
		before_object = run->object;
		before_end = run->addr + (uint64_t)run->pages * PAGE;
		pages += run->pages;
		shared += run->object & OBJECT_SHARED ? run->pages : 0;
	}
	ok(ordered, "runs are in order and do not overlap");
	ok(small, "... and none is too long");
	is_int((long long)pages, (long long)r->pages, "... and their pages are counted");
	is_int((long long)covered(r, own, at.anon, 1024), 701, "private anonymous pages that were written");
	ok(reads(r, at.anon + 799 * PAGE, 'A') && reads(r, at.anon + 1000 * PAGE, 'B'), "... are read");
	is_int((long long)covered(r, own, at.none, 16), 3, "pages that may no longer be read by the process");
	ok(reads(r, at.none + 4 * PAGE, 'N'), "... are read all the same");
	is_int((long long)covered(r, own, at.file, 8), 1, "of a private file the page that was written");
	ok(reads(r, at.file + 5 * PAGE, 'F'), "... is read");
	is_int((long long)shared, 3, "each page of shared memory once, whoever has it mapped");
	ok(reads(r, at.shared + 10 * PAGE, 'S') && reads(r, at.shared + 20 * PAGE, 'T'), "... written by either process");
	const struct page_run *m = run_at(r, at.memfd + 7 * PAGE);
	ok(m && reads(r, at.memfd + 7 * PAGE, 'M') && m->addr <= 7 * PAGE && m->object & OBJECT_SHARED,
	   "a memfd's page by its offset");
	is_int((long long)covered(r, own, at.huge + huge / 2 - (PAGE << 10), 2048), 1, "one page of a huge reservation");
	ok(reads(r, at.huge + huge / 2, 'H'), "... is read");
}

static bool same_runs(const struct page_runs *a, const struct page_runs *b, uint64_t own)
{
	const char *const areas[] = { at.anon, at.none, at.file, at.arena };
	const uint64_t sizes[] = { 1024, 16, 8, 16 };
	bool same = true;

	for (int k = 0; k < 4; k++)
		for (uint64_t i = 0; i < sizes[k]; i++)
			same &= covered(a, own, areas[k] + i * PAGE, 1) == covered(b, own, areas[k] + i * PAGE, 1);
	return same;
}

static void test_gone(void)
{
	struct page_runs r = { 0 };
	struct page_run run = { .pages = 1 };
	char buf[PAGE];
	int status;
	pid_t pid = fork();

	if (!pid)
		_exit(0);
	siginfo_t info;
	waitid(P_PID, (id_t)pid, &info, WEXITED | WNOWAIT);
	if (geteuid()) /* who may not look at it cannot know that there is nothing */
		skip("a process that has ended but was not waited for", "needs root");
	else
		is_int(memory_runs(&pid, 1, &r, &e), 0, "a process that has ended but was not waited for");
	is_int((long long)r.pages, 0, "... has no memory");
	waitpid(pid, &status, 0);
	is_int(memory_runs(&pid, 1, &r, &e), 0, "one that is gone is passed over");
	is_int(memory_ns_pid(pid), 0, "... and has no pid");
	is_int(memory_ns_pid(getpid()), getpid(), "one that is here has its own");
	run.pid = pid;
	run.vaddr = (uintptr_t)at.anon;
	is_int((long long)memory_read(&run, buf), 0, "nothing is read from it");
	page_runs_clear(&r);
}

static void test_errors(pid_t pid)
{
	struct page_runs r = { 0 };
	struct rlimit old, few;
	int rc;

	scan_error = ENOMEM;
	rc = memory_runs(&pid, 1, &r, &e);
	scan_error = 0;
	is_int(rc, -1, "a scan that fails is an error, not the end of the memory");
	ok(strstr(e.text, "memory of process ") && strstr(e.text, "Cannot allocate memory"), "... which is named");
	getrlimit(RLIMIT_NOFILE, &old);
	few = (struct rlimit){ 3, old.rlim_max };
	setrlimit(RLIMIT_NOFILE, &few);
	rc = memory_runs(&pid, 1, &r, &e);
	setrlimit(RLIMIT_NOFILE, &old);
	is_int(rc, -1, "nor is a process gone that cannot be looked at");
	ok(strstr(e.text, "/maps: Too many open files") != NULL, "... which is said");
	page_runs_clear(&r);
}

static void test_own(void)
{
	struct page_run run = { .vaddr = (uintptr_t)at.anon, .pages = 2 };
	char buf[2 * PAGE];

	write_page(at.anon, 'x');
	write_page(at.anon + PAGE, 'y');
	ok(memory_read(&run, buf) == 2 && buf[0] == 'x' && buf[2 * PAGE - 1] == 'y', "memory of this process");
}

/* Most kernels map one page of zeros, everybody's, where nothing but reading has been done. */
static bool zero_page_shared(void)
{
	const char *page = map(PAGE, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1);
	int fd = open("/proc/self/pagemap", O_RDONLY | O_CLOEXEC);
	uint64_t entry = 0;
	bool there = *(volatile const char *)page == 0 &&
		     pread(fd, &entry, 8, (off_t)((uintptr_t)page / PAGE * 8)) == 8 && (entry & PM_PRESENT);

	close(fd);
	return there && !(entry & PM_EXCLUSIVE);
}

static void end(pid_t pid)
{
	kill(pid, SIGKILL);
	waitpid(pid, NULL, 0);
}

int main(void)
{
	struct page_runs scan = { 0 }, walk = { 0 };
	double t;

	make_maps();
	pid_t pids[2] = { start(0), start(1) };
	t = clock_ms();
	is_int(memory_runs(pids, 2, &scan, &e), 0, "the memory of two processes");
	t = clock_ms() - t;
	ok(t < QUICK_MS, "... is found quickly, though one has reserved 4 TiB");
	check_runs(&scan, (uint64_t)pids[0], "PAGEMAP_SCAN");
	if (zero_page_shared())
		is_int((long long)covered(&scan, (uint64_t)pids[0], at.empty, 16), 0, "the zero page is left out");
	else
		skip("the zero page is left out", "kernel: has none, but gives a page to whoever reads");
	end(pids[0]);
	end(pids[1]);

	/* /proc/PID/pagemap is slow on terabytes, if there is a page in their middle. */
	at.arena = at.huge;
	huge = 1ULL << 30;
	at.huge = map(huge, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1);
	madvise(at.huge, huge, MADV_NOHUGEPAGE);
	pids[0] = start(0);
	pids[1] = start(1);
	memory_runs(pids, 2, &scan, &e);
	scan_error = ENOTTY;
	t = clock_ms();
	is_int(memory_runs(pids, 2, &walk, &e), 0, "the same on a kernel without PAGEMAP_SCAN");
	t = clock_ms() - t;
	ok(t < QUICK_MS && covered(&walk, (uint64_t)pids[0], at.arena, 16) == 1, "... quickly, where the pages lie at the beginning");
	scan_error = 0;
	check_runs(&walk, (uint64_t)pids[0], "/proc/PID/pagemap");
	ok(same_runs(&scan, &walk, (uint64_t)pids[0]), "both ways find the same pages");

	test_errors(pids[1]);
	end(pids[0]);
	end(pids[1]);
	test_gone();
	test_own();
	page_runs_clear(&scan);
	page_runs_clear(&walk);
	unlink(file_name);
	return done();
}
