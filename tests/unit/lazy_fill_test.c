/* SPDX-License-Identifier: MIT */
/* A process that unmaps, empties, moves and shares its memory while this test fills it by its userfaultfd finds in every page
 * what belongs there. */
#include "lib/move/lazy_fill.h"

#include <errno.h>
#include <fcntl.h>
#include <linux/userfaultfd.h>
#include <poll.h>
#include <pthread.h>
#include <sched.h>
#include <stdatomic.h>
#include <stdlib.h>
#include <sys/ioctl.h>
#include <sys/mman.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/uio.h>
#include <sys/wait.h>
#include <unistd.h>

#include "lib/base/file.h"
#include "lib/engine/message.h"
#include "lib/move/image.h"
#include "lib/move/lazy_guards.h"
#include "lib/move/pagemap.h"
#include "tests/unit/tap.h"

#define PAGES 4096ull /* 16 MB */
#define OBJECT 1 /* each is the first process of a pid namespace */
#define WIPED (PAGES - 16) /* from here on, the images say, children get zeros */
#define FEATURES (UFFD_FEATURE_EVENT_FORK | UFFD_FEATURE_EVENT_REMAP | UFFD_FEATURE_EVENT_UNMAP | UFFD_FEATURE_EVENT_REMOVE)
#define TASKS 256
#define WAIT_MS 60000
#define GUARD_INSTALL 102 /* of madvise(2), since Linux 6.13 */
#define GUARD_REMOVE 103

static uint8_t *const base = (uint8_t *)0x200000000000; /* of its memory; one page in 16 is all zeros */
static uint8_t *const elsewhere = (uint8_t *)0x210000000000;
static char top[] = "/tmp/lazy_fill_test.XXXXXX";
static struct err e;

/* ---- what belongs into a page ---- */

static uint64_t word(uint64_t page, uint64_t i)
{
	return page % 16 == 5 ? 0 : (page + 1) * 0x9e3779b97f4a7c15ULL + i;
}

static bool holds(const volatile uint8_t *at, uint64_t page)
{
	const volatile uint64_t *w = (const volatile uint64_t *)at;

	return w[0] == word(page, 0) && w[511] == word(page, 511);
}

static bool empty(const volatile uint8_t *at)
{
	const volatile uint64_t *w = (const volatile uint64_t *)at;

	return !w[0] && !w[511];
}

/* How many of these pages are wrong; step: only one in so many. */
static int wrong(const uint8_t *at, uint64_t page, uint64_t n, uint64_t step)
{
	int bad = 0;

	for (uint64_t i = 0; i < n; i += step)
		bad += !holds(at + i * PAGE_BYTES, page + i);
	return bad;
}

static int not_empty(const uint8_t *at, uint64_t n)
{
	int bad = 0;

	for (uint64_t i = 0; i < n; i++)
		bad += !empty(at + i * PAGE_BYTES);
	return bad;
}

/* ---- the process: each of these gives the number of wrong pages ---- */

static int life_reads(void)
{
	return wrong(base, 0, PAGES, 1);
}

/* From the start, where they come last, as the end is filled first. */
static int life_empties(void)
{
	int bad = 0;

	for (uint64_t p = 0; p < PAGES; p += 64) {
		madvise(base + p * PAGE_BYTES, 16 * PAGE_BYTES, MADV_DONTNEED);
		bad += not_empty(base + p * PAGE_BYTES, 16) + !holds(base + (p + 16) * PAGE_BYTES, p + 16);
	}
	for (uint64_t p = 0; p < PAGES; p += 64)
		bad += not_empty(base + p * PAGE_BYTES, 16) + wrong(base + (p + 16) * PAGE_BYTES, p + 16, 48, 1);
	return bad;
}

