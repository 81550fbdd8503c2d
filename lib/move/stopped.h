/* SPDX-License-Identifier: MIT */
/* A program that has a service's lock and was stopped by a signal: it may stand still for ever. */
#ifndef EDGE_MOVE_STOPPED_H
#define EDGE_MOVE_STOPPED_H

#include <stdbool.h>
#include <sys/types.h>

struct stopped {
	pid_t pid;
	char program[17]; /* as the kernel names it */
};

/* Who has taken the lock, if that program is stopped; not a keeper or a guard that it shares the lock with. */
bool stopped_find(struct stopped *by, const char *service);
/* Kills it, if it still is stopped and has the lock. */
void stopped_end(const struct stopped *by, const char *service);

#endif
