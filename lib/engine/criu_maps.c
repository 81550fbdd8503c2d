/* SPDX-License-Identifier: MIT */
#include "lib/engine/criu_maps.h"

#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/mman.h>
#include <sys/uio.h>
#include <unistd.h>

#include "lib/base/auto.h"
#include "lib/engine/vma_flags.h"

#ifndef SECCOMP_ADDFD_FLAG_SEND
#define SECCOMP_ADDFD_FLAG_SEND (1UL << 1)
#endif

/* The flags that criu reads (criu/proc_parse.c). */
static const char names[][3] = { "gd", "lo", "nr", "ht", "dp", "sr", "rr", "dc", "dd", "mg", "hg", "nh", "wf", "io", "pf", "ss" };
#define NAMES (sizeof(names) / sizeof(*names))

struct criu_map {
	uint64_t start, end;
	uint32_t flags; /* a bit for each name */
	char *rest;     /* owned: its line behind the addresses */
};

/* How the kernel writes flags of its own in smaps. */
struct criu_flags_known {
	uint64_t kernel;
	uint32_t flags;
	bool both; /* in two ways: they changed while they were read */
};

static void forget(struct criu_maps_of *o)
{
	for (size_t i = 0; i < o->n; i++)
		free(o->map[i].rest);
	free(o->map);
	*o = (struct criu_maps_of){ 0 };
}

void criu_maps_clear(struct criu_maps *m)
{
	for (size_t i = 0; i < m->n; i++)
		forget(&m->of[i]);
	free(m->of);
	free(m->known);
	vma_flags_close(m->kernel);
	*m = (struct criu_maps){ 0 };
}

static int add(struct criu_maps_of *o, uint64_t start, uint64_t end, const char *rest)
{
	if (o->n == o->room) {
		size_t room = o->room ? o->room * 2 : 64;
		struct criu_map *bigger = realloc(o->map, room * sizeof(*bigger));

		if (!bigger)
			return -1;
		o->map = bigger;
		o->room = room;
	}
	o->map[o->n] = (struct criu_map){ .start = start, .end = end, .rest = strdup(rest) };
	return o->map[o->n].rest ? (o->n++, 0) : -1;
}

static uint32_t flags_of(const char *line)
{
	uint32_t flags = 0;

	for (size_t i = 0; i < NAMES; i++) {
		char word[5] = { ' ', names[i][0], names[i][1], 0 };

		if (strstr(line, word))
			flags |= 1u << i;
	}
	return flags;
}

/* From "smaps", or from "maps" without flags. -1 with errno; a process that is gone has none. */
static int read_file(struct criu_maps_of *o, pid_t pid, const char *name)
{
	AUTO_FREE char *line = NULL;
	uint64_t start, end;
	size_t room = 0;
	char path[64];
	int rest;

	snprintf(path, sizeof(path), "/proc/%d/%s", (int)pid, name);
	AUTO_FILE FILE *f = fopen(path, "re");
	*o = (struct criu_maps_of){ .pid = pid };
	while (f && getline(&line, &room, f) > 0) {
		if (!strncmp(line, "VmFlags:", 8) && o->n)
			o->map[o->n - 1].flags = flags_of(line + 8);
		else if (sscanf(line, "%" SCNx64 "-%" SCNx64 "%n", &start, &end, &rest) == 2 && add(o, start, end, line + rest))
			return -1;
	}
	return !f || ferror(f) ? -1 : 0;
}

static bool is_large(pid_t pid, size_t worth)
{
	unsigned long pages = 0;
	char path[64];

	snprintf(path, sizeof(path), "/proc/%d/statm", (int)pid);
	AUTO_FILE FILE *f = fopen(path, "re");
	return f && fscanf(f, "%*u %lu", &pages) == 1 && pages * (size_t)sysconf(_SC_PAGESIZE) >= worth;
}

/* ---- flags by what the kernel has ---- */

struct seen {
	struct vma_seen *vma; /* owned */
	size_t n;
};

static uint64_t *flags_at(const struct seen *s, uint64_t start, uint64_t end)
{
	size_t lo = 0, hi = s->n;

	while (lo < hi) {
		size_t mid = (lo + hi) / 2;

		if (s->vma[mid].start < start)
			lo = mid + 1;
		else
			hi = mid;
	}
	return lo < s->n && s->vma[lo].start == start && s->vma[lo].end == end ? (uint64_t *)&s->vma[lo].flags : NULL;
}

