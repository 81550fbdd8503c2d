/* SPDX-License-Identifier: MIT */
/* Some system calls of criu's are answered by us: a seccomp filter sends them here. Those for limits of processes, which the kernel
 * does not tell everybody (criu_limits.h), for the pages that they have (criu_pages.h), and for their mappings (criu_maps.h). */
#ifndef EDGE_ENGINE_CRIU_CALLS_H
#define EDGE_ENGINE_CRIU_CALLS_H

#include "lib/engine/criu_maps.h"
#include "lib/engine/criu_pages.h"

/* Before criu's exec: installs the filter and sends its listener over the socket, or a word that there is none; then -1. */
int criu_calls_install(int sock);
/* The other end: the listener, or -1. */
int criu_calls_take(int sock);
/* Answers one call; waits for it when there is none. hidden (may be NULL): the pages that criu is not told of are added. maps: what
 * is known of mappings; NULL. */
void criu_calls_answer(int listener, struct criu_pages *hidden, struct criu_maps *maps);
/* A program that starts a criu by itself. */
struct criu_calls_job {
	const char *const *argv; /* argv[0] is looked up in PATH, in which our criu is the first; output goes to nowhere */
	const char *log;         /* the name of that criu's log: when it is about to make that, it has looked at nothing yet, and waits */
	int (*begins)(void *ctx); /* meanwhile; not 0 ends all */
	void *ctx;
	int timeout_ms;           /* from then on */
};
/* Runs it to its end, and answers criu's calls. 0 when it exits 0; -1 when not, or it had to be killed. */
int criu_calls_run(const struct criu_calls_job *job, struct criu_pages *hidden, struct criu_maps *maps);

#endif
