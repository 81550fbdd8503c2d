/* SPDX-License-Identifier: MIT */
/* A process in criu's place asks which pages another one has: it is told of all but those of anonymous private memory. */
#include "lib/engine/criu_calls.h"

#include <fcntl.h>
#include <signal.h>
#include <stdlib.h>
#include <sys/ioctl.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/socket.h>
#include <sys/time.h>
#include <sys/wait.h>
#include <unistd.h>

#include "lib/base/pagescan.h"
#include "tests/unit/criu_lab.h"
#include "tests/unit/tap.h"

#define PAGE 4096ull
#define BASE 0x200000000000ull
#define GUARD_INSTALL 102 /* MADV_GUARD_INSTALL, since Linux 6.13 */
#define ROOM 512  /* for an answer; the kernel loses count in larger ones */
#define MANY 1400 /* pages, every other one: more than fit into one answer */

/* Of the process that is asked about. */
#define HEAP BASE                   /* 16 anonymous pages; the last 4 were not touched, and one of them is a guard */
#define TEXT (BASE + 16 * PAGE)     /* 8 of a file; 2 and 3 were written */
#define ARENA (BASE + 24 * PAGE)    /* 8 anonymous ones, not readable */
#define PARTS (BASE + 64 * PAGE)    /* of a file; every other page was written */
#define HOLES (PARTS + MANY * PAGE) /* anonymous ones; every other page was touched */
#define END (HOLES + MANY * PAGE)

static void map(uint64_t at, uint64_t pages, int fd, int prot)
{
	int flags = MAP_PRIVATE | MAP_FIXED_NOREPLACE | (fd < 0 ? MAP_ANONYMOUS : 0);

	if (mmap((void *)at, pages * PAGE, prot, flags, fd, 0) != (void *)at)
		_exit(1);
}

static void touch(uint64_t at)
{
	*(volatile char *)at = 1;
}

__attribute__((noreturn)) static void be_asked_about(int fd, bool guard)
{
	map(HEAP, 16, -1, PROT_READ | PROT_WRITE);
	map(TEXT, 8, fd, PROT_READ | PROT_WRITE);
	map(ARENA, 8, -1, PROT_READ | PROT_WRITE);
	map(PARTS, MANY, fd, PROT_READ | PROT_WRITE);
	map(HOLES, MANY, -1, PROT_READ | PROT_WRITE);
	for (int i = 0; i < 12; i++)
		touch(HEAP + (uint64_t)i * PAGE);
	if (guard)
		madvise((void *)(HEAP + 13 * PAGE), PAGE, GUARD_INSTALL);
	for (int i = 0; i < 8; i++)
		touch(ARENA + (uint64_t)i * PAGE);
	for (int i = 0; i < MANY; i += 2) {
		touch(PARTS + (uint64_t)i * PAGE);
		touch(HOLES + (uint64_t)i * PAGE);
	}
	touch(TEXT + 2 * PAGE);
	touch(TEXT + 3 * PAGE);
	mprotect((void *)ARENA, 8 * PAGE, PROT_NONE);
	prctl(PR_SET_PDEATHSIG, SIGKILL);
	kill(getpid(), SIGSTOP);
	_exit(0);
}

struct told {
	uint64_t walk_end;
	struct page_region region[ROOM];
	int n;
	enum question { PAGES, GUARDS, OTHER } about;
};

static struct told ask(int fd, uint64_t start, enum question about)
{
	const bool pages = about == PAGES;
	const uint64_t mask = pages ? PAGE_IS_PFNZERO | PAGE_IS_FILE : PAGE_IS_PRESENT;
	struct told t = { .about = about };
	struct pm_scan_arg a = { .size = sizeof(a), .start = start, .end = END, .vec = (uintptr_t)t.region, .vec_len = ROOM,
				 .category_mask = mask, .category_inverted = pages ? mask : 0,
				 .category_anyof_mask = PAGE_IS_PRESENT | PAGE_IS_SWAPPED,
				 .return_mask = PAGE_IS_PRESENT | PAGE_IS_SWAPPED };

	if (about == GUARDS) {
		a.category_mask = a.return_mask = PAGE_IS_GUARD;
		a.category_anyof_mask = 0;
	}
	t.n = ioctl(fd, PAGEMAP_SCAN, &a);
	t.walk_end = a.walk_end;
	return t;
}

static void interrupt(int sig)
{
	(void)sig;
}

/* As criu does: on from where the answer ended. Then its other questions. Signals come at any time. */
__attribute__((noreturn)) static void ask_all(int sock, pid_t about)
{
	char path[64];

	const struct itimerval often = { { 0, 3000 }, { 0, 3000 } };
	const struct sigaction a = { .sa_handler = interrupt, .sa_flags = SA_RESTART };

	sigaction(SIGALRM, &a, NULL);
	setitimer(ITIMER_REAL, &often, NULL);
	if (criu_calls_install(sock, false))
		_exit(1);
	snprintf(path, sizeof(path), "/proc/%d/pagemap", (int)about);
	int fd = open(path, O_RDONLY);
	for (uint64_t at = BASE; at < END;) {
		struct told t = ask(fd, at, PAGES);

		if (t.n < 0 || t.walk_end <= at || send(sock, &t, sizeof(t), 0) < 0)
			_exit(2);
		at = t.walk_end;
	}
	for (enum question q = GUARDS; q <= OTHER; q++) {
		struct told t = ask(fd, BASE, q);

		send(sock, &t, sizeof(t), 0);
	}
	_exit(0);
}

static struct told all[8], guards, other;
static int n_all;

