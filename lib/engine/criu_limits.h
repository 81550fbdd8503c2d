/* SPDX-License-Identifier: MIT */
/* criu asks the kernel for the resource limits of each process that it dumps. Where root has no CAP_SYS_RESOURCE (as in
 * many virtual machines and containers) the kernel tells only those of processes of the same user, and no service that
 * runs as another user could be dumped; /proc tells everybody. So we answer from there. */
#ifndef EDGE_ENGINE_CRIU_LIMITS_H
#define EDGE_ENGINE_CRIU_LIMITS_H

#include <linux/seccomp.h>
#include <stdbool.h>

/* Does this process lack the capability? */
bool criu_limits_needed(void);
/* Answers a call of prlimit64 (criu_calls.h) into *r. False: the kernel is to answer. */
bool criu_limits_answer(int listener, const struct seccomp_notif *n, struct seccomp_notif_resp *r);

#endif
