/* SPDX-License-Identifier: MIT */
/* criu reads the mappings of each process and their flags from /proc/PID/smaps, for which the kernel counts all their pages, while
 * the process stands still: the more there are, the longer. So it is given a file of ours for large processes: the mappings as they
 * are then (/proc/PID/maps counts nothing) with their flags, for which there are two ways.
 *  - By BPF the kernel tells them as it has them (vma_flags.h). How this kernel writes each of these in smaps was learnt before the
 *    freeze.
 *  - Where it cannot, or one was never seen before: those of before the freeze, from smaps; and while the service is being restored
 *    all is read once more: where a flag has changed the move comes to nothing. */
#ifndef EDGE_ENGINE_CRIU_MAPS_H
#define EDGE_ENGINE_CRIU_MAPS_H

#include <linux/seccomp.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/types.h>

#include "lib/base/err.h"

#define CRIU_MAPS_WORTH (4 << 20) /* bytes that a process has in memory, from which on it is worth it */
#define CRIU_MAPS_UNSURE 16 /* so many times as much, where flags of before may be told */

struct criu_map;
struct criu_flags_known;
struct criu_maps_of {
	pid_t pid;
	bool told;            /* criu was given `map` */
	bool sure;            /* with flags of that very moment */
	struct criu_map *map; /* owned; by address */
	size_t n, room;
};

/* Zeroed: none. */
struct criu_maps {
	struct criu_maps_of *of; /* owned */
	size_t n;
	struct vma_flags *kernel;         /* NULL: it does not tell */
	struct criu_flags_known *known;   /* owned */
	size_t n_known, room_known;
};

/* Reads those of the large ones among these processes, which run; afresh each time. One that ends meanwhile is left out. */
int criu_maps_read(struct criu_maps *m, const pid_t *pids, size_t n, size_t worth, struct err *e);
/* Answers criu's openat(2) (criu_calls.h), if that is for a file "smaps" that we have all for. False: the kernel is to answer. */
bool criu_maps_answer(struct criu_maps *m, int listener, const struct seccomp_notif *n);
/* Is all that criu was told true? The processes stand still, and criu is done with them. EX_TEMPFAIL when not. */
int criu_maps_verify(const struct criu_maps *m, struct err *e);
void criu_maps_clear(struct criu_maps *m);

#endif
