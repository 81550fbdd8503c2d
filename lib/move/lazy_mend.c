/* SPDX-License-Identifier: MIT */
#include <errno.h>
#include <fcntl.h>
#include <linux/userfaultfd.h>
#include <stdio.h>
#include <sys/ioctl.h>
#include <unistd.h>

#include "lib/base/file.h"
#include "lib/move/image.h"
#include "lib/move/lazy_fill_int.h"

#define TRIES 100 /* while there are events to be read first */

/* Is a mapping waited for? Its first page that is wanted is put in place: ENOENT is the kernel's word that it is not. */
static int is_waited_for(struct lazy_fill *f, struct lazy_task *t, const struct lazy_piece *p, bool *yes, struct err *e)
{
	if (lazy_source_read(f->src, t->object, p->from, 1, f->buf))
		return err_sys(e, "pages of process %llu", (unsigned long long)t->object);
	for (int i = 0; i < TRIES; i++) {
		struct uffdio_copy c = { .dst = p->addr, .src = (uintptr_t)f->buf, .len = PAGE_BYTES };

		*yes = true;
		if (!ioctl(t->uffd, UFFDIO_COPY, &c) || errno == EEXIST)
			return 0;
		*yes = false;
		if (errno == ENOENT)
			return 0;
		if (errno != EAGAIN)
			break;
		if (lazy_fill_events(f, t, e))
			return -1;
	}
	return err_sys(e, "pages of process %llu: userfaultfd", (unsigned long long)t->object);
}

static int write_piece(struct lazy_fill *f, struct lazy_task *t, int mem, struct lazy_piece p)
{
	while (p.pages) {
		uint64_t n = p.pages < FAULT_PAGES ? p.pages : FAULT_PAGES;

		if (lazy_source_read(f->src, t->object, p.from, n, f->buf) ||
		    fd_pwrite_all(mem, f->buf, n * PAGE_BYTES, (off_t)p.addr))
			return -1;
		p = (struct lazy_piece){ p.addr + n * PAGE_BYTES, p.from + n * PAGE_BYTES, p.pages - n };
	}
	return 0;
}

/* All that is wanted of a mapping, at once. Also pages that are there: they are not those that belong there. */
static int write_mapping(struct lazy_fill *f, struct lazy_task *t, const struct criu_vma *v, pid_t pid, struct err *e)
{
	struct lazy_piece p;
	char path[64];

	snprintf(path, sizeof(path), "/proc/%d/mem", (int)pid);
	AUTO_FD int mem = pid > 0 ? open(path, O_WRONLY | O_CLOEXEC) : -1;
	if (mem < 0)
		return err_set(e, EX_OSERR, "process %llu: does not wait for its pages at %#llx, and cannot be written to",
			       (unsigned long long)t->object, (unsigned long long)v->start);
	while (lazy_space_next(&t->space, v->start, &p) && p.addr < v->end) {
		if (p.pages > (v->end - p.addr) / PAGE_BYTES)
			p.pages = (v->end - p.addr) / PAGE_BYTES;
		if (write_piece(f, t, mem, p))
			return err_sys(e, "process %llu: its pages at %#llx", (unsigned long long)t->object,
				       (unsigned long long)p.addr);
		if (lazy_space_cut(&t->space, p.addr, p.pages))
			return err_set(e, EX_OSERR, "out of memory");
	}
	return 0;
}

int lazy_fill_mend(struct lazy_fill *f, pid_t (*pid_of)(void *ctx, uint64_t object), void *ctx, struct err *e)
{
	for (size_t i = 0; i < f->n_tasks; i++) {
		struct lazy_task *t = f->task[i];
		const struct criu_mm *mm = lazy_source_mm(f->src, t->object);
		struct lazy_piece p;

		for (size_t k = 0; mm && k < mm->n; k++) {
			const struct criu_vma *v = &mm->vma[k];
			bool yes = true;

			if (!lazy_space_next(&t->space, v->start, &p) || p.addr >= v->end)
				continue;
			if (is_waited_for(f, t, &p, &yes, e) ||
			    (!yes && write_mapping(f, t, v, pid_of(ctx, t->object), e)))
				return -1;
		}
	}
	return 0;
}
