/* SPDX-License-Identifier: MIT */
/* What memsrv and gapclient say to each other, in host byte order.
 *
 * A request is one 64-bit word: what is asked in the upper 8 bits, its number or argument in the lower 56.
 * Every request gets one reply, in order. */
#ifndef EDGE_BENCH_WIRE_H
#define EDGE_BENCH_WIRE_H

#include <stdint.h>

#define WIRE_OP_SHIFT 56
#define WIRE_ARG_MASK ((1ULL << WIRE_OP_SHIFT) - 1)

enum wire_op {
	WIRE_PING = 0,   /* argument: the request's number; value: bytes written by the writer since the start */
	WIRE_RATE = 1,   /* argument: new write rate in kB/s (1024 bytes); value: the old one */
	WIRE_DIGEST = 2, /* stops the writer (rate 0); value: a digest of the whole memory */
	WIRE_CHECK = 3,  /* value: number of pages that do not hold what was last written to them */
};

struct wire_reply {
	uint64_t request; /* as it came */
	uint64_t counter; /* requests answered since the start, this one included, on all connections */
	uint64_t boot;    /* random, made at the start: another one means another server */
	uint64_t value;   /* see wire_op */
};

#endif
