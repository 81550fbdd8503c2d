/* SPDX-License-Identifier: MIT */
/* Pages that CRIU was not told of (lib/engine/criu_pages.h), listed in its pagemaps as it would have done. */
#include "lib/move/criu_mm.h"
#include "lib/move/outgoing_int.h"

static int by_place(const void *a, const void *b)
{
	const struct criu_run *x = a, *y = b;

	if (x->pid != y->pid)
		return x->pid < y->pid ? -1 : 1;
	return x->start < y->start ? -1 : x->start > y->start;
}

/* CRIU may have asked twice. */
static void drop_overlaps(struct criu_pages *h)
{
	size_t kept = 0;

	for (size_t i = 0; i < h->n; i++) {
		struct criu_run r = h->run[i], *last = kept ? &h->run[kept - 1] : NULL;

		if (last && last->pid == r.pid && last->end > r.start)
			r.start = last->end;
		if (r.start < r.end)
			h->run[kept++] = r;
	}
	h->n = kept;
}

int outgoing_hidden_settle(struct outgoing *o, struct err *e)
{
	struct criu_pages *h = &o->criu.hidden;
	pid_t pid = 0, ns_pid = 0;

	for (size_t i = 0; i < h->n; i++) {
		if (h->run[i].pid != pid)
			ns_pid = memory_ns_pid(h->run[i].pid);
		if (!ns_pid)
			return err_set(e, EX_TEMPFAIL, "service %s: its process %d was killed while it stood still", o->svc->name,
				       (int)h->run[i].pid);
		pid = h->run[i].pid;
		h->run[i].pid = ns_pid;
	}
	if (h->n)
		qsort(h->run, h->n, sizeof(*h->run), by_place);
	drop_overlaps(h);
	return 0;
}

/* Of one run, what lies in mappings that CRIU has dumped, too. */
static int add_run(struct pagemap *pm, const struct criu_mm *mm, const struct criu_run *r, struct err *e)
{
	for (size_t i = criu_mm_behind(mm, r->start); i < mm->n && mm->vma[i].start < r->end; i++) {
		const struct criu_vma *v = &mm->vma[i];
		uint64_t from = v->start > r->start ? v->start : r->start, to = v->end < r->end ? v->end : r->end;

		if (!v->anonymous)
			return err_set(e, EX_SOFTWARE, "criu: calls the memory at %#llx not anonymous", (unsigned long long)from);
		if (pagemap_add(pm, (struct pagemap_entry){ from, (to - from) / PAGE_BYTES, v->lazy ? PAGES_LAZY : 0 }, e))
			return -1;
	}
	return 0;
}

int outgoing_hidden(struct outgoing *o, uint64_t object, struct pagemap *pm, struct err *e)
{
	const struct criu_pages *h = &o->criu.hidden;
	AUTO_CRIU_MM struct criu_mm *mm = NULL;
	size_t lo = 0, hi = h->n;

	while (lo < hi) {
		size_t mid = (lo + hi) / 2;

		if ((uint64_t)h->run[mid].pid < object)
			lo = mid + 1;
		else
			hi = mid;
	}
	for (size_t i = lo; i < h->n && (uint64_t)h->run[i].pid == object; i++)
		if ((!mm && criu_mm_read(&mm, o->ck->dir, object, e)) || add_run(pm, mm, &h->run[i], e))
			return -1;
	return 0;
}