static int life_moves(void)
{
	int bad = 0;

	for (uint64_t p = 0; p < PAGES; p += 128)
		if (mremap(base + p * PAGE_BYTES, 64 * PAGE_BYTES, 64 * PAGE_BYTES, MREMAP_MAYMOVE | MREMAP_FIXED,
			   elsewhere + p * PAGE_BYTES) == MAP_FAILED)
			return 1;
	for (uint64_t p = 0; p < PAGES; p += 128)
		bad += wrong(elsewhere + p * PAGE_BYTES, p, 64, 1) + wrong(base + (p + 64) * PAGE_BYTES, p + 64, 64, 1);
	return bad;
}

/* Something new in the old place is never filled. */
static int life_unmaps(void)
{
	int bad = 0;

	for (uint64_t p = 0; p < PAGES; p += 32) {
		munmap(base + p * PAGE_BYTES, 8 * PAGE_BYTES);
		if (mmap(base + p * PAGE_BYTES, 8 * PAGE_BYTES, PROT_READ | PROT_WRITE,
			 MAP_PRIVATE | MAP_ANONYMOUS | MAP_FIXED, -1, 0) == MAP_FAILED)
			return 1;
	}
	for (uint64_t p = 0; p < PAGES; p += 32)
		bad += not_empty(base + p * PAGE_BYTES, 8) + wrong(base + (p + 8) * PAGE_BYTES, p + 8, 24, 1);
	return bad;
}

static int life_forks(void)
{
	int bad = 0, status;

	for (uint64_t i = 0; i < 24; i++) {
		pid_t pid = fork();

		if (!pid) {
			/* What the parent empties later is whole here. */
			usleep((useconds_t)(i % 3) * 1000);
			_exit(wrong(base + i * PAGE_BYTES, i, WIPED - i, 7) ? 1 : 0);
		}
		madvise(base + i * PAGE_BYTES, PAGE_BYTES, MADV_DONTNEED);
		bad += not_empty(base + i * PAGE_BYTES, 1);
	}
	while (wait(&status) > 0)
		bad += status != 0;
	return bad + wrong(base + 24 * PAGE_BYTES, 24, PAGES - 24, 1);
}

static int life_wipes(void)
{
	uint8_t *at = base + WIPED * PAGE_BYTES;
	int bad = 0, status;

	madvise(at, 16 * PAGE_BYTES, MADV_WIPEONFORK);
	for (int i = 0; i < 4; i++)
		if (!fork())
			_exit(not_empty(at, 16) + wrong(base, 0, WIPED, 5) ? 1 : 0);
	while (wait(&status) > 0)
		bad += status != 0;
	return bad + wrong(base, 0, PAGES, 1);
}

/* Writes of its own are never overwritten. */
static int life_writes(void)
{
	int bad = 0;

	for (uint64_t p = 0; p < PAGES; p += 3)
		*(volatile uint64_t *)(base + p * PAGE_BYTES + 800) = p;
	for (uint64_t p = 0; p < PAGES; p++)
		bad += !holds(base + p * PAGE_BYTES, p) ||
		       *(volatile uint64_t *)(base + p * PAGE_BYTES + 800) != (p % 3 ? word(p, 100) : p);
	return bad;
}

static void *storm(void *unused)
{
	for (int i = 0; i < 200; i++) {
		void *p = mmap(NULL, 1 << 20, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);

		madvise(base + (uint64_t)(i % 64) * PAGE_BYTES, PAGE_BYTES, MADV_DONTNEED);
		munmap(p, 1 << 20);
	}
	return unused;
}

static int life_threads(void)
{
	pthread_t t[3];
	int bad;

	for (int i = 0; i < 3; i++)
		if (pthread_create(&t[i], NULL, storm, NULL))
			return 1;
	bad = wrong(base + 64 * PAGE_BYTES, 64, PAGES - 64, 1);
	for (int i = 0; i < 3; i++)
		pthread_join(t[i], NULL);
	return bad + not_empty(base, 64);
}

