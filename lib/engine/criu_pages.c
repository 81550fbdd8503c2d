/* SPDX-License-Identifier: MIT */
#include "lib/engine/criu_pages.h"

#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/uio.h>
#include <unistd.h>

#include "lib/base/auto.h"
#include "lib/base/pagescan.h"

#define REGIONS 512 /* asked for, and answered, in one go */

/* What others have found. */
struct criu_known {
	pthread_mutex_t lock;
	pthread_cond_t cond;
	bool whole;          /* no more will come */
	bool failed;         /* for want of memory: nothing is known */
	bool guards;         /* there are guard pages in some of the mappings */
	struct criu_run *map; /* owned: the mappings; and their pages */
	size_t n_maps, room_maps;
	struct criu_run *run; /* owned */
	size_t n, room;
};

/* Nobody is asked about any more. */
static void leave(struct criu_pages *p)
{
	if (p->pid)
		close(p->pagemap);
	p->pid = 0;
	p->n_maps = 0;
}

static void known_free(struct criu_known *k)
{
	pthread_mutex_destroy(&k->lock);
	pthread_cond_destroy(&k->cond);
	free(k->map);
	free(k->run);
	free(k);
}

void criu_pages_clear(struct criu_pages *p)
{
	if (p->known)
		known_free(p->known);
	leave(p);
	free(p->run);
	free(p->map);
	*p = (struct criu_pages){ 0 };
}

bool criu_pages_used(const char *version)
{
	struct page_region region;
	struct pm_scan_arg a = { .size = sizeof(a), .vec = (uintptr_t)&region, .vec_len = 1, .return_mask = PAGE_IS_PRESENT };
	AUTO_FD int fd = open("/proc/self/pagemap", O_RDONLY | O_CLOEXEC);

	return atoi(version) >= 4 && fd >= 0 && ioctl(fd, PAGEMAP_SCAN, &a) >= 0;
}

static int add(struct criu_run **list, size_t *n, size_t *room, struct criu_run r)
{
	struct criu_run *last = *n ? &(*list)[*n - 1] : NULL;

	if (last && last->pid == r.pid && last->end == r.start) {
		last->end = r.end;
		return 0;
	}
	if (*n == *room) {
		size_t more = *room ? *room * 2 : 256;
		struct criu_run *bigger = realloc(*list, more * sizeof(*bigger));

		if (!bigger)
			return -1;
		*list = bigger;
		*room = more;
	}
	(*list)[(*n)++] = r;
	return 0;
}

/* Of a line of /proc/PID/maps. Those of criu's own in the process are shared ones. */
static bool is_anonymous(const char *line, struct criu_run *r)
{
	uint64_t inode = 1;
	int name = 0;
	char perms[5];

	if (sscanf(line, "%" SCNx64 "-%" SCNx64 " %4s %*s %*s %" SCNu64 " %n", &r->start, &r->end, perms, &inode, &name) < 4)
		return false;
	line += name;
	return perms[3] == 'p' && !inode &&
	       (*line != '[' || !strncmp(line, "[heap]", 6) || !strncmp(line, "[stack]", 7) || !strncmp(line, "[anon:", 6));
}

static int turn_to(struct criu_pages *p, pid_t pid)
{
	AUTO_FREE char *line = NULL;
	struct criu_run r = { .pid = pid };
	size_t room = 0;
	char path[64];

	if (p->pid == pid)
		return 0;
	leave(p);
	snprintf(path, sizeof(path), "/proc/%d/pagemap", (int)pid);
	AUTO_FD int pagemap = open(path, O_RDONLY | O_CLOEXEC);
	snprintf(path, sizeof(path), "/proc/%d/maps", (int)pid);
	AUTO_FILE FILE *f = fopen(path, "re");
	while (f && getline(&line, &room, f) > 0)
		if (is_anonymous(line, &r) && add(&p->map, &p->n_maps, &p->room_maps, r))
			return -1;
	if (!f || ferror(f) || pagemap < 0)
		return -1;
	p->pid = pid;
	p->pagemap = TAKE_FD(pagemap);
	return 0;
}

/* The first run of the process that ends behind the address, or what comes after its runs; they lie by process and address. */
static size_t run_behind(const struct criu_run *run, size_t n, pid_t pid, uint64_t addr)
{
	size_t lo = 0, hi = n;

	while (lo < hi) {
		size_t mid = (lo + hi) / 2;

		if (run[mid].pid < pid || (run[mid].pid == pid && run[mid].end <= addr))
			lo = mid + 1;
		else
			hi = mid;
	}
	return lo;
}

/* One question of ours: where it ends, and what was found. The kernel looks at what a page is of only where it is asked to, and
 * anonymous memory has none of files. -1 with errno. */
