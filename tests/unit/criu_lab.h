/* SPDX-License-Identifier: MIT */
/* A child that stands in for criu: some of its calls are answered by lib/engine/criu_calls. */
#ifndef EDGE_TESTS_CRIU_LAB_H
#define EDGE_TESTS_CRIU_LAB_H

#include <poll.h>
#include <sys/socket.h>
#include <sys/wait.h>
#include <unistd.h>

#include "lib/engine/criu_calls.h"

/* It runs `there`, and `heard` is called for what it sends over its socket (to be received there) until that says false. Its status. */
static int as_criu(void (*there)(int sock, pid_t about), pid_t about, struct criu_pages *hidden, struct criu_maps *maps,
		   bool (*heard)(int sock))
{
	int pair[2], status = -1;

	if (socketpair(AF_UNIX, SOCK_SEQPACKET, 0, pair))
		return -1;
	pid_t pid = fork();
	if (!pid)
		there(pair[1], about);
	close(pair[1]);
	int calls = criu_calls_take(pair[0]);
	for (;;) {
		struct pollfd p[] = { { .fd = pair[0], .events = POLLIN }, { .fd = calls, .events = POLLIN } };

		poll(p, 2, -1);
		if (p[1].revents & POLLIN)
			criu_calls_answer(calls, hidden, maps);
		if (p[0].revents && !heard(pair[0]))
			break;
	}
	close(calls);
	close(pair[0]);
	waitpid(pid, &status, 0);
	return status;
}

#endif
