/* SPDX-License-Identifier: MIT */
/* TCP connections of a network namespace as sock_diag(7) tells them. */
#ifndef EDGE_MEASURE_DIAG_H
#define EDGE_MEASURE_DIAG_H

#include <stdint.h>

#include "lib/base/err.h"

struct diag_connection {
	uint64_t cookie;
	uint32_t addr[4];           /* the peer's, IPv4 mapped, network order (bpf/rtt.h) */
	uint32_t srtt_us, min_us;   /* 0: not measured yet */
	uint32_t retransmits, segments; /* segments received */
	uint64_t sent, received;    /* bytes, as far as they were acknowledged */
};

/* A socket for diag_clients in that namespace (-1: this one); -1 with `e`. */
int diag_open(int netns, struct err *e);
/* Each connection to a port on which that namespace listens: those of clients, not its own to other servers. */
int diag_clients(int fd, void (*each)(void *ctx, const struct diag_connection *c), void *ctx, struct err *e);

#endif
