/* SPDX-License-Identifier: MIT */
/* A service that stood still and goes on says again where it is, for a minute. A move that came to nothing may have sent what is meant
 * for it to another node, and if a link was cut then, its first announcement was lost; a switch that has been misled remembers it for
 * minutes, and a server that waits for its clients says nothing by itself. */
#ifndef EDGE_ENGINE_ANNOUNCE_H
#define EDGE_ENGINE_ANNOUNCE_H

#include "lib/engine/service.h"

struct announce {
	const struct service *s;
	int events;        /* of its cgroup; -1: it has no address, or nobody tells */
	bool frozen;
	double next, step; /* ms; next 0: nothing is due */
};

/* Begins to watch it: `events` is to be polled for POLLPRI. */
void announce_start(struct announce *a, const struct service *s);
/* It has stood still, or goes on. */
void announce_heard(struct announce *a);
/* Until it is to be called again; -1: never. */
int announce_wait_ms(const struct announce *a);
/* Announces it if that is due: netns gives a descriptor of its network. */
void announce_step(struct announce *a, int (*netns)(void *ctx), void *ctx);
void announce_stop(struct announce *a);

#endif
