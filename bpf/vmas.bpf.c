/* SPDX-License-Identifier: MIT */
/* Lists the mappings of a process with all their flags, and counts none of their pages. */
#include <linux/bpf.h>
#include <linux/types.h>

#include <bpf/bpf_helpers.h>

#include "bpf/vmas.h"

/* Of the kernel's own, what is needed; the rest is found when it is loaded. */
struct seq_file;
struct vm_area_struct {
	unsigned long vm_start, vm_end;
	unsigned long vm_flags;
} __attribute__((preserve_access_index));
struct bpf_iter_meta {
	struct seq_file *seq;
} __attribute__((preserve_access_index));
struct task_struct {
	int tgid;
} __attribute__((preserve_access_index));
struct bpf_iter__task_vma {
	struct bpf_iter_meta *meta;
	struct task_struct *task;
	struct vm_area_struct *vma;
} __attribute__((preserve_access_index));

SEC("iter/task_vma")
int list(struct bpf_iter__task_vma *ctx)
{
	struct vm_area_struct *vma = ctx->vma;
	struct task_struct *task = ctx->task; /* read once: what the verifier has seen not to be NULL */
	struct vma_seen seen = { 0 };

	if (!vma || !task)
		return 0;
	seen.pid = (unsigned int)task->tgid;
	seen.start = vma->vm_start;
	seen.end = vma->vm_end;
	seen.flags = vma->vm_flags;
	bpf_seq_write(ctx->meta->seq, &seen, sizeof(seen));
	return 0;
}

char _license[] SEC("license") = "Dual MIT/GPL";
