/* SPDX-License-Identifier: MIT */
#include "lib/engine/message.h"

#include <string.h>

void message_empty(struct message *m)
{
	m->len = 0;
	m->full = false;
}

static void put_byte(struct message *m, uint8_t b)
{
	if (m->len < sizeof(m->buf))
		m->buf[m->len++] = b;
	else
		m->full = true;
}

static void put_varint(struct message *m, uint64_t v)
{
	for (; v >= 0x80; v >>= 7)
		put_byte(m, (uint8_t)(v | 0x80));
	put_byte(m, (uint8_t)v);
}

void message_int(struct message *m, int field, int64_t v)
{
	put_varint(m, (uint64_t)field << 3);
	put_varint(m, (uint64_t)v);
}

void message_bytes(struct message *m, int field, const void *data, size_t n)
{
	put_varint(m, (uint64_t)field << 3 | 2);
	put_varint(m, n);
	for (size_t i = 0; i < n; i++)
		put_byte(m, ((const uint8_t *)data)[i]);
}

void message_str(struct message *m, int field, const char *s)
{
	if (s)
		message_bytes(m, field, s, strlen(s));
}

void message_flag(struct message *m, int field, bool v)
{
	if (v)
		message_int(m, field, 1);
}

static bool get_varint(const uint8_t **p, const uint8_t *end, uint64_t *v)
{
	*v = 0;
	for (int shift = 0; *p < end && shift < 64; shift += 7) {
		uint8_t b = *(*p)++;

		*v |= (uint64_t)(b & 0x7f) << shift;
		if (!(b & 0x80))
			return true;
	}
	return false;
}

bool field_next(const uint8_t **p, const uint8_t *end, struct field *f)
{
	uint64_t tag;

	if (*p >= end || !get_varint(p, end, &tag))
		return false;
	*f = (struct field){ .number = (unsigned)(tag >> 3) };
	switch (tag & 7) {
	case 0:
		return get_varint(p, end, &f->value);
	case 2:
		if (!get_varint(p, end, &f->value) || f->value > (size_t)(end - *p))
			return false;
		f->n = (size_t)f->value;
		f->data = *p;
		*p += f->n;
		return true;
	default:
		return false;
	}
}