/* Nothing is lost that lies beside them, and none comes instead of them or after they were taken away. */
static int life_guards(void)
{
	const struct iovec to = { &(uint64_t){ 0 }, 8 };
	int bad = 0;

	for (uint64_t p = 0; p < PAGES / 8; p += 8) {
		madvise(base + p * PAGE_BYTES, 2 * PAGE_BYTES, GUARD_INSTALL);
		madvise(base + p * PAGE_BYTES, PAGE_BYTES, GUARD_REMOVE);
		bad += p % 16 ? 0 : !empty(base + p * PAGE_BYTES);
	}
	bad += wrong(base + PAGES / 8 * PAGE_BYTES, PAGES / 8, PAGES - PAGES / 8, 1);
	for (uint64_t p = 0; p < PAGES / 8; p += 8) {
		const struct iovec from = { base + (p + 1) * PAGE_BYTES, 8 };

		bad += !empty(base + p * PAGE_BYTES) + wrong(base + (p + 2) * PAGE_BYTES, p + 2, 6, 1);
		bad += process_vm_readv(getpid(), &to, 1, &from, 1, 0) >= 0; /* a guard still */
	}
	return bad;
}

/* Where pages have moved from there is a guard at once, over something new: they are where they have moved to. */
static void *guard_behind(void *done)
{
	for (uint64_t p = 0; p < PAGES; p += 64) {
		uint8_t *at = base + p * PAGE_BYTES;

		while (atomic_load((atomic_ullong *)done) <= p && mmap(at, PAGE_BYTES, PROT_READ | PROT_WRITE,
			MAP_PRIVATE | MAP_ANONYMOUS | MAP_FIXED_NOREPLACE, -1, 0) != at)
			;
		madvise(at, PAGE_BYTES, GUARD_INSTALL);
	}
	return NULL;
}

static int life_moves_guarded(void)
{
	static atomic_ullong done;
	pthread_t t;
	int bad = 0;

	if (pthread_create(&t, NULL, guard_behind, &done))
		return 1;
	for (uint64_t p = 0; p < PAGES; p += 64) {
		if (mremap(base + p * PAGE_BYTES, PAGE_BYTES, PAGE_BYTES, MREMAP_MAYMOVE | MREMAP_FIXED, elsewhere + p * PAGE_BYTES) ==
		    MAP_FAILED)
			return 1;
		atomic_store(&done, p + 64);
	}
	pthread_join(t, NULL);
	for (uint64_t p = 0; p < PAGES; p += 64)
		bad += wrong(elsewhere + p * PAGE_BYTES, p, 1, 1) + wrong(base + (p + 1) * PAGE_BYTES, p + 1, 63, 1);
	return bad;
}

static int life_ends(void)
{
	return 0;
}

/* ---- ---- */

static void send_fd(int sock, int fd)
{
	char byte = 0;
	struct iovec io = { &byte, 1 };
	union {
		struct cmsghdr h;
		char room[CMSG_SPACE(sizeof(int))];
	} control = { 0 };
	struct msghdr m = { .msg_iov = &io, .msg_iovlen = 1, .msg_control = &control, .msg_controllen = sizeof(control) };

	control.h.cmsg_level = SOL_SOCKET;
	control.h.cmsg_type = SCM_RIGHTS;
	control.h.cmsg_len = CMSG_LEN(sizeof(int));
	memcpy(CMSG_DATA(&control.h), &fd, sizeof(fd));
	if (sendmsg(sock, &m, 0) != 1)
		_exit(99);
}

static int take_fd(int sock)
{
	char byte;
	struct iovec io = { &byte, 1 };
	union {
		struct cmsghdr h;
		char room[CMSG_SPACE(sizeof(int))];
	} control = { 0 };
	struct msghdr m = { .msg_iov = &io, .msg_iovlen = 1, .msg_control = &control, .msg_controllen = sizeof(control) };
	int fd = -1;

	if (recvmsg(sock, &m, MSG_CMSG_CLOEXEC) == 1 && m.msg_controllen >= CMSG_LEN(sizeof(int)))
		memcpy(&fd, CMSG_DATA(&control.h), sizeof(fd));
	return fd;
}

