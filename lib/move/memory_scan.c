/* SPDX-License-Identifier: MIT */
/* Pages by the ioctl PAGEMAP_SCAN. Whether a page is marked (track.h) the kernel sees at a glance; what it is takes it ten times
 * as long. A page keeps its mark only as long as it holds what it held: so where it is known what there was when they were marked,
 * only those without a mark are looked at closely, and a process of 4 GB stands still for 3 ms instead of 9. */
#include <errno.h>
#include <fcntl.h>
#include <linux/userfaultfd.h>
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/mman.h>
#include <sys/syscall.h>
#include <sys/utsname.h>
#include <unistd.h>

#include "lib/base/auto.h"
#include "lib/move/image.h"
#include "lib/move/memory_int.h"

/* From linux/userfaultfd.h of 6.7. */
#ifndef UFFD_FEATURE_WP_UNPOPULATED
#define UFFD_FEATURE_WP_UNPOPULATED (1 << 13)
#endif
#ifndef UFFD_FEATURE_WP_ASYNC
#define UFFD_FEATURE_WP_ASYNC (1 << 15)
#endif

#define REGIONS 512 /* as many as the kernel keeps itself: with room for more it may tell of some twice */
/* Looked at closely in one go, and of those taken; and at a glance: the process can map and unmap nothing meanwhile. */
#define SCAN_BYTES (4ULL << 30)
#define SCAN_PAGES 32768
#define GLANCE_BYTES (2ULL << 30)
#define LARGE_BYTES (256ULL << 20) /* takes 1 ms to look at, at least */
#define PARTS_MAX 4
#define TABLE_BYTES (2ULL << 20) /* what a page table covers */
#define NEAR_BYTES (64 * PAGE_BYTES) /* a closer look costs less than another call */
#define CALL_PAGES 100               /* cost as much as one */

static const uint64_t page_held = PAGE_IS_PRESENT | PAGE_IS_SWAPPED;

int memory_marks(int uffd)
{
	struct uffdio_api api = { .api = UFFD_API, .features = UFFD_FEATURE_WP_UNPOPULATED | UFFD_FEATURE_WP_ASYNC };

	return ioctl(uffd, UFFDIO_API, &api);
}

int memory_markable(int uffd, uint64_t start, uint64_t end)
{
	struct uffdio_register reg = { { start, end - start }, UFFDIO_REGISTER_MODE_WP, 0 };

	return ioctl(uffd, UFFDIO_REGISTER, &reg);
}

struct scan {
	int fd;
	const struct mapping *m;
	uint64_t object;
	pid_t pid;
	const struct memory_ask *ask;
	struct page_runs *out;
	uint64_t guard; /* PAGE_IS_GUARD, a category since 6.15 */
};

struct regions {
	struct page_region *r; /* owned */
	size_t n, room;
};

static int regions_add(struct regions *to, const struct page_region *r, size_t n)
{
	if (!n)
		return 0;
	if (to->n + n > to->room) {
		size_t room = 2 * (to->n + n);
		struct page_region *bigger = realloc(to->r, room * sizeof(*bigger));

		if (!bigger)
			return -1;
		to->r = bigger;
		to->room = room;
	}
	memcpy(to->r + to->n, r, n * sizeof(*r));
	to->n += n;
	return 0;
}

static int there_add(struct memory_there *t, uint64_t start, uint64_t end)
{
	if (t->n && start < t->span[t->n - 1].end) /* told of twice */
		start = t->span[t->n - 1].end;
	if (start >= end)
		return 0;
	t->pages += (end - start) / PAGE_BYTES;
	if (t->n && t->span[t->n - 1].end == start) {
		t->span[t->n - 1].end = end;
		return 0;
	}
	if (t->n == t->room) {
		size_t room = t->room ? t->room * 2 : 256;
		struct memory_span *bigger = realloc(t->span, room * sizeof(*bigger));

		if (!bigger)
			return -1;
		t->span = bigger;
		t->room = room;
	}
	t->span[t->n++] = (struct memory_span){ start, end };
	return 0;
}

void memory_there_clear(struct memory_there *t)
{
	free(t->span);
	*t = (struct memory_there){ 0 };
}

