/* SPDX-License-Identifier: MIT */
/* A service's health, as its definition has it tested: {"test": [PROGRAM, ARG...], "interval_s": 30, "timeout_s": 30,
 * "retries": 3, "start_s": 0, "disable": false}. The keeper runs the tests, beside the service: they see its files and its
 * network, not its processes, and nothing of them is in the way of a move. */
#ifndef EDGE_ENGINE_HEALTH_H
#define EDGE_ENGINE_HEALTH_H

#include "lib/engine/service.h"

enum health_state { HEALTH_NONE, HEALTH_STARTING, HEALTH_HEALTHY, HEALTH_UNHEALTHY };

struct health {
	const struct service *s;
	char **argv;               /* owned; NULL: nothing is tested */
	double interval_ms, timeout_ms;
	double fail_at;            /* one that was never healthy by then is not */
	int retries, failures;
	enum health_state state;
	pid_t pid;                 /* of the test that runs; 0: none */
	double next;               /* when the next one begins, or this one is killed */
};

/* Begins; while it is starting it is tested each second, or as often as `interval_s` says. */
void health_start(struct health *h, const struct service *s);
/* Until it is to be called again; -1: never. */
int health_wait_ms(const struct health *h);
/* Kills a test that takes too long, or begins the next one: netns gives a descriptor of the service's network. */
void health_step(struct health *h, int (*netns)(void *ctx), void *ctx);
/* A child of the keeper has ended: true if it was the test. */
bool health_ended(struct health *h, pid_t pid, int status);
void health_stop(struct health *h);

/* "starting", "healthy" or "unhealthy", as the keeper has written it down; NULL: it is not tested. */
const char *health_of(const struct service *s);

#endif
