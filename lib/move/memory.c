/* SPDX-License-Identifier: MIT */
#include "lib/move/memory_int.h"

#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <limits.h>
#include <stdbool.h>
#include <stdio.h>
#include <string.h>
#include <sys/uio.h>
#include <unistd.h>

#include "lib/base/auto.h"
#include "lib/move/image.h"

#define HUGE_MAPPING (1ULL << 30) /* takes 3 ms to walk, whatever is in it */
/* Bits of /proc/PID/pagemap. */
#define PM_EXCLUSIVE (1ULL << 56) /* mapped by this process alone, and not the zero page */
#define PM_GUARD (1ULL << 58)
#define PM_FILE (1ULL << 61)
#define PM_SWAP (1ULL << 62)
#define PM_PRESENT (1ULL << 63)

void page_runs_clear(struct page_runs *r)
{
	free(r->run);
	*r = (struct page_runs){ 0 };
}

pid_t memory_ns_pid(pid_t pid)
{
	char path[64], line[256];
	int ns_pid = 0;

	snprintf(path, sizeof(path), "/proc/%d/status", pid);
	AUTO_FILE FILE *f = fopen(path, "re");
	while (f && !ns_pid && fgets(line, sizeof(line), f))
		if (!strncmp(line, "NSpid:", 6)) {
			char *last = strrchr(line, '\t');

			ns_pid = last ? atoi(last) : 0;
		}
	return ns_pid;
}

/* What of a line of /proc/PID/maps holds data of the process's own. Shared memory has no file behind it that is
 * reachable: "/dev/zero (deleted)", "/memfd:NAME (deleted)", "/SYSV00000000 (deleted)". */
static bool parse_mapping(const char *line, struct mapping *m)
{
	char perms[5];
	int name = 0;

	*m = (struct mapping){ 0 };
	if (sscanf(line, "%" SCNx64 "-%" SCNx64 " %4s %" SCNx64 " %*s %" SCNu64 " %n", &m->start, &m->end, perms,
		   &m->offset, &m->inode, &name) < 5)
		return false;
	const char *file = line + name;
	m->private = perms[3] == 'p';
	m->writable = perms[1] == 'w';
	m->huge = !strncmp(file, "/anon_hugepage", 14);
	m->shared_memory = !m->private && (!strncmp(file, "/dev/zero (deleted)", 19) ||
					   !strncmp(file, "/memfd:", 7) || !strncmp(file, "/SYSV", 5));
	if (*file == '[' && (!strncmp(file, "[vdso", 5) || !strncmp(file, "[vvar", 5) || !strncmp(file, "[vsys", 5)))
		return false;
	return m->private || m->shared_memory;
}

int page_runs_add(struct page_runs *r, const struct page_run *run)
{
	if (r->n == r->room) {
		size_t room = r->room ? r->room * 2 : 256;
		struct page_run *bigger = realloc(r->run, room * sizeof(*bigger));

		if (!bigger)
			return -1;
		r->run = bigger;
		r->room = room;
	}
	r->run[r->n++] = *run;
	r->pages += run->pages;
	return 0;
}

int memory_add_pages(struct page_runs *out, uint64_t object, const struct mapping *m, pid_t pid, uint64_t start, uint64_t end)
{
	while (start < end) {
		uint64_t n = (end - start) / PAGE_BYTES;
		struct page_run run = {
			.object = object,
			.addr = m->private ? start : start - m->start + m->offset,
			.vaddr = start,
			.pid = pid,
			.pages = n < RUN_PAGES ? (uint32_t)n : RUN_PAGES,
		};

		if (page_runs_add(out, &run))
			return -1;
		start += (uint64_t)run.pages * PAGE_BYTES;
	}
	return 0;
}

/* Pages that a private mapping has in memory or in swap space, its file's left out; UINT64_MAX when nobody can say. */
static uint64_t pages_held(pid_t pid, const struct mapping *m)
{
	AUTO_FREE char *line = NULL;
	uint64_t start, end, anonymous = 0, swap = 0;
	bool there = false;
	size_t room = 0;
	char path[64];

	snprintf(path, sizeof(path), "/proc/%d/smaps", pid);
	AUTO_FILE FILE *f = fopen(path, "re");
	while (f && getline(&line, &room, f) > 0) {
		if (sscanf(line, "%" SCNx64 "-%" SCNx64 " ", &start, &end) == 2)
			there = start == m->start && end == m->end;
		else if (there)
			(void)(sscanf(line, "Anonymous: %" SCNu64, &anonymous) || sscanf(line, "Swap: %" SCNu64, &swap));
		if (there && !strncmp(line, "VmFlags:", 8))
			return (anonymous + swap) * 1024 / PAGE_BYTES;
	}
	return UINT64_MAX;
}

/* In a huge mapping it goes on only until all pages are found that there are: most lie at its beginning, if there are any. */
static int walk_mapping(int fd, const struct mapping *m, uint64_t object, pid_t pid, struct page_runs *out)
{
	uint64_t left = m->private && m->end - m->start >= HUGE_MAPPING ? pages_held(pid, m) : UINT64_MAX;
	uint64_t entry[8192];
	const uint64_t most = sizeof(entry) / sizeof(*entry) * PAGE_BYTES;
	uint64_t n;

	for (uint64_t at = m->start; at < m->end && left; at += n * PAGE_BYTES) {
		uint64_t from = 0;

		n = (m->end - at < most ? m->end - at : most) / PAGE_BYTES;
		ssize_t got = pread(fd, entry, n * 8, (off_t)(at / PAGE_BYTES * 8));
		bool in = false;

		if (got < 0)
			return -1;
		n = (uint64_t)got / 8;
		for (uint64_t i = 0; i <= n; i++) {
			bool want = i < n && (entry[i] & (PM_PRESENT | PM_SWAP)) && !(entry[i] & PM_GUARD) &&
				    !(m->private && (entry[i] & PM_FILE));

			if (want && !in)
				from = i;
			else if (!want && in &&
				 memory_add_pages(out, object, m, pid, at + from * PAGE_BYTES, at + i * PAGE_BYTES))
				return -1;
			in = want;
			if (want && left != UINT64_MAX && (entry[i] & (PM_EXCLUSIVE | PM_SWAP)))
				left--;
		}
		if (!n)
			break;
	}
	return 0;
}