/* Only its end waits for pages; then it runs when it is told to. */
static bool forgotten;

static void child(int sock, int (*life)(void))
{
	struct uffdio_api api = { .api = UFFD_API, .features = FEATURES };
	uint64_t from = forgotten ? WIPED : 0;
	struct uffdio_register reg = { .range = { (uintptr_t)base + from * PAGE_BYTES, (PAGES - from) * PAGE_BYTES },
				       .mode = UFFDIO_REGISTER_MODE_MISSING };
	int fd = (int)syscall(SYS_userfaultfd, O_CLOEXEC | O_NONBLOCK);

	void *at = mmap(base, PAGES * PAGE_BYTES, PROT_READ | PROT_WRITE,
			MAP_PRIVATE | MAP_ANONYMOUS | MAP_FIXED_NOREPLACE, -1, 0);
	if (at != base || fd < 0 || ioctl(fd, UFFDIO_API, &api) || ioctl(fd, UFFDIO_REGISTER, &reg))
		_exit(98);
	send_fd(sock, fd);
	close(fd);
	if (recv(sock, &(char){ 0 }, 1, 0) != 1)
		_exit(97);
	close(sock);
	int bad = life();
	_exit(bad > 90 ? 90 : bad);
}

struct watching {
	struct lazy_task *task[TASKS];
	int n, pipe[2];
	struct lazy_fill *fill;
};

static int forked(void *ctx, struct lazy_task *t, struct err *why)
{
	struct watching *w = ctx;

	if (w->n == TASKS)
		return err_set(why, EX_SOFTWARE, "too many");
	w->task[w->n++] = t;
	return 0;
}

static void news(void *ctx)
{
	const struct watching *w = ctx;

	(void)!write(w->pipe[1], "", 1);
}

static void forget(struct watching *w, struct lazy_task *t)
{
	for (int i = 0; i < w->n; i++)
		if (w->task[i] == t)
			w->task[i--] = w->task[--w->n];
	lazy_task_free(t);
}

/* Until all is filled; -1 it failed. */
static int serve(struct lazy_fill *f, struct watching *w)
{
	struct pollfd p[TASKS + 1];
	bool again = false;
	char byte;

	for (int state; !(state = lazy_fill_state(f, &e));) {
		int n = w->n;
		struct lazy_task *t;

		p[n] = (struct pollfd){ w->pipe[0], POLLIN, 0 };
		for (int i = 0; i < n; i++)
			p[i] = (struct pollfd){ lazy_task_fd(w->task[i]), POLLIN, 0 };
		if (!poll(p, (nfds_t)n + 1, again ? 1 : WAIT_MS) && !again)
			return err_set(&e, EX_TEMPFAIL, "nothing happens");
		for (int i = 0; i < n; i++)
			if (p[i].revents && lazy_fill_events(f, w->task[i], &e))
				return -1;
		if (lazy_fill_again(f, &again, &e))
			return -1;
		if (p[n].revents)
			(void)!read(w->pipe[0], &byte, 1);
		while ((t = lazy_fill_gone(f)))
			forget(w, t);
		if (state < 0)
			return -1;
	}
	return lazy_fill_state(f, &e) < 0 ? -1 : 0;
}

/* ---- late pages: they come from here ---- */

static int deliver(struct lazy_fill *f, uint64_t page, uint64_t n)
{
	static __thread uint64_t data[64 * 512]; /* so many are asked for at most */
	struct err why;

	for (uint64_t i = 0; i < n * 512; i++)
		data[i] = word(page + i / 512, i % 512);
	return lazy_fill_late(f, (struct late_run){ OBJECT, (uintptr_t)base + page * PAGE_BYTES, n }, data, &why);
}

/* What is waited for comes at once, */
static void ask(void *ctx, struct late_run run)
{
	const struct watching *w = ctx;

	deliver(w->fill, (run.addr - (uintptr_t)base) / PAGE_BYTES, run.pages);
}