static struct criu_flags_known *find_known(const struct criu_maps *m, uint64_t kernel)
{
	for (size_t i = 0; i < m->n_known; i++)
		if (m->known[i].kernel == kernel)
			return &m->known[i];
	return NULL;
}

static void learn_one(struct criu_maps *m, uint64_t kernel, uint32_t flags)
{
	struct criu_flags_known *k = find_known(m, kernel);

	if (k) {
		k->both |= k->flags != flags;
		return;
	}
	if (m->n_known == m->room_known) {
		size_t room = m->room_known ? m->room_known * 2 : 32;

		k = realloc(m->known, room * sizeof(*k));
		if (!k)
			return;
		m->known = k;
		m->room_known = room;
	}
	m->known[m->n_known++] = (struct criu_flags_known){ kernel, flags, false };
}

/* Reads smaps; what the kernel has was the same before and after it. */
static int read_and_learn(struct criu_maps *m, struct criu_maps_of *o, pid_t pid)
{
	struct seen before = { 0 }, after = { 0 };
	bool told = m->kernel && !vma_flags_read(m->kernel, pid, &before.vma, &before.n);
	int rc = read_file(o, pid, "smaps"), why = errno;

	told = told && !rc && !vma_flags_read(m->kernel, pid, &after.vma, &after.n);
	for (size_t i = 0; i < o->n && told; i++) {
		const uint64_t *a = flags_at(&before, o->map[i].start, o->map[i].end),
			       *b = flags_at(&after, o->map[i].start, o->map[i].end);

		if (a && b && *a == *b)
			learn_one(m, *a, o->map[i].flags);
	}
	free(before.vma);
	free(after.vma);
	errno = why;
	return rc;
}

/* Gives all mappings of now the flags of now; false: those of one of them are not known. */
static bool flags_of_now(const struct criu_maps *m, struct criu_maps_of *now)
{
	struct seen s = { 0 };
	bool all = m->kernel && !vma_flags_read(m->kernel, now->pid, &s.vma, &s.n);

	for (size_t i = 0; i < now->n && all; i++) {
		const uint64_t *kernel = flags_at(&s, now->map[i].start, now->map[i].end);
		const struct criu_flags_known *k = kernel ? find_known(m, *kernel) : NULL;

		/* The kernel's own (vsyscall), at addresses that are no process's, is none of the process's mappings. */
		if (!kernel && now->map[i].start > INT64_MAX)
			continue;
		all = k && !k->both;
		if (all)
			now->map[i].flags = k->flags;
	}
	free(s.vma);
	return all;
}

/* ---- before the freeze ---- */

int criu_maps_read(struct criu_maps *m, const pid_t *pids, size_t n, size_t worth, struct err *e)
{
	bool tried = false;

	criu_maps_clear(m);
	m->of = calloc(n ? n : 1, sizeof(*m->of));
	if (!m->of)
		return err_set(e, EX_OSERR, "out of memory");
	for (size_t i = 0; i < n; i++) {
		struct criu_maps_of *o = &m->of[m->n];

		if (!is_large(pids[i], worth))
			continue;
		if (!tried && !m->kernel)
			m->kernel = vma_flags_open();
		tried = true;
		if (!m->kernel && !is_large(pids[i], worth * CRIU_MAPS_UNSURE))
			continue;
		errno = 0;
		if (!read_and_learn(m, o, pids[i])) {
			m->n++;
			continue;
		}
		int why = errno;
		forget(o);
		if (why == ENOMEM)
			return err_set(e, EX_OSERR, "out of memory");
	}
	return 0;
}

/* ---- what criu is told ---- */

/* The flags of before for a mapping of now: of one that was there, at least in part, and was the same otherwise. */
static bool known(const struct criu_maps_of *before, struct criu_map *now, size_t *from)
{
	while (*from < before->n && before->map[*from].end <= now->start)
		++*from;
	for (size_t i = *from; i < before->n && before->map[i].start < now->end; i++)
		if (!strcmp(before->map[i].rest, now->rest)) {
			now->flags = before->map[i].flags;
			return true;
		}
	return false;
}

