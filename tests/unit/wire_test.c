/* SPDX-License-Identifier: MIT */
#include "lib/move/wire.h"

#include <pthread.h>
#include <string.h>

#include "tests/unit/peer.h"
#include "tests/unit/tap.h"

static struct err e;

static void test_frames(void)
{
	AUTO_STREAM struct stream *a = NULL, *b = NULL;
	AUTO_FRAME struct frame f = { 0 };

	stream_pair(&a, &b);
	is_int(wire_send(a, FRAME_IMAGE, "ab\0", 3, "cd", 2, &e), 0, "a frame of two parts is sent");
	is_int(wire_recv(b, &f, &e), 0, "... and received");
	ok(f.kind == FRAME_IMAGE && f.len == 5 && !memcmp(f.data, "ab\0cd", 6), "... as one, with a NUL behind it");
	wire_send(a, FRAME_SYNC, NULL, 0, NULL, 0, &e);
	ok(!wire_recv(b, &f, &e) && f.kind == FRAME_SYNC && !f.len && !f.data[0], "an empty one");
	is_int(wire_send(a, FRAME_PAGES, NULL, FRAME_MAX, "x", 1, &e), -1, "one that is too long is not sent");
	is_str(e.text, "node here: frame of 8388609 bytes is too long", "... and the error says so");
}

struct big {
	struct stream *s;
	const uint8_t *data;
	size_t na, nb;
};

static void *send_big(void *arg)
{
	struct big *b = arg;

	wire_send(b->s, FRAME_PAGES, b->data, b->na, b->data + b->na, b->nb, NULL);
	return NULL;
}

/* Every way of cutting a frame arrives as the same bytes. */
static void test_sizes(void)
{
	static const size_t sizes[][2] = { { 4096, 0 }, { 4096, 1 }, { 4097, 0 }, { 4097, 5000 }, { 0, 5000 }, { 10, 4086 },
					   { 10, 4087 }, { 1 << 20, 3 << 20 }, { 0, FRAME_MAX } };
	AUTO_FREE uint8_t *data = malloc(FRAME_MAX);
	AUTO_STREAM struct stream *a = NULL, *b = NULL;
	AUTO_FRAME struct frame f = { 0 };
	bool same = true;

	for (size_t i = 0; i < FRAME_MAX; i++)
		data[i] = (uint8_t)(i * 31 + (i >> 8));
	stream_pair(&a, &b);
	for (size_t i = 0; i < sizeof(sizes) / sizeof(*sizes); i++) {
		struct big big = { a, data, sizes[i][0], sizes[i][1] };
		pthread_t t;

		pthread_create(&t, NULL, send_big, &big);
		same &= !wire_recv(b, &f, &e) && f.len == big.na + big.nb && !memcmp(f.data, data, f.len);
		pthread_join(t, NULL);
	}
	ok(same, "frames of all sizes arrive whole");
}

static int receive(uint32_t len, unsigned kind, const char *data)
{
	AUTO_FRAME struct frame f = { 0 };
	int raw;
	AUTO_STREAM struct stream *s = stream_raw(&raw);

	raw_frame(raw, len, kind, data, strlen(data));
	close(raw);
	e = (struct err){ 0 };
	return wire_recv(s, &f, &e);
}

static void test_malformed(void)
{
	is_int(receive(FRAME_MAX + 1, FRAME_PAGES, ""), -1, "a frame that claims to be too long is refused");
	is_str(e.text, "node far: not a frame of ours", "... by the peer's name");
	is_int(e.code, EX_DATAERR, "... as bad input");
	is_int(receive(0xffffffff, FRAME_PAGES, ""), -1, "... the longest there is");
	is_int(receive(0, 0, ""), -1, "kind 0");
	is_int(receive(0, FRAME_BLOCKS + 1, ""), -1, "an unknown kind");
	is_int(receive(0, 255, ""), -1, "... the last");
	is_int(receive(5, FRAME_PAGES, "abcd"), -1, "a frame that ends early");
	is_str(e.text, "node far: connection closed", "... is the end of the connection");
}

/* One bit of a frame is another one. */
static void test_damage(void)
{
	static const char text[] = "{\"verb\":\"go\"}";
	const size_t n = sizeof(text) - 1;
	bool found = true;

	for (size_t at = 0; at < WIRE_HEAD + n; at++) {
		uint8_t frame[WIRE_HEAD + sizeof(text)];
		AUTO_FRAME struct frame f = { 0 };
		int raw;
		AUTO_STREAM struct stream *s = stream_raw(&raw);

		memcpy(frame + wire_head(frame, 0, n, FRAME_CALL, text, n, NULL, 0), text, n);
		frame[at] ^= (uint8_t)(1 << at % 8);
		send(raw, frame, WIRE_HEAD + n, MSG_NOSIGNAL);
		/* A hello's head is shorter; who waits for a call takes none. */
		e = (struct err){ 0 };
		found &= wire_expect(s, FRAME_CALL, &f, &e) && e.code == EX_DATAERR;
		close(raw);
	}
	ok(found, "each byte of a frame that is damaged is noticed before it is waited for");
}