static bool take(int sock)
{
	struct told t;

	if (recv(sock, &t, sizeof(t), 0) != sizeof(t))
		return false;
	if (t.about == PAGES && n_all < 8)
		all[n_all++] = t;
	else if (t.about == GUARDS)
		guards = t;
	else
		other = t;
	return true;
}

/* Its status. */
static int listen_to(pid_t about, struct criu_pages *hidden)
{
	n_all = 0;
	return as_criu(ask_all, about, hidden, NULL, take);
}

/* How many pages of [start, end) it was told of. */
static long long told(uint64_t start, uint64_t end)
{
	uint64_t pages = 0;

	for (int k = 0; k < n_all; k++)
		for (int i = 0; i < all[k].n; i++) {
			const struct page_region *r = &all[k].region[i];

			if (r->start >= start && r->end <= end)
				pages += (r->end - r->start) / PAGE;
			else if (r->start < end && r->end > start)
				return -1;
		}
	return (long long)pages;
}

static pid_t subject(int fd, bool guard)
{
	pid_t pid = fork();

	if (!pid)
		be_asked_about(fd, guard);
	waitpid(pid, NULL, WUNTRACED);
	return pid;
}

static void end(pid_t pid)
{
	kill(pid, SIGKILL);
	waitpid(pid, NULL, 0);
}

static void test_hidden(pid_t pid, struct criu_pages *hidden)
{
	is_int(listen_to(pid, hidden), 0, "where anonymous memory is hidden");
	is_int(told(HEAP, TEXT) + told(ARENA, PARTS) + told(HOLES, END), 0, "... it is told of none of it");
	is_int(told(TEXT, ARENA), 2, "... but of what was written of files");
	is_int(told(PARTS, HOLES), MANY / 2, "... also when that does not fit into one answer");
	is_int(n_all, 2, "... which are as few as can be");
	is_int((long long)hidden->n, 2 + MANY / 2, "we know the others");
	bool each = hidden->n == 2 + MANY / 2;
	for (uint64_t i = 0; each && i < MANY / 2; i++)
		each = hidden->run[2 + i].start == HOLES + i * 2 * PAGE && hidden->run[2 + i].end == hidden->run[2 + i].start + PAGE;
	ok(each, "... each page of them");
	ok(hidden->n > 2 && hidden->run[0].pid == pid && hidden->run[0].start == HEAP && hidden->run[0].end == HEAP + 12 * PAGE,
	   "... those that were touched");
	ok(hidden->n > 2 && hidden->run[1].start == ARENA && hidden->run[1].end == ARENA + 8 * PAGE, "... and those that cannot be read");
	ok(other.n > 2 && other.region[0].start == HEAP, "another question is answered by the kernel");
}

/* As who has looked at it says, in no order; heap: pages of it. */
static void know(struct criu_pages *p, pid_t pid, uint64_t heap, bool guard)
{
	criu_pages_expect(p);
	for (uint64_t i = 0; i < MANY; i += 2)
		criu_pages_found(p, pid, HOLES + i * PAGE, HOLES + (i + 1) * PAGE, false);
	criu_pages_asked(p, pid, HOLES, END);
	criu_pages_found(p, pid, HEAP, HEAP + heap * PAGE, false);
	if (guard)
		criu_pages_found(p, pid, HEAP + 13 * PAGE, HEAP + 14 * PAGE, true);
	criu_pages_asked(p, pid, HEAP, TEXT);
	criu_pages_known(p);
}

static void test_guards(bool any)
{
	if (guards.n < 0)
		skip("guard pages", "kernel: does not tell them");
	else if (any)
		ok(guards.n == 1 && guards.region[0].start == HEAP + 13 * PAGE && guards.region[0].end == HEAP + 14 * PAGE,
		   "a guard page is told");
	else
		ok(!guards.n && guards.walk_end == END, "where there are no guard pages none are told");
}

int main(void)
{
	char file[] = "/tmp/criu_pages_test.XXXXXX";
	struct criu_pages hidden = { 0 };
	int fd = mkstemp(file);

	unlink(file);
	if (fd < 0 || ftruncate(fd, MANY * PAGE))
		return 70;
	if (!criu_pages_used("4.2")) {
		printf("1..0 # skip kernel: no PAGEMAP_SCAN\n");
		return 0;
	}
	ok(!criu_pages_used("3.17.1"), "criu 3 does not ask so");
	pid_t pid = subject(fd, true), plain = subject(fd, false);

	is_int(listen_to(pid, NULL), 0, "where nothing is hidden");
	is_int(told(HEAP, HEAP + 12 * PAGE), 12, "... criu is told of anonymous pages");
	is_int(told(TEXT, ARENA), 2, "... and of those of a file that were written");
	is_int(told(PARTS, HOLES), MANY / 2, "... all of them");

	test_hidden(pid, &hidden);
	test_guards(true);
	criu_pages_clear(&hidden);

	/* Where somebody else has looked; but not at all of it. */
	know(&hidden, pid, 12, true);
	test_hidden(pid, &hidden);
	test_guards(true);
	criu_pages_clear(&hidden);
	know(&hidden, plain, 12, false);
	test_hidden(plain, &hidden);
	test_guards(false);
	criu_pages_clear(&hidden);
	know(&hidden, pid, 12, false);
	test_hidden(plain, &hidden); /* nor at this one */
	test_guards(false);
	criu_pages_clear(&hidden);
	know(&hidden, plain, 5, false);
	is_int(listen_to(plain, &hidden), 0, "where somebody else says what there is");
	ok(hidden.n && hidden.run[0].start == HEAP && hidden.run[0].end == HEAP + 5 * PAGE, "... the kernel is not asked again");
	criu_pages_clear(&hidden);

	end(pid);
	end(plain);
	return done();
}
