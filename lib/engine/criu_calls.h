/* SPDX-License-Identifier: MIT */
/* Some system calls of criu's are answered by us: a seccomp filter sends them here. Those for limits of processes, which the kernel
 * does not tell everybody (criu_limits.h), for the pages that they have (criu_pages.h), and for their mappings (criu_maps.h). */
#ifndef EDGE_ENGINE_CRIU_CALLS_H
#define EDGE_ENGINE_CRIU_CALLS_H

#include "lib/base/err.h"
#include "lib/engine/criu_maps.h"
#include "lib/engine/criu_pages.h"

/* Before criu's exec: installs the filter and sends its listener over the socket, or a word that there is none; then -1. alone: there is to
 * be none. */
int criu_calls_install(int sock, bool alone);
/* The other end: the listener, or -1. */
int criu_calls_take(int sock);
/* Answers one call; waits for it when there is none. hidden (may be NULL): the pages that criu is not told of are added. maps: what
 * is known of mappings; NULL. */
void criu_calls_answer(int listener, struct criu_pages *hidden, struct criu_maps *maps);
/* Has one of these processes a seccomp filter? Linux does not let a filtered program look at it: a criu that is to dump it has to do without
 * ours. */
bool criu_calls_hinder(const pid_t *pids, size_t n);

/* A program that starts a criu by itself. */
struct criu_calls_job {
	const char *const *argv; /* argv[0] is looked up in PATH, in which our criu is the first; output goes to nowhere */
	bool alone;              /* no call of theirs is answered */
	int timeout_ms;          /* of the criu's work */
	/* Called when that criu is about to make its log: it has looked at nothing yet, and waits; or where none can be made to wait,
	 * before the program is started, with pid 0. Not 0 ends all. */
	int (*begins)(void *ctx, pid_t criu);
	void *ctx;
};
/* Runs it to its end, and answers criu's calls. 0 when it exits 0, -1 and no error when not; EX_TEMPFAIL when it had to be killed,
 * EX_SOFTWARE when there was no criu. */
int criu_calls_run(const struct criu_calls_job *job, struct criu_pages *hidden, struct criu_maps *maps, struct err *e);

#endif
