/* SPDX-License-Identifier: MIT */
/* A two-way byte stream to a peer: a pair of descriptors, or one SSH channel (lib/base/ssh.h makes those).
 * One thread may read while another writes. */
#ifndef EDGE_BASE_STREAM_H
#define EDGE_BASE_STREAM_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/types.h>

#include "lib/base/auto.h"
#include "lib/base/err.h"

struct stream;

/* What a kind of stream is made of. read and write move at least one byte, or return 0 (end of stream, read only)
 * or -1 with `e` (without the peer's name, which stream_read and stream_write put before it). Both block; `stop` makes a blocked read and all later calls fail at once, from any thread. */
struct stream_ops {
	ssize_t (*read)(void *self, void *buf, size_t n, struct err *e);
	ssize_t (*write)(void *self, const void *buf, size_t n, struct err *e);
	void (*stop)(void *self);
	void (*free)(void *self);
	bool (*heard)(void *self); /* has anything come since the last call, read or not? */
	int (*socket)(void *self); /* what is written leaves by it; -1: none. NULL: none ever. */
};

/* These two return NULL with errno, and what they were given is freed, when out of memory or descriptors. */
struct stream *stream_new(const struct stream_ops *ops, void *self, const char *peer); /* takes `self`; copies `peer` */
/* Takes both descriptors (they may be the same). */
struct stream *stream_fds(int in, int out, const char *peer);
void stream_free(struct stream *s);
AUTO_DEFINE(struct stream, stream_free)
#define AUTO_STREAM AUTO(stream_free_auto)

/* For `heard`: has more come to a descriptor than the *waiting bytes that had not been read the last time? Neither these nor the
 * end of the file are a sign of life, but very many are: then it is we who do not read. */
bool stream_fd_came(int fd, int *waiting);

const char *stream_peer(const struct stream *s); /* "node edge2", for messages */
/* Exactly n bytes, or -1: EX_UNAVAILABLE "PEER: connection closed" at an early end. */
int stream_read(struct stream *s, void *buf, size_t n, struct err *e);
int stream_write(struct stream *s, const void *buf, size_t n, struct err *e);
void stream_stop(struct stream *s);
/* Has reading or writing failed, an end that came too early included? */
bool stream_failed(const struct stream *s);
/* Has anything come from the other end since the last call, read or not? For one thread. */
bool stream_heard(struct stream *s);
/* The socket by which leaves what is written, still the stream's; -1: none, or not of this process. */
int stream_socket(const struct stream *s);
/* Several threads may write if each does so under this lock; 1 when it is taken (and !wait). */
int stream_lock(struct stream *s, bool wait);
void stream_unlock(struct stream *s);
uint64_t stream_sent(const struct stream *s);     /* bytes so far, before SSH's own framing */
uint64_t stream_received(const struct stream *s);
/* It goes on where another process, which had its descriptors, has left it. */
void stream_go_on(struct stream *s, uint64_t sent, uint64_t received);

#endif
