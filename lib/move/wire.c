/* SPDX-License-Identifier: MIT */
#include "lib/move/wire.h"

#include <string.h>
#define XXH_STATIC_LINKING_ONLY /* the size of a state, on the stack */
#include <xxhash.h>

#define SMALL_FRAME 4096

void frame_clear(struct frame *f)
{
	free(f->data);
	*f = (struct frame){ 0 };
}

static uint32_t sum_of(const void *a, size_t na, const void *b, size_t nb)
{
	XXH3_state_t state;

	if (!nb)
		return (uint32_t)XXH3_64bits(a, na);
	XXH3_64bits_reset(&state);
	XXH3_64bits_update(&state, a, na);
	XXH3_64bits_update(&state, b, nb);
	return (uint32_t)XXH3_64bits_digest(&state);
}

static uint32_t sum_of_head(const uint8_t *head, uint64_t at)
{
	return (uint32_t)XXH3_64bits_withSeed(head, WIRE_HEAD - 4, at);
}

size_t wire_head(uint8_t head[WIRE_HEAD], uint64_t at, size_t len, enum frame_kind kind, const void *a, size_t na,
		 const void *b, size_t nb)
{
	put_le32(head, (uint32_t)len);
	head[4] = (uint8_t)kind;
	if (kind == FRAME_HELLO)
		return WIRE_HEAD_BARE;
	put_le32(head + 5, sum_of(a, na, b, nb));
	put_le32(head + 9, sum_of_head(head, at));
	return WIRE_HEAD;
}

static int send_parts(struct stream *s, enum frame_kind kind, const void *a, size_t na, const void *b, size_t nb,
		      struct err *e)
{
	uint8_t buf[WIRE_HEAD + SMALL_FRAME];
	size_t first = na <= SMALL_FRAME ? na : 0, head;

	if (na + nb > FRAME_MAX)
		return err_set(e, EX_SOFTWARE, "%s: frame of %zu bytes is too long", stream_peer(s), na + nb);
	head = wire_head(buf, stream_sent(s), na + nb, kind, a, na, b, nb);
	if (first)
		memcpy(buf + head, a, first);
	/* One write where the whole frame is small: a write is a packet. */
	if (first + nb <= SMALL_FRAME && first == na) {
		if (nb)
			memcpy(buf + head + first, b, nb);
		return stream_write(s, buf, head + first + nb, e);
	}
	if (stream_write(s, buf, head + first, e))
		return -1;
	if (na > first && stream_write(s, a, na, e))
		return -1;
	return nb ? stream_write(s, b, nb, e) : 0;
}

int wire_send(struct stream *s, enum frame_kind kind, const void *a, size_t na, const void *b, size_t nb, struct err *e)
{
	stream_lock(s, true);
	int rc = send_parts(s, kind, a, na, b, nb, e);
	stream_unlock(s);
	return rc;
}

int wire_ping(struct stream *s, struct err *e)
{
	if (stream_lock(s, false))
		return 0;
	int rc = send_parts(s, FRAME_PING, NULL, 0, NULL, 0, e);
	stream_unlock(s);
	return rc;
}

static int damaged(struct stream *s, struct err *e)
{
	return err_set(e, EX_DATAERR, "%s: a frame is damaged or out of order", stream_peer(s));
}

static int recv_any(struct stream *s, struct frame *f, struct err *e)
{
	uint8_t head[WIRE_HEAD];
	uint64_t at = stream_received(s);

	if (stream_read(s, head, WIRE_HEAD_BARE, e))
		return -1;
	f->len = get_le32(head);
	f->kind = (enum frame_kind)head[4];
	bool summed = f->kind != FRAME_HELLO;
	if (f->len > FRAME_MAX || f->kind < FRAME_HELLO || f->kind > FRAME_LACK)
		return err_set(e, EX_DATAERR, "%s: not a frame of ours", stream_peer(s));
	if (summed && stream_read(s, head + WIRE_HEAD_BARE, WIRE_HEAD - WIRE_HEAD_BARE, e))
		return -1;
	if (summed && get_le32(head + 9) != sum_of_head(head, at))
		return damaged(s, e);
	if (f->room < f->len + 1u) {
		free(f->data);
		f->room = f->len + 1u;
		f->data = malloc(f->room);
		if (!f->data) {
			f->room = 0;
			return err_set(e, EX_OSERR, "out of memory");
		}
	}
	f->data[f->len] = 0;
	if (f->len && stream_read(s, f->data, f->len, e))
		return -1;
	return summed && get_le32(head + 5) != sum_of(f->data, f->len, NULL, 0) ? damaged(s, e) : 0;
}

