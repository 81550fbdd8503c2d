/* SPDX-License-Identifier: MIT */
/* What vmas.bpf.c says of each mapping. */
#ifndef EDGE_BPF_VMAS_H
#define EDGE_BPF_VMAS_H

struct vma_seen {
	unsigned long long pid; /* of the process, as the whole machine counts them */
	unsigned long long start, end, flags; /* vm_flags, with the bits of this kernel */
};

#endif