/* ... and all that lacks little by little, some of it twice. */
static void *bring(void *fill)
{
	struct late_run *list = NULL;
	size_t n = 0;
	struct err why;

	if (lazy_fill_lacking(fill, &list, &n, &why))
		n = 0;
	for (size_t i = 0; i < n; i++)
		for (uint64_t p = 0; p < list[i].pages; p += 16, usleep(50))
			deliver(fill, (list[i].addr - (uintptr_t)base) / PAGE_BYTES + p,
				list[i].pages - p < 16 ? list[i].pages - p : 16);
	free(list);
	return NULL;
}

static bool guards_known(void)
{
	void *p = mmap(NULL, PAGE_BYTES, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);

	return !madvise(p, PAGE_BYTES, GUARD_INSTALL);
}

/* Its status; -1 it was not filled. */
static int live(const struct lazy_source *src, int (*life)(void), bool background)
{
	struct watching w = { .n = 0 };
	struct lazy_hooks hooks = { .forked = forked, .news = news, .ask = ask, .ctx = &w, .guards = lazy_guards_open() };
	struct lazy_fill *f = NULL;
	pthread_t bringer;
	int pair[2], status = -1, rc;
	pid_t pid;

	if (pipe2(w.pipe, O_CLOEXEC | O_NONBLOCK) || socketpair(AF_UNIX, SOCK_STREAM, 0, pair))
		return -1;
	lazy_guards_attach(hooks.guards);
	pid = (pid_t)syscall(SYS_clone, CLONE_NEWPID | SIGCHLD, NULL, NULL, NULL, 0);
	if (!pid)
		child(pair[1], life);
	close(pair[1]);
	rc = lazy_fill_new(&f, &hooks, &e);
	w.fill = f;
	lazy_fill_from(f, src);
	bool late = lazy_source_late(src) && !pthread_create(&bringer, NULL, bring, f);
	rc = rc || lazy_fill_add(f, take_fd(pair[0]), OBJECT, &w.task[0], &e);
	w.n = 1;
	lazy_fill_heed(f, &pid, 1);
	rc = rc || (forgotten && lazy_fill_watch(f, &e)) || send(pair[0], "", 1, 0) != 1;
	if (!background) /* what it asks for comes without that, too */
		for (int i = 0; i < 200 && !rc; i++, usleep(100))
			rc = lazy_fill_events(f, w.task[0], &e);
	lazy_fill_go(f);
	if (rc || serve(f, &w)) {
		printf("# %s\n", e.text);
		kill(pid, SIGKILL);
		status = -1;
	}
	if (late)
		pthread_join(bringer, NULL);
	lazy_fill_free(f);
	lazy_guards_close(hooks.guards);
	close(pair[0]);
	close(w.pipe[0]);
	close(w.pipe[1]);
	waitpid(pid, &status, 0);
	return WIFEXITED(status) ? WEXITSTATUS(status) : -1;
}

/* The pagemap on top: pages in several entries, of which some may be late. */
static int write_top(unsigned flags)
{
	struct pagemap_entry entry[] = { { (uintptr_t)base, 1000, PAGES_IN_PARENT | PAGES_LAZY },
					 { (uintptr_t)base + 1000 * PAGE_BYTES, 2000, flags },
					 { (uintptr_t)base + 3000 * PAGE_BYTES, PAGES - 3000, PAGES_IN_PARENT | PAGES_LAZY } };
	struct pagemap pm = { .pages_id = 1, .entry = entry, .n = 3 };
	char path[128];

	snprintf(path, sizeof(path), "%s/pagemap-%d.img", top, OBJECT);
	return pagemap_write(&pm, path, &e);
}

