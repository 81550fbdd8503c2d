/* SPDX-License-Identifier: MIT */
/* Two ends of a connection within one test. */
#ifndef EDGE_TESTS_PEER_H
#define EDGE_TESTS_PEER_H

#include <dirent.h>
#include <stdlib.h>
#include <sys/socket.h>
#include <unistd.h>

#include "lib/move/wire.h"

static inline void stream_pair(struct stream **here, struct stream **there)
{
	int fds[2];

	if (socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, fds))
		abort();
	*here = stream_fds(fds[0], fds[0], "node here");
	*there = stream_fds(fds[1], fds[1], "node there");
	if (!*here || !*there)
		abort();
}

/* How much was written into the raw end so far. */
static inline uint64_t *raw_sent(int fd)
{
	static uint64_t sent[1024];

	return &sent[fd % 1024];
}

/* A stream and the raw other end of it. */
static inline struct stream *stream_raw(int *raw)
{
	int fds[2];

	if (socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, fds))
		abort();
	*raw = fds[1];
	*raw_sent(*raw) = 0;
	return stream_fds(fds[0], fds[0], "node far");
}

/* The head of a frame, as a hostile peer would write it. */
static inline void raw_frame(int fd, uint32_t len, unsigned kind, const void *data, size_t n)
{
	uint8_t head[WIRE_HEAD];
	size_t bytes = wire_head(head, *raw_sent(fd), len, (enum frame_kind)kind, data, n, NULL, 0);

	if (send(fd, head, bytes, MSG_NOSIGNAL) != (ssize_t)bytes || (n && send(fd, data, n, MSG_NOSIGNAL) != (ssize_t)n))
		abort();
	*raw_sent(fd) += bytes + n;
}

static inline int open_files(void)
{
	DIR *d = opendir("/proc/self/fd");
	int n = 0;

	while (d && readdir(d))
		n++;
	if (d)
		closedir(d);
	return n;
}

#endif