/* Frames whose sums are right, but which do not follow one another. */
static void test_order(void)
{
	AUTO_FRAME struct frame f = { 0 };
	uint8_t twice[2 * (WIRE_HEAD + 2)], *second = twice + WIRE_HEAD + 2;
	int raw;
	AUTO_STREAM struct stream *s = stream_raw(&raw);

	memcpy(twice + wire_head(twice, 0, 2, FRAME_CALL, "{}", 2, NULL, 0), "{}", 2);
	memcpy(second, twice, WIRE_HEAD + 2);
	send(raw, twice, sizeof(twice), MSG_NOSIGNAL);
	is_int(wire_recv(s, &f, &e), 0, "a frame that comes twice is taken once");
	is_int(wire_recv(s, &f, &e), -1, "... and not again");
	is_str(e.text, "node far: a frame is damaged or out of order", "... which ends the connection");
	close(raw);
}

/* What wire_call makes of a reply. */
static int call_with(unsigned kind, const char *reply)
{
	int raw;
	AUTO_STREAM struct stream *s = stream_raw(&raw);

	raw_frame(raw, (uint32_t)strlen(reply), kind, reply, strlen(reply));
	e = (struct err){ 0 };
	AUTO_JSON struct json *j = wire_call(s, wire_request("x"), &e);
	close(raw);
	return j ? 0 : -1;
}

static void test_calls(void)
{
	is_int(call_with(FRAME_REPLY, "{\"a\":1}"), 0, "a call and its reply");
	is_int(call_with(FRAME_REPLY, "{\"error\":\"disk: full\",\"code\":74}"), -1, "an error reply");
	is_str(e.text, "node far: disk: full", "... is an error of the peer's");
	is_int(e.code, 74, "... with its status");
	is_int(call_with(FRAME_REPLY, "{\"error\":\"no\",\"code\":0}"), -1, "an error whose code is 0");
	is_int(e.code, EX_UNAVAILABLE, "... is no success");
	call_with(FRAME_REPLY, "{\"error\":\"no\",\"code\":4294967296}");
	is_int(e.code, EX_UNAVAILABLE, "... nor is one whose code becomes 0");
	call_with(FRAME_REPLY, "{\"error\":\"a\\nb\\u001b[2J\"}");
	is_str(e.text, "node far: a b [2J", "an error stays one line without control characters");
	is_int(call_with(FRAME_REPLY, "[1]"), -1, "a reply that is no object");
	is_int(call_with(FRAME_REPLY, "{"), -1, "a reply that is no JSON");
	is_int(call_with(FRAME_REPLY, ""), -1, "an empty reply");
	is_int(call_with(FRAME_SYNC, ""), -1, "another frame than the reply");
	is_str(e.text, "node far: unexpected frame 10", "... by its number");
}

static int expect_with(unsigned kind, const char *text)
{
	AUTO_FRAME struct frame f = { 0 };
	int raw;
	AUTO_STREAM struct stream *s = stream_raw(&raw);

	raw_frame(raw, (uint32_t)strlen(text), kind, text, strlen(text));
	close(raw);
	e = (struct err){ 0 };
	return wire_expect(s, FRAME_SYNCED, &f, &e);
}

static void test_expect(void)
{
	is_int(expect_with(FRAME_SYNCED, "{}"), 0, "the frame that is expected");
	is_int(expect_with(FRAME_REPLY, "{\"error\":\"page: damaged\",\"code\":65}"), -1, "an error instead of it");
	ok(!strcmp(e.text, "node far: page: damaged") && e.code == 65, "... is that error");
	is_int(expect_with(FRAME_REPLY, "{}"), -1, "a reply without an error instead");
}

static int greet_with(unsigned kind, const char *text)
{
	int raw;
	AUTO_STREAM struct stream *s = stream_raw(&raw);

	raw_frame(raw, (uint32_t)strlen(text), kind, text, strlen(text));
	e = (struct err){ 0 };
	int rc = wire_greet(s, &e);
	close(raw);
	return rc;
}

static void test_greet(void)
{
	is_int(greet_with(FRAME_HELLO, "{\"version\":6}"), 0, "two of the same version");
	is_int(greet_with(FRAME_HELLO, "{\"version\":7}"), -1, "another version is refused");
	is_str(e.text, "node far: speaks version 7 of the protocol, this is 6", "... by both numbers");
	is_int(e.code, EX_UNAVAILABLE, "... as unavailable");
	is_int(greet_with(FRAME_HELLO, "{}"), -1, "no version");
	is_int(greet_with(FRAME_HELLO, "nonsense"), -1, "no JSON");
	is_int(greet_with(FRAME_CALL, "{\"verb\":\"x\"}"), -1, "no hello");
}

int main(void)
{
	int before = open_files();

	test_frames();
	test_sizes();
	test_malformed();
	test_damage();
	test_order();
	test_calls();
	test_expect();
	test_greet();
	is_int(open_files(), before, "no descriptor is left open");
	return done();
}