int memory_add_all(void *ctx, int fd, const struct mapping *m, uint64_t object, pid_t pid, struct page_runs *out)
{
	int rc = memory_scan(fd, m, object, pid, &(struct memory_ask){ 0 }, out);

	(void)ctx;
	return rc > 0 ? walk_mapping(fd, m, object, pid, out) : rc;
}

/* One that has ended since it was listed has no memory; one that cannot be looked at is another matter, as what it has
 * written since the last look would be lost. */
static int process_gone(const char *path, struct err *e)
{
	return errno == ENOENT || errno == ESRCH ? 0 : err_sys(e, "%s", path);
}

int memory_each_mapping(pid_t pid, mapping_fn *fn, void *ctx, struct page_runs *out, struct err *e)
{
	char path[64];
	AUTO_FREE char *line = NULL;
	size_t room = 0;
	pid_t ns_pid = memory_ns_pid(pid);
	uint64_t end = 0;
	struct mapping m;

	snprintf(path, sizeof(path), "/proc/%d/maps", pid);
	AUTO_FILE FILE *f = fopen(path, "re");
	if (!f)
		return process_gone(path, e);
	snprintf(path, sizeof(path), "/proc/%d/pagemap", pid);
	AUTO_FD int fd = open(path, O_RDONLY | O_CLOEXEC);
	if (fd < 0)
		return process_gone(path, e);
	errno = 0;
	while (getline(&line, &room, f) > 0) {
		if (!parse_mapping(line, &m) || m.end <= end)
			continue;
		if (m.start < end) { /* one that has grown over another, since that was read */
			m.offset += end - m.start;
			m.start = end;
		}
		end = m.end;
		if (!ns_pid)
			return err_set(e, EX_OSERR, "/proc/%d/status: no NSpid", pid);
		uint64_t object = m.private ? (uint64_t)ns_pid : m.inode | OBJECT_SHARED;

		if (fn(ctx, fd, &m, object, pid, out))
			return errno == ESRCH ? 0 : err_sys(e, "memory of process %d", pid);
		errno = 0;
	}
	return ferror(f) && errno != ESRCH ? err_sys(e, "/proc/%d/maps", pid) : 0;
}

static int by_place(const void *a, const void *b)
{
	const struct page_run *x = a, *y = b;

	if (x->object != y->object)
		return x->object < y->object ? -1 : 1;
	return x->addr < y->addr ? -1 : x->addr > y->addr;
}

/* Several processes map the same shared segment: each of its pages is wanted once. */
static void drop_overlaps(struct page_runs *r)
{
	size_t kept = 0;
	uint64_t object = 0, end = 0;

	r->pages = 0;
	for (size_t i = 0; i < r->n; i++) {
		struct page_run run = r->run[i];
		uint64_t skip = run.object == object && end > run.addr ? (end - run.addr) / PAGE_BYTES : 0;

		if (skip >= run.pages)
			continue;
		run.addr += skip * PAGE_BYTES;
		run.vaddr += skip * PAGE_BYTES;
		run.pages -= (uint32_t)skip;
		object = run.object;
		end = run.addr + (uint64_t)run.pages * PAGE_BYTES;
		r->run[kept++] = run;
		r->pages += run.pages;
	}
	r->n = kept;
}

void memory_settle(struct page_runs *out)
{
	if (out->n)
		qsort(out->run, out->n, sizeof(*out->run), by_place);
	drop_overlaps(out);
}

int memory_runs(const pid_t *pids, size_t n, struct page_runs *out, struct err *e)
{
	out->n = 0;
	out->pages = 0;
	for (size_t i = 0; i < n; i++)
		if (memory_each_mapping(pids[i], memory_add_all, NULL, out, e))
			return -1;
	memory_settle(out);
	return 0;
}

/* Pages that the process itself may not read (PROT_NONE) are read as a debugger would. */
static size_t read_forced(const struct page_run *run, void *buf)
{
	char path[64];

	snprintf(path, sizeof(path), "/proc/%d/mem", run->pid);
	AUTO_FD int fd = open(path, O_RDONLY | O_CLOEXEC);
	ssize_t n = fd < 0 ? -1 : pread(fd, buf, (size_t)run->pages * PAGE_BYTES, (off_t)run->vaddr);

	return n > 0 ? (size_t)n / PAGE_BYTES : 0;
}

size_t memory_read(const struct page_run *run, void *buf)
{
	struct iovec local = { buf, (size_t)run->pages * PAGE_BYTES };
	struct iovec remote = { (void *)(uintptr_t)run->vaddr, local.iov_len };
	ssize_t n;

	if (!run->pid) { /* in this process */
		memcpy(buf, remote.iov_base, local.iov_len);
		return run->pages;
	}
	n = process_vm_readv(run->pid, &local, 1, &remote, 1, 0);
	return n == (ssize_t)local.iov_len ? run->pages : read_forced(run, buf);
}
