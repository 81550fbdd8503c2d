/* SPDX-License-Identifier: MIT */
#include "lib/measure/table.h"

#include <stdlib.h>
#include <string.h>
#include <xxhash.h>

#define ROOM_MIN 64

/* The slot that the key is in, or would be; linear probing. */
static size_t slot_of(const struct table *t, const void *key)
{
	size_t i = XXH64(key, t->key, 0) & (t->room - 1);

	while (t->used[i] && memcmp(t->slots + i * t->entry, key, t->key))
		i = (i + 1) & (t->room - 1);
	return i;
}

/* Anew with that room, without those that are not to be kept. */
static void rebuild(struct table *t, size_t room, bool (*keep)(void *, void *), void *ctx)
{
	struct table old = *t;

	t->room = room;
	t->n = 0;
	t->slots = calloc(room, t->entry);
	t->used = calloc(room, 1);
	if (!t->slots || !t->used)
		abort();
	for (size_t i = 0; i < old.room; i++) {
		uint8_t *entry = old.slots + i * old.entry;

		if (!old.used[i] || (keep && !keep(entry, ctx)))
			continue;
		size_t to = slot_of(t, entry);
		memcpy(t->slots + to * t->entry, entry, t->entry);
		t->used[to] = 1;
		t->n++;
	}
	free(old.slots);
	free(old.used);
}

void *table_at(struct table *t, const void *key, bool *fresh)
{
	if (t->n >= t->room / 4 * 3)
		rebuild(t, t->room ? 2 * t->room : ROOM_MIN, NULL, NULL);
	size_t i = slot_of(t, key);
	bool is_new = !t->used[i];
	void *entry = t->slots + i * t->entry;

	if (is_new) {
		memcpy(entry, key, t->key);
		t->used[i] = 1;
		t->n++;
	}
	if (fresh)
		*fresh = is_new;
	return entry;
}

void *table_find(const struct table *t, const void *key)
{
	size_t i = t->room ? slot_of(t, key) : 0;

	return t->room && t->used[i] ? t->slots + i * t->entry : NULL;
}

void *table_slot(const struct table *t, size_t i)
{
	return t->used[i] ? t->slots + i * t->entry : NULL;
}

void table_sift(struct table *t, bool (*keep)(void *, void *), void *ctx)
{
	if (t->room)
		rebuild(t, t->room, keep, ctx);
}

void table_clear(struct table *t)
{
	free(t->slots);
	free(t->used);
	t->slots = t->used = NULL;
	t->n = t->room = 0;
}
