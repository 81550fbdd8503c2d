/* SPDX-License-Identifier: MIT */
/* Tells of each guard (MADV_GUARD_INSTALL of madvise(2)) that a process of one pid namespace has put over pages of its own, before
 * that process goes on. */
#include <linux/bpf.h>
#include <linux/types.h>

#include <bpf/bpf_helpers.h>

#include "bpf/guards.h"

#define MADV_GUARD_INSTALL 102
#define THREADS 4096 /* in madvise at the same time */
#define RING_BYTES (256 << 10)

/* Events syscalls:sys_enter_madvise and sys_exit_madvise. */
struct entered {
	__u64 common;
	__u64 number, start, bytes, behavior;
};
struct left {
	__u64 common;
	__u64 number;
	__s64 result;
};

struct {
	__uint(type, BPF_MAP_TYPE_HASH);
	__uint(max_entries, THREADS);
	__type(key, __u64);
	__type(value, struct guard_told);
} inside SEC(".maps");

struct {
	__uint(type, BPF_MAP_TYPE_RINGBUF);
	__uint(max_entries, RING_BYTES);
} told SEC(".maps");

__u64 ns_dev, ns_ino; /* of the namespace, as stat(2) has it of /proc/PID/ns/pid */
__u64 count;          /* of those that are, or are about to be, in the ring */

SEC("tracepoint")
int enters(const struct entered *c)
{
	struct guard_told guard = { .start = c->start, .bytes = c->bytes };
	struct bpf_pidns_info who;
	__u64 thread = bpf_get_current_pid_tgid();

	bpf_map_delete_elem(&inside, &thread);
	if ((int)c->behavior != MADV_GUARD_INSTALL || bpf_get_ns_current_pid_tgid(ns_dev, ns_ino, &who, sizeof(who)))
		return 0;
	guard.pid = who.tgid;
	bpf_map_update_elem(&inside, &thread, &guard, BPF_ANY);
	return 0;
}

SEC("tracepoint")
int leaves(const struct left *c)
{
	__u64 thread = bpf_get_current_pid_tgid();
	const struct guard_told *guard = bpf_map_lookup_elem(&inside, &thread);
	struct guard_told *out;

	if (!guard)
		return 0;
	out = c->result ? NULL : bpf_ringbuf_reserve(&told, sizeof(*out), 0);
	if (out) {
		*out = *guard;
		__sync_fetch_and_add(&count, 1);
		bpf_ringbuf_submit(out, BPF_RB_NO_WAKEUP);
	}
	bpf_map_delete_elem(&inside, &thread);
	return 0;
}

char _license[] SEC("license") = "Dual MIT/GPL";
