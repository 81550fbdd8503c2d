/* SPDX-License-Identifier: MIT */
#include "lib/move/compare.h"

#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>

#include "lib/base/auto.h"
#include "lib/engine/criu.h"

static uint8_t zeros[PAGE_BYTES]; /* not const: then no program has them in its file */

/* The kernel writes into a thread's area of restartable sequences (rseq(2)) whenever it runs it: 32 bytes of a page, one page a
 * thread at most. */
#define RSEQ_BYTES 32

struct comparison {
	struct image *im;
	uint8_t *buf;
	int areas; /* of such sequences that may still be found */
};

static bool is_same(struct comparison *c, uint64_t object, uint64_t addr, const uint8_t *page)
{
	struct digest want, have;

	if (image_get(c->im, object, addr, &want) != PAGE_DATA) /* also one that is not in the image: it holds nothing */
		return !memcmp(page, zeros, PAGE_BYTES);
	digest_of(page, PAGE_BYTES, &have);
	return digest_equal(&want, &have);
}

static int look_closer(struct comparison *c, const struct page_run *run, uint64_t skip, const uint8_t *page, struct err *e)
{
	uint8_t want[PAGE_BYTES] = { 0 };
	unsigned from = 0, end = PAGE_BYTES;

	image_read(c->im, run->object, run->addr + skip, want);
	while (from < end && want[from] == page[from])
		from++;
	while (end > from && want[end - 1] == page[end - 1])
		end--;
	if (from < end && from / RSEQ_BYTES == (end - 1) / RSEQ_BYTES && c->areas-- > 0)
		return 0;
	struct digest d;
	return err_set(e, EX_SOFTWARE, "compare: process %d: bytes %u to %u of page %#llx%s are not as they were sent%s", run->pid,
		       from, end, (unsigned long long)(run->vaddr + skip),
		       run->object & OBJECT_SHARED ? " of shared memory" : "",
		       image_get(c->im, run->object, run->addr + skip, &d) == PAGE_NONE ? ": they were not" : "");
}

static int compare_run(struct comparison *c, const struct page_run *run, struct err *e)
{
	if (memory_read(run, c->buf) != run->pages)
		return err_set(e, EX_SOFTWARE, "compare: cannot read process %d at %#llx", run->pid,
			       (unsigned long long)run->vaddr);
	for (uint64_t at = 0; at < (uint64_t)run->pages * PAGE_BYTES; at += PAGE_BYTES)
		if (!is_same(c, run->object, run->addr + at, c->buf + at) && look_closer(c, run, at, c->buf + at, e))
			return -1;
	return 0;
}

static int threads_of(pid_t pid)
{
	char path[64];
	struct stat st;

	snprintf(path, sizeof(path), "/proc/%d/task", pid);
	return stat(path, &st) ? 0 : (int)st.st_nlink - 2;
}

int compare_memory(struct image *im, const pid_t *pids, int n, bool shared, struct err *e)
{
	const char *fault = getenv("EDGE_FAULT");
	AUTO_FREE uint8_t *buf = NULL;
	struct comparison c = { .im = im };
	struct page_runs r = { 0 };

	if (!fault || strcmp(fault, "compare") != 0)
		return 0;
	c.buf = buf = malloc((size_t)RUN_PAGES * PAGE_BYTES);
	if (!buf)
		return err_set(e, EX_OSERR, "out of memory");
	int rc = 0;
	for (int i = 0; i < n && !rc; i++) {
		if (criu_is(pids[i])) /* it restores them */
			continue;
		c.areas = threads_of(pids[i]);
		rc = memory_runs(&pids[i], 1, &r, e);
		for (size_t k = 0; k < r.n && !rc; k++)
			if (shared || !(r.run[k].object & OBJECT_SHARED))
				rc = compare_run(&c, &r.run[k], e);
	}
	page_runs_clear(&r);
	return rc;
}