/* The images: two layers. */
static int write_images(void)
{
	struct pagemap_entry window = { (uintptr_t)base, PAGES, PAGES_PRESENT };
	struct pagemap parent = { .pages_id = 3, .entry = &window, .n = 1 };
	AUTO_FREE uint64_t *data = calloc(PAGES, PAGE_BYTES);
	char path[128], head[12] = { 0 };
	struct message vma, mm;

	message_empty(&vma);
	message_int(&vma, 1, (int64_t)(uintptr_t)base);
	message_int(&vma, 2, (int64_t)((uintptr_t)base + WIPED * PAGE_BYTES));
	message_int(&vma, 6, MAP_PRIVATE | MAP_ANONYMOUS);
	message_int(&vma, 7, 1 << 9);
	message_empty(&mm);
	message_int(&mm, 1, 4096);
	message_bytes(&mm, 14, vma.buf, vma.len);
	message_empty(&vma);
	message_int(&vma, 1, (int64_t)((uintptr_t)base + WIPED * PAGE_BYTES));
	message_int(&vma, 2, (int64_t)((uintptr_t)base + (WIPED + 16) * PAGE_BYTES));
	message_int(&vma, 9, 1 << 18);
	message_bytes(&mm, 14, vma.buf, vma.len);
	memmove(mm.buf + sizeof(head), mm.buf, mm.len);
	memcpy(mm.buf, head, sizeof(head));
	snprintf(path, sizeof(path), "%s/mm-%d.img", top, OBJECT);
	if (file_write(path, mm.buf, mm.len + sizeof(head), 0600, &e))
		return -1;
	for (uint64_t i = 0; i < PAGES * 512; i++)
		data[i] = word(i / 512, i % 512);
	if (write_top(PAGES_IN_PARENT | PAGES_LAZY))
		return -1;
	snprintf(path, sizeof(path), "%s/parent", top);
	mkdir(path, 0700);
	snprintf(path, sizeof(path), "%s/parent/pagemap-%d.img", top, OBJECT);
	if (pagemap_write(&parent, path, &e))
		return -1;
	snprintf(path, sizeof(path), "%s/parent/pages-3.img", top);
	return file_write(path, data, PAGES * PAGE_BYTES, 0600, &e);
}

int main(void)
{
	static const struct {
		int (*life)(void);
		const char *what;
	} lives[] = {
		{ life_reads, "reads" }, { life_empties, "empties pages" }, { life_moves, "moves pages" },
		{ life_unmaps, "unmaps pages" }, { life_forks, "forks" }, { life_wipes, "forks without some of its memory" }, { life_writes, "writes" },
		{ life_threads, "empties pages in several threads" }, { life_ends, "ends" },
		{ life_guards, "puts guards over pages" }, { life_moves_guarded, "puts guards where it has moved pages from" },
	};
	const size_t n = sizeof(lives) / sizeof(*lives) - 2 * !guards_known();
	AUTO_LAZY_SOURCE struct lazy_source *src = NULL;

	if (syscall(SYS_userfaultfd, O_CLOEXEC) < 0) {
		printf("1..0 # skip kernel: no userfaultfd\n");
		return 0;
	}
	if (!mkdtemp(top) || write_images() || lazy_source_open(&src, top, &e)) {
		printf("Bail out! %s\n", e.text);
		return 1;
	}
	for (size_t i = 0; i < n; i++)
		for (int background = 1; background >= 0; background--) {
			char name[128];

			snprintf(name, sizeof(name), "a process that %s while it is %s has all its pages", lives[i].what,
				 background ? "being filled" : "waiting for pages, then filled");
			is_int(live(src, lives[i].life, background), 0, name);
		}
	forgotten = true;
	is_int(live(src, life_reads, true), 0, "a mapping that criu has forgotten is waited for, too");
	forgotten = false;
	for (size_t i = 0; i < n; i++) {
		AUTO_LAZY_SOURCE struct lazy_source *late = NULL;
		char name[128];

		snprintf(name, sizeof(name), "a process that %s while half of its pages have yet to arrive has all of them",
			 lives[i].what);
		is_int(write_top(PAGES_LAZY) || lazy_source_open(&late, top, &e) ? -1 : live(late, lives[i].life, true), 0, name);
	}
	file_remove_tree(top, NULL);
	return done();
}
