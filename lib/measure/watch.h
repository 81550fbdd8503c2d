/* SPDX-License-Identifier: MIT */
/* Passive measurement: what the users of a service feel, from the connections that they have open to it. */
#ifndef EDGE_MEASURE_WATCH_H
#define EDGE_MEASURE_WATCH_H

#include "lib/base/json.h"

/* One service on this node. */
struct watch;

/* Attaches to its cgroup of version 2 (NULL: it has none), and looks at the connections that are open in its network namespace,
 * a descriptor that stays the caller's. Where it cannot attach, or with `poll`, it looks at its sockets once a window
 * instead: 1, with the reason in `e`. -1: neither works. */
int watch_open(struct watch **w, const char *service, int ns, const char *cgroup, bool poll, struct err *e);
void watch_free(struct watch *w);
AUTO_DEFINE(struct watch, watch_free)
#define AUTO_WATCH AUTO(watch_free_auto)

/* Ends a window: a `user` record for each client that was heard of since the last one, to each(), which owns it;
 * not 0 from it ends this, too. */
typedef int watch_fn(void *ctx, struct json *user, struct err *e);
int watch_window(struct watch *w, watch_fn *each, void *ctx, struct err *e);
/* Samples that found no room in the kernel, in all; those of more than a million clients a window. */
uint64_t watch_missed(const struct watch *w);

struct watch_plan {
	const char *const *services; /* names, of ours or of containers that somebody else has started */
	int n;                       /* 0: all of ours that run here, also those that come later */
	bool poll;
	double every_s;              /* the length of a window, 0.1 at least */
	long windows;                /* ends after so many; 0: never */
};

/* Watches services as they come and go. note() is told what people should know; windowed() is called after each window. */
struct watch_calls {
	watch_fn *user;
	int (*windowed)(void *ctx, struct err *e);
	void (*note)(void *ctx, const struct err *e);
	void *ctx;
};
/* Gives how many of them could not be watched; -1 when it cannot go on. */
int watch_run(const struct watch_plan *plan, const struct watch_calls *calls, struct err *e);

#endif