static int take(const struct scan *s, const struct page_region *r)
{
	struct memory_there *there = s->ask->there;
	bool guards = r->categories & PAGE_IS_GUARD;

	if (there) {
		there->guards |= guards;
		if (!guards && there_add(there, r->start, r->end))
			return -1;
		if (guards || (r->categories & s->ask->also) != s->ask->also)
			return 0;
	}
	return memory_add_pages(s->out, s->object, s->m, s->pid, r->start, r->end);
}

/* The zero page, guards (madvise(2)) and, in private mappings, pages of the file hold nothing of its own. Of a process that
 * stands still guards are told of, too; in others they must not be marked. */
static struct pm_scan_arg closely(const struct scan *s)
{
	const struct memory_ask *ask = s->ask;
	bool told = ask->there && ask->still;
	/* To know what a page is of, the kernel looks at each: not where there is no file. */
	uint64_t without = PAGE_IS_PFNZERO | (told ? 0 : s->guard) | (s->m->private && s->m->inode ? PAGE_IS_FILE : 0);

	return (struct pm_scan_arg){
		.size = sizeof(struct pm_scan_arg),
		.flags = ask->flags,
		.start = s->m->start,
		.end = s->m->end,
		.max_pages = ask->still ? 0 : SCAN_PAGES,
		.category_inverted = without,
		.category_mask = without | (ask->there ? 0 : ask->also),
		.category_anyof_mask = page_held,
		.return_mask = ask->there ? page_held | ask->also | (told ? s->guard : 0) : 0,
	};
}

/* For exactly this question the kernel has a short way. Pages that are not there have no mark, where there is a table for them. */
static struct pm_scan_arg at_a_glance(uint64_t start, uint64_t end)
{
	return (struct pm_scan_arg){
		.size = sizeof(struct pm_scan_arg),
		.flags = PM_SCAN_CHECK_WPASYNC,
		.start = start,
		.end = end,
		.category_mask = PAGE_IS_WRITTEN,
		.return_mask = PAGE_IS_WRITTEN,
	};
}

static int scan_range(const struct scan *s, struct pm_scan_arg arg)
{
	struct page_region region[REGIONS];
	const uint64_t end = arg.end;

	arg.vec = (uintptr_t)region;
	arg.vec_len = REGIONS;
	while (arg.start < end) {
		arg.end = end - arg.start < SCAN_BYTES ? end : arg.start + SCAN_BYTES;
		int n = ioctl(s->fd, PAGEMAP_SCAN, &arg);

		if (n < 0)
			return -1;
		for (int i = 0; i < n; i++)
			if (take(s, &region[i]))
				return -1;
		if (arg.walk_end <= arg.start)
			break;
		arg.start = arg.walk_end;
	}
	return 0;
}

/* ---- by several threads, where somebody waits ---- */

struct part {
	pthread_t thread;
	bool started;
	int fd, error; /* errno */
	struct pm_scan_arg arg;
	struct regions found;
};

static void *scan_part(void *ctx)
{
	struct page_region region[REGIONS];
	struct part *p = ctx;
	struct pm_scan_arg arg = p->arg;
	const uint64_t end = arg.end;

	arg.vec = (uintptr_t)region;
	arg.vec_len = REGIONS;
	while (arg.start < end && !p->error) {
		arg.end = end - arg.start < GLANCE_BYTES ? end : arg.start + GLANCE_BYTES;
		int n = ioctl(p->fd, PAGEMAP_SCAN, &arg);

		if (n < 0 || regions_add(&p->found, region, (size_t)n))
			p->error = errno;
		else if (arg.walk_end <= arg.start)
			break;
		arg.start = arg.walk_end;
	}
	return NULL;
}

