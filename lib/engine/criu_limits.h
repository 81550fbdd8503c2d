/* SPDX-License-Identifier: MIT */
/* criu asks the kernel for the resource limits of each process that it dumps. Where root has no CAP_SYS_RESOURCE (as in
 * many virtual machines and containers) the kernel tells only those of processes of the same user, and no service that
 * runs as another user could be dumped; /proc tells everybody. There a seccomp filter sends these calls of criu's to us,
 * and we answer them from /proc. */
#ifndef EDGE_ENGINE_CRIU_LIMITS_H
#define EDGE_ENGINE_CRIU_LIMITS_H

#include <stdbool.h>

/* Does this process lack the capability? */
bool criu_limits_needed(void);
/* Before criu's exec: installs the filter and sends its listener over the socket. 0 or -1. */
int criu_limits_install(int sock);
/* The other end: the listener, or -1. */
int criu_limits_take(int sock);
/* Answers one call; waits for it when there is none. */
void criu_limits_answer(int listener);

#endif
