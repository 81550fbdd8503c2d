/* SPDX-License-Identifier: MIT */
/* As much of protobuf as it takes to talk to CRIU: numbers, and fields with a length. */
#ifndef EDGE_ENGINE_MESSAGE_H
#define EDGE_ENGINE_MESSAGE_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#define MESSAGE_MAX 65536

/* A message under construction; `full` when it did not fit. */
struct message {
	uint8_t buf[MESSAGE_MAX];
	size_t len;
	bool full;
};

void message_empty(struct message *m);
void message_int(struct message *m, int field, int64_t v);
void message_bytes(struct message *m, int field, const void *data, size_t n);
void message_str(struct message *m, int field, const char *s); /* NULL: not said */
void message_flag(struct message *m, int field, bool v);       /* false: not said */

/* One field of a received message: a number, or n bytes at `data`. */
struct field {
	unsigned number;
	uint64_t value;
	const uint8_t *data;
	size_t n;
};

/* Takes the next field off [*p, end). False at the end, and at anything that is neither. */
bool field_next(const uint8_t **p, const uint8_t *end, struct field *f);

#endif
