/* SPDX-License-Identifier: MIT */
#include "lib/engine/criu_timers.h"

#include <limits.h>
#include <stdio.h>
#include <string.h>

#include "lib/base/auto.h"
#include "lib/base/file.h"
#include "lib/engine/message.h"

/* files.img: two magic numbers, then per file its length (32 bits, of this machine) and a file_entry. */
#define HEAD 8

/* criu's images/fdinfo.proto and timerfd.proto. */
enum { FILE_TYPE = 1, FILE_ID = 2, FILE_TIMER = 12 };
enum { TIMER_TICKS = 5, TIMER_SEC = 7, TIMER_NSEC = 8, TIMER_EVERY_SEC = 9, TIMER_EVERY_NSEC = 10, TIMER_FIELDS };

static bool stopped(const struct field *timer, uint64_t v[TIMER_FIELDS])
{
	const uint8_t *p = timer->data, *end = p + timer->n;
	struct field f;

	memset(v, 0, TIMER_FIELDS * sizeof(*v));
	while (field_next(&p, end, &f))
		if (f.number < TIMER_FIELDS)
			v[f.number] = f.value;
	return v[TIMER_TICKS] && !v[TIMER_SEC] && !v[TIMER_NSEC] && (v[TIMER_EVERY_SEC] || v[TIMER_EVERY_NSEC]);
}

static void put_timer(struct message *entry, const struct field *timer, const uint64_t v[TIMER_FIELDS])
{
	struct message m;
	const uint8_t *p = timer->data, *end = p + timer->n;
	struct field f;

	message_empty(&m);
	while (field_next(&p, end, &f)) {
		uint64_t value = f.number == TIMER_SEC	? v[TIMER_EVERY_SEC] :
				 f.number == TIMER_NSEC ? v[TIMER_EVERY_NSEC] :
							  f.value;

		if (f.data)
			message_bytes(&m, (int)f.number, f.data, f.n);
		else
			message_int(&m, (int)f.number, (int64_t)value);
	}
	message_bytes(entry, FILE_TIMER, m.buf, m.len);
	entry->full |= m.full;
}

/* The entry anew into m, if it is such a timer. */
static bool mended(const uint8_t *p, size_t n, struct message *m)
{
	const uint8_t *end = p + n;
	uint64_t v[TIMER_FIELDS];
	bool found = false;
	struct field f;

	message_empty(m);
	while (field_next(&p, end, &f)) {
		if (f.number == FILE_TIMER && f.data && stopped(&f, v)) {
			put_timer(m, &f, v);
			found = true;
		} else if (f.data) {
			message_bytes(m, (int)f.number, f.data, f.n);
		} else {
			message_int(m, (int)f.number, (int64_t)f.value);
		}
	}
	return found && !m->full && p == end;
}

int criu_mend_timers(const char *images, struct err *e)
{
	struct message m;
	char path[PATH_MAX];
	size_t n, len = HEAD, at = HEAD;
	bool any = false;

	if (snprintf(path, sizeof(path), "%s/files.img", images) >= (int)sizeof(path))
		return err_set(e, EX_DATAERR, "%s: path too long", images);
	AUTO_FREE char *data = file_slurp(path, &n, e);
	if (!data)
		return -1;
	/* Twice as much is enough: only numbers of a timer become longer, and they are a small part of it. */
	AUTO_FREE char *out = malloc(2 * n + MESSAGE_MAX);
	if (!out)
		return err_set(e, EX_OSERR, "out of memory");
	if (n >= HEAD)
		memcpy(out, data, HEAD);
	for (uint32_t size; at + sizeof(size) <= n; at += size) {
		memcpy(&size, data + at, sizeof(size));
		at += sizeof(size);
		if (size > n - at)
			return err_set(e, EX_DATAERR, "%s: truncated", path);
		const void *entry = data + at;
		uint32_t new_size = size;
		if (mended(entry, size, &m)) {
			entry = m.buf;
			new_size = (uint32_t)m.len;
			any = true;
		}
		memcpy(out + len, &new_size, sizeof(new_size));
		memcpy(out + len + sizeof(new_size), entry, new_size);
		len += sizeof(new_size) + new_size;
	}
	return any ? file_write(path, out, len, 0600, e) : 0;
}
