/* SPDX-License-Identifier: MIT */
/* The kernel's side of watching a service (bpf/rtt.bpf.c), attached to one cgroup while it is open. */
#ifndef EDGE_MEASURE_RTT_H
#define EDGE_MEASURE_RTT_H

#include <stdint.h>

#include "bpf/rtt.h"
#include "lib/base/auto.h"
#include "lib/base/err.h"

struct rtt;

/* `cgroup`: a folder of cgroup v2. EX_NOPERM, or EX_UNAVAILABLE where the kernel cannot do it, with libbpf's words. */
int rtt_open(struct rtt **r, const char *cgroup, struct err *e);
void rtt_free(struct rtt *r);
AUTO_DEFINE(struct rtt, rtt_free)
#define AUTO_RTT AUTO(rtt_free_auto)

/* Takes out of the kernel what has been counted since the last time. */
typedef void rtt_bin_fn(void *ctx, const struct rtt_key *key, uint64_t count);
typedef void rtt_closed_fn(void *ctx, uint64_t cookie, const struct rtt_closed *c);
int rtt_drain(struct rtt *r, rtt_bin_fn *bin, rtt_closed_fn *closed, void *ctx, struct err *e);
/* How many samples and ended connections found no room, in all. */
uint64_t rtt_missed(const struct rtt *r);

#endif