static int scan_in_parts(const struct scan *s, const struct pm_scan_arg *arg, struct regions *found)
{
	const long cpus = s->ask->still && arg->end - arg->start >= LARGE_BYTES ? sysconf(_SC_NPROCESSORS_ONLN) : 1;
	const size_t n = cpus < 1 ? 1 : cpus > PARTS_MAX ? PARTS_MAX : (size_t)cpus;
	const uint64_t each = (arg->end - arg->start) / n & ~(TABLE_BYTES - 1);
	struct part part[PARTS_MAX] = { 0 };
	int error = 0;

	for (size_t i = 0; i < n; i++) {
		part[i].fd = s->fd;
		part[i].arg = *arg;
		part[i].arg.start = arg->start + i * each;
		part[i].arg.end = i == n - 1 ? arg->end : part[i].arg.start + each;
	}
	for (size_t i = 1; i < n; i++)
		part[i].started = !pthread_create(&part[i].thread, NULL, scan_part, &part[i]);
	for (size_t i = 0; i < n; i++) {
		if (part[i].started)
			pthread_join(part[i].thread, NULL);
		else
			scan_part(&part[i]);
		error = error ? error : part[i].error;
		if (!error && regions_add(found, part[i].found.r, part[i].found.n))
			error = ENOMEM;
		free(part[i].found.r);
	}
	errno = error;
	return error ? -1 : 0;
}

static int scan_still(const struct scan *s)
{
	const struct pm_scan_arg arg = closely(s);
	struct regions found = { 0 };
	int rc = scan_in_parts(s, &arg, &found);

	for (size_t i = 0; !rc && i < found.n; i++)
		rc = take(s, &found.r[i]);
	free(found.r);
	return rc;
}

/* ---- with what is known from the last look ---- */

bool memory_sees_marks(void)
{
	struct utsname u;
	int major = 0, minor = 0;

	return !uname(&u) && sscanf(u.release, "%d.%d", &major, &minor) == 2 && (major > 6 || (major == 6 && minor >= 10));
}

static bool holes_told;