static int scan_part(int fd, const struct pm_scan_arg *ask, uint64_t *at, uint64_t end, bool anonymous, struct page_region *found,
		     size_t most)
{
	struct pm_scan_arg one = *ask;

	one.start = *at;
	one.end = end;
	one.vec = (uintptr_t)found;
	one.vec_len = most;
	if (anonymous) {
		one.category_mask &= ~(uint64_t)PAGE_IS_FILE;
		one.category_inverted &= ~(uint64_t)PAGE_IS_FILE;
		one.return_mask |= PAGE_IS_GUARD; /* criu asks for that since 4.2 */
	}
	int n = ioctl(fd, PAGEMAP_SCAN, &one);
	if (n < 0 && errno == EINVAL && one.return_mask != ask->return_mask) { /* a kernel that does not know it */
		one.return_mask = ask->return_mask;
		n = ioctl(fd, PAGEMAP_SCAN, &one);
	}
	*at = n >= 0 && one.walk_end > *at ? one.walk_end : end;
	return n;
}

/* All that there is of anonymous memory in [start, end). */
static int hide(struct criu_pages *p, const struct pm_scan_arg *ask, uint64_t start, uint64_t end)
{
	struct page_region found[REGIONS];

	for (uint64_t at = start; at < end;) {
		int n = scan_part(p->pagemap, ask, &at, end, true, found, REGIONS);

		if (n < 0)
			return -1;
		for (int i = 0; i < n; i++) {
			if (!(found[i].categories & PAGE_IS_GUARD) &&
			    add(&p->run, &p->n, &p->room, (struct criu_run){ p->pid, found[i].start, found[i].end }))
				return -1;
		}
	}
	return 0;
}

/* ---- what others know ---- */

/* criu's question, or the part of it that says what it is. */
static const uint64_t pages_mask = PAGE_IS_PFNZERO | PAGE_IS_FILE, pages_any = PAGE_IS_PRESENT | PAGE_IS_SWAPPED;

static int by_place(const void *a, const void *b)
{
	const struct criu_run *x = a, *y = b;

	if (x->pid != y->pid)
		return x->pid < y->pid ? -1 : 1;
	return x->start < y->start ? -1 : x->start > y->start;
}

void criu_pages_expect(struct criu_pages *p)
{
	struct criu_known *k = p->known ? NULL : calloc(1, sizeof(*k));

	if (!k)
		return;
	pthread_mutex_init(&k->lock, NULL);
	pthread_cond_init(&k->cond, NULL);
	p->known = k;
}

void criu_pages_asked(struct criu_pages *p, pid_t pid, uint64_t start, uint64_t end)
{
	struct criu_known *k = p->known;

	if (k && add(&k->map, &k->n_maps, &k->room_maps, (struct criu_run){ pid, start, end }))
		k->failed = true;
}

void criu_pages_found(struct criu_pages *p, pid_t pid, uint64_t start, uint64_t end, bool guards)
{
	struct criu_known *k = p->known;

	if (k && guards)
		k->guards = true;
	else if (k && add(&k->run, &k->n, &k->room, (struct criu_run){ pid, start, end }))
		k->failed = true;
}

void criu_pages_known(struct criu_pages *p)
{
	struct criu_known *k = p->known;

	if (!k)
		return;
	if (k->n_maps)
		qsort(k->map, k->n_maps, sizeof(*k->map), by_place);
	if (k->n)
		qsort(k->run, k->n, sizeof(*k->run), by_place);
	pthread_mutex_lock(&k->lock);
	k->whole = true;
	pthread_cond_broadcast(&k->cond);
	pthread_mutex_unlock(&k->lock);
}

/* When it is whole; NULL when there is nothing. */
static const struct criu_known *await_known(const struct criu_pages *p)
{
	struct criu_known *k = p->known;

	if (!k)
		return NULL;
	pthread_mutex_lock(&k->lock);
	while (!k->whole)
		pthread_cond_wait(&k->cond, &k->lock);
	pthread_mutex_unlock(&k->lock);
	return k->failed ? NULL : k;
}

/* Was all of [start, end) of that process asked about? */
static bool is_known(const struct criu_pages *p, uint64_t start, uint64_t end)
{
	const struct criu_known *k = await_known(p);
	size_t i = k ? run_behind(k->map, k->n_maps, p->pid, start) : 0;

	return k && i < k->n_maps && k->map[i].pid == p->pid && k->map[i].start <= start && end <= k->map[i].end;
}

static int add_known(struct criu_pages *p, uint64_t start, uint64_t end)
{
	const struct criu_known *k = p->known;

	for (size_t i = run_behind(k->run, k->n, p->pid, start); i < k->n; i++) {
		struct criu_run r = k->run[i];

		if (r.pid != p->pid || r.start >= end)
			break;
		r.start = r.start > start ? r.start : start;
		r.end = r.end < end ? r.end : end;
		if (add(&p->run, &p->n, &p->room, r))
			return -1;
	}
	return 0;
}

