/* SPDX-License-Identifier: MIT */
/* criu reads the mappings of each process and their flags from /proc/PID/smaps, for which the kernel counts all their pages, while
 * the process stands still: the more there are, the longer. The flags alone are nowhere else. So those of large processes are read
 * before they are frozen; criu is given the mappings as they are then (/proc/PID/maps counts nothing) with the flags of before; and
 * while the service is being restored all is read once more: where a flag has changed the move comes to nothing. */
#ifndef EDGE_ENGINE_CRIU_MAPS_H
#define EDGE_ENGINE_CRIU_MAPS_H

#include <linux/seccomp.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/types.h>

#include "lib/base/err.h"

#define CRIU_MAPS_WORTH (64 << 20) /* bytes that a process has in memory, from which on it is worth it */

struct criu_map;
struct criu_maps_of {
	pid_t pid;
	bool told;            /* criu was given `map` */
	struct criu_map *map; /* owned; by address */
	size_t n, room;
};

/* Zeroed: none. */
struct criu_maps {
	struct criu_maps_of *of; /* owned */
	size_t n;
};

/* Reads those of the large ones among these processes, which run; afresh each time. One that ends meanwhile is left out. */
int criu_maps_read(struct criu_maps *m, const pid_t *pids, size_t n, size_t worth, struct err *e);
/* Answers criu's openat(2) (criu_calls.h), if that is for a file "smaps" that we have all for. False: the kernel is to answer. */
bool criu_maps_answer(struct criu_maps *m, int listener, const struct seccomp_notif *n);
/* Is all that criu was told true? The processes stand still, and criu is done with them. EX_TEMPFAIL when not. */
int criu_maps_verify(const struct criu_maps *m, struct err *e);
void criu_maps_clear(struct criu_maps *m);

#endif
