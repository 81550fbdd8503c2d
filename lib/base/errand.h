/* SPDX-License-Identifier: MIT */
/* Another program in the foreground, with our input and output, while we have something to do now and then. */
#ifndef EDGE_BASE_ERRAND_H
#define EDGE_BASE_ERRAND_H

#include <stdbool.h>
#include <sys/types.h>

#include "lib/base/err.h"

struct errand {
	pid_t pid;
	int pidfd, signals;
	bool group; /* it has a process group of its own: not where it may read from a terminal */
};

/* Starts argv[0] (looked up in PATH), which gets SIGTERM when we die. From here on SIGINT, SIGTERM and SIGHUP are passed on
 * to it, and to all that it has started. EX_UNAVAILABLE: there is no such program. */
int errand_start(struct errand *r, char *const argv[], struct err *e);
/* 0: it goes on after timeout_ms; 1: it has ended, and *status is its exit status, or 128 and the signal that has killed it. */
int errand_wait(struct errand *r, int timeout_ms, int *status);
/* A signal to it, and to all that it has started. */
void errand_signal(const struct errand *r, int number);

#endif