/* ---- an answer ---- */

/* What criu is answered. */
struct answer {
	struct page_region region[REGIONS];
	size_t n, most;
};

/* Of a mapping of the first kind criu is told nothing: neither of its pages, which are kept, nor of guard pages, which those that are
 * known have not. 0, or -1 with errno. How far it came stands in ask->walk_end. */
static int scan(struct criu_pages *p, struct pm_scan_arg *ask, bool pages, struct answer *a)
{
	const struct criu_run *map = pages ? p->map : p->known->map;
	const size_t n_maps = pages ? p->n_maps : p->known->n_maps;
	uint64_t at = ask->start;

	while (at < ask->end && a->n < a->most) {
		size_t i = run_behind(map, n_maps, p->pid, at);
		bool any = i < n_maps && map[i].pid == p->pid;
		uint64_t next = any && map[i].start < ask->end ? map[i].start : ask->end;

		if (next > at) {
			int n = scan_part(p->pagemap, ask, &at, next, false, a->region + a->n, a->most - a->n);

			if (n < 0)
				return -1;
			a->n += (size_t)n;
			continue;
		}
		uint64_t end = map[i].end < ask->end ? map[i].end : ask->end;

		if (pages && (is_known(p, at, end) ? add_known(p, at, end) : hide(p, ask, at, end)))
			return -1;
		at = end;
	}
	ask->walk_end = at;
	return 0;
}

/* The process whose pagemap criu has open under that number; 0. */
static pid_t asked_about(pid_t criu, int fd)
{
	char path[64], link[64];
	int pid;

	snprintf(path, sizeof(path), "/proc/%d/fd/%d", (int)criu, fd);
	ssize_t n = readlink(path, link, sizeof(link) - 1);
	link[n > 0 ? n : 0] = 0;
	return sscanf(link, "/proc/%d/pagemap", &pid) == 1 && pid != criu ? pid : 0;
}

static bool is_plain(const struct pm_scan_arg *a)
{
	return a->size == sizeof(*a) && !a->flags && !a->max_pages && a->start < a->end;
}

/* "Where are guard pages": when it is known that some mappings have none, only the others are looked at. */
static bool asks_for_guards(const struct criu_pages *p, const struct pm_scan_arg *a)
{
	if (!is_plain(a) || a->category_mask != PAGE_IS_GUARD || a->return_mask != PAGE_IS_GUARD || a->category_inverted ||
	    a->category_anyof_mask)
		return false;
	const struct criu_known *k = await_known(p);

	return k && !k->guards;
}

/* "Which pages are there". */
static bool asks_for_pages(const struct pm_scan_arg *a)
{
	return is_plain(a) && a->category_mask == pages_mask && a->category_inverted == pages_mask &&
	       a->category_anyof_mask == pages_any;
}

static bool reaches(pid_t pid, void *ours, size_t n, uint64_t theirs, bool write)
{
	struct iovec local = { ours, n }, remote = { (void *)(uintptr_t)theirs, n };

	return !n || (write ? process_vm_writev(pid, &local, 1, &remote, 1, 0) :
			      process_vm_readv(pid, &local, 1, &remote, 1, 0)) == (ssize_t)n;
}

bool criu_pages_answer(struct criu_pages *p, int listener, const struct seccomp_notif *n, struct seccomp_notif_resp *r)
{
	pid_t criu = (pid_t)n->pid, pid = asked_about(criu, (int)n->data.args[0]);
	struct pm_scan_arg ask = { 0 };
	struct answer a;

	if (!pid || !reaches(criu, &ask, sizeof(ask), n->data.args[2], false))
		return false;
	bool pages = asks_for_pages(&ask);
	if ((!pages && !asks_for_guards(p, &ask)) || turn_to(p, pid))
		return false;
	a.n = 0;
	a.most = ask.vec_len < REGIONS ? ask.vec_len : REGIONS;
	const struct criu_run last = p->n ? p->run[p->n - 1] : (struct criu_run){ 0 };
	const size_t before = p->n;
	if (scan(p, &ask, pages, &a) || ioctl(listener, SECCOMP_IOCTL_NOTIF_ID_VALID, &n->id) ||
	    !reaches(criu, a.region, a.n * sizeof(*a.region), ask.vec, true) ||
	    !reaches(criu, &ask, sizeof(ask), n->data.args[2], true)) {
		p->n = before;
		if (before)
			p->run[before - 1] = last;
		return false;
	}
	r->val = (int64_t)a.n;
	return true;
}