static void ask_for_hole(void)
{
	struct page_region region;
	AUTO_FD int fd = open("/proc/self/pagemap", O_RDONLY | O_CLOEXEC);
	AUTO_FD int uffd = (int)syscall(SYS_userfaultfd, O_CLOEXEC | UFFD_USER_MODE_ONLY);
	void *p = mmap(NULL, 2 * TABLE_BYTES, PROT_READ, MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
	uint64_t start = ((uint64_t)(uintptr_t)p + TABLE_BYTES - 1) & ~(TABLE_BYTES - 1);
	struct pm_scan_arg arg = at_a_glance(start, start + TABLE_BYTES);

	arg.vec = (uintptr_t)&region;
	arg.vec_len = 1;
	holes_told = p != MAP_FAILED && uffd >= 0 && !memory_marks(uffd) && !memory_markable(uffd, start, start + TABLE_BYTES) &&
		     ioctl(fd, PAGEMAP_SCAN, &arg) == 1;
	if (p != MAP_FAILED)
		munmap(p, 2 * TABLE_BYTES);
}

/* Does the kernel say of pages for which there is no page table that they are not marked? It does since the middle of 2026. */
static bool tells_holes(void)
{
	static pthread_once_t once = PTHREAD_ONCE_INIT;

	pthread_once(&once, ask_for_hole);
	return holes_told;
}

struct keeping {
	const struct memory_span *next, *end; /* of what was there */
	uint64_t table;                       /* that was looked at last; and is it there? */
	bool held;
};

/* No page may be without a mark because its page table is gone: is this one there? Its table is, then. -1 with errno. */
static int has_table(const struct scan *s, struct keeping *k, uint64_t at)
{
	struct page_region region;
	struct pm_scan_arg arg = {
		.size = sizeof(arg),
		.start = at,
		.end = at + PAGE_BYTES,
		.vec = (uintptr_t)&region,
		.vec_len = 1,
		.category_anyof_mask = page_held,
		.return_mask = page_held,
	};

	if (k->table != at / TABLE_BYTES) {
		int n = ioctl(s->fd, PAGEMAP_SCAN, &arg);

		if (n < 0)
			return -1;
		k->table = at / TABLE_BYTES;
		k->held = n;
	}
	return k->held;
}

static int look_closely(const struct scan *s, uint64_t start, uint64_t end)
{
	struct pm_scan_arg arg = closely(s);

	arg.start = start;
	arg.end = end;
	return scan_range(s, arg);
}

/* All pages in [start, end), which were there, have kept their marks. */
static int keep(const struct scan *s, struct keeping *k, uint64_t start, uint64_t end)
{
	uint64_t next;

	if (tells_holes() || !s->ask->still) /* of one that runs only the last look need be right */
		return there_add(s->ask->there, start, end);
	for (uint64_t at = start; at < end; at = next) {
		int held = has_table(s, k, at);

		next = (at / TABLE_BYTES + 1) * TABLE_BYTES;
		next = next < end ? next : end;
		/* Or the kernel has dropped that one page just now (MADV_FREE). */
		if (held < 0 || (held ? there_add(s->ask->there, at, next) : look_closely(s, at, next)))
			return -1;
	}
	return 0;
}

static int keep_between(const struct scan *s, struct keeping *k, uint64_t start, uint64_t end)
{
	while (k->next < k->end && k->next->end <= start)
		k->next++;
	for (; k->next < k->end && k->next->start < end; k->next++) {
		if (keep(s, k, k->next->start > start ? k->next->start : start, k->next->end < end ? k->next->end : end))
			return -1;
		if (k->next->end > end)
			break;
	}
	return 0;
}

static struct keeping kept_from(const struct memory_there *was, uint64_t start)
{
	size_t lo = 0, hi = was->n;

	while (lo < hi) {
		size_t mid = (lo + hi) / 2;

		if (was->span[mid].end <= start)
			lo = mid + 1;
		else
			hi = mid;
	}
	return (struct keeping){ was->span + lo, was->span + was->n, UINT64_MAX, false };
}

/* What lies near together becomes one. Gives what it costs to look at all closely, in pages. */
static uint64_t join_near(struct regions *r)
{
	uint64_t pages = 0;
	size_t n = 0;

	for (size_t i = 0; i < r->n; i++)
		if (n && r->r[i].start <= r->r[n - 1].end + NEAR_BYTES)
			r->r[n - 1].end = r->r[i].end;
		else
			r->r[n++] = r->r[i];
	r->n = n;
	for (size_t i = 0; i < n; i++)
		pages += (r->r[i].end - r->r[i].start) / PAGE_BYTES + CALL_PAGES;
	return pages;
}

static int look_at_unmarked(const struct scan *s, struct regions *unmarked)
{
	struct keeping k = kept_from(s->ask->was, s->m->start);
	const uint64_t cost = join_near(unmarked), mapped = (s->m->end - s->m->start) / PAGE_BYTES;
	const uint64_t all = s->ask->was->pages + cost < mapped ? s->ask->was->pages + cost : mapped;
	uint64_t done = s->m->start;

	if (cost > all / 2)
		return s->ask->still ? scan_still(s) : scan_range(s, closely(s));
	for (size_t i = 0; i < unmarked->n; i++) {
		const struct page_region *r = &unmarked->r[i];

		if (keep_between(s, &k, done, r->start) || look_closely(s, r->start, r->end))
			return -1;
		done = r->end;
	}
	return keep_between(s, &k, done, s->m->end);
}

static int scan_since(const struct scan *s)
{
	const struct pm_scan_arg arg = at_a_glance(s->m->start, s->m->end);
	struct regions unmarked = { 0 };
	int rc = scan_in_parts(s, &arg, &unmarked);

	if (!rc && look_at_unmarked(s, &unmarked)) {
		errno = errno == EPERM ? EAGAIN : errno;
		rc = -1;
	}
	free(unmarked.r);
	return rc;
}

/* 0, 1 there is no PAGEMAP_SCAN, -1 with errno. */
static int know_guards(struct scan *s)
{
	struct pm_scan_arg arg = { .size = sizeof(arg), .return_mask = PAGE_IS_GUARD };

	s->guard = PAGE_IS_GUARD;
	if (ioctl(s->fd, PAGEMAP_SCAN, &arg) >= 0)
		return 0;
	s->guard = 0;
	return errno == EINVAL ? 0 : errno == ENOTTY ? 1 : -1;
}

int memory_scan(int fd, const struct mapping *m, uint64_t object, pid_t pid, const struct memory_ask *ask, struct page_runs *out)
{
	struct scan s = { fd, m, object, pid, ask, out, 0 };
	int rc = know_guards(&s);

	if (rc)
		return rc;
	if (ask->there && ask->was)
		rc = scan_since(&s);
	else
		rc = ask->still ? scan_still(&s) : scan_range(&s, closely(&s));
	return rc && (errno == ENOTTY || errno == EINVAL) ? 1 : rc;
}
