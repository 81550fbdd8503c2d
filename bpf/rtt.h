/* SPDX-License-Identifier: MIT */
/* What bpf/rtt.bpf.c and lib/measure share: the bins of round-trip times, and what the maps hold.
 *
 * Bins are log-linear, so that two histograms are merged by adding: below 32 us one each, above it 32 to each doubling, the
 * widest 3.2 % of its value. */
#ifndef EDGE_BPF_RTT_H
#define EDGE_BPF_RTT_H

#define RTT_STEPS_LOG2 5
#define RTT_STEPS (1u << RTT_STEPS_LOG2)
#define RTT_BINS (28u * RTT_STEPS) /* up to 2^32 us */

/* Neighbouring bins are counted together, as a client's times are seldom far apart: they share a cache line then. */
#define RTT_TOGETHER 8u

/* Addresses are of IPv6, those of IPv4 mapped into it (::ffff:192.0.2.1), in network order. */
struct rtt_key {
	unsigned int addr[4];
	unsigned int bin; /* in the kernel's map the first of RTT_TOGETHER */
};

struct rtt_counts {
	unsigned int n[RTT_TOGETHER];
};

/* A connection that has ended, by its socket cookie. */
struct rtt_closed {
	unsigned int addr[4];
	unsigned int retransmits, min_us; /* min_us: the smallest, as the kernel remembers it */
	unsigned long long sent, received; /* bytes */
};

static inline unsigned int rtt_bin(unsigned int us)
{
	unsigned int shift = 0, rest = us >> RTT_STEPS_LOG2;

	if (!rest)
		return us;
	if (rest >> 16)
		shift += 16, rest >>= 16;
	if (rest >> 8)
		shift += 8, rest >>= 8;
	if (rest >> 4)
		shift += 4, rest >>= 4;
	if (rest >> 2)
		shift += 2, rest >>= 2;
	shift += rest >> 1;
	return (shift + 1) * RTT_STEPS + (us >> shift) % RTT_STEPS;
}

#endif
