/* SPDX-License-Identifier: MIT */
/* Another program in the foreground, with our input and output, while we have something to do now and then. */
#ifndef EDGE_BASE_ERRAND_H
#define EDGE_BASE_ERRAND_H

#include <stdbool.h>
#include <sys/types.h>

#include "lib/base/err.h"

enum errand_state {
	ERRAND_RUNS,
	ERRAND_REST, /* it has ended, but not all that it has started */
	ERRAND_OVER
};

struct errand {
	pid_t pid;  /* also its process group */
	int signals;
	int wake;   /* the caller's: ends a wait when it is readable; -1: nothing does */
	int status; /* once it has ended: its exit status, or 128 and the signal that has killed it */
	enum errand_state state;
	bool terminal; /* it has ours */
	bool stopped;  /* as by ^Z */
};

/* Starts argv[0] (looked up in PATH), which gets SIGTERM when we die, in a process group of its own. From here on SIGINT, SIGTERM
 * and SIGHUP are passed on to it, and to all that it has started, as is SIGTSTP. Where we have the terminal, it has it until it
 * ends, where its output goes elsewhere from when it first asks for it; when it is stopped there, so are we. What it leaves behind becomes our child, and is reaped, as is any other child of ours.
 * EX_UNAVAILABLE: there is no such program. */
int errand_start(struct errand *r, char *const argv[], struct err *e);
/* Returns when its state changes, and after timeout_ms. Processes that have left its group are none of it. */
enum errand_state errand_wait(struct errand *r, int timeout_ms);
/* A signal to it, and to all that it has started. */
void errand_signal(const struct errand *r, int number);

#endif
