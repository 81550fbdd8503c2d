/* SPDX-License-Identifier: MIT */
/* The flags of a process's mappings, all of them, as the kernel has them. It tells by BPF (an iterator, since 5.12; of one
 * process, since 6.1), and counts no page for it, as it does for /proc/PID/smaps. */
#ifndef EDGE_ENGINE_VMA_FLAGS_H
#define EDGE_ENGINE_VMA_FLAGS_H

#include <stddef.h>
#include <sys/types.h>

#include "bpf/vmas.h"

struct vma_flags;

/* Some tens of milliseconds. NULL: this kernel, or whoever we are, cannot. */
struct vma_flags *vma_flags_open(void);
/* The mappings of a process, by address, into *list, which is the caller's to free. -1: not all could be told. */
int vma_flags_read(const struct vma_flags *v, pid_t pid, struct vma_seen **list, size_t *n);
/* NULL is allowed. */
void vma_flags_close(struct vma_flags *v);

#endif
