/* SPDX-License-Identifier: MIT */
/* A service's cgroups "edge/NAME": in v2 (wherever it is mounted) always, and in the v1 hierarchies of cpu, cpuacct,
 * memory, pids and freezer where the machine has those. */
#ifndef EDGE_ENGINE_CGROUP_H
#define EDGE_ENGINE_CGROUP_H

#include <sys/types.h>

#include "lib/engine/service.h"

/* Makes them and sets the limits of s->cpu (quota over 100 ms) and s->mem_bytes; EX_UNAVAILABLE when no controller
 * here takes a limit. Undone on failure. */
int cgroup_create(const struct service *s, struct err *e);
/* Another limit of processor time for one that runs, in processors; 0: none. */
int cgroup_limit_cpu(const struct service *s, double cpu, struct err *e);
/* Kills whatever is inside (cgroup.kill, else by pid), waits, removes. A missing one is no error. */
int cgroup_remove(const char *name, struct err *e);
/* pid 0: the caller itself. */
int cgroup_join(const char *name, pid_t pid, struct err *e);
/* Kills all processes of the v2 cgroup, frozen or not, and waits until they are gone: EX_TEMPFAIL after timeout_ms. */
int cgroup_kill(const char *name, int timeout_ms, struct err *e);
/* All processes of the service (not threads), by the v2 cgroup; the caller frees *pids. */
int cgroup_pids(const char *name, pid_t **pids, int *n, struct err *e);
/* The v2 freezer; waits (polling, no 100 ms steps) until frozen, with no task in the middle of vfork(2), at most timeout_ms:
 * EX_TEMPFAIL. */
int cgroup_freeze(const char *name, int timeout_ms, struct err *e);
int cgroup_thaw(const char *name, struct err *e);
bool cgroup_frozen(const char *name);
/* By a v2 cgroup's open file cgroup.events: 1, 0, or -1 when it is gone. */
int cgroup_events_frozen(int fd);
/* Folder of the v2 cgroup, for criu's --freeze-cgroup; NULL without v2. Static storage. */
const char *cgroup_v2_dir(const char *name);
/* Of a cgroup's folder and those below it, as cgroup_pids. */
int cgroup_pids_in(const char *dir, pid_t **pids, int *n, struct err *e);
/* The same for cgroups that somebody else has made: the one that a process is in, of version 1 where the machine has a freezer
 * of that. */
int cgroup_freezer_of(pid_t pid, char dir[PATH_MAX], bool *v1, struct err *e);
int cgroup_pids_with(pid_t pid, pid_t **pids, int *n, struct err *e);
int cgroup_freeze_with(pid_t pid, int timeout_ms, struct err *e);
int cgroup_thaw_with(pid_t pid, struct err *e);
void cgroup_kill_with(pid_t pid); /* stopped ones, too; does not wait */
/* Where the hierarchy that weighs cgroups for the processor is mounted, and a process's own path in it: EX_UNAVAILABLE when there is
 * none, or its cgroup is not seen from here. */
int cgroup_weighed(pid_t pid, char at[PATH_MAX], char path[PATH_MAX], bool *v1, struct err *e);
/* cpu: seconds used since start; mem: bytes now. */
int cgroup_usage(const char *name, double *cpu_s, uint64_t *mem_bytes, struct err *e);

#endif
