/* SPDX-License-Identifier: MIT */
/* A place for this program among all that want the processor. Priorities (lib/base/proc.h) count among the tasks of one cgroup
 * only, and services are in cgroups of their own, as sessions and units of systemd are: between those the weights of the cgroups
 * count. So a program that must not be in a service's way, or must come first, takes a cgroup "edge-aside-PID" at the top, for
 * itself and all that it starts from then on. Where cgroups have no weights priorities do it alone, and nothing happens here. */
#ifndef EDGE_ENGINE_ASIDE_H
#define EDGE_ENGINE_ASIDE_H

#include <limits.h>
#include <stdbool.h>

enum {
	ASIDE_AFTER = 10,   /* what a priority of 10 (nice) is; against all services together, which have one cgroup at the top */
	ASIDE_AMONG = 100,  /* as any other cgroup */
	ASIDE_BEFORE = 1000,
};

struct aside {
	char dir[PATH_MAX], before[PATH_MAX]; /* its cgroup, and the one it came from; "": none */
	bool v1;
};

/* Takes it, as any other cgroup at first; takes some milliseconds. What programs that ended before have left is removed. */
void aside_take(struct aside *a);
/* Of one that was not taken, too: then nothing happens. */
void aside_weigh(const struct aside *a, int weight);
/* Back to where it was. */
void aside_leave(struct aside *a);

#endif