/* A file as criu wants it, or -1. */
static int write_file(const struct criu_maps_of *o)
{
	AUTO_FD int fd = memfd_create("smaps", MFD_CLOEXEC);
	int copy = fd < 0 ? -1 : dup(fd);
	AUTO_FILE FILE *f = copy < 0 ? NULL : fdopen(copy, "w");

	for (size_t i = 0; f && i < o->n; i++) {
		fprintf(f, "%08" PRIx64 "-%08" PRIx64 "%sVmFlags:", o->map[i].start, o->map[i].end, o->map[i].rest);
		for (size_t k = 0; k < NAMES; k++)
			if (o->map[i].flags >> k & 1)
				fprintf(f, " %s", names[k]);
		fputc('\n', f);
	}
	return !f || fflush(f) || ferror(f) || lseek(fd, 0, SEEK_SET) ? -1 : TAKE_FD(fd);
}

/* As it is now, with flags of now or of before; in its place from then on. */
static int tell(const struct criu_maps *m, struct criu_maps_of *o)
{
	struct criu_maps_of now;
	size_t from = 0;
	int fd = -1;

	bool whole = !read_file(&now, o->pid, "maps"), sure = whole && flags_of_now(m, &now);
	for (size_t i = 0; i < now.n && whole && !sure; i++)
		whole = known(o, &now.map[i], &from);
	if (whole)
		fd = write_file(&now);
	if (fd < 0) {
		forget(&now);
		return -1;
	}
	forget(o);
	*o = now;
	o->sure = sure;
	return fd;
}

/* The process whose folder in /proc criu has open under that number; 0. */
static pid_t folder_of(pid_t criu, int fd)
{
	char path[64], link[64];
	int pid = 0, n = 0;

	snprintf(path, sizeof(path), "/proc/%d/fd/%d", (int)criu, fd);
	ssize_t len = readlink(path, link, sizeof(link) - 1);
	link[len > 0 ? len : 0] = 0;
	return sscanf(link, "/proc/%d%n", &pid, &n) == 1 && !link[n] ? pid : 0;
}

bool criu_maps_answer(struct criu_maps *m, int listener, const struct seccomp_notif *n)
{
	char name[6] = "";
	struct iovec local = { name, sizeof(name) }, remote = { (void *)(uintptr_t)n->data.args[1], sizeof(name) };

	if (!m->n || process_vm_readv((pid_t)n->pid, &local, 1, &remote, 1, 0) != (ssize_t)sizeof(name) ||
	    memcmp(name, "smaps", sizeof(name)))
		return false;
	pid_t pid = folder_of((pid_t)n->pid, (int)n->data.args[0]);
	for (size_t i = 0; pid && i < m->n; i++) {
		if (m->of[i].pid != pid || m->of[i].told)
			continue;
		AUTO_FD int fd = tell(m, &m->of[i]);
		struct seccomp_notif_addfd a = { .id = n->id, .flags = SECCOMP_ADDFD_FLAG_SEND, .srcfd = (uint32_t)fd };

		m->of[i].told = fd >= 0 && ioctl(listener, SECCOMP_IOCTL_NOTIF_ADDFD, &a) >= 0;
		return m->of[i].told;
	}
	return false;
}

static int verify(const struct criu_maps_of *o, struct err *e)
{
	struct criu_maps_of now;
	bool same = !read_file(&now, o->pid, "smaps") && now.n == o->n;

	for (size_t i = 0; i < now.n && same; i++)
		same = now.map[i].start == o->map[i].start && now.map[i].end == o->map[i].end &&
		       now.map[i].flags == o->map[i].flags && !strcmp(now.map[i].rest, o->map[i].rest);
	forget(&now);
	return same ? 0 : err_set(e, EX_TEMPFAIL, "process %d: has changed its mappings in the moment before it was frozen", (int)o->pid);
}

int criu_maps_verify(const struct criu_maps *m, struct err *e)
{
	for (size_t i = 0; i < m->n; i++)
		if (m->of[i].told && !m->of[i].sure && verify(&m->of[i], e))
			return -1;
	return 0;
}