int wire_recv(struct stream *s, struct frame *f, struct err *e)
{
	int rc;

	do
		rc = recv_any(s, f, e);
	while (!rc && f->kind == FRAME_PING);
	return rc;
}

int wire_send_json(struct stream *s, enum frame_kind kind, const struct json *j, struct err *e)
{
	AUTO_FREE char *text = json_text(j);

	if (!text)
		return err_set(e, EX_OSERR, "out of memory");
	return wire_send(s, kind, text, strlen(text), NULL, 0, e);
}

int wire_send_error(struct stream *s, const struct err *why, struct err *e)
{
	AUTO_JSON struct json *j = json_object();

	json_set_str(j, "error", why->text);
	json_set_num(j, "code", why->code);
	return wire_send_json(s, FRAME_REPLY, j, e);
}

struct json *wire_json(const struct frame *f, struct err *e)
{
	AUTO_JSON struct json *j = json_parse((const char *)f->data, f->len, e);

	if (j && !json_is_object(j)) {
		err_set(e, EX_DATAERR, "not a JSON object");
		return NULL;
	}
	return TAKE_PTR(j);
}

int wire_code(const struct json *reply)
{
	int64_t code = json_int(reply, "code", EX_UNAVAILABLE);

	return code > 0 && code <= 255 ? (int)code : EX_UNAVAILABLE;
}

/* An error reply as an error. */
static int reply_error(struct stream *s, const struct json *j, struct err *e)
{
	const char *text = json_str(j, "error");

	if (!text)
		return 0;
	return err_set(e, wire_code(j), "%s: %s", stream_peer(s), text);
}

int wire_expect(struct stream *s, enum frame_kind kind, struct frame *f, struct err *e)
{
	if (wire_recv(s, f, e))
		return -1;
	if (f->kind == FRAME_REPLY && kind != FRAME_REPLY) {
		AUTO_JSON struct json *j = wire_json(f, e);

		if (!j || reply_error(s, j, e))
			return -1;
	}
	if (f->kind != kind)
		return err_set(e, EX_DATAERR, "%s: unexpected frame %d", stream_peer(s), f->kind);
	return 0;
}

int wire_greet(struct stream *s, struct err *e)
{
	AUTO_JSON struct json *mine = json_object();
	AUTO_FRAME struct frame f = { 0 };
	AUTO_JSON struct json *theirs = NULL;
	int64_t version;

	json_set_num(mine, "version", WIRE_VERSION);
	if (wire_send_json(s, FRAME_HELLO, mine, e) || wire_expect(s, FRAME_HELLO, &f, e))
		return -1;
	theirs = wire_json(&f, e);
	if (!theirs)
		return -1;
	version = json_int(theirs, "version", 0);
	if (version != WIRE_VERSION)
		return err_set(e, EX_UNAVAILABLE, "%s: speaks version %d of the protocol, this is %d", stream_peer(s),
			       (int)version, WIRE_VERSION);
	return 0;
}

int wire_ask(struct stream *s, struct json *request, struct json **reply, struct err *e)
{
	AUTO_JSON struct json *req = request;
	AUTO_JSON struct json *j = NULL;
	AUTO_FRAME struct frame f = { 0 };

	if (wire_send_json(s, FRAME_CALL, req, e) || wire_expect(s, FRAME_REPLY, &f, e) || !(j = wire_json(&f, e)))
		return -1;
	if (reply_error(s, j, e))
		return 1;
	*reply = TAKE_PTR(j);
	return 0;
}

struct json *wire_call(struct stream *s, struct json *request, struct err *e)
{
	struct json *reply = NULL;

	return wire_ask(s, request, &reply, e) ? NULL : reply;
}

struct json *wire_request(const char *verb)
{
	struct json *j = json_object();

	json_set_str(j, "verb", verb);
	return j;
}

bool wire_told(struct stream *s, const char *verb)
{
	AUTO_FRAME struct frame f = { 0 };

	if (wire_expect(s, FRAME_CALL, &f, NULL))
		return false;
	AUTO_JSON struct json *call = wire_json(&f, NULL);
	return call && json_str(call, "verb") && !strcmp(json_str(call, "verb"), verb);
}
