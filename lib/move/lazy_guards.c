/* SPDX-License-Identifier: MIT */
#include "lib/move/lazy_guards.h"

#include <fcntl.h>
#include <linux/perf_event.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/mman.h>
#include <sys/mount.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/sysmacros.h>
#include <unistd.h>

#include <bpf/bpf.h>
#include <bpf/libbpf.h>

#include "bpf/guards.h"
#include "bpf/guards.skel.h"
#include "lib/move/image.h"

#ifndef MADV_GUARD_INSTALL
#define MADV_GUARD_INSTALL 102
#endif

struct lazy_guards {
	struct guards_bpf *program;
	struct bpf_link *link[2];
	struct ring_buffer *ring;
	_Atomic uint64_t seen;
	guard_fn *fn;
	void *ctx;
};

static bool kernel_has_guards(void)
{
	void *p = mmap(NULL, PAGE_BYTES, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
	bool has = p != MAP_FAILED && !madvise(p, PAGE_BYTES, MADV_GUARD_INSTALL);

	if (p != MAP_FAILED)
		munmap(p, PAGE_BYTES);
	return has;
}

/* The kernel's number of an event of its trace, of which nobody need have mounted anything. */
static int event_number(int tracefs, const char *event)
{
	char path[96], text[16] = "";

	snprintf(path, sizeof(path), "events/syscalls/%s/id", event);
	AUTO_FD int fd = openat(tracefs, path, O_RDONLY | O_CLOEXEC);
	return fd >= 0 && read(fd, text, sizeof(text) - 1) > 0 ? atoi(text) : -1;
}

static int mount_trace(void)
{
	AUTO_FD int fs = fsopen("tracefs", FSOPEN_CLOEXEC);

	if (fs < 0 || fsconfig(fs, FSCONFIG_CMD_CREATE, NULL, NULL, 0))
		return -1;
	return fsmount(fs, FSMOUNT_CLOEXEC, 0);
}

/* One on any processor sees those of all. */
static struct bpf_link *attach(const struct bpf_program *p, int tracefs, const char *event)
{
	int number = event_number(tracefs, event);
	struct perf_event_attr a = { .type = PERF_TYPE_TRACEPOINT, .size = sizeof(a), .config = (uint64_t)number };
	int fd = number < 0 ? -1 : (int)syscall(SYS_perf_event_open, &a, -1, 0, -1, PERF_FLAG_FD_CLOEXEC);
	struct bpf_link *link = fd < 0 ? NULL : bpf_program__attach_perf_event(p, fd);

	if (!link && fd >= 0)
		close(fd);
	return link;
}

static int tell(void *ctx, void *data, size_t n)
{
	struct lazy_guards *g = ctx;
	const struct guard_told *t = data;

	(void)n;
	int rc = g->fn(g->ctx, t->pid, t->start, t->bytes);
	atomic_fetch_add(&g->seen, 1); /* not before somebody has it */
	return rc;
}

struct lazy_guards *lazy_guards_open(void)
{
	struct lazy_guards *g = kernel_has_guards() ? calloc(1, sizeof(*g)) : NULL;

	if (!g)
		return NULL;
	libbpf_set_print(NULL);
	g->program = guards_bpf__open_and_load();
	g->ring = g->program ? ring_buffer__new(bpf_map__fd(g->program->maps.told), tell, g, NULL) : NULL;
	if (g->ring)
		return g;
	lazy_guards_close(g);
	return NULL;
}

void lazy_guards_attach(struct lazy_guards *g)
{
	AUTO_FD int tracefs = g ? mount_trace() : -1;

	if (tracefs < 0)
		return;
	g->link[0] = attach(g->program->progs.leaves, tracefs, "sys_exit_madvise");
	g->link[1] = attach(g->program->progs.enters, tracefs, "sys_enter_madvise");
}

void lazy_guards_close(struct lazy_guards *g)
{
	if (!g)
		return;
	for (int i = 0; i < 2; i++)
		bpf_link__destroy(g->link[i]);
	ring_buffer__free(g->ring);
	guards_bpf__destroy(g->program);
	free(g);
}

bool lazy_guards_of(struct lazy_guards *g, pid_t pid)
{
	char path[64];
	struct stat its, ours;

	snprintf(path, sizeof(path), "/proc/%d/ns/pid", (int)pid);
	if (!g || stat(path, &its) || stat("/proc/self/ns/pid", &ours) || (g->program->bss->ns_ino && its.st_ino == ours.st_ino))
		return false;
	g->program->bss->ns_dev = (uint64_t)major(its.st_dev) << 20 | minor(its.st_dev); /* as the kernel itself counts */
	g->program->bss->ns_ino = its.st_ino;
	return its.st_ino != ours.st_ino;
}

bool lazy_guards_pending(const struct lazy_guards *g)
{
	return g && __atomic_load_n(&g->program->bss->count, __ATOMIC_ACQUIRE) != atomic_load(&g->seen);
}

int lazy_guards_each(struct lazy_guards *g, guard_fn *fn, void *ctx)
{
	if (!lazy_guards_pending(g))
		return 0;
	g->fn = fn;
	g->ctx = ctx;
	return ring_buffer__consume(g->ring) < 0 ? -1 : 0;
}
