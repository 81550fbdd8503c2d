/* SPDX-License-Identifier: MIT */
/* What edge-serve speaks: frames over a stream, each a length, a kind, two sums and that many bytes. Control goes over one
 * stream as JSON calls and replies; bulk frames go over that one or others.
 *
 * Numbers on the wire are little-endian. Both ends have the same version, or the connection is refused by name. */
#ifndef EDGE_MOVE_WIRE_H
#define EDGE_MOVE_WIRE_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "lib/base/auto.h"
#include "lib/base/json.h"
#include "lib/base/stream.h"

#define WIRE_VERSION 6
#define FRAME_MAX (8u << 20)
/* u32 length, u8 kind, u32 sum of the data, u32 sum of what stands before it and of the frame's place in the stream: the low
 * halves of XXH3-64, the latter's seed being the number of bytes before the frame. SSH guards the way; these find what goes wrong at
 * its ends, a frame that is damaged, lacking, doubled or late, before it is believed or a wrong length waited for. A hello, which
 * any version must be able to read, ends after the kind. */
#define WIRE_HEAD 13
#define WIRE_HEAD_BARE 5

enum frame_kind {
	FRAME_HELLO = 1, /* JSON {version}: both send it first */
	FRAME_CALL,      /* JSON {verb, ...} */
	FRAME_REPLY,     /* JSON {...}, or {error, code} */
	FRAME_RECORD,    /* text: one line that the far end's program prints on stdout */
	FRAME_NOTE,      /* text: one line for stderr */
	FRAME_COVER,     /* pages: lib/move/pages.h */
	FRAME_HAVE,
	FRAME_WANT,
	FRAME_PAGES,
	FRAME_SYNC,
	FRAME_SYNCED,
	FRAME_IMAGE,     /* a small file of the checkpoint: name, NUL, data */
	FRAME_MANIFEST,  /* files: lib/move/files.h */
	FRAME_BLOCKS_WANT,
	FRAME_BLOCKS,
	FRAME_PING,      /* empty: a sign of life (lib/move/pulse.h), seen by nobody else */
	FRAME_LACK,      /* late pages: lib/move/late.h */
};

struct frame {
	enum frame_kind kind;
	uint32_t len;
	uint8_t *data;      /* owned, reused by the next wire_recv; a NUL stands behind it */
	size_t room;
};

void frame_clear(struct frame *f);
#define AUTO_FRAME AUTO(frame_clear)

/* Writes the head of a frame that begins at that byte, and whose data are these two parts; gives its length. */
size_t wire_head(uint8_t head[WIRE_HEAD], uint64_t at, size_t len, enum frame_kind kind, const void *a, size_t na,
		 const void *b, size_t nb);
/* The frame's bytes in two parts, either of which may be empty. Frames of several threads do not mix. */
int wire_send(struct stream *s, enum frame_kind kind, const void *a, size_t na, const void *b, size_t nb, struct err *e);
/* A ping, unless another frame is just being sent. */
int wire_ping(struct stream *s, struct err *e);
/* The next frame that is no ping; EX_DATAERR for a frame that is too long, of an unknown kind, damaged or out of order. */
int wire_recv(struct stream *s, struct frame *f, struct err *e);
/* The next frame, which must be of that kind; a reply that carries an error becomes that error. */
int wire_expect(struct stream *s, enum frame_kind kind, struct frame *f, struct err *e);

int wire_send_json(struct stream *s, enum frame_kind kind, const struct json *j, struct err *e);
int wire_send_error(struct stream *s, const struct err *why, struct err *e);
struct json *wire_json(const struct frame *f, struct err *e);
/* The exit status of an error reply: never 0, whatever it says. */
int wire_code(const struct json *reply);

/* Both hellos: EX_UNAVAILABLE "PEER: speaks version 2, this is 1". */
int wire_greet(struct stream *s, struct err *e);
/* A call and its reply. Takes `request`. 0: *reply is new; 1: the far end said no, its error with "PEER: " before it;
 * -1: the stream failed, and what the far end did is unknown. */
int wire_ask(struct stream *s, struct json *request, struct json **reply, struct err *e);
/* The same where both failures are one: NULL. */
struct json *wire_call(struct stream *s, struct json *request, struct err *e);
/* Waits for the far end's next word: is it a call of this verb? */
bool wire_told(struct stream *s, const char *verb);
/* {"verb":VERB} to add to. */
struct json *wire_request(const char *verb);

static inline void put_le32(uint8_t *p, uint32_t v)
{
	for (int i = 0; i < 4; i++)
		p[i] = (uint8_t)(v >> 8 * i);
}

static inline void put_le64(uint8_t *p, uint64_t v)
{
	for (int i = 0; i < 8; i++)
		p[i] = (uint8_t)(v >> 8 * i);
}

static inline uint32_t get_le32(const uint8_t *p)
{
	return (uint32_t)p[0] | (uint32_t)p[1] << 8 | (uint32_t)p[2] << 16 | (uint32_t)p[3] << 24;
}

static inline uint64_t get_le64(const uint8_t *p)
{
	return get_le32(p) | (uint64_t)get_le32(p + 4) << 32;
}

#endif
