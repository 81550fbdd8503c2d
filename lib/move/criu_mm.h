/* SPDX-License-Identifier: MIT */
/* CRIU's images of address spaces (images/mm.proto, vma.proto; bits of criu/include/image.h): which mappings a process has. */
#ifndef EDGE_MOVE_CRIU_MM_H
#define EDGE_MOVE_CRIU_MM_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "lib/base/auto.h"
#include "lib/base/err.h"

struct criu_vma {
	uint64_t start, end;
	bool anonymous; /* and private */
	bool lazy;      /* its pages may come later (vma_entry_can_be_lazy) */
	bool wiped;     /* a child gets it empty (MADV_WIPEONFORK) */
};

struct criu_mm {
	struct criu_vma *vma; /* by address */
	size_t n;
};

/* Of the process with this pid in its namespace, in a folder of images. */
int criu_mm_read(struct criu_mm **mm, const char *dir, uint64_t pid, struct err *e);
void criu_mm_free(struct criu_mm *mm);
AUTO_DEFINE(struct criu_mm, criu_mm_free)
#define AUTO_CRIU_MM AUTO(criu_mm_free_auto)
/* The first mapping that ends behind the address; mm->n when there is none. */
size_t criu_mm_behind(const struct criu_mm *mm, uint64_t addr);

#endif
