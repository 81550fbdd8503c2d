/* SPDX-License-Identifier: MIT */
/* Frames of pages from a hostile source. Not built by default:
 *
 *     clang -g -O1 -fsanitize=fuzzer,address,undefined -D_GNU_SOURCE -I. tests/fuzz/receiver_fuzz.c \
 *         lib/move/receiver.c lib/move/pages_head.c lib/move/image*.c lib/move/pagemap.c lib/move/wire.c lib/base/stream.c lib/base/json.c \
 *         lib/base/{digest,library,file}.c lib/base/err.c -ljq -lzstd -lxxhash -lpthread -o receiver_fuzz
 *
 * An input is a list of frames: kind, then a length in two bytes, then the data. */
#include <stdlib.h>
#include <string.h>

#include "lib/base/file.h"
#include "lib/move/pages_int.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

/* A stream that reads the input as frames and forgets what is written. */
struct input {
	const uint8_t *data;
	size_t size, at;
	uint8_t head[WIRE_HEAD];
	uint64_t place; /* in the stream */
	size_t head_bytes, head_left, body_left;
};

static bool next_frame(struct input *in)
{
	if (in->size - in->at < 3)
		return false;
	in->body_left = in->data[in->at + 1] | (size_t)in->data[in->at + 2] << 8;
	enum frame_kind kind = (enum frame_kind)in->data[in->at];
	in->at += 3;
	size_t there = in->size - in->at < in->body_left ? in->size - in->at : in->body_left;
	in->head_bytes = in->head_left = wire_head(in->head, in->place, in->body_left, kind, in->data + in->at, there, NULL, 0);
	in->place += in->head_bytes + in->body_left;
	return true;
}

static ssize_t input_read(void *self, void *buf, size_t n, struct err *e)
{
	struct input *in = self;

	(void)e;
	if (!in->head_left && !in->body_left && !next_frame(in))
		return 0;
	if (in->head_left) {
		n = n < in->head_left ? n : in->head_left;
		memcpy(buf, in->head + in->head_bytes - in->head_left, n);
		in->head_left -= n;
		return (ssize_t)n;
	}
	n = n < in->body_left ? n : in->body_left;
	n = n < in->size - in->at ? n : in->size - in->at;
	memcpy(buf, in->data + in->at, n);
	in->at += n;
	in->body_left -= n;
	return (ssize_t)n;
}

static ssize_t input_write(void *self, const void *buf, size_t n, struct err *e)
{
	(void)self, (void)buf, (void)e;
	return (ssize_t)n;
}

static void input_nothing(void *self)
{
	(void)self;
}

/* Every page that the image says it has must be what it says. */
static void check(struct image *im)
{
	uint8_t page[PAGE_BYTES];
	struct digest d;

	for (uint64_t object = 0; object < 4; object++)
		for (uint64_t addr = 0; addr < 64 * PAGE_BYTES; addr += PAGE_BYTES)
			if (image_get(im, object, addr, &d) != PAGE_NONE && image_read(im, object, addr, page))
				abort();
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	static const struct stream_ops ops = { input_read, input_write, input_nothing, input_nothing, NULL };
	static char dir[] = "/dev/shm/receiver_fuzz.XXXXXX";
	static bool made;
	struct input in = { .data = data, .size = size };
	AUTO_STREAM struct stream *s = stream_new(&ops, &in, "peer");
	AUTO_IMAGE struct image *im = NULL, *again = NULL;

	if (!made && !mkdtemp(dir))
		abort();
	made = true;
	if (image_open(&im, dir, NULL) || image_begin(im, NULL))
		abort();
	receiver_run(s, im, NULL);
	check(im);
	if (!image_save(im, 0, NULL)) {
		uint64_t pages = image_pages(im);

		image_free(TAKE_PTR(im));
		if (image_open(&again, dir, NULL) || (image_pages(again) != pages && image_pages(again)))
			abort();
		check(again);
	}
	file_remove_tree(dir, NULL);
	return 0;
}
