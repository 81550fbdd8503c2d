/* SPDX-License-Identifier: MIT */
/* TCP connections with a time limit, for lib/base/ssh.c. */
#ifndef EDGE_BASE_DIAL_H
#define EDGE_BASE_DIAL_H

#include "lib/base/err.h"

/* A connected, non-blocking descriptor (no delay, keepalive, given up after 20 s without an answer), trying
 * each address of the host in turn; `deadline` is in terms of clock_ms(). -1: EX_UNAVAILABLE "cannot connect:
 * Connection refused". */
int dial(const char *host, int port, double deadline, struct err *e);

#endif
