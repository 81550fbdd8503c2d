/* SPDX-License-Identifier: MIT */
#include "lib/move/criu_mm.h"

#include <limits.h>
#include <stdio.h>
#include <string.h>
#include <sys/mman.h>

#include "lib/base/file.h"
#include "lib/engine/message.h"

#define HEAD 12 /* two magic numbers, the message's length */
#define WIPE_ON_FORK (1ULL << 18)
#define SHADOW_STACK (1 << 15) /* of a mapping's status, as the two below */
#define GUARD (1 << 16)        /* no mapping, but part of one */
#define ANON_PRIVATE (1 << 9)

enum { MM_VMAS = 14, VMA_START = 1, VMA_END = 2, VMA_FLAGS = 6, VMA_STATUS = 7, VMA_MADV = 9, VMA_FIELDS };

static int add(struct criu_mm *mm, size_t *room, const struct field *vma)
{
	const uint8_t *p = vma->data, *end = p + vma->n;
	uint64_t v[VMA_FIELDS] = { 0 };
	struct field f;

	while (field_next(&p, end, &f))
		if (f.number < VMA_FIELDS && !f.data)
			v[f.number] = f.value;
	if (v[VMA_STATUS] & GUARD || v[VMA_END] <= v[VMA_START])
		return 0;
	if (mm->n == *room) {
		size_t more = *room ? *room * 2 : 64;
		struct criu_vma *bigger = realloc(mm->vma, more * sizeof(*bigger));

		if (!bigger)
			return -1;
		mm->vma = bigger;
		*room = more;
	}
	bool anonymous = v[VMA_FLAGS] & MAP_ANONYMOUS && v[VMA_FLAGS] & MAP_PRIVATE && v[VMA_STATUS] & ANON_PRIVATE;
	mm->vma[mm->n++] = (struct criu_vma){
		.start = v[VMA_START],
		.end = v[VMA_END],
		.anonymous = anonymous,
		.lazy = anonymous && !(v[VMA_FLAGS] & (MAP_LOCKED | MAP_HUGETLB)) && !(v[VMA_STATUS] & SHADOW_STACK),
		.wiped = v[VMA_MADV] & WIPE_ON_FORK,
	};
	return 0;
}

int criu_mm_read(struct criu_mm **out, const char *dir, uint64_t pid, struct err *e)
{
	AUTO_CRIU_MM struct criu_mm *mm = calloc(1, sizeof(*mm));
	char path[PATH_MAX + 64];
	struct field f;
	size_t n, room = 0;

	snprintf(path, sizeof(path), "%s/mm-%llu.img", dir, (unsigned long long)pid);
	AUTO_FREE char *data = file_slurp(path, &n, e);
	if (!data)
		return -1;
	const uint8_t *p = (const uint8_t *)data + (n < HEAD ? n : HEAD), *end = (const uint8_t *)data + n;
	while (mm && field_next(&p, end, &f))
		if (f.number == MM_VMAS && f.data && add(mm, &room, &f))
			return err_set(e, EX_OSERR, "out of memory");
	if (!mm)
		return err_set(e, EX_OSERR, "out of memory");
	*out = TAKE_PTR(mm);
	return 0;
}

void criu_mm_free(struct criu_mm *mm)
{
	free(mm->vma);
	free(mm);
}

size_t criu_mm_behind(const struct criu_mm *mm, uint64_t addr)
{
	size_t lo = 0, hi = mm->n;

	while (lo < hi) {
		size_t mid = (lo + hi) / 2;

		if (mm->vma[mid].end <= addr)
			lo = mid + 1;
		else
			hi = mid;
	}
	return lo;
}
