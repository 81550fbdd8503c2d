/* SPDX-License-Identifier: MIT */
/* Namespaces of a service that a criu may share while it dumps it: of those it has nothing to save, for which it would start a
 * process each while the service stands still (20 to 30 ms on two slow processors). The keeper makes them anew for a criu
 * that restores. */
#ifndef EDGE_ENGINE_SPACES_H
#define EDGE_ENGINE_SPACES_H

#include <stdbool.h>
#include <sys/types.h>

/* This process, which has one thread, enters the UTS, IPC and time namespaces of process `pid`, but not those that hold what a
 * restored service would not find in new ones: another host name than `host`, objects of System V IPC. Whatever cannot be
 * entered is left to criu. Limits of IPC (kernel.shmmax and the like), which no service can set itself, do not count: they
 * are those of a new namespace afterwards. */
void spaces_join(pid_t pid, const char *host);
/* Do the two processes share their IPC namespace, and has it objects by now? This thread enters it and comes back. */
bool spaces_outgrown(pid_t pid, pid_t criu);

#endif
