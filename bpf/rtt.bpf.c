/* SPDX-License-Identifier: MIT */
/* On a service's cgroup: the smoothed round-trip time of each TCP connection that it accepts, at each of the kernel's own
 * measurements, counted per client and bin. Nothing is sent to user space before it asks. */
#include <linux/bpf.h>
#include <linux/types.h>

#include <bpf/bpf_endian.h>
#include <bpf/bpf_helpers.h>

#include "bpf/rtt.h"

#define AF_INET 2

struct {
	__uint(type, BPF_MAP_TYPE_HASH);
	__uint(max_entries, 1 << 20);
	__uint(map_flags, BPF_F_NO_PREALLOC);
	__type(key, struct rtt_key);
	__type(value, struct rtt_counts);
} bins SEC(".maps");

struct {
	__uint(type, BPF_MAP_TYPE_HASH);
	__uint(max_entries, 1 << 20);
	__uint(map_flags, BPF_F_NO_PREALLOC);
	__type(key, __u64);
	__type(value, struct rtt_closed);
} closed SEC(".maps");

/* What found no room in a map. */
__u64 missed;

/* Volatile and in this order, as the verifier takes no pointer into the context that the compiler has chosen from two. */
static __always_inline void client(volatile struct bpf_sock_ops *ctx, unsigned int addr[4])
{
	for (int i = 0; i < 4; i++)
		addr[i] = ctx->remote_ip6[i];
	if (ctx->family != AF_INET)
		return;
	addr[0] = addr[1] = 0;
	addr[2] = bpf_htonl(0xffff);
	addr[3] = ctx->remote_ip4;
}

static __always_inline void sample(struct bpf_sock_ops *ctx)
{
	__u32 us = ctx->srtt_us >> 3; /* the kernel keeps eighths */
	struct rtt_key key;
	struct rtt_counts *counts;
	__u32 bin;

	if (!us)
		return;
	client(ctx, key.addr);
	bin = rtt_bin(us);
	key.bin = bin - bin % RTT_TOGETHER;
	counts = bpf_map_lookup_elem(&bins, &key);
	if (!counts) {
		struct rtt_counts none = { { 0 } };

		bpf_map_update_elem(&bins, &key, &none, BPF_NOEXIST);
		counts = bpf_map_lookup_elem(&bins, &key);
	}
	if (counts)
		__sync_fetch_and_add(&counts->n[bin % RTT_TOGETHER], 1);
	else
		__sync_fetch_and_add(&missed, 1);
}

static __always_inline void ended(struct bpf_sock_ops *ctx)
{
	struct rtt_closed c = { .retransmits = ctx->total_retrans, .min_us = ctx->rtt_min, .sent = ctx->bytes_acked,
				.received = ctx->bytes_received };
	__u64 cookie = bpf_get_socket_cookie(ctx);

	client(ctx, c.addr);
	if (bpf_map_update_elem(&closed, &cookie, &c, BPF_ANY))
		__sync_fetch_and_add(&missed, 1);
}

SEC("sockops")
int rtt(struct bpf_sock_ops *ctx)
{
	switch (ctx->op) {
	case BPF_SOCK_OPS_PASSIVE_ESTABLISHED_CB:
		bpf_sock_ops_cb_flags_set(ctx, BPF_SOCK_OPS_RTT_CB_FLAG | BPF_SOCK_OPS_STATE_CB_FLAG);
		sample(ctx); /* of SYN and its answer */
		break;
	case BPF_SOCK_OPS_RTT_CB:
		sample(ctx);
		break;
	case BPF_SOCK_OPS_STATE_CB:
		if (ctx->args[1] == BPF_TCP_CLOSE)
			ended(ctx);
		break;
	}
	return 1;
}

char _license[] SEC("license") = "Dual MIT/GPL";
